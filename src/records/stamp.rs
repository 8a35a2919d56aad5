//! Stamps: who made and changed a row, and when; whose it is; which version it is. See `crm.enroll`.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row::{self, Row, Rows};
use super::{guard, parts};
use crate::db::restoring::is_restoring;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, to_pg};

#[pg_trigger(sql = false)]
fn stamp<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(stamped(trigger).map(Some))
}

fn stamped(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let principal = Principal::current();
    let now = transaction_time();
    match &old {
        None if is_restoring(trigger) => stamp_return(&mut new, principal.as_deref(), now)?,
        None => stamp_insert(&mut new, principal.as_deref(), now)?,
        Some(old) => stamp_update(&mut new, old, principal.as_deref(), now)?,
    }
    parts::inherit(trigger, &trigger.extra_args().unwrap_or_default(), &mut new, old.as_ref())?;
    if let Some(principal) = principal {
        guard::note_row(trigger, &principal, &new)?;
    }
    Ok(new)
}

/// With an identity the stamps are the database's alone. Without one (the DBA, a migration) what is given is kept.
fn stamp_insert(new: &mut Row, principal: Option<&Principal>, now: TimestampWithTimeZone) -> Result<()> {
    // An API key has no user: what it writes was created by nobody, whatever it says.
    let identified = principal.is_some();
    let user = principal.and_then(|principal| principal.user_id).map(to_pg);
    if new.get::<pgrx::Uuid>("org_id")?.is_none() {
        let Some(org_id) = principal.and_then(Principal::org_id) else {
            return Err(CrmError::invalid("org_id", "name the organization: none is active"));
        };
        new.set("org_id", Some(to_pg(org_id)))?;
    }
    if new.get::<pgrx::Uuid>("id")?.is_none() {
        new.set("id", Some(to_pg(uuid::Uuid::now_v7())))?;
    }
    if identified || new.get::<TimestampWithTimeZone>("created_at")?.is_none() {
        new.set("created_at", Some(now))?;
    }
    if identified || new.get::<TimestampWithTimeZone>("updated_at")?.is_none() {
        new.set("updated_at", Some(now))?;
    }
    if identified || new.get::<i32>("version")?.is_none() {
        new.set("version", Some(1))?;
    }
    if identified {
        new.set("created_by", user)?;
        new.set("updated_by", user)?;
        if new.get::<pgrx::Uuid>("owner_id")?.is_none() {
            new.set("owner_id", user)?;
        }
    }
    Ok(())
}

/// It comes back as it was, but for who brought it back.
fn stamp_return(new: &mut Row, principal: Option<&Principal>, now: TimestampWithTimeZone) -> Result<()> {
    new.set("updated_at", Some(now))?;
    new.set("updated_by", principal.and_then(|principal| principal.user_id).map(to_pg))
}

fn stamp_update(new: &mut Row, old: &Row, principal: Option<&Principal>, now: TimestampWithTimeZone) -> Result<()> {
    for key in ["org_id", "id"] {
        if new.get::<pgrx::Uuid>(key)? != old.get::<pgrx::Uuid>(key)? {
            // The same answer whether or not the other organization or record exists.
            return Err(CrmError::forbidden(format!("{key} cannot be changed")));
        }
    }
    new.keep("created_at", old);
    new.keep("created_by", old);
    new.set("updated_at", Some(now))?;
    match principal {
        Some(principal) => new.set("updated_by", principal.user_id.map(to_pg))?,
        None => new.keep("updated_by", old),
    }
    let version = old.get::<i32>("version")?.unwrap_or(0);
    new.set("version", Some(version.saturating_add(1)))
}

/// `now()`: all rows of a transaction carry one time.
fn transaction_time() -> TimestampWithTimeZone {
    pgrx::datum::datetime_support::now()
}
