//! An event as receivers get it: JSON, described in docs/events.md. Pure, but for its time.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::kinds::{self, Change};
use crate::audit::history::entries::{Action, Entry};
use crate::records::custom::object::Object;

/// Grows when something of the form changes that a receiver could rely on.
pub const SCHEMA_VERSION: i32 = 1;

pub fn change_of(entry: &Entry) -> Change {
    match entry.action {
        Action::Insert => Change::Created,
        Action::Update => Change::Updated,
        Action::Delete => Change::Deleted,
    }
}

pub fn names_of(entry: &Entry) -> Vec<&'static str> {
    kinds::names(&entry.entity, change_of(entry), &entry.changed, &entry.before, &entry.after)
}

/// What became of the record has the entry's id, and what that means one of its own: a UUID of version 8 (RFC 9562) with the
/// entry's time and a hash of both.
pub fn id_of(entry: Uuid, name: &str) -> Uuid {
    if Change::ALL.iter().any(|change| change.name() == name) {
        return entry;
    }
    let hash = digest(&SHA256, &[entry.as_bytes().as_slice(), name.as_bytes()].concat());
    let mut bytes = *entry.as_bytes();
    bytes[8..].iter_mut().zip(hash.as_ref()).for_each(|(byte, hash)| *byte = *hash);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Like deal.won.
pub fn type_of(entry: &Entry, name: &str) -> String {
    format!("{}.{name}", kinds::noun(&entry.entity))
}

/// An event's text. `columns`: of the entity, in its order, without secrets; `record`: the record after it, or before it was deleted.
pub fn payload(entry: &Entry, organization: Uuid, name: &str, columns: &[&str], record: Option<&Object>) -> String {
    // Only the server can write its times.
    payload_at(&json!(entry.created_at), entry, organization, name, columns, record)
}

fn payload_at(
    created_at: &Value,
    entry: &Entry,
    organization: Uuid,
    name: &str,
    columns: &[&str],
    record: Option<&Object>,
) -> String {
    let actor = json!({
        "user_id": entry.actor_id, "impersonator_id": entry.impersonator_id, "api_key_id": entry.api_key_id,
    });
    let is_update = entry.action == Action::Update;
    let changed: Vec<&str> = columns.iter().copied().filter(|column| has_changed(entry, column)).collect();
    let members = [
        ("id", json!(id_of(entry.id, name)).to_string()),
        ("type", json!(type_of(entry, name)).to_string()),
        ("schema_version", SCHEMA_VERSION.to_string()),
        ("created_at", created_at.to_string()),
        ("org_id", json!(organization).to_string()),
        ("entity", json!(entry.entity).to_string()),
        ("record_id", json!(entry.record_id).to_string()),
        ("actor", actor.to_string()),
        ("request_id", json!(entry.request_id).to_string()),
        ("transaction_id", json!(entry.transaction_id).to_string()),
        ("data", record.map_or("null".into(), |record| object(columns.iter().copied(), record))),
        ("changed", if is_update { json!(changed).to_string() } else { "null".into() }),
        ("previous", previous(entry, &changed)),
    ];
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn has_changed(entry: &Entry, column: &str) -> bool {
    entry.changed.iter().any(|name| name == column)
}

fn previous(entry: &Entry, changed: &[&str]) -> String {
    if entry.action != Action::Update || entry.is_erased {
        return "null".into();
    }
    object(changed.iter().copied(), &entry.before)
}

/// With `null` where there is nothing: who gets it need not know which columns there are.
fn object<'a>(columns: impl Iterator<Item = &'a str>, image: &Object) -> String {
    let members: Vec<_> =
        columns.map(|column| format!("{}:{}", Value::from(column), image.get(column).unwrap_or("null"))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: Action) -> Entry {
        Entry {
            id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            created_at: 0.try_into().unwrap(),
            action,
            entity: "deals".into(),
            record_id: Uuid::from_u128(7),
            changed: vec!["status".into(), "amount".into()],
            before: Object::parse(r#"{"status":"open"}"#).unwrap(),
            after: Object::parse(r#"{"status":"won","amount":5.50}"#).unwrap(),
            transaction_id: Uuid::from_u128(8),
            actor_id: Some(Uuid::from_u128(9)),
            impersonator_id: None,
            api_key_id: None,
            request_id: Some("r".into()),
            is_erased: false,
        }
    }

    fn told(entry: &Entry, name: &str, record: Option<&str>) -> Value {
        let record = record.map(|text| Object::parse(text).unwrap());
        let columns = ["id", "status", "amount", "note"];
        let text = payload_at(&json!("now"), entry, Uuid::from_u128(1), name, &columns, record.as_ref());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn meanings_of_one_entry_have_ids_of_their_own_that_stay() {
        let entry = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(id_of(entry, "updated"), entry);
        let won = id_of(entry, "won");
        assert_eq!(won, id_of(entry, "won"));
        assert_ne!(won, id_of(entry, "stage_changed"));
        assert_eq!((won.get_version_num(), won.as_bytes()[..6].to_vec()), (8, entry.as_bytes()[..6].to_vec()));
    }

    #[test]
    fn an_update_tells_the_whole_record_and_what_it_was() {
        let told = told(&entry(Action::Update), "won", Some(r#"{"id":"x","status":"won","amount":5.50}"#));
        assert_eq!((told["type"].as_str(), told["schema_version"].as_i64()), (Some("deal.won"), Some(1)));
        assert_eq!(told["data"], json!({"id": "x", "status": "won", "amount": 5.5, "note": null}));
        assert_eq!(told["changed"], json!(["status", "amount"]));
        assert_eq!(told["previous"], json!({"status": "open", "amount": null}));
        assert_eq!(told["actor"]["user_id"], json!(Uuid::from_u128(9)));
    }

    #[test]
    fn what_is_new_or_gone_was_nothing_else_before() {
        for (action, name) in [(Action::Insert, "created"), (Action::Delete, "deleted")] {
            let told = told(&entry(action), name, Some(r#"{"id":"x"}"#));
            assert_eq!(
                (&told["changed"], &told["previous"], &told["data"]["id"]),
                (&Value::Null, &Value::Null, &json!("x"))
            );
        }
    }

    #[test]
    fn of_what_was_erased_nothing_is_told() {
        let erased = Entry { is_erased: true, ..entry(Action::Update) };
        let told = told(&erased, "updated", None);
        assert_eq!((&told["data"], &told["previous"]), (&Value::Null, &Value::Null));
    }
}
