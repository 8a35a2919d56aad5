//! A custom field, and what is stored of the value that somebody sends for it. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::moment;
use crate::text::{self, Checked};

/// So that any text fits into an index: 2,000 bytes at most.
pub const TEXT_MAX: usize = 500;
const LONG_TEXT_MAX: usize = 20_000;

/// As many digits as every client's floating point numbers have without loss.
const DIGITS_MAX: usize = 15;

/// How many options an error names.
const SHOWN: usize = 20;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One line.
    Text,
    LongText,
    Number,
    Boolean,
    Date,
    Datetime,
    Select,
    MultiSelect,
    Url,
    Email,
    Reference,
}

pub const KINDS: &str = "text, long_text, number, boolean, date, datetime, select, multi_select, url, email, reference";

impl Kind {
    pub fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    pub fn has_options(self) -> bool {
        matches!(self, Self::Select | Self::MultiSelect)
    }

    pub fn may_be_unique(self) -> bool {
        !matches!(self, Self::LongText | Self::Boolean | Self::MultiSelect)
    }

    /// Whether values are short enough for an index, and one at a time.
    pub fn may_be_indexed(self) -> bool {
        !matches!(self, Self::LongText | Self::MultiSelect | Self::Url)
    }
}

/// A definition, as `known` reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Field {
    pub id: Uuid,
    pub entity: String,
    pub key: String,
    pub kind: Kind,
    pub required: bool,
    pub is_unique: bool,
    /// In JSON.
    pub default_value: Option<String>,
    /// The values one can choose from.
    pub options: Vec<String>,
    pub reference_entity: Option<String>,
}

impl Field {
    /// What is stored, in JSON; `None` for nothing: null, or what a form leaves blank.
    pub fn normalize(&self, json: &str) -> Checked<Option<String>> {
        if self.kind == Kind::Number && json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return number(json).map(Some);
        }
        let value: Value = serde_json::from_str(json).map_err(|_| self.wanted())?;
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => self.normalize_text(&text).map(|text| Some(Value::from(text).to_string())),
            Value::Bool(_) if self.kind == Kind::Boolean => Ok(Some(json.into())),
            Value::Array(chosen) if self.kind == Kind::MultiSelect => self.choices(&chosen),
            _ => Err(self.wanted()),
        }
    }

    fn normalize_text(&self, value: &str) -> Checked<String> {
        match self.kind {
            Kind::Text => text::line(value, TEXT_MAX),
            Kind::LongText => text::text(value, LONG_TEXT_MAX),
            Kind::Date => moment::date(value),
            Kind::Datetime => moment::datetime(value),
            Kind::Select => self.option(value),
            Kind::Url => text::url(value),
            Kind::Email => text::email(value),
            Kind::Reference => Uuid::parse_str(value.trim()).map(|id| id.to_string()).map_err(|_| self.wanted()),
            Kind::Number | Kind::Boolean | Kind::MultiSelect => Err(self.wanted()),
        }
    }

    fn option(&self, value: &str) -> Checked<String> {
        if self.options.iter().any(|option| option == value) {
            return Ok(value.into());
        }
        let more = if self.options.len() > SHOWN { ", …" } else { "" };
        let shown: Vec<_> = self.options.iter().take(SHOWN).map(String::as_str).collect();
        Err(format!("must be one of: {}{more}", shown.join(", ")).into())
    }

    /// Each once, in one order, so that equal choices are equal values.
    fn choices(&self, chosen: &[Value]) -> Checked<Option<String>> {
        let mut choices = BTreeSet::new();
        for one in chosen {
            choices.insert(self.option(one.as_str().ok_or_else(|| self.wanted())?)?);
        }
        let json = Value::from_iter(choices);
        Ok((json != Value::Array(vec![])).then(|| json.to_string()))
    }

    /// What is said of a value of another type.
    fn wanted(&self) -> Cow<'static, str> {
        match self.kind {
            Kind::Number => format!("must be a number of at most {DIGITS_MAX} digits, like 12.5").into(),
            Kind::Boolean => "must be true or false".into(),
            Kind::MultiSelect => "must be an array of options, like [\"a\", \"b\"]".into(),
            Kind::Reference => match &self.reference_entity {
                Some(entity) => format!("must be the id of one of {entity}").into(),
                None => "must be an id".into(),
            },
            _ => "must be a text".into(),
        }
    }
}

/// A number as jsonb writes it, without zeros that say nothing: equal numbers are equal text.
fn number(json: &str) -> Checked<String> {
    let unsigned = json.strip_prefix('-').unwrap_or(json);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = if whole.is_empty() { fraction.trim_start_matches('0').len() } else { whole.len() + fraction.len() };
    if !is_number || digits > DIGITS_MAX || fraction.len() > DIGITS_MAX {
        return Err(format!("must be a number of at most {DIGITS_MAX} digits, like 12.5").into());
    }
    if digits == 0 {
        return Ok("0".into());
    }
    let sign = if json.starts_with('-') { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

/// `tier`, `vat_2026`.
pub fn is_key(key: &str) -> bool {
    key.len() <= 63
        && key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn field(key: &str, kind: Kind) -> Field {
        Field {
            id: Uuid::from_u128(1),
            entity: "contacts".into(),
            key: key.into(),
            kind,
            required: false,
            is_unique: false,
            default_value: None,
            options: ["silver", "gold"].map(String::from).into(),
            reference_entity: Some("accounts".into()),
        }
    }

    fn stored(kind: Kind, json: &str) -> Checked<Option<String>> {
        field("x", kind).normalize(json)
    }

    #[test]
    fn each_type_has_one_form_that_is_stored() {
        for (kind, given, kept) in [
            (Kind::Text, r#"" Ada ""#, r#""Ada""#),
            (Kind::LongText, r#""a\nb""#, r#""a\nb""#),
            (Kind::Number, "12.50", "12.5"),
            (Kind::Number, "-0.0", "0"),
            (Kind::Number, "-7", "-7"),
            (Kind::Number, "100", "100"),
            (Kind::Number, "0.000000000000001", "0.000000000000001"),
            (Kind::Number, "999999999999999", "999999999999999"),
            (Kind::Boolean, "false", "false"),
            (Kind::Date, r#""2026-07-31""#, r#""2026-07-31""#),
            (Kind::Datetime, r#""2026-07-31T02:00:00+02:00""#, r#""2026-07-31T00:00:00.000Z""#),
            (Kind::Select, r#""gold""#, r#""gold""#),
            (Kind::MultiSelect, r#"["silver", "gold", "silver"]"#, r#"["gold","silver"]"#),
            (Kind::Url, r#""https://example.com/""#, r#""https://example.com/""#),
            (Kind::Email, r#""Ada@Example.com""#, r#""ada@example.com""#),
            (Kind::Reference, r#""018F0000-0000-7000-8000-000000000001""#, r#""018f0000-0000-7000-8000-000000000001""#),
        ] {
            assert_eq!(stored(kind, given), Ok(Some(kept.into())), "{kind:?} {given}");
            assert_eq!(stored(kind, kept), Ok(Some(kept.into())), "{kind:?} {kept}");
        }
    }

    #[test]
    fn what_is_blank_is_nothing() {
        for kind in [Kind::Text, Kind::Number, Kind::Boolean, Kind::Date, Kind::Select, Kind::MultiSelect, Kind::Url] {
            for json in ["null", r#""""#, r#""  ""#] {
                assert_eq!(stored(kind, json), Ok(None), "{kind:?} {json}");
            }
        }
        assert_eq!(stored(Kind::MultiSelect, "[]"), Ok(None));
    }

    #[test]
    fn what_is_of_another_type_is_refused() {
        for (kind, bad) in [
            (Kind::Text, "1"),
            (Kind::Text, r#"{"a": 1}"#),
            (Kind::Text, r#""a\nb""#),
            (Kind::LongText, r#""a\u0007""#),
            (Kind::Number, r#""1""#),
            (Kind::Number, "1e400"),
            (Kind::Number, "1234567890123456"),
            (Kind::Number, "0.1234567890123456"),
            (Kind::Number, "12345678.12345678"),
            (Kind::Number, "true"),
            (Kind::Boolean, "0"),
            (Kind::Boolean, r#""yes""#),
            (Kind::Date, r#""2026-02-30""#),
            (Kind::Datetime, r#""2026-02-03""#),
            (Kind::Datetime, "1770000000"),
            (Kind::Select, r#""platinum""#),
            (Kind::Select, r#"["gold"]"#),
            (Kind::MultiSelect, r#""gold""#),
            (Kind::MultiSelect, r#"["gold", null]"#),
            (Kind::MultiSelect, r#"["gold", ["silver"]]"#),
            (Kind::Url, r#""javascript:alert(1)""#),
            (Kind::Email, r#""ada""#),
            (Kind::Reference, r#""acme""#),
        ] {
            assert!(stored(kind, bad).is_err(), "{kind:?} {bad}");
        }
        let long = Value::from("x".repeat(TEXT_MAX + 1)).to_string();
        assert!(stored(Kind::Text, &long).is_err());
        assert!(stored(Kind::LongText, &long).is_ok());
        assert_eq!(stored(Kind::Select, r#""x""#).unwrap_err(), "must be one of: silver, gold");
    }

    #[test]
    fn a_key_is_a_word_in_lower_case() {
        for good in ["tier", "vat_2026", "a", &"a".repeat(63)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "Tier", "_a", "2a", "a-b", "a b", "ä", "a'b", &"a".repeat(64)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_type_is_known_by_its_name() {
        for name in KINDS.split(", ") {
            assert!(Kind::parse(name).is_some(), "{name}");
        }
        assert_eq!(Kind::parse("multi_select"), Some(Kind::MultiSelect));
        assert_eq!(Kind::parse("json"), None);
    }
}
