//! Refresh tokens: each is used once and gives the next; the use of an earlier one ends the session (RFC 9700, 4.14.2).

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::accounts;
use super::answer::{self, given};
use super::principal::{from_pg, to_pg};
use super::secret;
use super::session::{self, Kind, Refresh, access_token};
use super::settings::Settings;
use crate::db;
use crate::error::{CrmError, Refusal, Result};
use crate::random;

/// Notes a new refresh token of a session.
pub fn remember(refresh_token: &str, session: Uuid) -> Result<()> {
    db::execute(
        "insert into crm_private.refresh_tokens (hash, session_id) values ($1, $2)",
        &[secret::hash(refresh_token).into(), to_pg(session).into()],
    )?;
    Ok(())
}

/// A refresh token as it is stored, its session locked.
struct Family {
    session: Uuid,
    user: Uuid,
    organization: Option<Uuid>,
    /// Seconds until the session has to end.
    left: i64,
    /// Seconds since the token was used, and what its successor is derived with.
    used: Option<(f64, Option<Vec<u8>>)>,
}

/// Whose turn is over, or a refresh token that nobody has.
const NOT_VALID: &str = "the refresh token is not valid";

#[pg_extern(sql = false)]
fn refresh_token(refresh_token: Option<&str>, organization: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("refresh_token")?;
    let token = given("refresh_token", refresh_token)?;
    let settings = Settings::current()?;
    let Some(family) = find_family(token)? else {
        return Ok(answer::refuse(401, "28000", NOT_VALID));
    };
    let within_grace = |since: f64| since <= settings.refresh_grace as f64;
    let salt = match &family.used {
        None => None,
        // The reply may have been lost, or a second tab was as fast.
        Some((since, Some(salt))) if within_grace(*since) => Some(salt.clone()),
        Some(_) => {
            // One of two holders of this token is a thief (RFC 9700, 4.14.2): both are out.
            session::end(&[family.session], "refresh_token_reused")?;
            return Ok(answer::refuse(401, "28000", NOT_VALID));
        }
    };
    let active = match go_on_in(&family, organization)? {
        Ok(active) => active,
        Err(refusal) => return Ok(answer::refuse_for(&refusal)),
    };
    let next = match salt {
        Some(salt) => secret::successor(token, &salt).map_err(|_| CrmError::internal("no successor"))?,
        None => rotate(token, &family)?,
    };
    let life = settings.refresh_token_ttl.min(family.left);
    db::execute(
        "update crm_private.sessions
         set refreshed_at = clock_timestamp(), org_id = $2, expires_at = clock_timestamp() + make_interval(secs => $3)
         where id = $1",
        &[to_pg(family.session).into(), active.map(to_pg).into(), (life as f64).into()],
    )?;
    let mut tokens = access_token(family.user, active, family.session, &Kind::Password, life)?;
    tokens.refresh = Some(Refresh { refresh_token: next, refresh_expires_in: life });
    answer::no_store();
    Ok(JsonB(answer::to_json(&tokens)?))
}

/// Locks the session, and so all of its tokens: a second use waits here for the first.
fn find_family(token: &str) -> Result<Option<Family>> {
    let hash = secret::hash(token);
    let known = db::execute(
        "select from crm_private.sessions
         where id = (select session_id from crm_private.refresh_tokens where hash = $1) for update",
        &[hash.clone().into()],
    )?;
    if known == 0 {
        return Ok(None);
    }
    db::write(
        "select s.id, s.user_id, s.org_id,
             extract(epoch from s.created_at + make_interval(secs => $2) - clock_timestamp())::bigint,
             extract(epoch from clock_timestamp() - t.used_at)::float8, t.successor_salt
         from crm_private.refresh_tokens as t
         join crm_private.sessions as s on s.id = t.session_id
         join crm.users as u on u.id = s.user_id
         where t.hash = $1 and s.ended_at is null and s.expires_at > clock_timestamp() and u.status = 'active'
             and s.created_at + make_interval(secs => $2) > clock_timestamp()",
        &[hash.into(), (Settings::current()?.session_max_age as f64).into()],
        |rows| {
            let row = rows.first();
            if row.is_empty() {
                return Ok(None);
            }
            let (Some(session), Some(user)) = (row.get::<pgrx::Uuid>(1)?, row.get::<pgrx::Uuid>(2)?) else {
                return Ok(None);
            };
            let salt = row.get::<Vec<u8>>(6)?;
            Ok(Some(Family {
                session: from_pg(session),
                user: from_pg(user),
                organization: row.get::<pgrx::Uuid>(3)?.map(from_pg),
                left: row.get(4)?.unwrap_or(0),
                used: row.get::<f64>(5)?.map(|since| (since, salt)),
            }))
        },
    )
}

/// The organization to go on in: the one that is named, or the last one as long as the user is in it.
fn go_on_in(family: &Family, named: Option<&str>) -> Result<Result<Option<Uuid>, Refusal>> {
    let last = family.organization.map(|id| id.to_string());
    let wanted = named.or(last.as_deref());
    match accounts::active_organization(family.user, wanted)? {
        // It was not asked for: the user has left it meanwhile, or it was stopped, and they start as after a login.
        Err(_) if named.is_none() => accounts::active_organization(family.user, None),
        // Across all of them it was, and stays.
        Ok(_) if wanted.is_none() => Ok(Ok(None)),
        found => Ok(found),
    }
}

/// Uses the token up and stores its successor. What gave this one again is forgotten: whoever shows the one before is
/// late by a whole turn.
fn rotate(token: &str, family: &Family) -> Result<String> {
    let salt = random::bytes::<{ secret::BYTES }>()?;
    let next = secret::successor(token, &salt).map_err(|_| CrmError::internal("no successor"))?;
    db::execute(
        "update crm_private.refresh_tokens set successor_salt = null where session_id = $1 and successor_salt is not null",
        &[to_pg(family.session).into()],
    )?;
    db::execute(
        "update crm_private.refresh_tokens set used_at = clock_timestamp(), successor_salt = $2 where hash = $1",
        &[secret::hash(token).into(), salt.to_vec().into()],
    )?;
    remember(&next, family.session)?;
    Ok(next)
}
