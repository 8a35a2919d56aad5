//! Access tokens (RFC 7519, RFC 9068) after the advice of RFC 8725. Pure: no PostgreSQL in here.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longer tokens than ours can be are not looked at.
const TOKEN_MAX: usize = 8 * 1024;

/// RFC 9068: says that this is an access token, so that no other kind of token is taken for one.
const TYPE: &str = "at+jwt";

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    /// The user.
    pub sub: Uuid,
    pub aud: String,
    /// Seconds since 1970, as are `nbf` and `exp`.
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: Uuid,
    /// The session.
    pub sid: Uuid,
    /// The active organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<Uuid>,
    /// The database role PostgREST switches to.
    pub role: String,
}

impl Claims {
    /// The one database role that goes with the claims.
    pub fn database_role(&self) -> &'static str {
        if self.org_id.is_some() { "crm_app" } else { "crm_multi" }
    }
}

/// What a token is measured against.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    pub issuer: String,
    pub audience: String,
    /// Seconds that `nbf` and `iat` may lie in the future; `exp` has none, the clock that set it is the one that reads it.
    pub leeway: i64,
}

/// The one thing a caller learns of a bad token is that it is bad.
#[derive(Debug, PartialEq)]
pub struct Invalid;

/// The algorithms keys are made for (RFC 7518, RFC 8037).
pub fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// The private key of PKCS #8 PEM text.
pub fn encoding_key(algorithm: Algorithm, pem: &str) -> Result<EncodingKey, jsonwebtoken::errors::Error> {
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

pub fn sign(
    claims: &Claims,
    kid: &str,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = Header { typ: Some(TYPE.into()), kid: Some(kid.into()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key)
}

/// The key a token says it is signed with. Not verified: only to look the key up.
pub fn key_id(token: &str) -> Result<String, Invalid> {
    if token.len() > TOKEN_MAX {
        return Err(Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid)?;
    if header.typ.as_deref() != Some(TYPE) {
        return Err(Invalid);
    }
    header.kid.ok_or(Invalid)
}

/// Verifies the signature with exactly this key and this key's algorithm, whatever the header says, and gives the
/// payload. What depends on time or settings is checked by [`check`], at every use.
pub fn verify(token: &str, algorithm: Algorithm, key: &Jwk) -> Result<serde_json::Value, Invalid> {
    let key = DecodingKey::from_jwk(key).map_err(|_| Invalid)?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let verified = jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation);
    verified.map(|data| data.claims).map_err(|_| Invalid)
}

pub fn check(claims: &Claims, expected: &Expectation, now: i64) -> Result<(), Invalid> {
    let in_time = claims.exp > now
        && claims.nbf <= now.saturating_add(expected.leeway)
        && claims.iat <= now.saturating_add(expected.leeway);
    if in_time && claims.iss == expected.issuer && claims.aud == expected.audience { Ok(()) } else { Err(Invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::keys::KeyPair;

    const NOW: i64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            iss: "crm_ext".into(),
            sub: Uuid::from_u128(1),
            aud: "crm".into(),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 900,
            jti: Uuid::from_u128(2),
            sid: Uuid::from_u128(3),
            org_id: Some(Uuid::from_u128(4)),
            role: "crm_app".into(),
        }
    }

    fn expected() -> Expectation {
        Expectation { issuer: "crm_ext".into(), audience: "crm".into(), leeway: 5 }
    }

    fn signed(algorithm: Algorithm, pair: &KeyPair) -> String {
        let key = encoding_key(algorithm, &pair.private_pem).unwrap();
        sign(&claims(), &pair.kid, algorithm, &key).unwrap()
    }

    fn jwk(pair: &KeyPair) -> Jwk {
        serde_json::from_value(pair.public_jwk.clone()).unwrap()
    }

    #[test]
    fn every_algorithm_signs_what_it_verifies() {
        for name in ["RS256", "ES256", "EdDSA"] {
            let algorithm = algorithm(name).unwrap();
            let pair = KeyPair::generate(algorithm).unwrap();
            let token = signed(algorithm, &pair);
            assert_eq!(key_id(&token), Ok(pair.kid.clone()), "{name}");
            let payload = verify(&token, algorithm, &jwk(&pair)).unwrap();
            assert_eq!(serde_json::from_value::<Claims>(payload).unwrap(), claims(), "{name}");
        }
    }

    #[test]
    fn another_key_or_another_algorithm_is_refused() {
        let pair = KeyPair::generate(Algorithm::ES256).unwrap();
        let other = KeyPair::generate(Algorithm::ES256).unwrap();
        let token = signed(Algorithm::ES256, &pair);
        assert_eq!(verify(&token, Algorithm::ES256, &jwk(&other)), Err(Invalid));
        assert_eq!(verify(&token, Algorithm::EdDSA, &jwk(&pair)), Err(Invalid));
        assert_eq!(verify(&token, Algorithm::RS256, &jwk(&pair)), Err(Invalid));
    }

    #[test]
    fn a_changed_token_is_refused() {
        let pair = KeyPair::generate(Algorithm::EdDSA).unwrap();
        let token = signed(Algorithm::EdDSA, &pair);
        let parts: Vec<_> = token.split('.').collect();
        for forged in [
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}A.{}", parts[0], parts[1], parts[2]),
            format!("{token}.x"),
            String::new(),
        ] {
            assert_eq!(verify(&forged, Algorithm::EdDSA, &jwk(&pair)), Err(Invalid), "{forged}");
        }
    }

    #[test]
    fn a_token_of_another_type_is_refused() {
        let pair = KeyPair::generate(Algorithm::EdDSA).unwrap();
        let key = encoding_key(Algorithm::EdDSA, &pair.private_pem).unwrap();
        let header = Header { kid: Some(pair.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let id_token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(key_id(&id_token), Err(Invalid));
        assert_eq!(key_id(&"a".repeat(100_000)), Err(Invalid));
    }

    #[test]
    fn time_issuer_and_audience_are_checked() {
        assert_eq!(check(&claims(), &expected(), NOW), Ok(()));
        assert_eq!(check(&claims(), &expected(), NOW + 899), Ok(()));
        for (now, issuer, audience) in [
            (NOW + 900, "crm_ext", "crm"),
            (NOW - 6, "crm_ext", "crm"),
            (NOW, "other", "crm"),
            (NOW, "crm_ext", "other"),
            (i64::MAX, "crm_ext", "crm"),
        ] {
            let expected = Expectation { issuer: issuer.into(), audience: audience.into(), leeway: 5 };
            assert_eq!(check(&claims(), &expected, now), Err(Invalid), "{now} {issuer} {audience}");
        }
    }

    #[test]
    fn claims_of_the_wrong_type_are_no_claims() {
        let good = serde_json::to_value(claims()).unwrap();
        for (name, value) in [
            ("exp", serde_json::json!("1900000000")),
            ("exp", serde_json::json!(1e308)),
            ("exp", serde_json::json!(null)),
            ("exp", serde_json::json!(1_900_000_000.5)),
            ("sub", serde_json::json!("admin")),
            ("aud", serde_json::json!(["crm"])),
            ("org_id", serde_json::json!("' or true --")),
            ("extra", serde_json::json!(1)),
        ] {
            let mut payload = good.clone();
            payload[name] = value;
            assert!(serde_json::from_value::<Claims>(payload).is_err(), "{name}");
        }
    }
}
