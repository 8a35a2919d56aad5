//! Which events there are: `crm.event_types`.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::event::SCHEMA_VERSION;
use super::kinds;
use crate::db;
use crate::error::Result;

/// A table whose changes are events.
pub struct Source {
    pub entity: String,
    /// Whose permissions its rows have.
    pub resource: String,
    has_owner: bool,
    /// Otherwise it administers an organization.
    pub is_enrolled: bool,
}

impl Source {
    pub fn noun(&self) -> String {
        kinds::noun(&self.entity)
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
                    if let (Some(entity), Some(resource), Some(has_owner), Some(is_enrolled)) =
                        (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)
                    {
                        sources.push(Source { entity, resource, has_owner, is_enrolled });
                    }
                }
                Ok(sources)
            },
        )
    })
}

/// An event that no record has.
pub const TEST: (&str, &str) = ("webhook.test", "Somebody tries a webhook with crm.test_webhook.");

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
            let types = kinds::types(&source.entity, source.has_owner);
            types.into_iter().map(move |(name, meaning)| (name, source.entity.clone(), SCHEMA_VERSION, meaning))
        })
        .collect();
    types.push((TEST.0.to_owned(), "webhooks".to_owned(), SCHEMA_VERSION, TEST.1.to_owned()));
    Ok(TableIterator::new(types))
}
