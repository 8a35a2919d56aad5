//! People change their own profile, and an organization's is changed by those who may. The tables' policies keep to that;
//! this trigger says so: by the policies alone such a statement would find no row, and look like success.
//!
//! Before the statement it looks at the caller alone, before a row at that row, which the caller sees: so the answer never
//! depends on what they do not see.

use std::ffi::CStr;

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::principal::{Principal, from_pg, needs_identity};
use crate::access::grants::Scope;
use crate::access::permissions::everywhere;
use crate::access::policy::not_permitted;
use crate::access::race;
use crate::error::{CrmError, Result};
use crate::records::row::{self, Rows};

const UPDATE: &str = "organizations.update";

#[pg_trigger(sql = false)]
fn guard_profile<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    let outcome = if is_of_the_api() { check(trigger) } else { Ok(()) };
    if !trigger.event().fired_for_row() {
        return row::answer(outcome.map(|()| None));
    }
    row::answer(outcome.and_then(|()| Ok(Some(Rows::of(trigger)?.new))))
}

/// Whether the statement is a client's own. What a function of ours writes, it has looked at itself.
fn is_of_the_api() -> bool {
    // SAFETY: reads the current user; a catalog look-up with a NUL-terminated name.
    unsafe {
        let user = pg_sys::GetUserId();
        let definer: &CStr = c"crm_definer";
        user != pg_sys::get_role_oid(definer.as_ptr(), true) && needs_identity(user)
    }
}

fn check(trigger: &PgTrigger) -> Result<()> {
    let principal = Principal::current().ok_or_else(|| CrmError::forbidden("no identity: authenticate first"))?;
    let row = if trigger.event().fired_for_row() {
        let old = Rows::of(trigger)?.old.map(|old| old.get::<pgrx::Uuid>("id")).transpose()?;
        Some(old.flatten().map(from_pg))
    } else {
        None
    };
    match trigger.table_name().ok().as_deref() {
        Some("users") => check_user(&principal, row),
        Some("organizations") => check_organization(&principal, row),
        _ => Err(CrmError::internal("this is a trigger of crm.users and crm.organizations")),
    }
}

/// `row`: whose row it is, `None` before the statement.
fn check_user(principal: &Principal, row: Option<Option<Uuid>>) -> Result<()> {
    if principal.user_id.is_none() {
        return Err(CrmError::forbidden("an API key has no profile"));
    }
    if principal.actor_id.is_some() {
        return Err(CrmError::forbidden("not while acting as somebody else"));
    }
    match row {
        Some(user) if user != principal.user_id => Err(CrmError::forbidden("everybody changes their own profile only")),
        _ => Ok(()),
    }
}

fn check_organization(principal: &Principal, row: Option<Option<Uuid>>) -> Result<()> {
    let mut permitted = everywhere(principal)?;
    permitted.retain(|(_, permissions)| permissions.scope(UPDATE) == Some(Scope::All));
    let Some(row) = row else {
        return if permitted.is_empty() { Err(not_permitted(principal, UPDATE)) } else { Ok(()) };
    };
    let found = permitted.iter().find(|(holder, _)| Some(holder.organization()) == row);
    let (holder, permissions) = found.ok_or_else(|| {
        CrmError::forbidden(format!("{UPDATE} is not permitted to you there: work in that organization"))
    })?;
    race::note(*holder, UPDATE, permissions);
    Ok(())
}
