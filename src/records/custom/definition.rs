//! Whether a definition makes sense, and the form in which it is stored. Pure.

use serde_json::{Value, json};

use super::field::{Field, KINDS, Kind, is_key};
use crate::text;

const OPTIONS_MAX: usize = 200;
const OPTION_MAX: usize = 100;
const LABEL_MAX: usize = 200;

/// A definition as somebody sends it.
#[derive(Debug, Default)]
pub struct Draft {
    pub key: String,
    pub kind: String,
    pub required: bool,
    pub is_unique: bool,
    /// In JSON.
    pub default_value: Option<String>,
    /// In JSON.
    pub options: Option<String>,
    pub reference_entity: Option<String>,
}

/// What is stored of it, in JSON.
#[derive(Debug, PartialEq)]
pub struct Stored {
    pub default_value: Option<String>,
    pub options: Option<String>,
}

/// The column, and what is wrong with it.
type Problem = (&'static str, String);

impl Draft {
    pub fn check(&self) -> Result<Stored, Problem> {
        if !is_key(&self.key) {
            return Err((
                "key",
                "must begin with a lower case letter, and have only those, digits and _, at most 63".into(),
            ));
        }
        let kind = Kind::parse(&self.kind).ok_or_else(|| ("type", format!("must be one of: {KINDS}")))?;
        if self.is_unique && !kind.may_be_unique() {
            return Err(("is_unique", format!("values of type {} cannot be unique", self.kind)));
        }
        if self.reference_entity.is_some() != (kind == Kind::Reference) {
            let problem = match &self.reference_entity {
                Some(_) => "is for fields of type reference",
                None => "is needed: which records does the field point to?",
            };
            return Err(("reference_entity", problem.into()));
        }
        let options = self.options(kind)?;
        let default_value = self.stored_default(kind, &options)?;
        let options = (!options.is_empty()).then(|| Value::from(options).to_string());
        Ok(Stored { default_value, options })
    }

    /// `[{"value": …, "label": …}]`; a text alone is both.
    fn options(&self, kind: Kind) -> Result<Vec<Value>, Problem> {
        let wrong = |problem: &str| Err(("options", problem.into()));
        let given = match self.options.as_deref().map(serde_json::from_str) {
            None | Some(Ok(Value::Null)) => vec![],
            Some(Ok(Value::Array(given))) => given,
            Some(_) => return wrong("must be an array like [{\"value\": \"gold\", \"label\": \"Gold\"}]"),
        };
        match (kind.has_options(), given.len()) {
            (false, 0) => return Ok(vec![]),
            (false, _) => return wrong("are for fields of type select and multi_select"),
            (true, 0) => return wrong("are needed: at least one"),
            (true, count) if count > OPTIONS_MAX => return wrong("at most 200 are possible"),
            _ => (),
        }
        let mut options: Vec<Value> = vec![];
        for one in &given {
            let option = option(one).map_err(|problem| ("options", problem))?;
            if options.iter().any(|other| other["value"] == option["value"]) {
                return Err(("options", format!("{} is there twice", option["value"])));
            }
            options.push(option);
        }
        Ok(options)
    }

    fn stored_default(&self, kind: Kind, options: &[Value]) -> Result<Option<String>, Problem> {
        let Some(json) = self.default_value.as_deref() else { return Ok(None) };
        let options = options.iter().filter_map(|option| option["value"].as_str().map(str::to_owned)).collect();
        let field = Field {
            id: uuid::Uuid::nil(),
            entity: String::new(),
            key: self.key.clone(),
            kind,
            required: false,
            is_unique: false,
            default_value: None,
            options,
            reference_entity: None,
        };
        let value = field.normalize(json).map_err(|problem| ("default_value", problem.into_owned()))?;
        match value {
            Some(_) if self.is_unique => Err(("default_value", "a unique field cannot have one".into())),
            Some(_) if kind == Kind::Reference => Err(("default_value", "a reference cannot have one".into())),
            value => Ok(value),
        }
    }
}

fn option(given: &Value) -> Result<Value, String> {
    let (value, label) = match given {
        Value::String(value) => (value, value),
        Value::Object(members) => match (members.get("value"), members.get("label")) {
            (Some(Value::String(value)), None | Some(Value::Null)) => (value, value),
            (Some(Value::String(value)), Some(Value::String(label))) => (value, label),
            _ => return Err("each has a text as value, and may have a label".into()),
        },
        _ => return Err("each has a text as value, and may have a label".into()),
    };
    let value = text::line(value, OPTION_MAX).map_err(|problem| format!("value: {problem}"))?;
    let label = text::line(label, LABEL_MAX).map_err(|problem| format!("label: {problem}"))?;
    if value.is_empty() {
        return Err("a value must not be empty".into());
    }
    Ok(json!({ "value": value, "label": label }))
}

/// The values of options as they are stored.
pub fn option_values(options: Option<&str>) -> Vec<String> {
    let options: Vec<Value> = options.and_then(|options| serde_json::from_str(options).ok()).unwrap_or_default();
    options.iter().filter_map(|option| option["value"].as_str().map(str::to_owned)).collect()
}

/// The options and the default after one was given another name; one that there is already takes the other's place.
pub fn rename_option(stored: &Stored, from: &str, to: &str) -> Stored {
    let parse = |json: &Option<String>| json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    let exists = option_values(stored.options.as_deref()).iter().any(|value| value == to);
    let mut options = parse(&stored.options).unwrap_or_default();
    if let Some(options) = options.as_array_mut() {
        if exists {
            options.retain(|option| option["value"] != from);
        }
        for option in options.iter_mut().filter(|option| option["value"] == from) {
            if option["label"] == from {
                option["label"] = to.into();
            }
            option["value"] = to.into();
        }
    }
    let rename = |value: Value| if value == from { to.into() } else { value };
    let default_value = parse(&stored.default_value).map(|value| match value {
        Value::Array(chosen) => Value::Array(chosen.into_iter().map(rename).collect()),
        value => rename(value),
    });
    Stored {
        default_value: default_value.map(|value| value.to_string()),
        options: options.is_array().then(|| options.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kind: &str) -> Draft {
        Draft { key: "x".into(), kind: kind.into(), ..Draft::default() }
    }

    fn select(options: &str, default_value: Option<&str>) -> Draft {
        let default_value = default_value.map(str::to_owned);
        Draft { options: Some(options.into()), default_value, ..draft("select") }
    }

    fn problem(draft: &Draft) -> &'static str {
        draft.check().unwrap_err().0
    }

    #[test]
    fn options_and_defaults_are_stored_in_one_form() {
        let stored = select(r#"["a", {"value": " b "}, {"value": "c", "label": "See", "x": 1}]"#, Some(r#""b""#))
            .check()
            .unwrap();
        let options = r#"[{"label":"a","value":"a"},{"label":"b","value":"b"},{"label":"See","value":"c"}]"#;
        let options: Value = serde_json::from_str(options).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&stored.options.unwrap()).unwrap()[0], options[0]);
        assert_eq!(stored.default_value.as_deref(), Some(r#""b""#));
        let number = Draft { default_value: Some("1.50".into()), ..draft("number") };
        assert_eq!(number.check(), Ok(Stored { default_value: Some("1.5".into()), options: None }));
        let nothing = Draft { default_value: Some("null".into()), options: Some("[]".into()), ..draft("text") };
        assert_eq!(nothing.check(), Ok(Stored { default_value: None, options: None }));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        assert_eq!(problem(&Draft { key: "A".into(), ..draft("text") }), "key");
        assert_eq!(problem(&draft("json")), "type");
        assert_eq!(problem(&draft("select")), "options");
        assert_eq!(problem(&draft("reference")), "reference_entity");
        assert_eq!(problem(&Draft { reference_entity: Some("accounts".into()), ..draft("text") }), "reference_entity");
        assert_eq!(problem(&Draft { options: Some(r#"["a"]"#.into()), ..draft("text") }), "options");
        for kind in ["long_text", "boolean"] {
            assert_eq!(problem(&Draft { is_unique: true, ..draft(kind) }), "is_unique");
        }
        for options in [
            "{}",
            "1",
            r#"["a", "a"]"#,
            r#"["a", 1]"#,
            r#"[""]"#,
            r#"[{"label": "a"}]"#,
            r#"[{"value": "a", "label": 1}]"#,
            r#"["a\nb"]"#,
        ] {
            assert_eq!(problem(&select(options, None)), "options", "{options}");
        }
        let many: Vec<_> = (0..=OPTIONS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(problem(&select(&Value::from(many).to_string(), None)), "options");
        assert_eq!(problem(&select(r#"["a"]"#, Some(r#""b""#))), "default_value");
        assert_eq!(problem(&Draft { default_value: Some("true".into()), ..draft("number") }), "default_value");
        assert_eq!(
            problem(&Draft { default_value: Some("1".into()), is_unique: true, ..draft("number") }),
            "default_value"
        );
    }

    #[test]
    fn an_option_gets_another_name() {
        let stored = select(r#"["a", {"value": "b", "label": "Bee"}]"#, Some(r#""a""#)).check().unwrap();
        let renamed = rename_option(&stored, "a", "z");
        assert_eq!(option_values(renamed.options.as_deref()), ["z", "b"]);
        assert_eq!(renamed.default_value.as_deref(), Some(r#""z""#));
        let merged = rename_option(&stored, "a", "b");
        assert_eq!(option_values(merged.options.as_deref()), ["b"]);
        assert_eq!(merged.default_value.as_deref(), Some(r#""b""#));
        let several = Stored { default_value: Some(r#"["a","b"]"#.into()), ..stored };
        assert_eq!(rename_option(&several, "b", "y").default_value.as_deref(), Some(r#"["a","y"]"#));
    }
}
