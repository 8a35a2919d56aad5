//! Which events there are: `crm.event_types`.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::event::SCHEMA_VERSION;
use super::kinds;
use super::pattern::{self, Pattern};
use crate::db;
use crate::error::{CrmError, Result};

/// A table whose changes are events.
pub struct Source {
    pub entity: String,
    /// Whose permissions its rows have.
    pub resource: String,
    has_owner: bool,
    /// Otherwise it administers an organization.
    pub is_enrolled: bool,
    pub columns: Vec<String>,
}

impl Source {
    pub fn noun(&self) -> String {
        kinds::noun(&self.entity)
    }

    fn types(&self) -> Vec<(String, String)> {
        kinds::types(&self.entity, self.has_owner)
    }

    /// Whether one of these is of its events.
    pub fn is_of(&self, patterns: &[Pattern]) -> bool {
        self.types().iter().any(|(name, _)| pattern::is_named(patterns, name))
    }
}

pub fn sources() -> Result<Vec<Source>> {
    db::as_definer(|| {
        db::select(
            "select case n.nspname when 'crm' then c.relname::text else n.nspname || '.' || c.relname end,
                 split_part(encode(t.tgargs, 'escape'), '\\000', 1),
                 exists (
                     select from pg_catalog.pg_attribute as a
                     where a.attrelid = c.oid and a.attname = 'owner_id' and not a.attisdropped
                 ),
                 exists (
                     select from pg_catalog.pg_trigger as g
                     where g.tgrelid = c.oid and g.tgfoid = to_regprocedure('crm_private.guard()')
                 ),
                 array(
                     select a.attname::text from pg_catalog.pg_attribute as a
                     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                 )
             from pg_catalog.pg_trigger as t
             join pg_catalog.pg_class as c on c.oid = t.tgrelid
             join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
             where t.tgfoid = to_regprocedure('crm_private.audit()') and t.tgparentid = 0 and t.tgname = '_700_audit_delete'
             order by 1",
            &[],
            &[],
            |rows| {
                let mut sources = vec![];
                for row in rows {
                    if let (Some(entity), Some(resource), Some(has_owner), Some(is_enrolled), Some(columns)) =
                        (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)
                    {
                        sources.push(Source { entity, resource, has_owner, is_enrolled, columns });
                    }
                }
                Ok(sources)
            },
        )
    })
}

/// An event that no record has.
pub const TEST: (&str, &str) = ("webhook.test", "Somebody tries a webhook with crm.test_webhook.");

/// So many patterns one list may have.
const PATTERNS_MAX: usize = 50;

/// The events that somebody names, each of which can come to be.
pub fn named(field: &str, names: Vec<Option<String>>, sources: &[Source]) -> Result<Vec<Pattern>> {
    let names = names.into_iter().collect::<Option<Vec<_>>>();
    let names = names.ok_or_else(|| CrmError::invalid(field, "must not hold null"))?;
    if names.is_empty() || names.len() > PATTERNS_MAX {
        return Err(CrmError::invalid(field, format!("must be 1 to {PATTERNS_MAX} patterns like deal.won")));
    }
    let patterns = pattern::parse_all(&names).map_err(|problem| CrmError::invalid(field, problem))?;
    match names.iter().zip(&patterns).find(|(_, pattern)| !is_there(pattern, sources)) {
        Some((name, pattern)) => Err(CrmError::Unknown {
            field: field.into(),
            problem: match pattern.noun() {
                Some(noun) if sources.iter().all(|source| source.noun() != noun) => {
                    format!("there are no events of {noun}")
                }
                _ => format!("there is no event that \"{name}\" fits"),
            },
            hint: "crm.event_types() tells which there are.".into(),
        }),
        None => Ok(patterns),
    }
}

fn is_there(pattern: &Pattern, sources: &[Source]) -> bool {
    let one = std::slice::from_ref(pattern);
    pattern::is_named(one, TEST.0) || sources.iter().any(|source| source.is_of(one))
}

#[pg_extern(sql = false)]
fn event_types() -> Result<
    TableIterator<
        'static,
        (name!(type, String), name!(entity, String), name!(schema_version, i32), name!(description, String)),
    >,
    ErrorReport,
> {
    let mut types: Vec<_> = sources()?
        .into_iter()
        .flat_map(|source| {
            let types = source.types();
            types.into_iter().map(move |(name, meaning)| (name, source.entity.clone(), SCHEMA_VERSION, meaning))
        })
        .collect();
    types.push((TEST.0.to_owned(), "webhooks".to_owned(), SCHEMA_VERSION, TEST.1.to_owned()));
    Ok(TableIterator::new(types))
}
