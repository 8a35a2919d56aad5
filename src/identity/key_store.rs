//! The signing keys of this database: one signs, retired ones verify until the last token they signed has expired.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};

use super::jwt;
use super::keys::KeyPair;
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
        "select kid, alg, private_key from crm_private.signing_keys where retired_at is null",
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

/// The public half of a key that may still verify.
pub fn find(kid: &str) -> Result<Option<(Algorithm, Jwk)>> {
    db::select(
        "select alg, public_jwk from crm_private.signing_keys
         where kid = $1 and (expires_at is null or expires_at > clock_timestamp())",
        &[PgBuiltInOids::TEXTOID],
        &[kid.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let (alg, jwk) = rows.first().get_two::<String, JsonB>()?;
            let algorithm = alg.as_deref().and_then(jwt::algorithm);
            let jwk = jwk.and_then(|JsonB(value)| serde_json::from_value(value).ok());
            Ok(algorithm.zip(jwk))
        },
    )
}

#[pg_extern(sql = false)]
fn jwks() -> Result<JsonB, ErrorReport> {
    Ok(public_keys()?)
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
fn rotate_signing_key(alg: &str) -> Result<String, ErrorReport> {
    let Some(algorithm) = jwt::algorithm(alg) else {
        return Err(CrmError::invalid("alg", "must be RS256, ES256 or EdDSA").into());
    };
    let pair = KeyPair::generate(algorithm).map_err(CrmError::internal)?;
    // Two rotations at once: the second waits here and retires what the first made. No advisory lock: anybody could hold it.
    db::run("lock table crm_private.signing_keys in share row exclusive mode")?;
    db::execute(
        "update crm_private.signing_keys
         set retired_at = now(),
             private_key = null,
             expires_at = now() + (select greatest(access_token_ttl, service_token_ttl) from crm_private.settings)
                 + interval '1 minute'
         where retired_at is null",
        &[],
    )?;
    db::execute(
        "insert into crm_private.signing_keys (kid, alg, public_jwk, private_key) values ($1, $2, $3, $4)",
        &[pair.kid.clone().into(), alg.into(), JsonB(pair.public_jwk).into(), pair.private_pem.into()],
    )?;
    // PostgREST reads configuration and schema again. Not 'reload config' alone: when its pool is busy just then, that
    // one leaves it without any key set.
    db::run("notify pgrst")?;
    Ok(pair.kid)
}
