//! The rule for `lead.captured` where the organization has none of its own. Pure.

use super::mapping::{Mapping, Source, Value, Values, text_of};

pub const EVENT: &str = "lead.captured";
pub const ENTITY: &str = "leads";

/// Each column, and the members of the payload that it may come from; `name` is no column.
const MEMBERS: [(&str, &[&str]); 12] = [
    ("external_id", &["external_id"]),
    ("first_name", &["first_name"]),
    ("last_name", &["last_name"]),
    (NAME, &["name"]),
    ("email", &["email"]),
    ("phone", &["phone"]),
    ("company", &["company"]),
    ("title", &["title"]),
    ("source", &["source"]),
    ("description", &["message", "notes"]),
    ("custom_fields", &["custom_fields"]),
    ("tags", &["tags"]),
];

const NAME: &str = "name";

pub fn mapping() -> Mapping {
    let sources = |members: &[&str]| members.iter().map(|member| Source::Path(format!("$.{member}"))).collect();
    Mapping(MEMBERS.iter().map(|(column, members)| ((*column).to_owned(), sources(members))).collect())
}

/// By what a lead that is there already is found.
pub fn match_on(values: &Values) -> Vec<String> {
    let key = ["external_id", "email"].into_iter().find(|key| values.contains_key(*key));
    key.map(str::to_owned).into_iter().collect()
}

/// Of leads that are found by their e-mail: who was converted and comes back is a new one.
pub const OPEN: &str = "t.converted_at is null";

/// A whole name becomes a first and a last one; without any name, a lead goes by how it is reached.
pub fn complete(mut values: Values) -> Values {
    let name = values.remove(NAME).and_then(|name| text_of(&name.json));
    if let Some(name) = name
        && !values.contains_key("first_name")
        && !values.contains_key("last_name")
    {
        let (first, last) = split(&name);
        values.extend(first.map(|first| ("first_name".to_owned(), Value::of(json(first)))));
        values.insert("last_name".into(), Value::of(json(last)));
    }
    if !values.contains_key("last_name") && !values.contains_key("company") {
        let reached = ["email", "phone", "first_name"].iter().find_map(|column| values.get(*column));
        let reached = reached.map(|value| Value::stopgap(value.json.clone()));
        values.extend(reached.map(|value| ("last_name".to_owned(), value)));
    }
    values
}

/// The last word is the family name.
fn split(name: &str) -> (Option<&str>, &str) {
    match name.trim().rsplit_once(char::is_whitespace) {
        Some((first, last)) => (Some(first.trim_end()), last),
        None => (None, name.trim()),
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(values: &[(&str, &str)]) -> Vec<(String, String, bool)> {
        let values = values.iter().map(|(column, text)| ((*column).to_owned(), Value::of(json(text))));
        let values = complete(values.collect()).into_iter();
        values.map(|(column, value)| (column, text_of(&value.json).unwrap(), value.is_stopgap)).collect()
    }

    fn expected(values: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
        values.iter().map(|(column, text, stopgap)| ((*column).to_owned(), (*text).to_owned(), *stopgap)).collect()
    }

    #[test]
    fn a_whole_name_is_taken_apart() {
        let ada = [("first_name", "Ada King", false), ("last_name", "Lovelace", false)];
        assert_eq!(completed(&[("name", " Ada King  Lovelace ")]), expected(&ada));
        assert_eq!(completed(&[("name", "Lovelace")]), expected(&[("last_name", "Lovelace", false)]));
        assert_eq!(completed(&[("name", "Ada X"), ("last_name", "Y")]), expected(&[("last_name", "Y", false)]));
    }

    #[test]
    fn who_gives_no_name_goes_by_how_they_are_reached() {
        let email = [("email", "a@b.example", false), ("last_name", "a@b.example", true)];
        assert_eq!(completed(&[("email", "a@b.example")]), expected(&email));
        let company = [("company", "Acme", false), ("email", "a@b.example", false)];
        assert_eq!(completed(&[("email", "a@b.example"), ("company", "Acme")]), expected(&company));
        assert_eq!(completed(&[("title", "Countess")]), expected(&[("title", "Countess", false)]));
    }

    #[test]
    fn it_is_found_by_its_own_key_or_else_by_its_email() {
        let keys = |columns: &[&str]| {
            match_on(&columns.iter().map(|column| ((*column).to_owned(), Value::of("\"x\""))).collect())
        };
        assert_eq!(keys(&["email", "external_id", "phone"]), ["external_id"]);
        assert_eq!(keys(&["email", "phone"]), ["email"]);
        assert!(keys(&["phone"]).is_empty());
    }
}
