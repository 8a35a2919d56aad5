//! The rules a column's text follows, as `crm.enroll` takes them: `"<column> [required] <kind> [<argument>]"`. Pure.

use std::borrow::Cow;

use crate::text::{self, Checked};

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
    /// So many letters, in upper case: ISO codes of countries (2) and currencies (3).
    Code(usize),
    /// A name of the IANA database; whether it has it, whoever applies the rule asks the server.
    TimeZone,
    Locale,
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
        let kind = match (words.next(), words.next()) {
            (Some("line"), Some(max)) => Kind::Line(length(max)?),
            (Some("text"), Some(max)) => Kind::Text(length(max)?),
            (Some("email"), None) => Kind::Email,
            (Some("phone"), Some(target)) if target != column => Kind::Phone(target.to_owned()),
            (Some("domain"), None) => Kind::Domain,
            (Some("url"), None) => Kind::Url,
            (Some("code"), Some(letters)) => Kind::Code(length(letters)?),
            (Some("time_zone"), None) => Kind::TimeZone,
            (Some("locale"), None) => Kind::Locale,
            _ => {
                return Err(
                    "the kinds are: line <max>, text <max>, email, phone <column>, domain, url, code <letters>, time_zone, locale"
                        .into(),
                );
            }
        };
        match words.next() {
            None => Ok(Self { column, required, kind }),
            Some(extra) => Err(format!("what is \"{extra}\"?").into()),
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
            Kind::TimeZone => text::time_zone(value)?,
            Kind::Locale => text::locale(value)?,
            Kind::Phone(target) => {
                let value = text::phone(value)?;
                derived = Some((target.clone(), text::phone_e164(&value, country)));
                value
            }
        };
        Ok(Stored { value: Some(value), derived })
    }
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
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad:?}");
        }
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
