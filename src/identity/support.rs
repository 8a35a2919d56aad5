//! The platform's own people, and their acting as a user who asked for help.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::platform;
use super::principal::{Person, Principal, from_pg, to_pg};
use super::session::{self, Kind};
use super::settings::Settings;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

#[pg_extern(sql = false)]
fn grant_platform_role(user_id: Option<pgrx::Uuid>, role: Option<&str>) -> Result<bool, ErrorReport> {
    platform::require_administrator()?;
    let (user, role) = (given("user_id", user_id)?, given("role", role)?);
    if !["super_admin", "support"].contains(&role) {
        return Err(CrmError::invalid("role", "must be super_admin or support").into());
    }
    if !accounts::is_active(from_pg(user))? {
        return Err(CrmError::invalid("user_id", "there is no such active user").into());
    }
    let granted = db::execute(
        "insert into crm_private.platform_members (user_id, role) values ($1, $2)
         on conflict (user_id) do update set role = excluded.role returning 1",
        &[user.into(), role.into()],
    )?;
    Ok(granted > 0)
}

#[pg_extern(sql = false)]
fn revoke_platform_role(user_id: Option<pgrx::Uuid>) -> Result<bool, ErrorReport> {
    platform::require_administrator()?;
    let user = given("user_id", user_id)?;
    let revoked =
        db::execute("delete from crm_private.platform_members where user_id = $1 returning 1", &[user.into()])?;
    let sessions = db::write(
        "select coalesce(array_agg(id), '{}') from crm_private.sessions where actor_id = $1 and ended_at is null",
        &[user.into()],
        |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
    )?;
    session::end(&sessions.into_iter().map(from_pg).collect::<Vec<_>>(), "logout")?;
    Ok(revoked > 0)
}

pub fn is_platform_member(user: Uuid) -> Result<bool> {
    db::select(
        "select exists (select from crm_private.platform_members where user_id = $1)",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

#[pg_extern(sql = false)]
fn impersonate(
    user_id: Option<pgrx::Uuid>,
    reason: Option<&str>,
    organization: Option<&str>,
    minutes: Option<i32>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("impersonate")?;
    let Person { user: actor, .. } = Principal::person()?;
    // Before anything is said of the user: nobody else learns who there is.
    if Principal::current().is_none_or(|current| current.platform_role.is_none()) {
        return Err(CrmError::forbidden("only the platform's support can act as a user").into());
    }
    let user = from_pg(given("user_id", user_id)?);
    let reason = text::line(given("reason", reason)?, 500).map_err(|problem| CrmError::invalid("reason", problem))?;
    if reason.is_empty() {
        return Err(CrmError::invalid("reason", "must not be empty").into());
    }
    let seconds = life(minutes)?;
    if !accounts::is_active(user)? {
        return Err(CrmError::invalid("user_id", "there is no such active user").into());
    }
    if user == actor || is_platform_member(user)? {
        return Err(CrmError::forbidden("the platform's own people cannot be impersonated").into());
    }
    let active = accounts::active_organization(user, organization)?.map_err(|refusal| match refusal.detail {
        Some(_) => refusal.into(),
        None => CrmError::forbidden("the user has no access to this organization"),
    })?;
    Ok(JsonB(accounts::welcome(user, active, &Kind::Impersonation { actor, reason, seconds })?))
}

fn life(minutes: Option<i32>) -> Result<i64> {
    let longest = Settings::current()?.impersonation_ttl;
    match minutes.map(|minutes| i64::from(minutes) * 60) {
        None => Ok(longest),
        Some(seconds) if (1..=longest).contains(&seconds) => Ok(seconds),
        Some(_) => Err(CrmError::invalid("minutes", format!("must be between 1 and {}", longest / 60))),
    }
}
