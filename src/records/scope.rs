//! Refuses to change or delete a row that one may see but not write. The policies alone would pass over it in silence, and
//! its statement would look like success; they let through here what may be seen, and this says no.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::guard::{by_foreign_key, identified, note_row, permission};
use super::row::{self, Images, Row};
use crate::access::permissions::{self, Holder};
use crate::access::policy::not_permitted;
use crate::error::{CrmError, Result};
use crate::identity::principal::from_pg;

#[pg_trigger(sql = false)]
fn check_scope<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger))
}

/// The row as it is to be: nothing is changed here.
fn checked(trigger: &PgTrigger) -> Result<Option<Row>> {
    let images = Images::of(trigger)?;
    if !by_foreign_key(trigger)
        && let Some(old) = &images.old
    {
        check(trigger, old)?;
    }
    Ok(images.unchanged())
}

fn check(trigger: &PgTrigger, old: &Row) -> Result<()> {
    let Some(principal) = identified()? else { return Ok(()) };
    let permission = permission(trigger)?;
    let holder = old.get::<pgrx::Uuid>("org_id")?.and_then(|org_id| Holder::of(&principal, from_pg(org_id)));
    let holder = holder.ok_or_else(|| not_permitted(&principal, &permission))?;
    let permissions = permissions::of(holder)?;
    let scope = permissions.scope(&permission).ok_or_else(|| not_permitted(&principal, &permission))?;
    let owner = old.get::<pgrx::Uuid>("owner_id")?.map(from_pg);
    if holder.reaches(&permissions, scope, owner) {
        return note_row(trigger, &principal, old);
    }
    Err(CrmError::forbidden(format!("you may see this row, but {permission} reaches only {}", reach(scope.name()))))
}

fn reach(scope: &str) -> &'static str {
    if scope == "own" { "your own" } else { "your team's" }
}
