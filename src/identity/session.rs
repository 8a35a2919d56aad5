//! Sessions, the access tokens that belong to them, and the refresh tokens that keep them going.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde::Serialize;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

use super::answer::{self, given};
use super::jwt::{self, Actor, Audience, Claims, database_role};
use super::key_store;
use super::principal::{Person, Principal, from_pg, to_pg};
use super::refresh;
use super::secret;
use super::settings::Settings;
use crate::db;
use crate::edge::pre_request::client;
use crate::error::{CrmError, Result};

#[derive(Clone, Debug)]
pub enum Kind {
    /// A person logged in.
    Password,
    IdentityProvider,
    Invitation,
    /// The platform's backend acts for a person.
    Service,
    /// The platform's support acts for a person.
    Impersonation {
        actor: Uuid,
        reason: String,
        seconds: i64,
    },
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::IdentityProvider => "identity_provider",
            Self::Invitation => "invitation",
            Self::Service => "service",
            Self::Impersonation { .. } => "impersonation",
        }
    }

    /// How long its access tokens live, in seconds.
    fn token_life(&self, settings: &Settings) -> i64 {
        match self {
            Self::Service => settings.service_token_ttl,
            Self::Impersonation { seconds, .. } => *seconds,
            _ => settings.access_token_ttl,
        }
    }

    fn actor(&self) -> Option<Uuid> {
        match self {
            Self::Impersonation { actor, .. } => Some(*actor),
            _ => None,
        }
    }
}

/// The answer of RFC 6749, section 5.1.
#[derive(Serialize)]
pub struct Tokens {
    pub access_token: String,
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

#[derive(Serialize)]
pub struct Refresh {
    pub refresh_token: String,
    /// Seconds.
    pub refresh_expires_in: i64,
}

/// Opens a session of the user and gives its tokens, for one organization or, without one, for all of theirs. Only a
/// person's own session can be refreshed.
pub fn open(user: Uuid, organization: Option<Uuid>, kind: &Kind) -> Result<Tokens> {
    let settings = Settings::current()?;
    let refreshable = !matches!(kind, Kind::Service | Kind::Impersonation { .. });
    let life =
        if refreshable { settings.refresh_token_ttl.min(settings.session_max_age) } else { kind.token_life(&settings) };
    let client = client(settings.trusted_proxies);
    let reason = match kind {
        Kind::Impersonation { reason, .. } => Some(reason.as_str()),
        _ => None,
    };
    let session = db::execute_returning::<pgrx::Uuid>(
        "insert into crm_private.sessions (user_id, kind, org_id, actor_id, reason, expires_at, ip_address, user_agent)
         values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6), $7, $8)
         returning id",
        &[
            to_pg(user).into(),
            kind.name().into(),
            organization.map(to_pg).into(),
            kind.actor().map(to_pg).into(),
            reason.into(),
            (life as f64).into(),
            client.address.into(),
            client.user_agent.into(),
        ],
    )?;
    let session = session.map(from_pg).ok_or_else(|| CrmError::internal("the session was not stored"))?;
    let mut tokens = access_token(user, organization, session, kind, life)?;
    if refreshable {
        let refresh_token = new_secret()?;
        refresh::remember(&refresh_token, session)?;
        tokens.refresh = Some(Refresh { refresh_token, refresh_expires_in: life });
    }
    answer::no_store();
    Ok(tokens)
}

/// An access token of a session that is there.
pub fn access_token(user: Uuid, organization: Option<Uuid>, session: Uuid, kind: &Kind, left: i64) -> Result<Tokens> {
    let settings = Settings::current()?;
    let key = key_store::active()?;
    let now = unix_now();
    let lifetime = kind.token_life(&settings).min(left);
    let claims = Claims {
        iss: settings.issuer.clone(),
        sub: user,
        aud: Audience::new(&settings.audience, &settings.additional_audiences),
        iat: now,
        nbf: now,
        exp: now.saturating_add(lifetime),
        jti: Uuid::new_v4(),
        sid: session,
        org_id: organization,
        role: database_role(organization).into(),
        act: kind.actor().map(|sub| Actor { sub }),
    };
    let access_token = jwt::sign(&claims, &key.kid, key.algorithm, &key.key)
        .map_err(|_| CrmError::internal("the token could not be signed"))?;
    Ok(Tokens { access_token, token_type: "Bearer", expires_in: lifetime, refresh: None })
}

pub fn new_secret() -> Result<String> {
    Ok(secret::generate()?)
}

/// Ends sessions; tells how many had not ended.
pub fn end(sessions: &[Uuid], reason: &str) -> Result<usize> {
    let sessions: Vec<_> = sessions.iter().copied().map(to_pg).collect();
    db::execute(
        "with live as (
             select id from crm_private.sessions
             where id = any ($1) and ended_at is null and expires_at > clock_timestamp()
             order by id for update
         )
         update crm_private.sessions as s set ended_at = clock_timestamp(), end_reason = $2
         from live where s.id = live.id returning 1",
        &[sessions.into(), reason.into()],
    )
}

/// Ends all sessions of a user but one, also those in which they act as somebody else; tells how many had not ended.
pub fn end_all_of(user: Uuid, but: Option<Uuid>, reason: &str) -> Result<usize> {
    let sessions = db::write(
        "select coalesce(array_agg(id), '{}') from crm_private.sessions
         where (user_id = $1 or actor_id = $1) and ended_at is null and id is distinct from $2",
        &[to_pg(user).into(), but.map(to_pg).into()],
        |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
    )?;
    end(&sessions.into_iter().map(from_pg).collect::<Vec<_>>(), reason)
}

#[pg_extern(sql = false)]
fn logout(everywhere: Option<bool>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("logout")?;
    let current = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let ended = if everywhere.unwrap_or(false) {
        end_all_of(Principal::person()?.user, None, "logout")?
    } else {
        let session = current.session_id.ok_or_else(|| CrmError::forbidden("there is no session to end"))?;
        end(&[session], "logout")?
    };
    Ok(JsonB(json!({ "ended_sessions": ended })))
}

#[pg_extern(sql = false)]
fn end_session(session_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("end_session")?;
    let Person { user, .. } = Principal::person()?;
    let session = given("session_id", session_id)?;
    let own = db::select(
        "select exists (select from crm_private.sessions where id = $1 and user_id = $2)",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[session.into(), to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    let ended = if own { end(&[from_pg(session)], "logout")? } else { 0 };
    Ok(JsonB(json!({ "ended_sessions": ended })))
}

type SessionRow = (
    pgrx::Uuid,
    String,
    bool,
    TimestampWithTimeZone,
    TimestampWithTimeZone,
    TimestampWithTimeZone,
    Option<String>,
    Option<String>,
    Option<String>,
);

#[pg_extern(sql = false)]
fn my_sessions() -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(kind, String),
            name!(current, bool),
            name!(created_at, TimestampWithTimeZone),
            name!(refreshed_at, TimestampWithTimeZone),
            name!(expires_at, TimestampWithTimeZone),
            name!(ip_address, Option<String>),
            name!(user_agent, Option<String>),
            name!(reason, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let current = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let user = current.user_id.ok_or_else(|| CrmError::forbidden("only for users"))?;
    let sessions: Vec<SessionRow> = db::select(
        "select id, kind, id is not distinct from $2, created_at, refreshed_at, expires_at, ip_address, user_agent, reason
         from crm_private.sessions
         where user_id = $1 and ended_at is null and expires_at > clock_timestamp()
         order by created_at desc, id desc",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(user).into(), current.session_id.map(to_pg).into()],
        |rows| {
            let mut sessions = vec![];
            for row in rows {
                if let (Some(id), Some(kind), Some(here), Some(created), Some(refreshed), Some(expires)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)
                {
                    sessions.push((id, kind, here, created, refreshed, expires, row.get(7)?, row.get(8)?, row.get(9)?));
                }
            }
            Ok(sessions)
        },
    )?;
    Ok(TableIterator::new(sessions))
}

#[pg_extern(sql = false)]
fn switch_org(organization: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("switch_org")?;
    let Person { user, session } = Principal::person()?;
    let active = match organization {
        None => None,
        Some(named) => super::accounts::active_organization(user, Some(named))?.map_err(CrmError::from)?,
    };
    let left = db::execute_returning::<i64>(
        "update crm_private.sessions set org_id = $2 where id = $1 and ended_at is null
         returning extract(epoch from expires_at - clock_timestamp())::bigint",
        &[to_pg(session).into(), active.map(to_pg).into()],
    )?;
    let left = left.filter(|left| *left > 0).ok_or_else(|| CrmError::forbidden("the session has ended"))?;
    let tokens = access_token(user, active, session, &Kind::Password, left)?;
    answer::no_store();
    Ok(JsonB(super::accounts::with_profile(&tokens, user, active)?))
}

/// Seconds since 1970 by the server's clock, not the transaction's: a long transaction must not stretch a token.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(i64::MAX, |since| since.as_secs() as i64)
}
