//! What the platform that runs the CRM may do: its backend with a platform key, or in SQL as `crm_service`, and the DBA.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Value, json};
use std::ffi::CStr;
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::password;
use super::principal::{Principal, from_pg, has_rights_of, memberships_of, outer_user, to_pg};
use super::recovery;
use super::session::{self, Kind};
use crate::access::roles::Role;
use crate::access::scopes;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

/// Whether the caller is the platform with this permission: by a platform key, or by a database role that is its own.
pub fn permitted(permission: &str) -> bool {
    match Principal::current() {
        Some(principal) => match &principal.api_key {
            Some(key) => principal.is_platform() && scopes::permit(&key.scopes, permission),
            None => false,
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

fn unknown_user() -> CrmError {
    CrmError::invalid("user_id", "there is no such user")
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
    accounts::add_member(organization, user, Role::Owner)?;
    Ok(json!({ "id": user, "email": email }))
}

fn organization_as_json(organization: Uuid) -> Result<Value> {
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
    let organization = from_pg(given("org_id", org_id)?);
    let reason = text::line(given("reason", reason)?, 500).map_err(|problem| CrmError::invalid("reason", problem))?;
    if reason.is_empty() {
        return Err(CrmError::invalid("reason", "must not be empty").into());
    }
    Ok(set_organization_status(organization, "suspended", Some(&reason))?)
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

#[pg_extern(sql = false)]
fn delete_organization(org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("delete_organization")?;
    require("organizations.delete")?;
    let deleted =
        db::execute("delete from crm.organizations where id = $1 returning 1", &[given("org_id", org_id)?.into()])?;
    Ok(JsonB(json!({ "deleted": deleted })))
}

#[pg_extern(sql = false)]
fn create_user(
    email: Option<&str>,
    full_name: Option<&str>,
    password: Option<&str>,
    password_hash: Option<&str>,
    org_id: Option<pgrx::Uuid>,
    role: Option<&str>,
    email_verified: Option<bool>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_user")?;
    require("users.create")?;
    if password.is_some() && password_hash.is_some() {
        return Err(CrmError::invalid("password_hash", "give a password or its hash, not both").into());
    }
    if let Some(hash) = password_hash {
        password::acceptable_hash(hash).map_err(|problem| CrmError::invalid("password_hash", problem))?;
    }
    let membership = match (org_id, role) {
        (None, None) => None,
        (Some(organization), Some(role)) => Some((
            from_pg(organization),
            Role::parse(role).ok_or_else(|| CrmError::invalid("role", "is not one of the built-in roles"))?,
        )),
        _ => return Err(CrmError::invalid("role", "org_id and role go together").into()),
    };
    let user = accounts::create_user(given("email", email)?, password, full_name)?;
    if let Some(hash) = password_hash {
        accounts::store_password(user, hash)?;
    }
    if let Some((organization, role)) = membership {
        organization_as_json(organization)?;
        accounts::add_member(organization, user, role)?;
    }
    if email_verified.unwrap_or(false) {
        recovery::note_verified(user)?;
    }
    Ok(JsonB(user_as_json(user)?))
}

fn user_as_json(user: Uuid) -> Result<Value> {
    db::write(
        "select jsonb_build_object('id', id, 'email', email, 'full_name', full_name, 'status', status)
         from crm.users where id = $1 and status <> 'deleted'",
        &[to_pg(user).into()],
        |rows| {
            if rows.is_empty() {
                return Err(unknown_user());
            }
            Ok(rows.first().get_one::<JsonB>()?.map_or(Value::Null, |JsonB(value)| value))
        },
    )
}

type UserRow = (pgrx::Uuid, String, Option<String>, String, Option<TimestampWithTimeZone>, TimestampWithTimeZone);

#[pg_extern(sql = false)]
fn list_users(
    org_id: Option<pgrx::Uuid>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(email, String),
            name!(full_name, Option<String>),
            name!(status, String),
            name!(email_verified_at, Option<TimestampWithTimeZone>),
            name!(created_at, TimestampWithTimeZone),
        ),
    >,
    ErrorReport,
> {
    require("users.read")?;
    let users: Vec<UserRow> = db::select(
        "select u.id, u.email, u.full_name, u.status, u.email_verified_at, u.created_at
         from crm.users as u
         where u.status <> 'deleted' and ($1 is null or u.id in (
             select m.user_id from crm.memberships as m where m.org_id = $1 and m.status = 'active'
         ))
         order by u.id",
        &[PgBuiltInOids::UUIDOID],
        &[org_id.into()],
        |rows| {
            let mut users = vec![];
            for row in rows {
                if let (Some(id), Some(email), Some(status), Some(created)) =
                    (row.get(1)?, row.get(2)?, row.get(4)?, row.get(6)?)
                {
                    users.push((id, email, row.get(3)?, status, row.get(5)?, created));
                }
            }
            Ok(users)
        },
    )?;
    Ok(TableIterator::new(users))
}

#[pg_extern(sql = false)]
fn suspend_user(user_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("suspend_user")?;
    require("users.update")?;
    let user = from_pg(given("user_id", user_id)?);
    let answer = set_user_status(user, "disabled")?;
    session::end_all_of(user, None, "user_suspended")?;
    Ok(answer)
}

#[pg_extern(sql = false)]
fn resume_user(user_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("resume_user")?;
    require("users.update")?;
    let user = from_pg(given("user_id", user_id)?);
    let answer = set_user_status(user, "active")?;
    // A login that was under way when the user was suspended may have opened one.
    session::end_all_of(user, None, "user_suspended")?;
    Ok(answer)
}

fn set_user_status(user: Uuid, status: &str) -> Result<JsonB> {
    db::execute(
        "update crm.users set status = $2, updated_at = now() where id = $1 and status <> 'deleted'",
        &[to_pg(user).into(), status.into()],
    )?;
    Ok(JsonB(user_as_json(user)?))
}

#[pg_extern(sql = false)]
fn delete_user(user_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("delete_user")?;
    require("users.delete")?;
    let user = from_pg(given("user_id", user_id)?);
    accounts::lock_user(user)?;
    if let Some(slug) = owned_alone(user)? {
        return Err(CrmError::InUse {
            message: format!("this user is the only owner of the organization {slug}"),
            hint: "Make somebody else its owner, or delete it, first.".into(),
        }
        .into());
    }
    Ok(JsonB(json!({ "deleted": erase(user)? })))
}

/// An organization that would have no owner without this user. Its owners are locked, so that two cannot go at once.
fn owned_alone(user: Uuid) -> Result<Option<String>> {
    db::execute(
        "select from crm.memberships
         where role = 'owner' and status = 'active' and org_id in (select org_id from crm.memberships where user_id = $1)
         order by org_id, id for update",
        &[to_pg(user).into()],
    )?;
    db::write(
        "select o.slug
         from crm.memberships as m
         join crm.organizations as o on o.id = m.org_id
         where m.user_id = $1 and m.role = 'owner' and m.status = 'active' and not exists (
             select from crm.memberships as other
             where other.org_id = m.org_id and other.role = 'owner' and other.status = 'active' and other.user_id <> $1
         )
         order by o.slug limit 1",
        &[to_pg(user).into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
    )
}

/// The row stays, because records point to it, but nothing in it tells who that was.
fn erase(user: Uuid) -> Result<usize> {
    db::execute(
        "delete from crm_private.messages where recipient = (select email from crm.users where id = $1)",
        &[to_pg(user).into()],
    )?;
    let erased = db::execute(
        "update crm.users
         set email = 'deleted-' || id || '@deleted.invalid', full_name = null, status = 'deleted',
             email_verified_at = null, updated_at = now()
         where id = $1 and status <> 'deleted' returning 1",
        &[to_pg(user).into()],
    )?;
    if erased == 0 {
        return Ok(0);
    }
    session::end_all_of(user, None, "user_deleted")?;
    for statement in [
        "update crm.memberships set status = 'ended', ended_at = now() where user_id = $1 and status = 'active'",
        "delete from crm_private.passwords where user_id = $1",
        "delete from crm_private.user_identities where user_id = $1",
        "delete from crm_private.platform_members where user_id = $1",
        "delete from crm_private.one_time_tokens where user_id = $1",
        "update crm_private.invitations set revoked_at = clock_timestamp()
         where invited_by = $1 and accepted_at is null and revoked_at is null",
        "update crm_private.sessions set ip_address = null, user_agent = null where user_id = $1",
    ] {
        db::execute(statement, &[to_pg(user).into()])?;
    }
    Ok(erased)
}

#[pg_extern(sql = false)]
fn issue_token(user_id: Option<pgrx::Uuid>, org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("issue_token")?;
    require("tokens.create")?;
    let user = from_pg(given("user_id", user_id)?);
    let organization = org_id.map(from_pg);
    let memberships = memberships_of(user)?;
    if organization.is_some_and(|wanted| memberships.iter().all(|(org, _)| *org != wanted))
        || !accounts::is_active(user)?
    {
        return Err(CrmError::forbidden("this user is not an active member of this organization").into());
    }
    let tokens = session::open(user, organization, &Kind::Service)?;
    let mut answer = answer::to_json(&tokens)?;
    // The names that backends which follow the older convention look for.
    answer["token"] = json!(tokens.access_token);
    answer["expiresIn"] = json!(tokens.expires_in);
    Ok(JsonB(answer))
}

#[pg_extern(sql = false)]
fn link_identity(
    user_id: Option<pgrx::Uuid>,
    provider: Option<&str>,
    subject: Option<&str>,
) -> Result<bool, ErrorReport> {
    answer::needs_post("link_identity")?;
    require("users.update")?;
    let user = from_pg(given("user_id", user_id)?);
    user_as_json(user)?;
    let subject =
        text::line(given("subject", subject)?, 255).map_err(|problem| CrmError::invalid("subject", problem))?;
    if subject.is_empty() {
        return Err(CrmError::invalid("subject", "must not be empty").into());
    }
    Ok(super::providers::link(given("provider", provider)?, &subject, user)?)
}
