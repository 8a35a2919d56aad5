//! What becomes of a record's custom fields when somebody writes some of them. Pure.
//!
//! As JSON Merge Patch (RFC 7396) has it: what is sent replaces, null removes, what is not sent stays.

use std::collections::BTreeSet;

use super::field::Field;
use super::object::Object;

/// What is stored.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    pub object: Object,
    /// The keys that have another value than before.
    pub changed: BTreeSet<String>,
}

#[derive(Debug, PartialEq)]
pub enum Problem {
    /// No field of this key.
    Unknown(String),
    /// The key, and what is wrong with its value.
    Invalid(String, String),
}

/// Of a new record: what is not sent gets its default, and what is required has to be there.
pub fn insert(fields: &[Field], sent: &Object) -> Result<Merged, Problem> {
    let mut merged = Merged::default();
    check_known(fields, sent, &Object::default())?;
    for field in fields {
        let value = match sent.get(&field.key) {
            Some(json) => normalize(field, json)?,
            None => field.default_value.clone(),
        };
        match value {
            Some(value) => merged.set(&field.key, value),
            None if field.required => return Err(missing(field)),
            None => (),
        }
    }
    Ok(merged)
}

/// Of a record that there is. What stays as it is, is not looked at: it may be from before the field was as it is now.
pub fn update(fields: &[Field], before: &Object, sent: &Object) -> Result<Merged, Problem> {
    let mut merged = Merged { object: before.clone(), ..Merged::default() };
    check_known(fields, sent, before)?;
    for field in fields {
        let Some(json) = sent.get(&field.key).filter(|json| before.get(&field.key) != Some(json)) else { continue };
        match normalize(field, json)? {
            Some(value) if before.get(&field.key) == Some(&value) => (),
            Some(value) => merged.set(&field.key, value),
            None if field.required => return Err(missing(field)),
            None => {
                merged.object.0.remove(&field.key);
                merged.changed.insert(field.key.clone());
            }
        }
    }
    Ok(merged)
}

/// What to send so that a record gets these values again, and no others but those it needs by now. Of fields that are gone it
/// gets none.
pub fn returning(fields: &[Field], before: &Object, values: Object) -> Object {
    let mut sent = values;
    sent.0.retain(|key, _| fields.iter().any(|field| field.key == *key));
    for key in before.0.keys().filter(|key| fields.iter().any(|field| field.key == **key && !field.required)) {
        sent.0.entry(key.clone()).or_insert_with(|| "null".into());
    }
    sent
}

impl Merged {
    fn set(&mut self, key: &str, value: String) {
        self.object.0.insert(key.into(), value);
        self.changed.insert(key.into());
    }
}

fn check_known(fields: &[Field], sent: &Object, before: &Object) -> Result<(), Problem> {
    let is_known = |key: &str| fields.iter().any(|field| field.key == key);
    match sent.0.iter().find(|(key, json)| !is_known(key) && before.get(key) != Some(json)) {
        Some((key, _)) => Err(Problem::Unknown(key.clone())),
        None => Ok(()),
    }
}

fn normalize(field: &Field, json: &str) -> Result<Option<String>, Problem> {
    field.normalize(json).map_err(|problem| Problem::Invalid(field.key.clone(), problem.into_owned()))
}

fn missing(field: &Field) -> Problem {
    Problem::Invalid(field.key.clone(), "is required".into())
}

#[cfg(test)]
mod tests {
    use super::super::field::Kind;
    use super::super::field::tests::field;
    use super::*;

    fn fields() -> Vec<Field> {
        let mut fields = vec![field("name", Kind::Text), field("score", Kind::Number), field("tier", Kind::Select)];
        fields[0].required = true;
        fields[2].default_value = Some(r#""silver""#.into());
        fields
    }

    fn object(json: &str) -> Object {
        Object::parse(json).unwrap()
    }

    fn inserted(json: &str) -> Result<String, Problem> {
        insert(&fields(), &object(json)).map(|merged| merged.object.to_text())
    }

    fn updated(before: &str, sent: &str) -> Result<String, Problem> {
        update(&fields(), &object(before), &object(sent)).map(|merged| merged.object.to_text())
    }

    #[test]
    fn a_new_record_has_defaults_and_what_is_required() {
        assert_eq!(inserted(r#"{"name": "x"}"#), Ok(r#"{"name":"x","tier":"silver"}"#.into()));
        assert_eq!(inserted(r#"{"name": "x", "tier": null, "score": 1.0}"#), Ok(r#"{"name":"x","score":1}"#.into()));
        for bad in ["{}", r#"{"name": null}"#, r#"{"name": " "}"#] {
            assert_eq!(inserted(bad), Err(Problem::Invalid("name".into(), "is required".into())), "{bad}");
        }
    }

    #[test]
    fn what_is_sent_replaces_and_null_removes() {
        let before = r#"{"name": "x", "score": 1, "tier": "gold"}"#;
        for (sent, after) in [
            ("{}", r#"{"name":"x","score":1,"tier":"gold"}"#),
            (r#"{"score": 2}"#, r#"{"name":"x","score":2,"tier":"gold"}"#),
            (r#"{"score": null, "tier": ""}"#, r#"{"name":"x"}"#),
        ] {
            assert_eq!(updated(before, sent), Ok(after.into()), "{sent}");
        }
        assert_eq!(updated(before, r#"{"name": null}"#), Err(Problem::Invalid("name".into(), "is required".into())));
    }

    #[test]
    fn what_changed_is_told() {
        let before = object(r#"{"name": "x", "score": 1, "tier": "gold"}"#);
        let sent = object(r#"{"name": " x", "score": null, "tier": "silver"}"#);
        let changed = update(&fields(), &before, &sent).unwrap().changed;
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["score", "tier"]);
    }

    #[test]
    fn what_comes_back_replaces_all() {
        let back = |before: &str, values: &str| {
            let before = object(before);
            let sent = returning(&fields(), &before, object(values));
            update(&fields(), &before, &sent).map(|merged| merged.object.to_text())
        };
        assert_eq!(back("{}", r#"{"score": 1, "gone": 2}"#), Ok(r#"{"score":1}"#.into()));
        assert_eq!(back(r#"{"name": "x", "tier": "gold"}"#, r#"{"name": "y"}"#), Ok(r#"{"name":"y"}"#.into()));
        assert_eq!(back(r#"{"name": "x", "tier": "gold"}"#, "{}"), Ok(r#"{"name":"x"}"#.into()));
        assert!(back("{}", r#"{"tier": "copper"}"#).is_err(), "what is brought back is looked at");
    }

    #[test]
    fn a_key_that_nobody_defined_is_refused() {
        assert_eq!(inserted(r#"{"name": "x", "nope": 1}"#), Err(Problem::Unknown("nope".into())));
        assert_eq!(updated("{}", r#"{"nope": null}"#), Err(Problem::Unknown("nope".into())));
    }

    #[test]
    fn what_stays_as_it_is_may_be_from_before() {
        let before = r#"{"gone": 1, "tier": "bronze"}"#;
        assert_eq!(updated(before, before), Ok(r#"{"gone":1,"tier":"bronze"}"#.into()));
        assert_eq!(updated(before, r#"{"gone": 1, "score": 5}"#), Ok(r#"{"gone":1,"score":5,"tier":"bronze"}"#.into()));
        assert!(updated(before, r#"{"tier": "copper"}"#).is_err());
        assert!(updated(before, r#"{"gone": 2}"#).is_err());
    }
}
