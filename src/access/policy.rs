//! What the policies ask, once per statement each: where a permission holds, and for whose rows. `records::enroll` puts the
//! answers together.
//!
//! Never an error: a policy's functions run when there is a row to look at, so an error would tell that there is one. Who
//! may not write is told so by the triggers of `records::guard` and `records::scope`.

use std::rc::Rc;

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::grants::Scope;
use super::permissions::{self, Holder, Permissions, everywhere, in_active, organizations_of};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::platform;
use crate::identity::principal::{Principal, from_pg, to_pg};

/// Who acts in the active organization, with what is permitted there.
fn active() -> Result<Option<(Holder, Rc<Permissions>)>> {
    match Principal::current() {
        Some(principal) => in_active(&principal),
        None => Ok(None),
    }
}

fn wherever() -> Result<Vec<(Holder, Rc<Permissions>)>> {
    match Principal::current() {
        Some(principal) => everywhere(&principal),
        None => Ok(vec![]),
    }
}

/// The active organization, if the permission reaches just so far there.
fn active_with_scope(permission: &str, scope: Scope) -> Result<Option<Holder>> {
    let found = active()?.filter(|(_, permissions)| permissions.scope(permission) == Some(scope));
    Ok(found.map(|(holder, _)| holder))
}

#[pg_extern(sql = false)]
fn permitted_org_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    let found = active()?.filter(|(_, permissions)| permissions.scope(permission).is_some());
    Ok(found.map(|(holder, _)| to_pg(holder.organization())))
}

#[pg_extern(sql = false)]
fn own_scope_user_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(active_with_scope(permission, Scope::Own)?.and_then(Holder::user).map(to_pg))
}

#[pg_extern(sql = false)]
fn all_scope_org_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(active_with_scope(permission, Scope::All)?.map(|holder| to_pg(holder.organization())))
}

#[pg_extern(sql = false)]
fn team_scope_org_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(active_with_scope(permission, Scope::Team)?.map(|holder| to_pg(holder.organization())))
}

#[pg_extern(sql = false)]
fn team_user_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let people = active()?.map(|(_, permissions)| permissions.team.iter().copied().map(to_pg).collect());
    Ok(people.unwrap_or_default())
}

fn org_ids(holds: impl Fn(&Permissions) -> bool) -> Result<Vec<pgrx::Uuid>> {
    let found = wherever()?.into_iter().filter(|(_, permissions)| holds(permissions));
    Ok(found.map(|(holder, _)| to_pg(holder.organization())).collect())
}

#[pg_extern(sql = false)]
fn permitted_org_ids(permission: &str) -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    Ok(org_ids(|permissions| permissions.scope(permission).is_some())?)
}

#[pg_extern(sql = false)]
fn all_scope_org_ids(permission: &str) -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    Ok(org_ids(|permissions| permissions.scope(permission) == Some(Scope::All))?)
}

/// Pairs, because a colleague's rows in one organization are not a colleague's in another.
#[pg_extern(sql = false)]
fn team_scope_keys(permission: &str) -> Result<Vec<String>, ErrorReport> {
    let mut keys = vec![];
    for (holder, permissions) in wherever()? {
        if permissions.scope(permission) == Some(Scope::Team) {
            keys.extend(permissions.team.iter().map(|user| format!("{}/{user}", holder.organization())));
        }
    }
    Ok(keys)
}

/// The roles that are not above the caller's.
#[pg_extern(sql = false)]
fn readable_roles() -> Result<Vec<String>, ErrorReport> {
    let Some((holder, permissions)) = active()? else { return Ok(vec![]) };
    Ok(db::as_definer(|| {
        db::select(
            "select coalesce(array_agg(name), '{}') from crm.roles where org_id = $1 and rank <= $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::INT4OID],
            &[to_pg(holder.organization()).into(), permissions.rank.into()],
            |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
        )
    })?)
}

/// The organizations a user may access. Only the caller's own, or for the platform's role.
#[pg_extern(sql = false)]
fn org_ids_for_user(uid: pgrx::Uuid) -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let uid = from_pg(uid);
    let own = Principal::current().is_some_and(|principal| principal.user_id == Some(uid));
    if !own && !platform::permitted("users.read") {
        return Err(CrmError::forbidden("org_ids_for_user answers for the caller only").into());
    }
    Ok(organizations_of(uid)?.into_iter().map(to_pg).collect())
}

/// The people the caller may see: themselves and the members of the organizations they are looking at.
#[pg_extern(sql = false)]
fn visible_user_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let Some(principal) = Principal::current() else { return Ok(vec![]) };
    let organizations = org_ids(|permissions| permissions.scope("users.read") == Some(Scope::All))?;
    let user = principal.user_id.map(to_pg);
    Ok(db::select(
        "select coalesce(array_agg(distinct user_id), '{}') from (
             select m.user_id from crm.memberships as m where m.org_id = any ($1)
             union all select $2 where $2 is not null
         ) as visible",
        &[PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDOID],
        &[organizations.into(), user.into()],
        |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
    )?)
}

/// Who acts in the active organization, if this is permitted there for all of it, or the refusal.
pub fn require(permission: &str) -> Result<(Holder, Rc<Permissions>)> {
    let principal = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let found = permissions::in_active(&principal)?;
    found
        .filter(|(_, permissions)| permissions.scope(permission) == Some(Scope::All))
        .ok_or_else(|| not_permitted(&principal, permission))
}

pub fn not_permitted(principal: &Principal, permission: &str) -> CrmError {
    let what = if principal.api_key.is_some() { "key" } else { "role" };
    CrmError::forbidden(format!("your {what} does not permit {permission}"))
}
