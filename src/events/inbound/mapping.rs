//! What a rule takes from a payload: which column gets its value from where. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::records::custom::object::{Object, items};
use crate::records::tags;

const COLUMNS_MAX: usize = 100;
const SOURCES_MAX: usize = 5;
const PATH_MAX: usize = 300;
/// As many as a list of text takes.
const ENTRIES_MAX: usize = 100;

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

    /// By what the paths lead to.
    pub fn values(&self, found: &Found, is_list: impl Fn(&str) -> bool) -> Values {
        let value = |column: &str, sources: &Vec<Source>| {
            sources.iter().enumerate().find_map(|(at, source)| match source {
                Source::Path(path) => {
                    let several = found.get(path)?;
                    let json = if is_list(column) { list(several, column) } else { several.first().cloned() };
                    json.filter(|json| is_something(json)).map(Value::of)
                }
                Source::Constant(json) => Some(Value { json: json.clone(), is_stopgap: at > 0 }),
            })
        };
        self.0.iter().filter_map(|(column, sources)| Some((column.clone(), value(column, sources)?))).collect()
    }
}

/// What each path leads to, in JSON, in the payload's order.
pub type Found = HashMap<String, Vec<String>>;

/// All that a path leads to, of lists what stands in them; one value alone as it is.
fn list(several: &[String], column: &str) -> Option<String> {
    if let [] | [_] = several {
        return several.first().cloned();
    }
    let mut entries: Vec<&str> = several.iter().flat_map(|json| items(json).unwrap_or_else(|| vec![json])).collect();
    entries.retain(|json| is_something(json));
    if column == tags::COLUMN {
        let mut seen = HashSet::new();
        entries.retain(|json| seen.insert(*json));
    }
    entries.truncate(ENTRIES_MAX);
    (!entries.is_empty()).then(|| format!("[{}]", entries.join(",")))
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

/// Why values do not pass a check of these columns, of which the event gives some.
pub fn unfit(checked: &[String], given: &BTreeSet<String>) -> String {
    let columns = checked.join(", ");
    match (checked, checked.iter().any(|column| given.contains(column))) {
        ([_], false) => format!("{columns}: is missing"),
        (_, false) => format!("{columns}: at least one of them is needed"),
        ([_], true) => format!("{columns}: this value is not allowed"),
        (_, true) => format!("{columns}: these values do not fit together"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(mapping: &str, found: &[(&str, &str)]) -> Vec<(String, String, bool)> {
        let mut several = Found::new();
        for (path, json) in found {
            several.entry((*path).to_owned()).or_default().push((*json).to_owned());
        }
        let values = Mapping::parse(mapping).unwrap().values(&several, |column| ["tags", "aliases"].contains(&column));
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
    fn a_list_gets_all_that_its_path_leads_to_and_others_the_first() {
        let value = |column: &str, found: &[&str]| {
            let found: Vec<_> = found.iter().map(|json| ("$.a[*]", *json)).collect();
            values(&format!(r#"{{"{column}": "$.a[*]"}}"#), &found).pop().map(|(_, json, _)| json)
        };
        let several = [r#""b""#, r#""a""#, "null", r#""b""#, r#"" ""#, r#"["c", "a"]"#];
        assert_eq!(value("tags", &several).unwrap(), r#"["b","a","c"]"#);
        assert_eq!(value("aliases", &several).unwrap(), r#"["b","a","b","c","a"]"#);
        assert_eq!(value("title", &several).unwrap(), r#""b""#);
        assert_eq!(value("tags", &[r#""a""#]).unwrap(), r#""a""#);
        assert_eq!(value("tags", &["null", r#""""#]), None);
        let many: Vec<_> = (0..150).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(items(&value("tags", &many).unwrap()).unwrap(), many[..100]);
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
    fn what_a_check_asks_for_is_told_in_words() {
        let told = |checked: &[&str]| {
            let checked: Vec<_> = checked.iter().map(|column| (*column).to_owned()).collect();
            unfit(&checked, &BTreeSet::from(["email".to_owned()]))
        };
        assert_eq!(told(&["last_name"]), "last_name: is missing");
        assert_eq!(told(&["last_name", "company"]), "last_name, company: at least one of them is needed");
        assert_eq!(told(&["email"]), "email: this value is not allowed");
        assert_eq!(told(&["email", "phone"]), "email, phone: these values do not fit together");
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
