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
}

/// What is stored: the column's own value and, for some kinds, a second column's.
#[derive(Debug, PartialEq)]
pub struct Stored {
    pub value: String,
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
            _ => return Err("the kinds are: line <max>, text <max>, email, phone <column>, domain, url".into()),
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
        let plain = |value| Stored { value, derived: None };
        let stored = match &self.kind {
            Kind::Line(max) => plain(text::line(value, *max)?),
            Kind::Text(max) => plain(text::text(value, *max)?),
            Kind::Email => plain(text::email(value)?),
            Kind::Domain => plain(text::domain(value)?),
            Kind::Url => plain(text::url(value)?),
            Kind::Phone(target) => {
                let value = text::phone(value)?;
                let derived = Some((target.clone(), text::phone_e164(&value, country)));
                Stored { value, derived }
            }
        };
        if self.required && stored.value.trim().is_empty() {
            return Err("must not be empty".into());
        }
        Ok(stored)
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
        assert_eq!(stored.value, "(650) 253-0000");
        assert_eq!(stored.derived, Some(("phone_normalized".into(), Some("+16502530000".into()))));
    }

    #[test]
    fn a_required_column_is_not_blank() {
        assert!(Rule::parse("name required line 9").unwrap().apply("  ", None).is_err());
        assert!(Rule::parse("name line 9").unwrap().apply("  ", None).is_ok());
    }
}
