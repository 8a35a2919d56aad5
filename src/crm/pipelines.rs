//! An organization with pipelines has one that is the default: where deals go that name none.

use std::cell::Cell;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};

use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::principal::from_pg;
use crate::records::row::{self, Images, Row};
use crate::schema::is_restore;

/// The pipeline an organization begins with; $1 is the organization.
pub const DEFAULT: &str = "with made as (
         insert into crm.pipelines (org_id, name, position, is_default) values ($1, 'Sales', 1, true) returning org_id, id
     )
     insert into crm.pipeline_stages (org_id, pipeline_id, name, position, probability, kind, rotting_days)
     select m.org_id, m.id, s.name, s.position, s.probability, s.kind, s.rotting_days
     from made as m
     cross join (values
         ('Qualification', 1, 10, 'open', 14),
         ('Needs analysis', 2, 25, 'open', 21),
         ('Proposal', 3, 50, 'open', 21),
         ('Negotiation', 4, 75, 'open', 14),
         ('Won', 5, 100, 'won', null),
         ('Lost', 6, 0, 'lost', null)
     ) as s (name, position, probability, kind, rotting_days)";

thread_local! {
    /// The default passes from one to another: what this file writes is not asked.
    static PASSING: Cell<bool> = const { Cell::new(false) };
}

/// Writes with the rights of the table's owner.
fn pass(statement: &'static str, org_id: pgrx::Uuid, id: pgrx::Uuid) -> Result<()> {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            PASSING.set(false);
        }
    }
    PASSING.set(true);
    let _end = End;
    db::as_owner_of(c"crm", c"pipelines", || {
        db::write_prepared(statement, &[PgBuiltInOids::UUIDOID; 2], &[org_id.into(), id.into()], |_| Ok(()))
    })
}

#[pg_trigger(sql = false)]
fn keep_default_pipeline<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(keep(trigger))
}

fn keep(trigger: &PgTrigger) -> Result<Option<Row>> {
    let mut images = Images::of(trigger)?;
    if PASSING.get() || is_restore() {
        return Ok(images.unchanged());
    }
    if trigger.event().fired_before() {
        if let Some(new) = &mut images.new {
            check(new, images.old.as_ref())?;
        }
    } else {
        hand_on(trigger, &images)?;
    }
    Ok(images.unchanged())
}

/// The default one stays it until another takes its place; the first one is it.
fn check(new: &mut Row, old: Option<&Row>) -> Result<()> {
    let is_default = is_default(new)?;
    match old {
        Some(old) if self::is_default(old)? && !is_default => {
            Err(CrmError::invalid("is_default", "make another pipeline the default one instead"))
        }
        None if !is_default && new.get::<TimestampWithTimeZone>("archived_at")?.is_none() => {
            match new.get::<pgrx::Uuid>("org_id")? {
                Some(org_id) if defaults(org_id)? == 0 => new.set("is_default", Some(true)),
                // Where none is named, _500_stamp says so.
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn hand_on(trigger: &PgTrigger, images: &Images) -> Result<()> {
    let was = images.old.as_ref().map_or(Ok(false), is_default)?;
    let is = images.new.as_ref().map_or(Ok(false), is_default)?;
    let Some(row) = images.new.as_ref().or(images.old.as_ref()).filter(|_| was != is) else { return Ok(()) };
    let (Some(org_id), Some(id)) = (row.get::<pgrx::Uuid>("org_id")?, row.get::<pgrx::Uuid>("id")?) else {
        return Err(CrmError::internal("a pipeline without its key"));
    };
    // SAFETY: the trigger manager hands in an open relation.
    locks::one_after_another(unsafe { (*trigger.trigger_data().tg_relation).rd_id }, from_pg(org_id));
    if !is {
        return pass(
            "update crm.pipelines set is_default = true
             where org_id = $1 and id = (
                 select id from crm.pipelines where org_id = $1 and id <> $2 and archived_at is null order by position, id limit 1
             )",
            org_id,
            id,
        );
    }
    pass("update crm.pipelines set is_default = (id = $2) where org_id = $1 and is_default <> (id = $2)", org_id, id)?;
    // In a transaction that looks at an older state, the one before may be another.
    if db::at_latest(|| defaults(org_id))? > 1 {
        return Err(CrmError::Conflict {
            message: "another pipeline was made the default one meanwhile".into(),
            hint: "Try again.".into(),
        });
    }
    Ok(())
}

fn is_default(row: &Row) -> Result<bool> {
    Ok(row.get::<bool>("is_default")?.unwrap_or(false))
}

fn defaults(org_id: pgrx::Uuid) -> Result<i64> {
    db::as_owner_of(c"crm", c"pipelines", || {
        db::select(
            "select count(*) from crm.pipelines where org_id = $1 and is_default",
            &[PgBuiltInOids::UUIDOID],
            &[org_id.into()],
            |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)),
        )
    })
}
