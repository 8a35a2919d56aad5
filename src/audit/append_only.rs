//! Nobody writes history by hand, nor changes or removes it.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::place::Ours;
use super::transaction;
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::guard::by_foreign_key;
use crate::records::row::{self, Images, Row};
use crate::schema::is_restore;

#[pg_trigger(sql = false)]
fn append_only<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(allow(trigger))
}

fn allow(trigger: &PgTrigger) -> Result<Option<Row>> {
    if trigger.event().fired_by_truncate() {
        return truncated().map(|()| None);
    }
    // The end of an organization takes its history along.
    let allowed = is_restore() || Ours::goes_on() || trigger.event().fired_by_delete() && by_foreign_key(trigger);
    if allowed { Ok(Images::of(trigger)?.unchanged()) } else { Err(refused()) }
}

/// With all organizations.
fn truncated() -> Result<()> {
    // Past the policies, which show nobody all of them.
    let left = db::as_owner_of(c"crm", c"organizations", || {
        db::write("select exists (select from crm.organizations)", &[], |rows| Ok(rows.first().get_one::<bool>()?))
    })?;
    if left == Some(false) || is_restore() {
        transaction::forget();
        return Ok(());
    }
    Err(refused())
}

fn refused() -> CrmError {
    CrmError::forbidden("history is neither written nor changed by hand")
}
