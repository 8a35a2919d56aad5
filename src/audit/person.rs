//! What belongs to a person: found by the foreign keys of all tables, whosever rows they are.
//!
//! A row is of whom it points to, and one that is gone of whom it pointed to last. So what was a person's once and is there
//! without pointing to them keeps its history.

use std::collections::{BTreeMap, BTreeSet};

use pgrx::PgBuiltInOids;
use pgrx::spi::quote_identifier;
use uuid::Uuid;

use super::related::{Reference, Table, references, tables};
use super::transaction;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};

/// By entity: an id is only its table's.
pub type Records = BTreeMap<String, BTreeSet<Uuid>>;

/// Ids by table.
type Level = BTreeMap<u32, BTreeSet<Uuid>>;

#[derive(Default)]
pub struct Found {
    /// In the order in which they are deleted, what points to others before those; what goes with these is not among them.
    deleted: Vec<(Table, Vec<Uuid>)>,
    /// All that are there and go.
    pub records: Records,
    /// What points to the person and stays.
    pub kept: Records,
    /// The records whose history it is: those, and those that are gone for long.
    pub history: Records,
    tables: Vec<Table>,
}

/// How to look for what belongs to a person.
pub struct Search<'a> {
    pub organization: Uuid,
    /// Entities whose rows are deleted where they point to the person, beside those that go with it anyway.
    pub also: &'a BTreeSet<String>,
    /// Rows that go are held until the transaction ends, before anything looks for what points to them: so nothing can come to
    /// point to them unseen. This waits for whoever changes them, or adds what does.
    pub holds: bool,
}

impl Search<'_> {
    /// The person, as a lead and as a contact: who these are may change until they are held.
    fn people(&self, tables: &[Table], root: u32, id: Uuid) -> Result<Level> {
        let named = |name: &str| tables.iter().find(|table| table.entity == name);
        let mut people = Level::from([(root, BTreeSet::from([id]))]);
        loop {
            for table in tables.iter().filter(|_| self.holds) {
                people.get(&table.oid).map(|ids| held_rows_of(table, self.organization, "id", ids)).transpose()?;
            }
            let mut now = Level::from([(root, BTreeSet::from([id]))]);
            if let (Some(leads), Some(contacts)) = (named("leads"), named("contacts")) {
                db::at_latest(|| person_of_lead(self.organization, leads, contacts, &mut now))?;
            }
            if !self.holds || now == people {
                return Ok(now);
            }
            people = now;
        }
    }

    /// Rows that go where the column names one of these.
    fn rows(&self, table: &Table, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
        match self.holds {
            true => held_rows_of(table, self.organization, column, ids),
            false => self.rows_that_stay(table, column, ids),
        }
    }

    fn rows_that_stay(&self, table: &Table, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
        db::at_latest(|| rows_of(table, self.organization, column, ids))
    }
}

pub fn find(search: &Search, entity: &str, id: Uuid) -> Result<Found> {
    let tables = tables()?;
    let named = |name: &str| tables.iter().find(|table| table.entity == name);
    let root = named(entity).ok_or_else(|| CrmError::invalid("entity", "must be the name of a table of records"))?;
    if let Some(unknown) = search.also.iter().find(|name| named(name).is_none()) {
        return Err(CrmError::invalid("also", format!("there are no {unknown}")));
    }
    let references = references(&tables)?;
    let mut level = search.people(&tables, root.oid, id)?;
    let mut found = Found::default();
    found.add_people(search, &tables, &level)?;
    while !level.is_empty() {
        level = found.add_what_follows(search, &references, &level)?;
    }
    let is_alone = found.records.is_empty() && found.history.values().map(BTreeSet::len).sum::<usize>() == 1;
    if is_alone && !has_history(search.organization, entity, id)? {
        return Err(CrmError::invalid("id", "there is no such record"));
    }
    for (entity, ids) in &mut found.kept {
        ids.retain(|id| found.records.get(entity).is_none_or(|gone| !gone.contains(id)));
    }
    found.history.retain(|_, ids| !ids.is_empty());
    found.deleted.reverse();
    found.tables = tables;
    Ok(found)
}

impl Found {
    fn add_people(&mut self, search: &Search, tables: &[Table], people: &Level) -> Result<()> {
        for table in tables {
            let Some(ids) = people.get(&table.oid) else { continue };
            self.history.entry(table.entity.clone()).or_default().extend(ids);
            let there = search.rows(table, "id", ids)?;
            if !there.is_empty() {
                self.deleted.push((table.clone(), there.iter().copied().collect()));
                self.records.entry(table.entity.clone()).or_default().extend(there);
            }
        }
        Ok(())
    }

    /// What points to these records. Gives what was not known yet.
    fn add_what_follows(&mut self, search: &Search, references: &[Reference], level: &Level) -> Result<Level> {
        let mut next = Level::new();
        for reference in references {
            let (from, Some(ids)) = (&reference.from, level.get(&reference.to)) else { continue };
            if !reference.cascades && !search.also.contains(&from.entity) {
                let rows = search.rows_that_stay(from, &reference.column, ids)?;
                self.kept.entry(from.entity.clone()).or_default().extend(rows);
                continue;
            }
            let rows = search.rows(from, &reference.column, ids)?;
            let gone = db::at_latest(|| gone_rows_of(from, search.organization, &reference.column, ids))?;
            let history = self.history.entry(from.entity.clone()).or_default();
            let new: BTreeSet<_> = rows.union(&gone).filter(|id| !history.contains(id)).copied().collect();
            history.extend(&new);
            let there: Vec<_> = rows.intersection(&new).copied().collect();
            if !there.is_empty() {
                self.records.entry(from.entity.clone()).or_default().extend(&there);
                if !reference.cascades {
                    self.deleted.push((from.clone(), there));
                }
            }
            if !new.is_empty() {
                next.entry(from.oid).or_default().extend(new);
            }
        }
        Ok(next)
    }

    /// As the caller may: whatever stays of a person is an error.
    pub fn delete(&self, organization: Uuid) -> Result<()> {
        for (table, ids) in &self.deleted {
            let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
            let statement = format!("delete from {} where org_id = $1 and id = any ($2)", table.qualified);
            db::execute(&statement, &[to_pg(organization).into(), ids.into()])?;
        }
        for table in &self.tables {
            let Some(ids) = self.records.get(&table.entity) else { continue };
            if !db::at_latest(|| rows_of(table, organization, "id", ids))?.is_empty() {
                let table = &table.qualified;
                return Err(CrmError::forbidden(format!(
                    "your permissions do not reach all that is to be erased of {table}"
                )));
            }
        }
        Ok(())
    }

    /// What went along without having been found: a trigger deleted it.
    pub fn add_deleted(&mut self, organization: Uuid) -> Result<()> {
        let deleted = db::at_latest(|| {
            db::select(
                "select entity, record_id from crm.audit_log
                 where org_id = $1 and created_at = now() and transaction_id = $2 and action = 'delete'",
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
                &[to_pg(organization).into(), to_pg(transaction::id()).into()],
                |rows| {
                    rows.map(|row| Ok((row.get::<String>(1)?, row.get::<pgrx::Uuid>(2)?))).collect::<Result<Vec<_>>>()
                },
            )
        })?;
        for (entity, id) in deleted {
            if let (Some(entity), Some(id)) = (entity, id.map(from_pg))
                && self.resource_of(&entity).is_some()
            {
                self.records.entry(entity.clone()).or_default().insert(id);
                self.history.entry(entity).or_default().insert(id);
            }
        }
        Ok(())
    }

    /// Whether it was there before.
    pub fn was_there(&self, entity: &str, id: Uuid) -> bool {
        self.records.get(entity).is_some_and(|ids| ids.contains(&id))
    }

    /// Whose permissions records of this entity have.
    pub fn resource_of(&self, entity: &str) -> Option<&str> {
        self.tables.iter().find(|table| table.entity == entity).map(|table| table.resource.as_str())
    }
}

/// A lead and the contact that it became are one person, also if the lead is gone.
fn person_of_lead(organization: Uuid, leads: &Table, contacts: &Table, people: &mut Level) -> Result<()> {
    const CONTACT: &str = "converted_contact_id";
    if let Some(ids) = people.get(&leads.oid).cloned() {
        let there = rows_of(leads, organization, "id", &ids)?;
        let gone = ids.difference(&there).copied().collect();
        let became = people.entry(contacts.oid).or_default();
        became.extend(column_of(leads, organization, CONTACT, "id", &ids)?);
        became.extend(named_last_by(&leads.entity, organization, CONTACT, &gone)?);
    }
    if let Some(ids) = people.get(&contacts.oid).cloned() {
        let was = people.entry(leads.oid).or_default();
        was.extend(rows_of(leads, organization, CONTACT, &ids)?);
        was.extend(gone_rows_of(leads, organization, CONTACT, &ids)?);
    }
    people.retain(|_, ids| !ids.is_empty());
    Ok(())
}

/// How many records, by entity.
pub fn count(records: &Records) -> BTreeMap<&str, usize> {
    let counts = records.iter().map(|(entity, ids)| (entity.as_str(), ids.len()));
    counts.filter(|(_, count)| *count > 0).collect()
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

/// The same, until the transaction ends nobody else's: those that still name one of these once whoever changed them is done.
fn held_rows_of(table: &Table, organization: Uuid, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    let (table_name, column) = (&table.qualified, quote_identifier(column));
    let query = format!("select id from {table_name} where org_id = $1 and {column} = any ($2) order by id for update");
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::read_as_owner(table.owner, || {
        db::write(&query, &[to_pg(organization).into(), ids.into()], |rows| {
            rows.filter_map(|row| row.get::<pgrx::Uuid>(1).transpose()).map(|id| Ok(from_pg(id?))).collect()
        })
    })
}

/// Rows of a table that are not there any more and that named one of these last in the column.
fn gone_rows_of(table: &Table, organization: Uuid, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    let wanted: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    let past = db::select(
        "select last.record_id
         from (
             select distinct on (l.record_id) l.record_id, coalesce(l.after ->> $3, l.before ->> $3) as named
             from crm.audit_log as l
             where l.org_id = $1 and l.entity = $2 and coalesce(l.after ->> $3, l.before ->> $3) is not null
                 and l.record_id in (
                     select once.record_id from crm.audit_log as once
                     where once.org_id = $1 and once.entity = $2
                         and (once.before ->> $3 = any ($4) or once.after ->> $3 = any ($4))
                 )
             order by l.record_id, l.id desc
         ) as last
         where last.named = any ($4)",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTARRAYOID],
        &[to_pg(organization).into(), table.entity.as_str().into(), column.into(), wanted.into()],
        collect,
    )?;
    let there = rows_of(table, organization, "id", &past)?;
    Ok(past.difference(&there).copied().collect())
}

/// What these records named last in the column, as far as history says so.
fn named_last_by(entity: &str, organization: Uuid, column: &str, ids: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>> {
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    db::select(
        "select distinct on (record_id) coalesce(after ->> $3, before ->> $3)::uuid
         from crm.audit_log
         where org_id = $1 and entity = $2 and record_id = any ($4) and coalesce(after ->> $3, before ->> $3) is not null
         order by record_id, id desc",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::UUIDARRAYOID],
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
