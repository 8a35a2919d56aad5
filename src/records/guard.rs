//! Tells who may not write at all, for lack of an identity or of a permission: by the policies alone their statement
//! would find no row, and look like success.
//!
//! Once per statement and before any row is looked at, so that the answer cannot depend on rows the caller does not see.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, needs_identity, outer_user};

#[pg_trigger(sql = false)]
fn guard<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check(trigger).map(|()| None))
}

fn check(trigger: &PgTrigger) -> Result<()> {
    if by_foreign_key() {
        return Ok(());
    }
    let Some(principal) = Principal::current() else {
        return if needs_identity(outer_user()) {
            Err(CrmError::forbidden("no identity: authenticate first"))
        } else {
            Ok(())
        };
    };
    let event = trigger.event();
    let action = match () {
        () if event.fired_by_insert() => "create",
        () if event.fired_by_update() => "update",
        () => "delete",
    };
    let resource = trigger.extra_args().ok().and_then(|arguments| arguments.into_iter().next());
    let resource = resource.ok_or_else(|| CrmError::internal("the trigger does not name its resource"))?;
    let permission = format!("{resource}.{action}");
    if principal.permits_somewhere(&permission)? {
        return Ok(());
    }
    let what = if principal.api_key.is_some() { "key" } else { "role" };
    Err(CrmError::forbidden(format!("your {what} does not permit {permission}")))
}

/// Whether a foreign key's own action (on delete set null) is writing: what that needs, the first statement was asked.
/// A caller can bring this about with a table of their own; they then miss this refusal, but not the policies.
fn by_foreign_key() -> bool {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: writes to the two variables.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    context & pg_sys::SECURITY_NOFORCE_RLS as i32 != 0
}
