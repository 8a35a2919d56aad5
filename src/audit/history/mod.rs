//! What history is for: to look at what a record was, to bring it back, and to take back what a transaction did.
//!
//! Images are read past policies, of records that the caller may know of (`sight`); what is written is written as the caller
//! (`write`), who needs the permissions for it.

mod change;
pub mod entries;
pub mod images;
mod outcome;
pub mod past;
mod restore;
mod returned;
mod reverse;
pub mod sight;
pub mod subject;
mod undo;
mod write;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use uuid::Uuid;

use self::entries::Entry;
use self::past::Past;
use self::sight::Sight;
use self::subject::{Subject, Subjects};
use crate::audit::transaction;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{from_pg, to_pg};

const LIMIT_MAX: i32 = 1000;

#[pg_extern(sql = false)]
fn transaction_id() -> pgrx::Uuid {
    to_pg(transaction::id())
}

/// Of type json, which inside is text.
type Json = String;

type Change = (
    Option<pgrx::Uuid>,
    Option<TimestampWithTimeZone>,
    Option<String>,
    Option<i32>,
    Option<pgrx::Uuid>,
    Option<pgrx::Uuid>,
    Option<pgrx::Uuid>,
    Option<String>,
    Option<String>,
    Option<pgrx::Uuid>,
    Option<Vec<String>>,
    Option<Json>,
    Option<Json>,
);

#[pg_extern(sql = false)]
fn record_history(
    entity: Option<&str>,
    id: Option<pgrx::Uuid>,
    before: Option<pgrx::Uuid>,
    limit: Option<i32>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(entry_id, Option<pgrx::Uuid>),
            name!(created_at, Option<TimestampWithTimeZone>),
            name!(action, Option<String>),
            name!(version, Option<i32>),
            name!(actor_id, Option<pgrx::Uuid>),
            name!(impersonator_id, Option<pgrx::Uuid>),
            name!(api_key_id, Option<pgrx::Uuid>),
            name!(request_id, Option<String>),
            name!(application, Option<String>),
            name!(transaction_id, Option<pgrx::Uuid>),
            name!(changed, Option<Vec<String>>),
            name!(before, Option<Json>),
            name!(after, Option<Json>),
        ),
    >,
    ErrorReport,
> {
    let (subject, id) = asked_for(entity, id)?;
    let limit = limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(CrmError::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")).into());
    }
    let sight = sight::sight_of(&subject, id)?;
    Ok(TableIterator::new(changes(&sight, &subject, id, before, limit)?))
}

fn changes(sight: &Sight, subject: &Subject, id: Uuid, before: Option<pgrx::Uuid>, limit: i32) -> Result<Vec<Change>> {
    let [organization, id] = [sight.organization, id].map(to_pg);
    let floor = sight.floor.map(to_pg);
    let arguments: [DatumWithOid; 6] =
        [organization.into(), id.into(), subject.entity.as_str().into(), before.into(), limit.into(), floor.into()];
    let types = [
        PgBuiltInOids::UUIDOID,
        PgBuiltInOids::UUIDOID,
        PgBuiltInOids::TEXTOID,
        PgBuiltInOids::UUIDOID,
        PgBuiltInOids::INT4OID,
        PgBuiltInOids::UUIDOID,
    ];
    db::select(
        "select id, created_at, action, (coalesce(after, before) ->> 'version')::integer, actor_id, impersonator_id, api_key_id,
             request_id, application, transaction_id, changed, before::text, after::text
         from crm.audit_log
         where org_id = $1 and record_id = $2 and entity = $3 and ($4 is null or id < $4) and ($6 is null or id > $6)
             and action in ('insert', 'update', 'delete')
         order by id desc limit $5",
        &types,
        &arguments,
        |rows| rows.map(|row| change(&row)).collect(),
    )
}

fn change(row: &db::Row) -> Result<Change> {
    Ok((
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
        row.get(10)?,
        row.get(11)?,
        row.get(12)?,
        row.get(13)?,
    ))
}

fn asked_for(entity: Option<&str>, id: Option<pgrx::Uuid>) -> Result<(std::rc::Rc<Subject>, Uuid)> {
    let subject = Subjects::default().named(given("entity", entity)?)?;
    Ok((subject, from_pg(given("id", id)?)))
}

#[pg_extern(sql = false)]
fn record_at(
    entity: Option<&str>,
    id: Option<pgrx::Uuid>,
    at: Option<TimestampWithTimeZone>,
) -> Result<Option<Json>, ErrorReport> {
    let (subject, id) = asked_for(entity, id)?;
    let at = given("at", at)?;
    let image = at_time(&sight::sight_of(&subject, id)?, &subject, id, at)?;
    Ok(image.map(|image| image.to_text()))
}

type Image = crate::records::custom::object::Object;

fn at_time(sight: &Sight, subject: &Subject, id: Uuid, at: TimestampWithTimeZone) -> Result<Option<Image>> {
    let mut past = Past::from(images::current(subject, sight.organization, &[id])?.remove(&id));
    let later = entries::find(
        sight.organization,
        "record_id = $2 and entity = $3 and id >= (
             select later.id from crm.audit_log as later
             where later.org_id = $1 and later.record_id = $2 and later.entity = $3 and later.created_at > $4
             order by later.id limit 1
         )
         and ($5 is null or id > $5)
         order by id desc",
        vec![to_pg(id).into(), subject.entity.as_str().into(), at.into(), sight.floor.map(to_pg).into()],
    )?;
    for entry in &later {
        if entry.created_at > at { past.take_back(entry) } else { past.leave(entry) }
    }
    Ok(past.image)
}

/// A record as it was at a version, if history still has that; `None` also for one that never was.
fn at_version(sight: &Sight, subject: &Subject, id: Uuid, now: Option<Image>, version: i32) -> Result<Option<Image>> {
    let mut past = Past::from(now);
    let mut before: Option<Entry> = None;
    while past.version() != Some(version) {
        let before_it = before.map(|entry| to_pg(entry.id));
        let next = entries::find(
            sight.organization,
            "record_id = $2 and entity = $3 and ($4 is null or id < $4) and ($5 is null or id > $5) order by id desc limit 1",
            vec![to_pg(id).into(), subject.entity.as_str().into(), before_it.into(), sight.floor.map(to_pg).into()],
        )?;
        let Some(entry) = next.into_iter().next().filter(|entry| !entry.is_erased) else { return Ok(None) };
        past.take_back(&entry);
        before = Some(entry);
    }
    Ok(past.image)
}

#[pg_extern(sql = false)]
fn restore_record(entity: Option<&str>, id: Option<pgrx::Uuid>, version: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("restore_record")?;
    Ok(JsonB(restore::restore(given("entity", entity)?, from_pg(given("id", id)?), version)?))
}

#[pg_extern(sql = false)]
fn undo(
    transaction_id: Option<pgrx::Uuid>,
    request_id: Option<&str>,
    dry_run: Option<bool>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("undo")?;
    Ok(JsonB(undo::undo(transaction_id.map(from_pg), request_id, dry_run.unwrap_or(false))?))
}
