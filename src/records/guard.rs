//! Tells who may not write at all, for lack of an identity or of a permission: by the policies alone their statement
//! would find no row, and look like success.
//!
//! Once per statement and before any row is looked at, so that the answer cannot depend on rows the caller does not see.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::row::{self, Row};
use crate::access::grants::Scope;
use crate::access::permissions::{Holder, everywhere};
use crate::access::policy::not_permitted;
use crate::access::race;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, needs_identity, outer_user};

/// The argument of the trigger on a table whose rows have no owner: only who may do it to all of them may do it.
pub const UNOWNED: &str = "unowned";

/// The argument on a table whose rows are parts of records: whoever may change the record may do all of it.
pub const PART: &str = "part";

#[pg_trigger(sql = false)]
fn guard<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check(trigger).map(|()| None))
}

fn check(trigger: &PgTrigger) -> Result<()> {
    if by_foreign_key(trigger) {
        return Ok(());
    }
    let Some(principal) = identified()? else { return Ok(()) };
    let (permission, action) = (permission(trigger)?, Action::of(trigger));
    let arguments = trigger.extra_args().unwrap_or_default();
    let unowned = arguments.get(1).is_some_and(|kind| kind == UNOWNED);
    let least = if unowned { Scope::All } else { Scope::Own };
    // Where several organizations come into question, the row triggers say which is meant. None of them sees what is deleted
    // where rows have no owner, and those of partitions have another table.
    let rows_tell = principal.org_id().is_none() && !(unowned && action == Action::Delete) && !has_partitions(trigger);
    let mut permitted = false;
    for (holder, permissions) in everywhere(&principal)? {
        if permissions.scope(&permission).is_some_and(|scope| scope >= least) {
            if rows_tell {
                race::expect(table(trigger), action, holder, &permission, &permissions);
            } else {
                race::note(holder, &permission, &permissions);
            }
            permitted = true;
        }
    }
    if permitted { Ok(()) } else { Err(not_permitted(&principal, &permission)) }
}

/// A row is written. By what permission was found before the statement, where somebody may write in several organizations.
pub fn note_row(trigger: &PgTrigger, principal: &Principal, row: &Row) -> Result<()> {
    if principal.org_id().is_none()
        && let Some(organization) = row.get::<pgrx::Uuid>("org_id")?
        && let Some(holder) = Holder::of(principal, from_pg(organization))
    {
        race::note_row(table(trigger), Action::of(trigger), holder);
    }
    Ok(())
}

/// Or tables that inherit from it.
fn has_partitions(trigger: &PgTrigger) -> bool {
    // SAFETY: the trigger manager hands in an open relation.
    unsafe { (*(*trigger.trigger_data().tg_relation).rd_rel).relhassubclass }
}

fn table(trigger: &PgTrigger) -> u32 {
    // SAFETY: the trigger manager hands in an open relation.
    unsafe { (*trigger.trigger_data().tg_relation).rd_id.to_u32() }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    Create,
    Update,
    Delete,
}

impl Action {
    fn of(trigger: &PgTrigger) -> Self {
        let event = trigger.event();
        match () {
            () if event.fired_by_insert() => Self::Create,
            () if event.fired_by_update() => Self::Update,
            () => Self::Delete,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
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
    let mut arguments = trigger.extra_args().unwrap_or_default().into_iter();
    let resource = arguments.next().ok_or_else(|| CrmError::internal("the trigger does not name its resource"))?;
    let is_part = arguments.next().is_some_and(|kind| kind == PART);
    let action = if is_part { Action::Update } else { Action::of(trigger) };
    Ok(format!("{resource}.{}", action.name()))
}

/// Whether a foreign key's own action (on delete set null) is writing: what that needs, the first statement was asked. It
/// writes as this table's owner. A caller could bring about the same context with tables of their own, but only as themselves:
/// so the functions of these triggers are no security definers, which would hide who that is.
pub fn by_foreign_key(trigger: &PgTrigger) -> bool {
    if db::is_loading() {
        return false;
    }
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: writes to the two variables; the trigger manager hands in an open relation.
    let owner = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        (*(*trigger.trigger_data().tg_relation).rd_rel).relowner
    };
    context & pg_sys::SECURITY_NOFORCE_RLS as i32 != 0 && user == owner
}
