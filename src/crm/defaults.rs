//! What a new organization begins with, beside its roles.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{numbers, pipelines};
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::row::{self, Images};
use crate::schema::is_restore;

/// Statements with the organization as $1.
const DEFAULTS: &[&str] = &[numbers::DEFAULT_SERIES, pipelines::DEFAULT];

/// Every organization has them, however it came to be.
#[pg_trigger(sql = false)]
fn make_defaults<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(make(trigger).map(|()| None))
}

fn make(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    let new = Images::of(trigger)?.new.ok_or_else(|| CrmError::internal("this is a trigger for AFTER INSERT"))?;
    let organization = new.get::<pgrx::Uuid>("id")?;
    // As a foreign key's action would: nobody's permissions are asked.
    db::as_owner_of(c"crm", c"organizations", || {
        DEFAULTS.iter().try_for_each(|statement| db::execute(statement, &[organization.into()]).map(|_| ()))
    })
}
