//! The tables whose rows can be a person's, and how they point to each other: as the catalog has them.

use pgrx::prelude::*;

use crate::db;
use crate::error::{CrmError, Result};

/// A table of records.
#[derive(Clone)]
pub struct Table {
    pub oid: u32,
    pub owner: pg_sys::Oid,
    /// Quoted and with its schema.
    pub qualified: String,
    pub entity: String,
    /// Whose permissions its rows have.
    pub resource: String,
}

/// A column that names a record of another table, (org_id, column) → (org_id, id).
pub struct Reference {
    pub from: Table,
    pub column: String,
    pub to: u32,
    pub cascades: bool,
}

/// Tables with history, whose rows have an id; but for those that permissions depend on, and those that such rows go with: they
/// are no person's, and who may erase people must not erase who was let in by whom.
pub fn tables() -> Result<Vec<Table>> {
    db::select(
        "select c.oid, c.relowner, format('%I.%I', n.nspname, c.relname),
             case n.nspname when 'crm' then c.relname else n.nspname || '.' || c.relname end,
             split_part(encode(t.tgargs, 'escape'), '\\000', 1)
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where t.tgfoid = to_regprocedure('crm_private.guard()') and not t.tgisinternal and not exists (
             select from pg_catalog.pg_trigger as announcing
             where announcing.tgfoid = to_regprocedure('crm_private.announce()') and (
                 announcing.tgrelid = c.oid
                 or exists (
                     select from pg_catalog.pg_constraint as k
                     where k.conrelid = announcing.tgrelid and k.confrelid = c.oid and k.contype = 'f' and k.confdeltype = 'c'
                 )
             )
         )
         order by c.oid",
        &[],
        &[],
        |rows| rows.map(|row| table_of(&row)).collect(),
    )
}

fn table_of(row: &db::Row) -> Result<Table> {
    let missing = || CrmError::internal("the catalog is damaged");
    Ok(Table {
        oid: row.get::<pg_sys::Oid>(1)?.ok_or_else(missing)?.to_u32(),
        owner: row.get(2)?.ok_or_else(missing)?,
        qualified: row.get(3)?.ok_or_else(missing)?,
        entity: row.get(4)?.ok_or_else(missing)?,
        resource: row.get(5)?.ok_or_else(missing)?,
    })
}

pub fn references(tables: &[Table]) -> Result<Vec<Reference>> {
    db::select(
        "select k.conrelid, a.attname::text, k.confrelid, k.confdeltype = 'c'
         from pg_catalog.pg_constraint as k
         join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[2]
         join pg_catalog.pg_attribute as b on b.attrelid = k.confrelid and b.attnum = k.confkey[2] and b.attname = 'id'
         where k.contype = 'f' and cardinality(k.conkey) = 2
         order by k.conrelid, k.conname",
        &[],
        &[],
        |rows| {
            let mut references = vec![];
            for row in rows {
                let (from, column) = (row.get::<pg_sys::Oid>(1)?.map(pg_sys::Oid::to_u32), row.get(2)?);
                let from = tables.iter().find(|table| Some(table.oid) == from);
                if let (Some(from), Some(column), Some(to), Some(cascades)) =
                    (from, column, row.get::<pg_sys::Oid>(3)?, row.get(4)?)
                {
                    references.push(Reference { from: from.clone(), column, to: to.to_u32(), cascades });
                }
            }
            Ok(references)
        },
    )
}
