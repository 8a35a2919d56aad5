//! Sessions, and the access tokens that belong to them.

use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

use super::jwt::{self, Claims};
use super::key_store;
use super::principal::{from_pg, to_pg};
use crate::db;
use crate::error::{CrmError, Result};

/// How long a password session can be used; its access tokens live much shorter.
const SESSION_LIFETIME: &str = "7 days";

#[derive(Clone, Copy)]
pub enum Kind {
    /// A person logged in.
    Password,
    /// The platform's backend acts for a person.
    Service,
}

/// The answer of RFC 6749, section 5.1.
#[derive(Serialize)]
pub struct AccessToken {
    pub access_token: String,
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
}

struct TokenSettings {
    issuer: String,
    audience: String,
    lifetime: i64,
}

/// Opens a session of the user and gives its access token, for one organization or, without one, for all of theirs.
pub fn open(user: Uuid, organization: Option<Uuid>, kind: Kind) -> Result<AccessToken> {
    let settings = token_settings(kind)?;
    let session = db::execute_returning::<pgrx::Uuid>(
        "insert into crm_private.sessions (user_id, kind, expires_at)
         values ($1, $2, now() + case $2 when 'password' then $3::interval else make_interval(secs => $4) end)
         returning id",
        &[
            to_pg(user).into(),
            match kind {
                Kind::Password => "password",
                Kind::Service => "service",
            }
            .into(),
            SESSION_LIFETIME.into(),
            (settings.lifetime as f64).into(),
        ],
    )?;
    let session = session.map(from_pg).ok_or_else(|| CrmError::internal("the session was not stored"))?;
    sign(user, organization, session, &settings)
}

fn sign(user: Uuid, organization: Option<Uuid>, session: Uuid, settings: &TokenSettings) -> Result<AccessToken> {
    let key = key_store::active()?;
    let now = unix_now();
    let mut claims = Claims {
        iss: settings.issuer.clone(),
        sub: user,
        aud: settings.audience.clone(),
        iat: now,
        nbf: now,
        exp: now.saturating_add(settings.lifetime),
        jti: Uuid::new_v4(),
        sid: session,
        org_id: organization,
        role: String::new(),
    };
    claims.role = claims.database_role().into();
    let access_token = jwt::sign(&claims, &key.kid, key.algorithm, &key.key)
        .map_err(|_| CrmError::internal("the token could not be signed"))?;
    Ok(AccessToken { access_token, token_type: "Bearer", expires_in: settings.lifetime })
}

fn token_settings(kind: Kind) -> Result<TokenSettings> {
    db::select(
        "select issuer, audience, extract(epoch from access_token_ttl)::bigint, extract(epoch from service_token_ttl)::bigint
         from crm_private.settings",
        &[],
        &[],
        |rows| {
            let missing = || CrmError::internal("crm_private.settings has no row");
            let row = rows.first();
            if row.is_empty() {
                return Err(missing());
            }
            let lifetime = match kind {
                Kind::Password => row.get::<i64>(3)?,
                Kind::Service => row.get::<i64>(4)?,
            };
            Ok(TokenSettings {
                issuer: row.get(1)?.ok_or_else(missing)?,
                audience: row.get(2)?.ok_or_else(missing)?,
                lifetime: lifetime.ok_or_else(missing)?,
            })
        },
    )
}

/// The audience of every token.
pub fn audience() -> Result<String> {
    Ok(token_settings(Kind::Password)?.audience)
}

/// Seconds since 1970 by the server's clock, not the transaction's: a long transaction must not stretch a token.
pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(i64::MAX, |since| since.as_secs() as i64)
}
