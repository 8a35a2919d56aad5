//! The signing keys of this database: one signs, the next may be published already, retired ones verify until the last
//! token they signed has expired.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jsonwebtoken::{Algorithm, EncodingKey};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::json;

use super::answer;
use super::jwt::{self, VerifyingKey};
use super::keys::KeyPair;
use super::memory;
use super::platform;
use super::settings::Settings;
use crate::db;
use crate::error::{CrmError, Result};

pub struct SigningKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
}

/// The key that signs now.
pub fn active() -> Result<SigningKey> {
    let stored = db::select(
        "select kid, alg, private_key from crm_private.signing_keys
         where active_from <= clock_timestamp() and (retired_at is null or retired_at > clock_timestamp())
         order by active_from desc limit 1",
        &[],
        &[],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_three::<String, String, String>()?)) },
    )?;
    let Some((Some(kid), Some(alg), Some(pem))) = stored else {
        return Err(CrmError::Refused {
            message: "there is no signing key".into(),
            hint: "An administrator makes one with crm.rotate_signing_key().".into(),
        });
    };
    let damaged = || CrmError::internal("the signing key is damaged");
    let algorithm = jwt::algorithm(&alg).ok_or_else(damaged)?;
    let key = jwt::encoding_key(algorithm, &pem).map_err(|_| damaged())?;
    Ok(SigningKey { kid, algorithm, key })
}

/// The public half of a key.
pub struct PublishedKey {
    pub kid: String,
    pub key: VerifyingKey,
}

const HEADERS_MAX: usize = 64;

thread_local! {
    /// By the tokens' header, which tokens of one key share.
    static REMEMBERED: RefCell<(u64, HashMap<String, Rc<PublishedKey>>)> = RefCell::default();
}

/// The key that tokens with this header are signed with. Whether it may still verify is asked with the rest of the
/// token's context.
pub fn for_header(header: &str) -> Result<Option<Rc<PublishedKey>>> {
    let generation = memory::generation();
    let remembered = REMEMBERED.with_borrow_mut(|(under, keys)| {
        if *under != generation {
            *under = generation;
            keys.clear();
        }
        keys.get(header).cloned()
    });
    if remembered.is_some() {
        return Ok(remembered);
    }
    let Ok((kid, alg)) = jwt::key_id(header) else { return Ok(None) };
    let (found, keep_under) = memory::ask(|| find(kid, &alg))?;
    let found = found.map(Rc::new);
    if let (Some(generation), Some(key)) = (keep_under, &found) {
        REMEMBERED.with_borrow_mut(|(under, keys)| {
            if *under == generation {
                // Headers that say the same in other words are somebody's attempt to fill the memory.
                if keys.len() >= HEADERS_MAX {
                    keys.clear();
                }
                keys.insert(header.to_owned(), Rc::clone(key));
            }
        });
    }
    Ok(found)
}

/// Also by the algorithm: a token that names another than the key's is nothing to look at.
fn find(kid: String, alg: &str) -> Result<Option<PublishedKey>> {
    db::select(
        "select public_jwk from crm_private.signing_keys
         where kid = $1 and alg = $2 and (expires_at is null or expires_at > clock_timestamp())",
        &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
        &[kid.as_str().into(), alg.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let jwk = rows.first().get_one::<JsonB>()?.and_then(|JsonB(value)| serde_json::from_value(value).ok());
            let key = jwt::algorithm(alg).zip(jwk).and_then(|(algorithm, jwk)| VerifyingKey::new(algorithm, &jwk).ok());
            Ok(key.map(|key| PublishedKey { kid, key }))
        },
    )
}

#[pg_extern(sql = false)]
fn jwks() -> Result<JsonB, ErrorReport> {
    let keys = public_keys()?;
    // Whoever keeps it for longer than a new key is published ahead would meet tokens it cannot verify.
    answer::header("Cache-Control", &format!("public, max-age={}", Settings::current()?.key_lead_time));
    Ok(keys)
}

/// The key set as it is published. PostgREST takes what it cannot parse for a shared secret, so nothing but keys of
/// the kinds in [`jwt::algorithm`] may ever be in it.
pub fn public_keys() -> Result<JsonB> {
    db::select(
        "select jsonb_build_object('keys', coalesce(jsonb_agg(public_jwk order by created_at desc), '[]'))
         from crm_private.signing_keys
         where expires_at is null or expires_at > clock_timestamp()",
        &[],
        &[],
        |rows| rows.first().get_one::<JsonB>()?.ok_or_else(|| CrmError::internal("no key set")),
    )
}

#[pg_extern(sql = false)]
fn openid_configuration() -> Result<JsonB, ErrorReport> {
    let settings = Settings::current()?;
    let url = &settings.public_url;
    let algorithms = db::select(
        "select array_agg(distinct alg order by alg) from crm_private.signing_keys
         where expires_at is null or expires_at > clock_timestamp()",
        &[],
        &[],
        |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
    )?;
    Ok(JsonB(json!({
        "issuer": settings.issuer,
        "jwks_uri": format!("{url}/rpc/jwks"),
        "token_endpoint": format!("{url}/rpc/login"),
        "userinfo_endpoint": format!("{url}/rpc/me"),
        "end_session_endpoint": format!("{url}/rpc/logout"),
        "response_types_supported": [],
        "grant_types_supported": ["password", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "access_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": ["none"],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "sid", "org_id", "role", "act"],
    })))
}

#[pg_extern(sql = false)]
fn rotate_signing_key(alg: &str, revoke: bool) -> Result<String, ErrorReport> {
    platform::require("keys.update")?;
    Ok(rotate(alg, revoke)?)
}

/// Makes the next signing key.
pub fn rotate(alg: &str, revoke: bool) -> Result<String> {
    let Some(algorithm) = jwt::algorithm(alg) else {
        return Err(CrmError::invalid("alg", "must be RS256, ES256 or EdDSA"));
    };
    let settings = Settings::current()?;
    let pair = KeyPair::generate(algorithm).map_err(CrmError::internal)?;
    // Two rotations at once: the second waits here and retires what the first made. No advisory lock: anybody could hold it.
    db::run("lock table crm_private.signing_keys in share row exclusive mode")?;
    let lead_time = if revoke { 0 } else { settings.key_lead_time };
    let longest = settings.access_token_ttl.max(settings.service_token_ttl).max(settings.impersonation_ttl);
    if revoke {
        db::run(
            "update crm_private.signing_keys
             set retired_at = least(retired_at, greatest(active_from, clock_timestamp())),
                 expires_at = clock_timestamp(), private_key = null",
        )?;
    }
    // A key that was published but does not sign yet has its turn first.
    let begins = db::execute_returning::<TimestampWithTimeZone>(
        "select coalesce(max(greatest(active_from, clock_timestamp() + make_interval(secs => $1))), clock_timestamp())
         from crm_private.signing_keys where retired_at is null",
        &[(lead_time as f64).into()],
    )?;
    db::execute(
        "update crm_private.signing_keys
         set retired_at = $1, expires_at = $1 + make_interval(secs => $2) + interval '1 minute'
         where retired_at is null",
        &[begins.into(), (longest as f64).into()],
    )?;
    db::execute(
        "insert into crm_private.signing_keys (kid, alg, public_jwk, private_key, active_from) values ($1, $2, $3, $4, $5)",
        &[pair.kid.as_str().into(), alg.into(), JsonB(pair.public_jwk).into(), pair.private_pem.into(), begins.into()],
    )?;
    forget_retired()?;
    // PostgREST reads configuration and schema again. Not 'reload config' alone: when its pool is busy just then, that
    // one leaves it without any key set.
    db::run("notify pgrst")?;
    Ok(pair.kid)
}

/// A key that signs no more need not be able to.
pub fn forget_retired() -> Result<usize> {
    db::execute(
        "update crm_private.signing_keys set private_key = null
         where retired_at <= clock_timestamp() and private_key is not null",
        &[],
    )
}
