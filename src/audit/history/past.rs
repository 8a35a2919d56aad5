//! What a record was: from what it is now backwards, for the far end of history may be gone. Pure.

use std::collections::BTreeSet;

use super::entries::{Action, Entry};
use crate::records::custom::object::Object;

/// What updates change besides the columns they name.
const STAMPS: [&str; 3] = ["updated_at", "updated_by", "version"];

/// A record while entries are taken back, the latest first.
pub struct Past {
    /// `None`: there was none.
    pub image: Option<Object>,
    /// Columns that an entry changed which stays.
    settled: BTreeSet<String>,
    /// One stays that made or removed the whole record.
    all_settled: bool,
}

impl Past {
    pub fn from(image: Option<Object>) -> Self {
        Self { image, settled: BTreeSet::new(), all_settled: false }
    }

    pub fn take_back(&mut self, entry: &Entry) {
        if self.all_settled {
            return;
        }
        match entry.action {
            Action::Insert => self.image = None,
            Action::Delete => self.image = Some(entry.before.clone()),
            Action::Update => {
                if let Some(image) = &mut self.image {
                    for column in columns(entry).filter(|column| !self.settled.contains(*column)) {
                        set(image, column, entry.before.get(column));
                    }
                }
            }
        }
    }

    /// The entry is of the time that is asked for, though one before it is not.
    pub fn leave(&mut self, entry: &Entry) {
        match entry.action {
            Action::Update => self.settled.extend(columns(entry).map(str::to_owned)),
            Action::Insert | Action::Delete => self.all_settled = true,
        }
    }

    pub fn version(&self) -> Option<i32> {
        self.image.as_ref().and_then(version)
    }
}

pub fn version(image: &Object) -> Option<i32> {
    image.get("version").and_then(|version| version.parse().ok())
}

fn columns(entry: &Entry) -> impl Iterator<Item = &str> {
    let stamps = STAMPS.iter().copied().filter(|&stamp| entry.before.get(stamp) != entry.after.get(stamp));
    entry.changed.iter().map(String::as_str).chain(stamps)
}

fn set(image: &mut Object, column: &str, value: Option<&str>) {
    match value {
        Some(value) => drop(image.0.insert(column.to_owned(), value.to_owned())),
        None => drop(image.0.remove(column)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text).unwrap()
    }

    fn entry(action: Action, changed: &[&str], before: &str, after: &str) -> Entry {
        Entry {
            id: Uuid::nil(),
            created_at: 0.try_into().unwrap(),
            action,
            entity: "contacts".into(),
            record_id: Uuid::nil(),
            changed: changed.iter().map(|&column| column.to_owned()).collect(),
            before: object(before),
            after: object(after),
            transaction_id: Uuid::nil(),
            actor_id: None,
            impersonator_id: None,
            api_key_id: None,
            request_id: None,
            is_erased: false,
        }
    }

    fn after(past: &Past) -> String {
        past.image.as_ref().map_or("nothing".into(), Object::to_text)
    }

    #[test]
    fn updates_are_taken_back() {
        let mut past = Past::from(Some(object(r#"{"a":3,"b":1,"version":3}"#)));
        past.take_back(&entry(Action::Update, &["a"], r#"{"a":2,"version":2}"#, r#"{"a":3,"version":3}"#));
        assert_eq!((after(&past), past.version()), (r#"{"a":2,"b":1,"version":2}"#.into(), Some(2)));
        past.take_back(&entry(Action::Update, &["a", "b"], r#"{"version":1}"#, r#"{"a":2,"b":1,"version":2}"#));
        assert_eq!(after(&past), r#"{"version":1}"#, "what was empty is empty again");
        past.take_back(&entry(Action::Insert, &[], "{}", r#"{"version":1}"#));
        assert_eq!(after(&past), "nothing");
    }

    #[test]
    fn what_was_deleted_is_there_again() {
        let mut past = Past::from(None);
        past.take_back(&entry(Action::Delete, &[], r#"{"a":1}"#, "{}"));
        assert_eq!(after(&past), r#"{"a":1}"#);
    }

    #[test]
    fn an_entry_that_stays_wins_over_those_before_it() {
        let mut past = Past::from(Some(object(r#"{"a":3,"b":3}"#)));
        past.leave(&entry(Action::Update, &["a"], r#"{"a":2}"#, r#"{"a":3}"#));
        past.take_back(&entry(Action::Update, &["a", "b"], r#"{"a":1,"b":1}"#, r#"{"a":2,"b":3}"#));
        assert_eq!(after(&past), r#"{"a":3,"b":1}"#);
        past.leave(&entry(Action::Insert, &[], "{}", "{}"));
        past.take_back(&entry(Action::Delete, &[], "{}", "{}"));
        assert_eq!(after(&past), r#"{"a":3,"b":1}"#);
    }
}
