//! The verified identity of the transaction, and the functions that tell it.

use std::cell::RefCell;
use std::ffi::{CStr, CString};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::roles::Role;
use crate::db;
use crate::error::{CrmError, Result};
use crate::gucs;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Principal {
    pub user_id: Uuid,
    pub session_id: Uuid,
    /// The active organization, and what the user is in it.
    pub organization: Option<ActiveOrganization>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ActiveOrganization {
    pub id: Uuid,
    pub role: Role,
    /// ISO 3166-1 alpha-2, for phone numbers without a country code.
    pub country: Option<String>,
}

thread_local! {
    /// The last value of the setting and what it says. Parsing is all that is saved: the setting stays the truth.
    static PARSED: RefCell<Option<(CString, Principal)>> = const { RefCell::new(None) };
}

impl Principal {
    /// Who the transaction acts for; `None` without a verified identity.
    pub fn current() -> Option<Self> {
        let value = gucs::identity()?;
        PARSED.with_borrow_mut(|parsed| {
            if let Some((of, principal)) = parsed
                && *of == value
            {
                return Some(principal.clone());
            }
            let principal: Self = serde_json::from_slice(value.to_bytes()).ok()?;
            *parsed = Some((value, principal.clone()));
            Some(principal)
        })
    }

    /// Makes this the identity of the rest of the transaction. Only for what has been verified.
    pub fn assume(&self) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|_| CrmError::internal("the identity has no JSON form"))?;
        let value = CString::new(json).map_err(|_| CrmError::internal("the identity contains NUL"))?;
        gucs::set_identity(&value);
        Ok(())
    }

    pub fn forget() {
        gucs::set_identity(c"");
    }

    pub fn org_id(&self) -> Option<Uuid> {
        self.organization.as_ref().map(|organization| organization.id)
    }

    /// Where the principal may act, and as what: in the active organization, or without one in all of theirs.
    pub fn roles(&self) -> Result<Vec<(Uuid, Role)>> {
        match &self.organization {
            Some(organization) => Ok(vec![(organization.id, organization.role)]),
            None => memberships_of(self.user_id),
        }
    }
}

pub fn to_pg(id: Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(*id.as_bytes())
}

pub fn from_pg(id: pgrx::Uuid) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The role that was set with SET ROLE (by PostgREST, from the token), whatever definer function is running.
pub fn outer_role() -> String {
    role_name(outer_user())
}

pub fn outer_user() -> pg_sys::Oid {
    // SAFETY: reads the session's state.
    unsafe { pg_sys::GetOuterUserId() }
}

fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a palloc'ed string, or an error when the role was dropped meanwhile.
    unsafe { CStr::from_ptr(pg_sys::GetUserNameFromId(role, false)) }.to_string_lossy().into_owned()
}

#[pg_extern(sql = false)]
fn current_user_id() -> Option<pgrx::Uuid> {
    Principal::current().map(|principal| to_pg(principal.user_id))
}

#[pg_extern(sql = false)]
fn current_org_id() -> Option<pgrx::Uuid> {
    Principal::current()?.org_id().map(to_pg)
}

#[pg_extern(sql = false)]
fn whoami() -> JsonB {
    let principal = Principal::current();
    let organization = principal.as_ref().and_then(|p| p.organization.as_ref());
    JsonB(serde_json::json!({
        "authenticated": principal.is_some(),
        "user_id": principal.as_ref().map(|p| p.user_id),
        "org_id": organization.map(|o| o.id),
        "role": organization.map(|o| o.role),
        "session_id": principal.as_ref().map(|p| p.session_id),
        "database_role": role_name(unsafe { pg_sys::GetUserId() }),
    }))
}

/// The active organization if the caller's role in it permits this, else NULL, which equals no `org_id`.
///
/// Never an error: a policy's functions run when there is a row to look at, so an error would tell that there is one.
/// Who may not write is told so by the trigger of `records::guard`.
#[pg_extern(sql = false)]
fn permitted_org_id(permission: &str) -> Option<pgrx::Uuid> {
    let organization = Principal::current()?.organization?;
    organization.role.permits(permission).then(|| to_pg(organization.id))
}

/// The organizations in which the caller's role permits this: the active one, or without one any of theirs.
#[pg_extern(sql = false)]
fn permitted_org_ids(permission: &str) -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let Some(principal) = Principal::current() else { return Ok(vec![]) };
    let permitted = principal.roles()?.into_iter().filter(|(_, role)| role.permits(permission));
    Ok(permitted.map(|(org, _)| to_pg(org)).collect())
}

/// The organizations a user may access. Only the caller's own, or for the platform's role.
#[pg_extern(sql = false)]
fn org_ids_for_user(uid: pgrx::Uuid) -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let uid = from_pg(uid);
    let own = Principal::current().is_some_and(|principal| principal.user_id == uid);
    if !own && !has_rights_of(outer_user(), c"crm_service") {
        return Err(CrmError::forbidden("org_ids_for_user answers for the caller only").into());
    }
    Ok(memberships_of(uid)?.into_iter().map(|(org, _)| to_pg(org)).collect())
}

/// The people the caller may see: themselves and the members of the organizations they are looking at.
#[pg_extern(sql = false)]
fn visible_user_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let Some(principal) = Principal::current() else { return Ok(vec![]) };
    let organizations: Vec<_> = match principal.org_id() {
        Some(id) => vec![to_pg(id)],
        None => memberships_of(principal.user_id)?.into_iter().map(|(org, _)| to_pg(org)).collect(),
    };
    let user = to_pg(principal.user_id);
    Ok(db::select(
        "select coalesce(array_agg(distinct user_id), '{}') from (
             select m.user_id from crm.memberships as m where m.org_id = any ($1)
             union all select $2
         ) as visible",
        &[PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDOID],
        &[organizations.into(), user.into()],
        |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
    )?)
}

/// The organizations in which a user is active, with the role there.
pub fn memberships_of(user: Uuid) -> Result<Vec<(Uuid, Role)>> {
    db::select(
        "select m.org_id, m.role
         from crm.memberships as m
         join crm.organizations as o on o.id = m.org_id
         where m.user_id = $1 and m.status = 'active' and o.status = 'active'
         order by m.org_id",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| {
            let mut memberships = vec![];
            for row in rows {
                if let (Some(org), Some(role)) = (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?)
                    && let Some(role) = Role::parse(&role)
                {
                    memberships.push((from_pg(org), role));
                }
            }
            Ok(memberships)
        },
    )
}

/// Whether a role can do nothing without an identity: an API role, or one that has its rights. A superuser needs none.
pub fn needs_identity(user: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up.
    let superuser = unsafe { pg_sys::superuser_arg(user) };
    !superuser && (has_rights_of(user, c"crm_app") || has_rights_of(user, c"crm_multi"))
}

/// Whether the role has the rights of the other; a superuser has those of every role.
fn has_rights_of(user: pg_sys::Oid, role: &CStr) -> bool {
    // SAFETY: catalog look-ups with a NUL-terminated name; an unknown role gives InvalidOid.
    unsafe {
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role)
    }
}
