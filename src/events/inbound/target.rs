//! The table that a rule writes to.

use std::collections::HashMap;
use std::rc::Rc;

use pgrx::PgBuiltInOids;

use super::mapping::{Kind, Mapping, Value, Values, fit};
use crate::audit::history::subject::{Subject, Subjects};
use crate::db;
use crate::error::{CrmError, Result};

pub struct Target {
    pub subject: Rc<Subject>,
    columns: HashMap<String, Kind>,
}

impl Target {
    /// `None` where there is no such table, or clients do not write it.
    pub fn find(entity: &str) -> Result<Option<Self>> {
        let subject = Subjects::default().find(entity)?.filter(|subject| subject.is_writable);
        subject.map(|subject| Ok(Self { columns: columns(&subject)?, subject })).transpose()
    }

    pub fn named(entity: &str) -> Result<Self> {
        Self::find(entity)?.ok_or_else(|| CrmError::invalid("entity", "must be a table of records, like leads"))
    }

    /// What is wrong with the columns of a mapping.
    pub fn check(&self, mapping: &Mapping) -> Result<(), String> {
        match mapping.0.keys().find(|column| !self.columns.contains_key(*column)) {
            Some(column) => Err(format!("{} has no column {column} that could be written", self.subject.entity)),
            None => Ok(()),
        }
    }

    /// Whether records can be told apart by the column.
    pub fn is_single(&self, column: &str) -> bool {
        self.columns.get(column) == Some(&Kind::Single)
    }

    pub fn is_list(&self, column: &str) -> bool {
        self.columns.get(column) == Some(&Kind::List)
    }

    /// The columns of the check that a message names: in what words depends on the server's language.
    pub fn checked_by(&self, message: &str) -> Result<Option<Vec<String>>> {
        db::select(
            "select array(
                 select a.attname::text
                 from unnest(c.conkey) with ordinality as k (attnum, at)
                 join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
                 order by k.at
             )
             from pg_catalog.pg_constraint as c
             where c.conrelid = $1 and c.contype = 'c' and cardinality(c.conkey) > 0
                 and pg_catalog.strpos($2, c.conname::text) > 0
             order by pg_catalog.length(c.conname::text) desc limit 1",
            &[PgBuiltInOids::OIDOID, PgBuiltInOids::TEXTOID],
            &[self.subject.oid().into(), message.into()],
            |rows| if rows.is_empty() { Ok(None) } else { rows.first().get_one::<Vec<String>>() },
        )
    }

    /// The values in the form that the columns take.
    pub fn fit(&self, values: Values) -> Result<Values> {
        let fitting = |(column, value): (String, Value)| {
            let kind =
                self.columns.get(&column).ok_or_else(|| CrmError::invalid(&column, "there is no such column"))?;
            let json = fit(&value.json, *kind).map_err(|problem| CrmError::invalid(&column, problem))?;
            Ok((column, Value { json, ..value }))
        };
        values.into_iter().map(fitting).collect()
    }
}

/// Those that are not the database's to write.
fn columns(subject: &Subject) -> Result<HashMap<String, Kind>> {
    let kinds = db::select(
        "select a.attname::text, case when t.typcategory = 'A' then 'list' when t.typname in ('json', 'jsonb') then 'json' else 'single' end
         from pg_catalog.pg_attribute as a
         join pg_catalog.pg_type as t on t.oid = a.atttypid
         where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped",
        &[PgBuiltInOids::OIDOID],
        &[subject.oid().into()],
        |rows| {
            let mut kinds = HashMap::new();
            for row in rows {
                if let (Some(name), Some(kind)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
                    kinds.insert(name, kind);
                }
            }
            Ok(kinds)
        },
    )?;
    let is_written = |name: &str| (subject.is_own(name) || name == "owner_id") && subject.leader(name).is_none();
    let kind = |(name, kind): (String, String)| {
        let kind = match kind.as_str() {
            "list" => Kind::List,
            "json" => Kind::Json,
            _ => Kind::Single,
        };
        is_written(&name).then_some((name, kind))
    };
    Ok(kinds.into_iter().filter_map(kind).collect())
}
