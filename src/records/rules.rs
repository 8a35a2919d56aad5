//! The rules a column's text follows, as `crm.enroll` takes them: `"<column> [required] <kind> [<argument>]"`. Pure.

use std::borrow::Cow;

use super::steps::Steps;
use crate::text::{self, Checked};
use crate::{html, rrule};

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub column: String,
    /// Not only not NULL: not empty either.
    pub required: bool,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One line of at most so many characters.
    Line(usize),
    /// Several lines of at most so many characters.
    Text(usize),
    Email,
    /// The column that holds the E.164 form.
    Phone(String),
    Domain,
    Url,
    /// So many letters, in upper case.
    Code(usize),
    /// ISO 3166-1 alpha-2.
    Country,
    /// ISO 4217.
    Currency,
    /// `#rrggbb`
    Color,
    /// A name for programs: `^[a-z][a-z0-9_]{0,62}$`.
    Key,
    /// The type of a file: `image/png`.
    Mime,
    /// Rich text of at most so many characters, sanitised.
    Html(usize),
    /// How something repeats (RFC 5545).
    Rrule,
    /// A list of lines of at most so many characters each.
    Lines(usize),
    /// A name of the IANA database; whether it has it, whoever applies the rule asks the server.
    TimeZone,
    Locale,
    /// No text but a state of the row (see `states`): a column that is the database's to keep,
    Kept,
    /// one that goes from state to state,
    Steps(Steps),
    /// the time since when another column has one of these values, or for none of them its present one,
    Since(String, Vec<String>),
    /// and a person who by that is the row's owner.
    Owner,
    /// What history does not tell. Of any type, and beside another rule for the column.
    Secret,
}

/// What is stored: the column's own value and, for some kinds, a second column's.
#[derive(Debug, PartialEq)]
pub struct Stored {
    /// What is left blank is stored as NULL: forms and CSV files have no other way to say "nothing".
    pub value: Option<String>,
    pub derived: Option<(String, Option<String>)>,
}

impl Rule {
    pub fn parse(rule: &str) -> Checked<Self> {
        let mut words = rule.split_ascii_whitespace().peekable();
        let column = words.next().ok_or(Cow::Borrowed("a rule begins with a column"))?.to_owned();
        let required = words.next_if_eq(&"required").is_some();
        if words.next_if_eq(&"steps").is_some() {
            return Ok(Self { column, required, kind: Kind::Steps(Steps::parse(words)?) });
        }
        if words.next_if_eq(&"since").is_some() {
            let kind = since(words.next(), words.next()).ok_or(KINDS)?;
            return Self { column, required, kind }.alone(words.next());
        }
        let kind = match (words.next(), words.next()) {
            (Some("line"), Some(max)) => Kind::Line(length(max)?),
            (Some("text"), Some(max)) => Kind::Text(length(max)?),
            (Some("email"), None) => Kind::Email,
            (Some("phone"), Some(target)) if target != column => Kind::Phone(target.to_owned()),
            (Some("domain"), None) => Kind::Domain,
            (Some("url"), None) => Kind::Url,
            (Some("code"), Some(letters)) => Kind::Code(length(letters)?),
            (Some("country"), None) => Kind::Country,
            (Some("currency"), None) => Kind::Currency,
            (Some("color"), None) => Kind::Color,
            (Some("key"), None) => Kind::Key,
            (Some("mime"), None) => Kind::Mime,
            (Some("html"), Some(max)) => Kind::Html(length(max)?),
            (Some("rrule"), None) => Kind::Rrule,
            (Some("lines"), Some(max)) => Kind::Lines(length(max)?),
            (Some("time_zone"), None) => Kind::TimeZone,
            (Some("locale"), None) => Kind::Locale,
            (Some("kept"), None) => Kind::Kept,
            (Some("owner"), None) => Kind::Owner,
            (Some("secret"), None) => Kind::Secret,
            _ => return Err(KINDS.into()),
        };
        Self { column, required, kind }.alone(words.next())
    }

    fn alone(self, extra: Option<&str>) -> Checked<Self> {
        match extra {
            None => Ok(self),
            Some(extra) => Err(format!("what is \"{extra}\"?").into()),
        }
    }

    /// Whether it is about what one text is, and not about several, or about who keeps it.
    pub fn is_text(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Lines(_) | Kind::Kept | Kind::Steps(_) | Kind::Since(..) | Kind::Owner | Kind::Secret
        )
    }

    /// The type the column must be of; `None`: any.
    pub fn column_type(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Kept | Kind::Secret => None,
            Kind::Since(..) => Some("timestamp with time zone"),
            Kind::Owner => Some("uuid"),
            Kind::Lines(_) => Some("text[]"),
            _ => Some("text"),
        }
    }

    /// The columns this rule writes.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let derived = match &self.kind {
            Kind::Phone(target) => Some(target.as_str()),
            _ => None,
        };
        std::iter::once(self.column.as_str()).chain(derived)
    }

    /// Whether what is stored may depend on the country: a phone number without a country code.
    pub fn depends_on_country(&self, value: &str) -> bool {
        matches!(self.kind, Kind::Phone(_)) && !value.trim_start().starts_with('+')
    }

    pub fn apply(&self, value: &str, country: Option<&str>) -> Checked<Stored> {
        if value.trim().is_empty() {
            if self.required {
                return Err("must not be empty".into());
            }
            let derived = self.columns().nth(1).map(|column| (column.to_owned(), None));
            return Ok(Stored { value: None, derived });
        }
        let mut derived = None;
        let value = match &self.kind {
            Kind::Line(max) => text::line(value, *max)?,
            Kind::Text(max) => text::text(value, *max)?,
            Kind::Email => text::email(value)?,
            Kind::Domain => text::domain(value)?,
            Kind::Url => text::url(value)?,
            Kind::Code(letters) => text::code(value, *letters)?,
            Kind::Country => text::country(value)?,
            Kind::Currency => text::currency(value)?,
            Kind::Color => text::color(value)?,
            Kind::Key => text::key(value)?,
            Kind::Mime => text::mime(value)?,
            Kind::Html(max) => html::clean(value, *max)?,
            Kind::Rrule => rrule::rrule(value)?,
            Kind::TimeZone => text::time_zone(value)?,
            Kind::Locale => text::locale(value)?,
            Kind::Phone(target) => {
                let value = text::phone(value)?;
                derived = Some((target.clone(), text::phone_e164(&value, country)));
                value
            }
            Kind::Lines(_) | Kind::Kept | Kind::Steps(_) | Kind::Since(..) | Kind::Owner | Kind::Secret => {
                value.to_owned()
            }
        };
        Ok(Stored { value: Some(value), derived })
    }
}

/// More than lists written by hand have.
const ENTRIES_MAX: usize = 100;

/// The entries of a list, without those that are blank.
pub fn lines(entries: impl Iterator<Item = String>, longest: usize) -> Checked<Vec<String>> {
    let entries: Vec<_> = entries.filter(|entry| !entry.trim().is_empty()).collect();
    if entries.len() > ENTRIES_MAX {
        return Err(format!("too many: {} entries, at most {ENTRIES_MAX} are allowed", entries.len()).into());
    }
    entries.iter().map(|entry| text::line(entry, longest)).collect()
}

const KINDS: &str = "the kinds are: line <max>, text <max>, html <max>, email, phone <column>, domain, url, code <letters>, \
    country, currency, color, key, mime, rrule, time_zone, locale, lines <max>, kept, steps *:<state>… <state>:<state>,…, \
    since <column> <value>,… (or *), owner, secret";

fn since(column: Option<&str>, values: Option<&str>) -> Option<Kind> {
    let values = match values? {
        "*" => vec![],
        values => values.split(',').map(str::to_owned).collect(),
    };
    Some(Kind::Since(column?.to_owned(), values))
}

fn length(max: &str) -> Checked<usize> {
    max.parse().ok().filter(|&max| max > 0).ok_or(Cow::Borrowed("the longest length is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_parsed() {
        assert_eq!(
            Rule::parse("name required line 200"),
            Ok(Rule { column: "name".into(), required: true, kind: Kind::Line(200) })
        );
        let phone = Rule::parse("phone phone phone_normalized").unwrap();
        assert_eq!(phone.columns().collect::<Vec<_>>(), ["phone", "phone_normalized"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "name",
            "name line",
            "name line many",
            "name line 0",
            "email email 5",
            "a phone",
            "a phone a",
            "a line 5 6",
            "a colour",
            "a steps",
            "a since b",
            "a since b c d",
            "a kept always",
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_rule_may_tell_of_states() {
        let kind = |rule: &str| Rule::parse(rule).unwrap().kind;
        assert_eq!(kind("a since b c,d"), Kind::Since("b".into(), vec!["c".into(), "d".into()]));
        assert_eq!(kind("a since b *"), Kind::Since("b".into(), vec![]));
        assert_eq!(kind("a secret"), Kind::Secret);
        assert!(matches!(kind("status steps *:a a:b b:"), Kind::Steps(_)));
    }

    #[test]
    fn a_list_has_lines_and_no_blank_ones() {
        let list = |entries: &[&str]| lines(entries.iter().map(|&entry| entry.to_owned()), 3);
        assert_eq!(list(&[" a ", "", " ", "b c"]), Ok(vec!["a".to_owned(), "b c".to_owned()]));
        assert_eq!(list(&[]), Ok(vec![]));
        assert!(list(&["abcd"]).is_err() && list(&["a\n"; 1]).is_ok() && list(&["a\nb"]).is_err());
        assert!(list(&["a"; 100]).is_ok() && list(&["a"; 101]).is_err());
    }

    #[test]
    fn a_phone_number_brings_its_e164_form() {
        let rule = Rule::parse("phone phone phone_normalized").unwrap();
        let stored = rule.apply("(650) 253-0000", Some("US")).unwrap();
        assert_eq!(stored.value.as_deref(), Some("(650) 253-0000"));
        assert_eq!(stored.derived, Some(("phone_normalized".into(), Some("+16502530000".into()))));
    }

    #[test]
    fn what_is_blank_is_nothing_unless_it_is_required() {
        assert!(Rule::parse("name required line 9").unwrap().apply("  ", None).is_err());
        for rule in ["x line 9", "x text 9", "x email", "x domain", "x url", "x code 2"] {
            let nothing = Stored { value: None, derived: None };
            assert_eq!(Rule::parse(rule).unwrap().apply(" ", None), Ok(nothing), "{rule}");
        }
        let phone = Rule::parse("phone phone e164").unwrap().apply("", None).unwrap();
        assert_eq!(phone, Stored { value: None, derived: Some(("e164".into(), None)) });
    }

    #[test]
    fn a_code_is_stored_in_upper_case() {
        let rule = Rule::parse("country code 2").unwrap();
        assert_eq!(rule.apply(" de ", None).unwrap().value.as_deref(), Some("DE"));
        for bad in ["DEU", "D", "D1", "Ä1"] {
            assert!(rule.apply(bad, None).is_err(), "{bad}");
        }
    }
}
