//! An organization, and the rows that a test makes there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Spec, catalog, merged, parse};
use crate::actor::{Actor, id_of};
use crate::admin;
use crate::http::{Request, text};

pub struct World {
    pub spec: &'static Spec,
    pub owner: Actor,
    parents: RefCell<HashMap<(&'static str, u32), Uuid>>,
    last: Cell<u32>,
}

/// A row that all others share has this number.
const SHARED: u32 = 0;

impl World {
    pub fn of(spec: &'static Spec) -> Self {
        Self { spec, owner: Actor::register(), parents: RefCell::default(), last: Cell::new(SHARED) }
    }

    /// The number of another row.
    pub fn next(&self) -> u32 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// The number of the row that was made last.
    pub fn last(&self) -> u32 {
        self.last.get()
    }

    /// A text of the spec, for the row of this number.
    pub fn fill(&self, text: &str, n: u32) -> String {
        let mut text = text
            .replace("{n}", &n.to_string())
            .replace("{org}", &self.owner.organization.id.to_string())
            .replace("{me}", &self.owner.user.to_string());
        for parent in self.spec.parents {
            for (placeholder, n) in [(format!("{{{}}}", parent.name), SHARED), (format!("{{own {}}}", parent.name), n)]
            {
                if text.contains(&placeholder) {
                    text = text.replace(&placeholder, &self.parent(parent.name, n).to_string());
                }
            }
        }
        text
    }

    /// The parent's id. It is made when it is first asked for.
    pub fn parent(&self, name: &str, n: u32) -> Uuid {
        let parent = self.spec.parent(name);
        let known = self.parents.borrow().get(&(parent.name, n)).copied();
        known.unwrap_or_else(|| {
            let row = self.object(parent.row, n);
            let id = id_of(&self.owner.insert(parent.table, &Value::Object(row)));
            for (request, body) in parent.then {
                let fill = |text: &str| self.fill(&text.replace("{id}", &id.to_string()), n);
                let (request, body) = (fill(request), fill(body));
                let (method, path) = request.split_once(' ').unwrap();
                let answer = self.owner.request(method, path).body("application/json", body).send();
                assert!(answer.status < 300, "{answer}");
            }
            self.parents.borrow_mut().insert((parent.name, n), id);
            id
        })
    }

    pub fn object(&self, text: &str, n: u32) -> Map<String, Value> {
        parse(&self.fill(text, n))
    }

    pub fn least(&self, n: u32) -> Map<String, Value> {
        self.object(self.spec.least, n)
    }

    pub fn full(&self, n: u32) -> Map<String, Value> {
        merged(self.least(n), self.object(self.spec.full, n))
    }

    /// The variant that has this column, if a least row has not: a row with a value there needs all of it.
    pub fn variant(&self, column: &str, n: u32) -> Map<String, Value> {
        let with_column = |variant: &&&str| self.spec.columns_of(variant).iter().any(|name| name == column);
        let of_all = with_column(&&self.spec.least);
        let variant = self.spec.variants.iter().find(with_column).filter(|_| !of_all);
        variant.map(|variant| self.object(variant, n)).unwrap_or_default()
    }

    /// What has to be stored of the full row.
    pub fn stored_of_full(&self, n: u32) -> Map<String, Value> {
        merged(self.full(n), self.object(self.spec.stored, n))
    }

    /// A new row as it is stored: the least, with this besides.
    #[track_caller]
    pub fn insert(&self, besides: Map<String, Value>) -> Value {
        if !self.spec.made.is_empty() {
            return self.make();
        }
        self.owner.insert(self.spec.table, &Value::Object(merged(self.least(self.next()), besides)))
    }

    #[track_caller]
    pub fn insert_full(&self) -> Value {
        let full = self.full(self.next());
        if self.spec.made.is_empty() { self.owner.insert(self.spec.table, &Value::Object(full)) } else { self.make() }
    }

    /// A row of a table that only the database writes, as the owner sees it.
    #[track_caller]
    fn make(&self) -> Value {
        let n = self.next();
        let statement = format!("{} returning id", self.fill(self.spec.made, n));
        let id: Uuid = admin::value(&statement, &[]);
        self.owner.get(&self.path(&format!("id=eq.{id}"))).expect(200).rows().remove(0)
    }

    /// New rows by one request, the least of each with this besides.
    #[track_caller]
    pub fn insert_all(&self, besides: impl IntoIterator<Item = Map<String, Value>>) -> Vec<Value> {
        if !self.spec.made.is_empty() {
            return besides.into_iter().map(|_| self.make()).collect();
        }
        let rows: Vec<_> = besides.into_iter().map(|besides| json!(merged(self.least(self.next()), besides))).collect();
        let request = self.owner.request("POST", &self.path("")).prefer("return=representation");
        let stored = request.json(&json!(rows)).send().expect(201).rows();
        assert_eq!(stored.len(), rows.len());
        stored
    }

    /// The table's path; what follows the question mark may be empty.
    pub fn path(&self, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/{}{mark}{query}", self.spec.table)
    }

    pub fn path_of(&self, row: &Value) -> String {
        self.path(&format!("id=eq.{}", id_of(row)))
    }

    pub fn post(&self, actor: &Actor, row: &Map<String, Value>) -> Request {
        actor.request("POST", &self.path("")).prefer("return=representation").json(&json!(row))
    }

    /// The row as the database has it, past all policies.
    pub fn stored(&self, row: &Value) -> Option<Value> {
        let query =
            format!("select (select to_jsonb(t) from crm.{} as t where org_id = $1 and id = $2)", self.spec.table);
        admin::value(&query, &[&self.owner.organization.id, &id_of(row)])
    }

    /// A number that changes with any row that the organization has in the table.
    pub fn fingerprint(&self) -> Option<String> {
        let query = format!(
            "select md5(string_agg(t::text, '|' order by t.id)) from crm.{} as t where t.org_id = $1",
            self.spec.table
        );
        admin::value(&query, &[&self.owner.organization.id])
    }

    /// Gives the row, or the record that it is a part of, to somebody.
    pub fn give(&self, row: &Value, owner: Uuid) {
        let keys = catalog::foreign_keys(self.spec.table);
        let record = self.spec.part_of.map(|_| keys.iter().find(|key| key.table == self.spec.resource()).unwrap());
        let id = record.map_or_else(|| id_of(row), |key| Uuid::parse_str(&text(&row[&key.column])).unwrap());
        let statement = format!("update crm.{} set owner_id = $2 where id = $1", self.spec.resource());
        assert_eq!(admin::execute(&statement, &[&id, &owner]), 1);
    }
}

/// `id=in.(…)`: other rows, like those that an organization begins with, do not count.
pub fn among(rows: &[Value]) -> String {
    format!("id=in.({})", ids(rows).join(","))
}

pub fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| id_of(row).to_string()).collect()
}
