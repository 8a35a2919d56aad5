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
use super::race;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::platform;
use crate::identity::principal::{Principal, from_pg, to_pg};

/// Who acts in the active organization, with what is permitted there.
pub type Active = Option<(Holder, Rc<Permissions>)>;

fn active() -> Result<Active> {
    match Principal::current() {
        Some(principal) => in_active(&principal),
        None => Ok(None),
    }
}

/// The same, if it lies in memory.
pub fn remembered() -> Option<Active> {
    let Some(principal) = Principal::current() else { return Some(None) };
    let Some(holder) = permissions::active_holder(&principal) else { return Some(None) };
    permissions::remembered_of(holder).map(|permissions| Some((holder, permissions)))
}

fn wherever() -> Result<Vec<(Holder, Rc<Permissions>)>> {
    match Principal::current() {
        Some(principal) => everywhere(&principal),
        None => Ok(vec![]),
    }
}

/// The active organization, if the permission reaches anything there.
pub fn where_permitted(active: &Active, permission: &str) -> Option<pgrx::Uuid> {
    let (holder, permissions) = active.as_ref()?;
    permissions.scope(permission).map(|_| to_pg(holder.organization()))
}

/// The active organization, if the permission reaches all rows there.
pub fn where_all(active: &Active, permission: &str) -> Option<pgrx::Uuid> {
    let (holder, permissions) = active.as_ref()?;
    (permissions.scope(permission) == Some(Scope::All)).then(|| to_pg(holder.organization()))
}

/// Whose rows the permission reaches in the active organization; `None` for those who reach all, whosever they are.
pub fn whose(active: &Active, permission: &str) -> Option<Vec<pgrx::Uuid>> {
    let Some((holder, permissions)) = active else { return Some(vec![]) };
    match permissions.scope(permission) {
        Some(Scope::All) => None,
        Some(Scope::Team) => Some(permissions.team.iter().copied().map(to_pg).collect()),
        Some(Scope::Own) => Some(holder.user().map(to_pg).into_iter().collect()),
        None => Some(vec![]),
    }
}

#[pg_extern(sql = false)]
fn permitted_org_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(where_permitted(&active()?, permission))
}

#[pg_extern(sql = false)]
fn all_scope_org_id(permission: &str) -> Result<Option<pgrx::Uuid>, ErrorReport> {
    Ok(where_all(&active()?, permission))
}

#[pg_extern(sql = false)]
fn scope_user_ids(permission: &str) -> Result<Option<Vec<pgrx::Uuid>>, ErrorReport> {
    Ok(whose(&active()?, permission))
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

/// The highest rank that the caller may look at; NULL, and so none, without an active organization.
#[pg_extern(sql = false)]
fn current_rank() -> Result<Option<i32>, ErrorReport> {
    Ok(active()?.map(|(_, permissions)| permissions.rank))
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

/// The groups the caller is in, in the organizations they are looking at; of a key none.
#[pg_extern(sql = false)]
fn my_group_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let Some(user) = Principal::current().and_then(|principal| principal.user_id) else { return Ok(vec![]) };
    let organizations: Vec<_> = wherever()?.into_iter().map(|(holder, _)| to_pg(holder.organization())).collect();
    Ok(db::as_definer(|| {
        db::select(
            "select coalesce(array_agg(group_id), '{}') from crm.group_members where org_id = any ($1) and user_id = $2",
            &[PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDOID],
            &[organizations.into(), to_pg(user).into()],
            |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
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

/// The organizations the caller may read the profile of: all of theirs, whatever became of them; of a key its own.
#[pg_extern(sql = false)]
fn my_org_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let Some(principal) = Principal::current() else { return Ok(vec![]) };
    let Some(user) = principal.user_id else {
        return Ok(org_ids(|permissions| permissions.scope("organizations.read") == Some(Scope::All))?);
    };
    Ok(db::select(
        "select coalesce(array_agg(org_id), '{}') from crm.memberships where user_id = $1 and status = 'active'",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
    )?)
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

/// The same for a function that writes: what it wrote is saved only if this is permitted still when it commits.
pub fn require_to_write(permission: &str) -> Result<(Holder, Rc<Permissions>)> {
    let (holder, permissions) = require(permission)?;
    race::note(holder, permission, &permissions);
    Ok((holder, permissions))
}

pub fn not_permitted(principal: &Principal, permission: &str) -> CrmError {
    let what = if principal.api_key.is_some() { "key" } else { "role" };
    CrmError::forbidden(format!("your {what} does not permit {permission}"))
}
