//! Tells who may not write at all, for lack of an identity or of a permission: by the policies alone their statement
//! would find no row, and look like success.
//!
//! Once per statement and before any row is looked at, so that the answer cannot depend on rows the caller does not see.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row;
use crate::access::grants::Scope;
use crate::access::permissions::everywhere;
use crate::access::policy::not_permitted;
use crate::access::race;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, needs_identity, outer_user};

/// The argument of the trigger on a table whose rows have no owner: only who may do it to all of them may do it.
pub const UNOWNED: &str = "unowned";

#[pg_trigger(sql = false)]
fn guard<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check(trigger).map(|()| None))
}

fn check(trigger: &PgTrigger) -> Result<()> {
    if by_foreign_key() {
        return Ok(());
    }
    let Some(principal) = identified()? else { return Ok(()) };
    let permission = permission(trigger)?;
    let arguments = trigger.extra_args().unwrap_or_default();
    let least = if arguments.get(1).is_some_and(|kind| kind == UNOWNED) { Scope::All } else { Scope::Own };
    let mut permitted = false;
    for (holder, permissions) in everywhere(&principal)? {
        if permissions.scope(&permission).is_some_and(|scope| scope >= least) {
            race::note(holder, &permission, &permissions);
            permitted = true;
        }
    }
    if permitted { Ok(()) } else { Err(not_permitted(&principal, &permission)) }
}

/// Who is writing; `None` for those who need no identity.
pub fn identified() -> Result<Option<std::rc::Rc<Principal>>> {
    match Principal::current() {
        None if needs_identity(outer_user()) => Err(CrmError::forbidden("no identity: authenticate first")),
        principal => Ok(principal),
    }
}

/// The permission that the statement needs on the resource which is the trigger's first argument.
pub fn permission(trigger: &PgTrigger) -> Result<String> {
    let event = trigger.event();
    let action = match () {
        () if event.fired_by_insert() => "create",
        () if event.fired_by_update() => "update",
        () => "delete",
    };
    let resource = trigger.extra_args().ok().and_then(|arguments| arguments.into_iter().next());
    let resource = resource.ok_or_else(|| CrmError::internal("the trigger does not name its resource"))?;
    Ok(format!("{resource}.{action}"))
}

/// Whether a foreign key's own action (on delete set null) is writing: what that needs, the first statement was asked.
/// A caller can bring this about with a table of their own; they then miss this refusal, but not the policies.
pub fn by_foreign_key() -> bool {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: writes to the two variables.
    unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
    context & pg_sys::SECURITY_NOFORCE_RLS as i32 != 0
}
