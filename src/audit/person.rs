//! What belongs to a person: found by the foreign keys of all tables, whosever rows they are.

use std::collections::{BTreeMap, BTreeSet};

use pgrx::PgBuiltInOids;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use uuid::Uuid;

use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};

/// A table of records.
#[derive(Clone)]
struct Table {
    oid: u32,
    owner: pg_sys::Oid,
    /// Quoted and with its schema.
    qualified: String,
    entity: String,
}

/// A column that names a record of another table, (org_id, column) → (org_id, id).
struct Reference {
    from: Table,
    column: String,
    to: u32,
    cascades: bool,
}

#[derive(Default)]
pub struct Found {
    /// In the order in which they are deleted: table, and ids.
    deleted: Vec<(String, Vec<Uuid>)>,
    /// By entity, also what goes with those.
    records: BTreeMap<String, BTreeSet<Uuid>>,
    /// How many rows point to the person and stay.
    pub kept: BTreeMap<String, i64>,
    /// The records whose history it is, those that are gone for long included.
    pub history: BTreeSet<Uuid>,
}

/// `also`: entities whose rows are deleted where they point to the person, beside those that go with it anyway.
pub fn find(organization: Uuid, entity: &str, id: Uuid, also: &BTreeSet<String>) -> Result<Found> {
    let references = references()?;
    let tables = tables()?;
    let root = tables.iter().find(|table| table.entity == entity);
    let root = root.ok_or_else(|| CrmError::invalid("entity", "must be the name of a table of records"))?;
    if let Some(unknown) = also.iter().find(|name| !tables.iter().any(|table| table.entity == **name)) {
        return Err(CrmError::invalid("also", format!("there are no {unknown}")));
    }
    let mut found = Found::default();
    let mut people: BTreeMap<u32, BTreeSet<Uuid>> = BTreeMap::from([(root.oid, BTreeSet::from([id]))]);
    person_of_lead(organization, &tables, &mut people)?;
    let mut alive = vec![];
    for table in &tables {
        let Some(ids) = people.get(&table.oid) else { continue };
        found.history.extend(ids);
        let ids = rows_of(table, organization, "id", ids)?;
        if !ids.is_empty() {
            alive.push((table.qualified.clone(), ids.iter().copied().collect()));
            found.records.entry(table.entity.clone()).or_default().extend(&ids);
        }
    }
    let mut known = false;
    let mut level = people;
    while !level.is_empty() {
        let mut next: BTreeMap<u32, BTreeSet<Uuid>> = BTreeMap::new();
        for reference in references.iter().filter(|reference| level.contains_key(&reference.to)) {
            let Some(ids) = level.get(&reference.to) else { continue };
            let from = &reference.from;
            let rows = rows_of(from, organization, &reference.column, ids)?;
            let goes = reference.cascades || also.contains(&from.entity);
            let is_person = found.records.get(&from.entity).is_some_and(|records| rows.is_subset(records));
            if !goes {
                if !is_person && !rows.is_empty() {
                    *found.kept.entry(from.entity.clone()).or_default() += rows.len() as i64;
                }
                continue;
            }
            let past = in_history(organization, &from.entity, &reference.column, ids)?;
            found.history.extend(rows.iter().chain(&past));
            if !reference.cascades && !rows.is_empty() {
                found.deleted.push((from.qualified.clone(), rows.iter().copied().collect()));
            }
            let records = found.records.entry(from.entity.clone()).or_default();
            let new: BTreeSet<_> = rows.difference(records).copied().collect();
            records.extend(&new);
            if !new.is_empty() {
                next.entry(from.oid).or_default().extend(new);
            }
        }
        known = known || !next.is_empty();
        level = next;
    }
    found.records.retain(|_, ids| !ids.is_empty());
    if alive.is_empty() && !known && !has_history(organization, entity, id)? {
        return Err(CrmError::invalid("id", "there is no such record"));
    }
    found.deleted.extend(alive);
    Ok(found)
}

impl Found {
    /// As the caller may: whatever stays of a person is an error.
    pub fn delete(&self, organization: Uuid) -> Result<()> {
        for (table, ids) in &self.deleted {
            let wanted: Vec<_> = ids.iter().copied().map(to_pg).collect();
            let gone = db::execute(
                &format!("delete from {table} where org_id = $1 and id = any ($2) returning 1"),
                &[to_pg(organization).into(), wanted.into()],
            )?;
            if gone < ids.len() {
                return Err(CrmError::forbidden(format!(
                    "your permissions do not reach all that is to be erased of {table}"
                )));
            }
        }
        Ok(())
    }

    /// How many records, by entity.
    pub fn erased(&self) -> BTreeMap<&str, usize> {
        self.records.iter().map(|(entity, ids)| (entity.as_str(), ids.len())).collect()
    }
}

/// A lead and the contact that it became are one person.
fn person_of_lead(organization: Uuid, tables: &[Table], people: &mut BTreeMap<u32, BTreeSet<Uuid>>) -> Result<()> {
    let of = |entity: &str| tables.iter().find(|table| table.entity == entity);
    let (Some(leads), Some(contacts)) = (of("leads"), of("contacts")) else { return Ok(()) };
    if let Some(ids) = people.get(&leads.oid).cloned() {
        let became = column_of(leads, organization, "converted_contact_id", "id", &ids)?;
        people.entry(contacts.oid).or_default().extend(became);
    }
    if let Some(ids) = people.get(&contacts.oid).cloned() {
        let was = column_of(leads, organization, "id", "converted_contact_id", &ids)?;
        people.entry(leads.oid).or_default().extend(was);
    }
    people.retain(|_, ids| !ids.is_empty());
    Ok(())
}

fn rows_of(table: &Table, organization: Uuid, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    column_of(table, organization, "id", column, ids)
}

fn column_of(
    table: &Table,
    organization: Uuid,
    wanted: &str,
    column: &str,
    ids: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>> {
    let query = format!(
        "select {wanted} from {} where org_id = $1 and {} = any ($2) and {wanted} is not null",
        table.qualified,
        quote_identifier(column),
        wanted = quote_identifier(wanted)
    );
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::read_as_owner(table.owner, || db::select_once(&query, &[to_pg(organization).into(), ids.into()], collect))
}

/// Records of an entity that once named one of these in the column.
fn in_history(organization: Uuid, entity: &str, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    db::select(
        "select distinct record_id from crm.audit_log
         where org_id = $1 and entity = $2 and (before ->> $3 = any ($4) or after ->> $3 = any ($4))",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTARRAYOID],
        &[to_pg(organization).into(), entity.into(), column.into(), ids.into()],
        collect,
    )
}

fn has_history(organization: Uuid, entity: &str, id: Uuid) -> Result<bool> {
    let found = db::select(
        "select exists (select from crm.audit_log where org_id = $1 and record_id = $2 and entity = $3)",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), to_pg(id).into(), entity.into()],
        |rows| rows.first().get_one::<bool>(),
    )?;
    Ok(found == Some(true))
}

fn collect(rows: db::Rows) -> Result<BTreeSet<Uuid>> {
    let mut ids = BTreeSet::new();
    for row in rows {
        ids.extend(row.get::<pgrx::Uuid>(1)?.map(from_pg));
    }
    Ok(ids)
}

/// Tables with history, whose rows have an id.
fn tables() -> Result<Vec<Table>> {
    db::select(
        "select c.oid, c.relowner, format('%I.%I', n.nspname, c.relname),
             case n.nspname when 'crm' then c.relname else n.nspname || '.' || c.relname end
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where t.tgfoid = to_regprocedure('crm_private.guard()') and not t.tgisinternal
         order by c.oid",
        &[],
        &[],
        |rows| rows.map(|row| table_of(&row, 1)).collect(),
    )
}

fn table_of(row: &db::Row, at: usize) -> Result<Table> {
    let missing = || CrmError::internal("the catalog is damaged");
    Ok(Table {
        oid: row.get::<pg_sys::Oid>(at)?.ok_or_else(missing)?.to_u32(),
        owner: row.get(at + 1)?.ok_or_else(missing)?,
        qualified: row.get(at + 2)?.ok_or_else(missing)?,
        entity: row.get(at + 3)?.ok_or_else(missing)?,
    })
}

fn references() -> Result<Vec<Reference>> {
    db::select(
        "select c.oid, c.relowner, format('%I.%I', n.nspname, c.relname),
             case n.nspname when 'crm' then c.relname else n.nspname || '.' || c.relname end,
             a.attname::text, k.confrelid, k.confdeltype = 'c'
         from pg_catalog.pg_constraint as k
         join pg_catalog.pg_class as c on c.oid = k.conrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[2]
         join pg_catalog.pg_attribute as b on b.attrelid = k.confrelid and b.attnum = k.confkey[2] and b.attname = 'id'
         where k.contype = 'f' and cardinality(k.conkey) = 2 and exists (
             select from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and t.tgfoid = to_regprocedure('crm_private.guard()')
         )
         order by c.oid, k.conname",
        &[],
        &[],
        |rows| {
            let mut references = vec![];
            for row in rows {
                if let (Some(column), Some(to), Some(cascades)) = (row.get(5)?, row.get::<pg_sys::Oid>(6)?, row.get(7)?) {
                    references.push(Reference { from: table_of(&row, 1)?, column, to: to.to_u32(), cascades });
                }
            }
            Ok(references)
        },
    )
}
