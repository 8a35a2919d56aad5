//! People change their own profile, and an organization's is changed by those who may, or by the platform. The tables' policies
//! keep to that; this trigger says so: by the policies alone such a statement would find no row, and look like success.
//!
//! Before the statement it looks at the caller alone, before a row at that row, which the caller sees: so the answer never
//! depends on what they do not see.

use std::ffi::CStr;

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::platform;
use super::principal::{Principal, from_pg, has_rights_of, needs_identity};
use crate::access::grants::Scope;
use crate::access::permissions::everywhere;
use crate::access::policy::not_permitted;
use crate::access::race;
use crate::error::{CrmError, Result};
use crate::records::row::{self, Rows};

const UPDATE: &str = "organizations.update";

#[pg_trigger(sql = false)]
fn guard_profile<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    let outcome = match writer() {
        Writer::Client => check(trigger),
        Writer::Platform => check_platform(trigger),
        Writer::Other => Ok(()),
    };
    if !trigger.event().fired_for_row() {
        return row::answer(outcome.map(|()| None));
    }
    row::answer(outcome.and_then(|()| Ok(Some(Rows::of(trigger)?.new))))
}

/// Whose statement it is.
enum Writer {
    Client,
    Platform,
    /// A superuser, or a function of ours, which has looked at it itself.
    Other,
}

fn writer() -> Writer {
    // SAFETY: reads the current user; catalog look-ups with a NUL-terminated name.
    let (user, definer, is_superuser) = unsafe {
        let (user, definer): (_, &CStr) = (pg_sys::GetUserId(), c"crm_definer");
        (user, pg_sys::get_role_oid(definer.as_ptr(), true), pg_sys::superuser_arg(user))
    };
    match () {
        () if user == definer || is_superuser => Writer::Other,
        () if needs_identity(user) => Writer::Client,
        () if has_rights_of(user, c"crm_service") || has_rights_of(user, c"crm_admin") => Writer::Platform,
        () => Writer::Other,
    }
}

fn check_platform(trigger: &PgTrigger) -> Result<()> {
    platform::require(if trigger.event().fired_by_insert() { "organizations.create" } else { UPDATE })
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

/// Who may change their own profile.
pub fn own(principal: &Principal) -> Result<Uuid> {
    let user = principal.user_id.ok_or_else(|| CrmError::forbidden("an API key has no profile"))?;
    if principal.actor_id.is_some() {
        return Err(CrmError::forbidden("not while acting as somebody else"));
    }
    Ok(user)
}

/// `row`: whose row it is, `None` before the statement.
fn check_user(principal: &Principal, row: Option<Option<Uuid>>) -> Result<()> {
    let own = own(principal)?;
    match row {
        Some(user) if user != Some(own) => Err(CrmError::forbidden("everybody changes their own profile only")),
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
