//! Users, as the platform manages them.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::password;
use super::platform::{is_administrator, organization_as_json, require};
use super::principal::{from_pg, to_pg};
use super::recovery;
use super::session::{self, Kind};
use super::support::is_platform_member;
use super::verify::OrganizationRef;
use super::workplace;
use crate::access::permissions;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

fn unknown_user() -> CrmError {
    CrmError::invalid("user_id", "there is no such user")
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
        (Some(organization), Some(role)) => Some((from_pg(organization), role)),
        _ => return Err(CrmError::invalid("role", "org_id and role go together").into()),
    };
    let user = accounts::create_user(given("email", email)?, password, full_name)?;
    if let Some(hash) = password_hash {
        accounts::store_password(user, hash)?;
    }
    if let Some((organization, role)) = membership {
        organization_as_json(organization)?;
        check_role(organization, role)?;
        accounts::add_member(organization, user, role)?;
    }
    if email_verified.unwrap_or(false) {
        recovery::note_verified(user)?;
    }
    Ok(JsonB(user_as_json(user)?))
}

fn check_role(organization: Uuid, role: &str) -> Result<()> {
    match permissions::of_role(organization, role)? {
        Some(_) => Ok(()),
        None => Err(CrmError::invalid("role", "this organization has no such role")),
    }
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
        "delete from crm_private.messages where user_id = $1 or recipient = (select email from crm.users where id = $1)",
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
        "delete from crm_private.notification_emails where user_id = $1",
        "update crm_private.invitations set revoked_at = clock_timestamp()
         where invited_by = $1 and accepted_at is null and revoked_at is null",
        "update crm_private.sessions set ip_address = null, user_agent = null where user_id = $1",
    ] {
        db::execute(statement, &[to_pg(user).into()])?;
    }
    Ok(erased)
}

const NO_MEMBER: &str = "this user is not an active member of this organization";

#[pg_extern(sql = false)]
fn issue_token(user_id: Option<pgrx::Uuid>, org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("issue_token")?;
    require("tokens.create")?;
    let user = from_pg(given("user_id", user_id)?);
    let organization = org_id.map(from_pg);
    if !accounts::is_active(user)? {
        return Err(CrmError::forbidden(NO_MEMBER).into());
    }
    if let Some(wanted) = organization {
        workplace::choose(user, Some(&OrganizationRef::of_id(wanted)))?.map_err(|refusal| match refusal.detail {
            Some(_) => refusal.into(),
            None => CrmError::forbidden(NO_MEMBER),
        })?;
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
    // With an identity of the caller's own choice they would log in as one of the platform's people.
    if is_platform_member(user)? && !is_administrator() {
        return Err(
            CrmError::forbidden("only the DBA (crm_admin) links an identity to one of the platform's people").into()
        );
    }
    let subject =
        text::line(given("subject", subject)?, 255).map_err(|problem| CrmError::invalid("subject", problem))?;
    if subject.is_empty() {
        return Err(CrmError::invalid("subject", "must not be empty").into());
    }
    Ok(super::providers::link(given("provider", provider)?, &subject, user)?)
}
