//! What a rule takes from a payload: which column gets its value from where. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::records::custom::object::{Object, items};

const COLUMNS_MAX: usize = 100;
const SOURCES_MAX: usize = 5;
const PATH_MAX: usize = 300;

/// Columns, each with where its value may come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping(pub BTreeMap<String, Vec<Source>>);

#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Into the payload.
    Path(String),
    /// In JSON.
    Constant(String),
}

/// What a column gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// As it stands in the payload.
    pub json: String,
    /// It stands in for something that the payload lacks: what a record has already is better.
    pub is_stopgap: bool,
}

impl Value {
    pub fn of(json: impl Into<String>) -> Self {
        Self { json: json.into(), is_stopgap: false }
    }

    pub fn stopgap(json: impl Into<String>) -> Self {
        Self { json: json.into(), is_stopgap: true }
    }
}

/// What the columns of a record get.
pub type Values = BTreeMap<String, Value>;

impl Mapping {
    pub fn parse(json: &str) -> Result<Self, String> {
        let Object(members) = Object::parse(json).ok_or("must be an object of columns")?;
        if members.is_empty() || members.len() > COLUMNS_MAX {
            return Err(format!("must have 1 to {COLUMNS_MAX} columns"));
        }
        let of_column = |(column, source): (String, String)| {
            let sources = sources(&source).map_err(|problem| format!("{column}: {problem}"))?;
            Ok((column, sources))
        };
        members.into_iter().map(of_column).collect::<Result<_, _>>().map(Self)
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().filter_map(|source| match source {
            Source::Path(path) => Some(path.as_str()),
            Source::Constant(_) => None,
        })
    }

    /// By what the paths lead to, in JSON.
    pub fn values(&self, found: &HashMap<String, String>) -> Values {
        let value = |sources: &Vec<Source>| {
            sources.iter().enumerate().find_map(|(at, source)| match source {
                Source::Path(path) => found.get(path).filter(|json| is_something(json)).map(Value::of),
                Source::Constant(json) => Some(Value { json: json.clone(), is_stopgap: at > 0 }),
            })
        };
        self.0.iter().filter_map(|(column, sources)| Some((column.clone(), value(sources)?))).collect()
    }
}

fn sources(json: &str) -> Result<Vec<Source>, String> {
    let Some(several) = items(json) else { return Ok(vec![source(json)?]) };
    if several.is_empty() || several.len() > SOURCES_MAX {
        return Err(format!("a list has 1 to {SOURCES_MAX} entries"));
    }
    several.into_iter().map(source).collect()
}

fn source(json: &str) -> Result<Source, String> {
    if let Some(path) = text_of(json) {
        check_path(&path)?;
        return Ok(Source::Path(path));
    }
    let constant = Object::parse(json).filter(|Object(members)| members.len() == 1);
    match constant.as_ref().and_then(|constant| constant.get("value")) {
        Some(value) if is_something(value) => Ok(Source::Constant(value.to_owned())),
        _ => Err(r#"must be a path like "$.email", a constant like {"value": "web"}, or a list of them"#.into()),
    }
}

/// The text that a JSON string stands for.
pub fn text_of(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Forms send what was left blank as empty text.
fn is_something(json: &str) -> bool {
    json != "null" && text_of(json).is_none_or(|text| !text.trim().is_empty())
}

/// What is asked of a path before the server has parsed it.
pub fn check_path(path: &str) -> Result<(), String> {
    let begins = ["$", "lax $", "strict $"].iter().any(|beginning| path.starts_with(beginning));
    if !begins || path.chars().count() > PATH_MAX {
        return Err(format!("a path begins with $ and has at most {PATH_MAX} characters"));
    }
    Ok(())
}

/// What a column takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Single,
    List,
    Json,
}

/// The value in the form that a column of this kind takes. A list of one may come without its brackets.
pub fn fit(json: &str, kind: Kind) -> Result<String, &'static str> {
    match (kind, json.as_bytes().first()) {
        (Kind::Json, _) | (Kind::List, Some(b'[')) => Ok(json.to_owned()),
        (_, Some(b'{')) => Err("the payload has an object where one value is needed"),
        (Kind::Single, Some(b'[')) => Err("the payload has a list where one value is needed"),
        (Kind::Single, _) => Ok(json.to_owned()),
        (Kind::List, _) => Ok(format!("[{json}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(mapping: &str, found: &[(&str, &str)]) -> Vec<(String, String, bool)> {
        let found = found.iter().map(|(path, json)| ((*path).to_owned(), (*json).to_owned())).collect();
        let values = Mapping::parse(mapping).unwrap().values(&found);
        values.into_iter().map(|(column, value)| (column, value.json, value.is_stopgap)).collect()
    }

    #[test]
    fn a_column_gets_what_its_path_leads_to_or_a_constant() {
        let mapping = r#"{"email": "$.email", "employees": "$.n", "source": {"value": "shop"}}"#;
        assert_eq!(
            values(mapping, &[("$.email", r#""a@b.example""#), ("$.n", "1.50")]),
            [
                ("email".into(), r#""a@b.example""#.into(), false),
                ("employees".into(), "1.50".into(), false),
                ("source".into(), r#""shop""#.into(), false)
            ]
        );
    }

    #[test]
    fn of_several_the_first_counts_that_gives_something() {
        let mapping = r#"{"last_name": ["$.last", "$.name", {"value": "unknown"}]}"#;
        let name = |found: &[(&str, &str)]| values(mapping, found).pop().map(|(_, json, stopgap)| (json, stopgap));
        assert_eq!(name(&[("$.last", r#""A""#), ("$.name", r#""B""#)]), Some((r#""A""#.into(), false)));
        assert_eq!(name(&[("$.last", "null"), ("$.name", r#""B""#)]), Some((r#""B""#.into(), false)));
        assert_eq!(name(&[("$.last", r#"" ""#)]), Some((r#""unknown""#.into(), true)));
        assert_eq!(values(r#"{"last_name": ["$.last", "$.name"]}"#, &[]), []);
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for (bad, reason) in [
            ("[]", "object"),
            ("{}", "1 to 100"),
            (r#"{"a": 1}"#, "a: must be"),
            (r#"{"a": null}"#, "a: must be"),
            (r#"{"a": "email"}"#, "begins with $"),
            (r#"{"a": []}"#, "1 to 5"),
            (r#"{"a": ["$", "$", "$", "$", "$", "$"]}"#, "1 to 5"),
            (r#"{"a": [["$"]]}"#, "a: must be"),
            (r#"{"a": {"value": 1, "or": 2}}"#, "a: must be"),
            (r#"{"a": {"value": null}}"#, "a: must be"),
            (r#"{"a": {"value": ""}}"#, "a: must be"),
            (r#"{"a": {"path": "$"}}"#, "a: must be"),
        ] {
            let problem = Mapping::parse(bad).unwrap_err();
            assert!(problem.contains(reason), "{bad}: {problem}");
        }
    }

    #[test]
    fn a_path_is_short_and_looks_into_the_payload() {
        for fine in ["$", "$.a", "lax $.a[0]", "strict $.a"] {
            assert_eq!(check_path(fine), Ok(()));
        }
        for bad in ["", "a", "1 + 1", " $.a", &format!("$.{}", "a".repeat(300))] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_fits_its_column() {
        assert_eq!(fit("1", Kind::Single), Ok("1".into()));
        assert_eq!(fit(r#""vip""#, Kind::List), Ok(r#"["vip"]"#.into()));
        assert_eq!(fit("[1]", Kind::List), Ok("[1]".into()));
        assert_eq!(fit(r#"{"a": 1}"#, Kind::Json), Ok(r#"{"a": 1}"#.into()));
        for (bad, kind) in [("{}", Kind::Single), ("[]", Kind::Single), ("{}", Kind::List)] {
            assert!(fit(bad, kind).is_err(), "{bad}");
        }
    }
}
