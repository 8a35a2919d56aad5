//! What the platform that runs the CRM may do: its backend with a platform key, or in SQL as `crm_service`, its own people
//! with their login, and the DBA.

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::ffi::CStr;
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::principal::{Principal, from_pg, has_rights_of, outer_user, to_pg};
use super::recovery;
use crate::access::roles::OWNER;
use crate::access::scopes;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

/// Whether the caller is the platform with this permission: by a platform key, as one of its people, or by a database role
/// that is its own.
pub fn permitted(permission: &str) -> bool {
    match Principal::current() {
        Some(principal) => match (&principal.api_key, principal.platform_role) {
            (Some(key), _) => principal.is_platform() && scopes::permit(&key.scopes, permission),
            (None, Some(role)) => role.permits(permission),
            (None, None) => false,
        },
        None => has_role(c"crm_service") || has_role(c"crm_admin"),
    }
}

/// Whether the caller is the DBA, without an identity.
pub fn is_administrator() -> bool {
    Principal::current().is_none() && has_role(c"crm_admin")
}

/// The login role has to have these rights by itself, not only the role it has become: anybody's request comes as
/// PostgREST's login role, which inherits nothing, and SQL of theirs could set any role that one may become.
fn has_role(role: &CStr) -> bool {
    // SAFETY: reads the session's user.
    let session_user = unsafe { pg_sys::GetSessionUserId() };
    has_rights_of(outer_user(), role) && has_rights_of(session_user, role)
}

pub fn require_administrator() -> Result<()> {
    if is_administrator() { Ok(()) } else { Err(CrmError::forbidden("only for the DBA (crm_admin)")) }
}

pub fn require(permission: &str) -> Result<()> {
    if permitted(permission) {
        return Ok(());
    }
    Err(CrmError::forbidden(format!("only for the platform: needs {permission}")))
}

fn unknown_organization() -> CrmError {
    CrmError::invalid("org_id", "there is no such organization")
}

#[pg_extern(sql = false)]
fn create_organization(
    name: Option<&str>,
    slug: Option<&str>,
    owner_email: Option<&str>,
    owner_name: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_organization")?;
    require("organizations.create")?;
    let name = given("name", name)?;
    let organization = match slug {
        Some(slug) => accounts::create_organization_at(name, slug)?,
        None => accounts::create_organization(name)?,
    };
    let owner = owner_email.map(|email| owner_of(organization, email, owner_name)).transpose()?;
    let mut answer = organization_as_json(organization)?;
    answer["owner"] = owner.unwrap_or(Value::Null);
    Ok(JsonB(answer))
}

/// The user with this e-mail, or a new one, who sets a password by the message they get.
fn owner_of(organization: Uuid, email: &str, full_name: Option<&str>) -> Result<Value> {
    let email = text::email(email).map_err(|problem| CrmError::invalid("owner_email", problem))?;
    let user = match accounts::user_by_email(&email)? {
        Some(user) => user,
        None => {
            let user = accounts::create_user(&email, None, full_name)?;
            recovery::send_first_password(user, &email, full_name)?;
            user
        }
    };
    accounts::add_member(organization, user, OWNER)?;
    Ok(json!({ "id": user, "email": email }))
}

pub fn organization_as_json(organization: Uuid) -> Result<Value> {
    db::write(
        "select jsonb_build_object('id', id, 'slug', slug, 'name', name, 'status', status, 'status_reason', status_reason)
         from crm.organizations where id = $1",
        &[to_pg(organization).into()],
        |rows| {
            if rows.is_empty() {
                return Err(unknown_organization());
            }
            Ok(rows.first().get_one::<JsonB>()?.map_or(Value::Null, |JsonB(value)| value))
        },
    )
}

#[pg_extern(sql = false)]
fn permitted_to_platform(permission: &str) -> bool {
    permitted(permission)
}

type OrganizationRow =
    (pgrx::Uuid, String, String, String, Option<String>, Option<TimestampWithTimeZone>, TimestampWithTimeZone, i64);

#[pg_extern(sql = false)]
fn list_organizations() -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(slug, String),
            name!(name, String),
            name!(status, String),
            name!(status_reason, Option<String>),
            name!(status_changed_at, Option<TimestampWithTimeZone>),
            name!(created_at, TimestampWithTimeZone),
            name!(members, i64),
        ),
    >,
    ErrorReport,
> {
    require("organizations.read")?;
    let organizations: Vec<OrganizationRow> = db::select(
        "select o.id, o.slug, o.name, o.status, o.status_reason, o.status_changed_at, o.created_at,
             (select count(*) from crm.memberships as m where m.org_id = o.id and m.status = 'active')
         from crm.organizations as o
         order by o.id",
        &[],
        &[],
        |rows| {
            let mut organizations = vec![];
            for row in rows {
                if let (Some(id), Some(slug), Some(name), Some(status), Some(created), Some(members)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(7)?, row.get(8)?)
                {
                    organizations.push((id, slug, name, status, row.get(5)?, row.get(6)?, created, members));
                }
            }
            Ok(organizations)
        },
    )?;
    Ok(TableIterator::new(organizations))
}

#[pg_extern(sql = false)]
fn suspend_organization(org_id: Option<pgrx::Uuid>, reason: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("suspend_organization")?;
    require("organizations.update")?;
    Ok(stop(org_id, "suspended", reason)?)
}

#[pg_extern(sql = false)]
fn cancel_organization(org_id: Option<pgrx::Uuid>, reason: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("cancel_organization")?;
    require("organizations.update")?;
    Ok(stop(org_id, "cancelled", reason)?)
}

fn stop(org_id: Option<pgrx::Uuid>, status: &str, reason: Option<&str>) -> Result<JsonB> {
    let organization = from_pg(given("org_id", org_id)?);
    let reason = text::line(given("reason", reason)?, 500).map_err(|problem| CrmError::invalid("reason", problem))?;
    if reason.is_empty() {
        return Err(CrmError::invalid("reason", "must not be empty"));
    }
    set_organization_status(organization, status, Some(&reason))
}

#[pg_extern(sql = false)]
fn resume_organization(org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("resume_organization")?;
    require("organizations.update")?;
    Ok(set_organization_status(from_pg(given("org_id", org_id)?), "active", None)?)
}

fn set_organization_status(organization: Uuid, status: &str, reason: Option<&str>) -> Result<JsonB> {
    let changed = db::execute(
        "update crm.organizations
         set status = $2, status_reason = $3, updated_at = now(),
             status_changed_at = case when status = $2 then status_changed_at else now() end
         where id = $1 and status <> 'cancelled' returning 1",
        &[to_pg(organization).into(), status.into(), reason.into()],
    )?;
    let answer = organization_as_json(organization)?;
    if changed == 0 {
        return Err(CrmError::invalid("org_id", "this organization was cancelled, and stays so"));
    }
    Ok(JsonB(answer))
}
