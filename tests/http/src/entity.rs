//! What every entity does over HTTP, told once: a `Spec` says what an entity's rows look like, `behaviour` what has to come
//! of them, and `tests/entities.rs` tries each behaviour of each entity.

pub mod bad;
pub mod behaviour;
pub mod catalog;
pub mod csv;
mod lists;
mod others;
mod rows;
pub mod world;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A row of another table that rows refer to.
pub struct Parent {
    pub name: &'static str,
    pub table: &'static str,
    pub row: &'static str,
    /// What is sent when it is there: method and path, body. It is `{id}`.
    pub then: &'static [(&'static str, &'static str)],
}

impl Parent {
    pub const fn new(name: &'static str, table: &'static str, row: &'static str) -> Self {
        Self { name, table, row, then: &[] }
    }

    pub const fn then(self, then: &'static [(&'static str, &'static str)]) -> Self {
        Self { then, ..self }
    }
}

/// An entity. Rows and values are JSON, in which stand `{n}`, the number of the row; `{org}` and `{me}`, the organization and
/// its owner; `{name}`, the id of the parent of this name; and `{own name}`, that of a parent which no other row has.
pub struct Spec {
    pub table: &'static str,
    pub parents: &'static [Parent],
    /// What a row needs, and no more.
    pub least: &'static str,
    /// Every other column that a client writes, with a value that is not the default.
    pub full: &'static str,
    /// Columns that exclude each other: what makes a least row one of another kind.
    pub variants: &'static [&'static str],
    /// Of a table that only the database writes: the statement by which it gets a row.
    pub made: &'static str,
    /// Of such a table: whether those who may delete its rows all the same.
    pub deleted: bool,
    /// What of the full row is stored in another form, and what the database makes of it.
    pub stored: &'static str,
    /// The columns that the database keeps, with what a client would like to see there.
    pub kept: &'static str,
    /// A change of a least row.
    pub change: &'static str,
    /// What changes with it by itself.
    pub follows: &'static [&'static str],
    /// Columns that rows are sorted by, with values that are not unique and a row can begin with, in ascending order.
    pub sorted: &'static [(&'static str, &'static [&'static str])],
    /// Natural keys: the columns, and a row's values of them.
    pub keys: &'static [(&'static [&'static str], &'static str)],
    /// Requests about the full row, which is `{id}`, and the answers.
    pub embedded: &'static [(&'static str, &'static str)],
    /// Column, value, and a word of the answer; beside what follows from types, rules and keys.
    pub bad: &'static [(&'static str, &'static str, &'static str)],
    /// The parent whose part a row is: who may do what with the row is told by that.
    pub part_of: Option<&'static str>,
    /// Columns with the id of a row of whatever table, which no foreign key can hold.
    pub points_anywhere: &'static [&'static str],
    /// Seen by their owner alone, whatever others may do.
    pub personal: bool,
}

impl Spec {
    pub const NOTHING: Self = Self {
        table: "",
        parents: &[],
        least: "{}",
        full: "{}",
        variants: &[],
        made: "",
        deleted: false,
        stored: "{}",
        kept: "{}",
        change: "{}",
        follows: &[],
        sorted: &[],
        keys: &[],
        embedded: &[],
        bad: &[],
        part_of: None,
        points_anywhere: &[],
        personal: false,
    };

    pub fn parent(&self, name: &str) -> &Parent {
        let found = self.parents.iter().find(|parent| parent.name == name);
        found.unwrap_or_else(|| panic!("{} has no parent {name}", self.table))
    }

    /// The table whose permissions count for a row.
    pub fn resource(&self) -> &'static str {
        self.part_of.map_or(self.table, |record| self.parent(record).table)
    }

    /// The columns of one of the objects above.
    pub fn columns_of(&self, object: &str) -> Vec<String> {
        parse(&object.replace("{n}", "0")).keys().cloned().collect()
    }

    /// The columns that a client writes.
    pub fn written(&self) -> Vec<String> {
        let objects = [self.least, self.full].into_iter().chain(self.variants.iter().copied());
        let columns: BTreeSet<_> = objects.flat_map(|object| self.columns_of(object)).collect();
        columns.into_iter().collect()
    }
}

#[track_caller]
pub fn parse(object: &str) -> Map<String, Value> {
    serde_json::from_str(object).unwrap_or_else(|error| panic!("no JSON object: {error}: {object}"))
}

/// The second object's members, and the first one's where the second has none.
pub fn merged(mut first: Map<String, Value>, second: Map<String, Value>) -> Map<String, Value> {
    first.extend(second);
    first
}

/// Whether what is stored is what was meant: 1500 and 1500.0000 are one number, Z and +00:00 one time zone.
pub fn same(stored: &Value, meant: &Value) -> bool {
    match (stored, meant) {
        (Value::Number(stored), Value::Number(meant)) => stored.as_f64() == meant.as_f64(),
        (Value::String(stored), Value::String(meant)) => {
            stored == meant || meant.strip_suffix('Z').is_some_and(|time| stored.strip_suffix("+00:00") == Some(time))
        }
        (Value::Array(stored), Value::Array(meant)) => {
            stored.len() == meant.len() && stored.iter().zip(meant).all(|(stored, meant)| same(stored, meant))
        }
        (Value::Object(stored), Value::Object(meant)) => {
            stored.len() == meant.len()
                && stored.iter().all(|(name, value)| meant.get(name).is_some_and(|meant| same(value, meant)))
        }
        _ => stored == meant,
    }
}

/// Stops the test unless the row has these values.
#[track_caller]
pub fn assert_has(row: &Value, expected: &Map<String, Value>) {
    let different: Vec<_> = expected
        .iter()
        .filter(|(column, value)| !same(&row[column.as_str()], value))
        .map(|(column, value)| format!("{column}: {} instead of {value}", row[column.as_str()]))
        .collect();
    assert!(different.is_empty(), "{}\n{row}", different.join("\n"));
}
