//! Access tokens (RFC 7519, RFC 9068) after the advice of RFC 8725. Pure: no PostgreSQL in here.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longer tokens than ours can be are not looked at.
const TOKEN_MAX: usize = 8 * 1024;

/// RFC 9068: says that this is an access token, so that no other kind of token is taken for one.
const TYPE: &str = "at+jwt";

/// `aud`: one service, or a list of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub fn new(first: &str, further: &[String]) -> Self {
        if further.is_empty() {
            return Self::One(first.to_owned());
        }
        Self::Several(std::iter::once(first).chain(further.iter().map(String::as_str)).map(str::to_owned).collect())
    }

    fn includes(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

/// Who acts for the subject (RFC 8693, section 4.1).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    pub sub: Uuid,
}

/// A claim too many, or one given twice, makes a token invalid.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub iss: String,
    /// The user.
    pub sub: Uuid,
    pub aud: Audience,
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
    /// Support, acting as the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

impl Claims {
    /// The one database role that goes with the claims.
    pub fn database_role(&self) -> &'static str {
        database_role(self.org_id)
    }
}

/// The database role of a user with or without an active organization.
pub fn database_role(organization: Option<Uuid>) -> &'static str {
    if organization.is_some() { "crm_app" } else { "crm_multi" }
}

/// The header our tokens have: what else a header can carry (jku, x5u, jwk, crit …) is refused, not obeyed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnHeader {
    typ: String,
    alg: String,
    kid: String,
}

/// What a token is measured against.
pub struct Expectation<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
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

/// A key that verifies, with the one algorithm it is for.
pub struct VerifyingKey {
    key: DecodingKey,
    validation: Validation,
}

impl VerifyingKey {
    pub fn new(algorithm: Algorithm, key: &Jwk) -> Result<Self, Invalid> {
        let key = DecodingKey::from_jwk(key).map_err(|_| Invalid)?;
        let mut validation = Validation::new(algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(Self { key, validation })
    }
}

/// A token's header, as it is written: tokens of one key have the same.
pub fn header_of(token: &str) -> Result<&str, Invalid> {
    if token.len() > TOKEN_MAX {
        return Err(Invalid);
    }
    token.split_once('.').map(|(header, _)| header).ok_or(Invalid)
}

/// The key that a header says its tokens are signed with, and the algorithm. Not verified: only to look the key up.
pub fn key_id(header: &str) -> Result<(String, String), Invalid> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(header).map_err(|_| Invalid)?;
    let header: OwnHeader = serde_json::from_slice(&json).map_err(|_| Invalid)?;
    if header.typ == TYPE { Ok((header.kid, header.alg)) } else { Err(Invalid) }
}

/// Verifies the signature with exactly this key and this key's algorithm, whatever the header says, and gives the
/// claims. What depends on time or settings is checked by [`check`], at every use.
pub fn verify(token: &str, key: &VerifyingKey) -> Result<Claims, Invalid> {
    let verified = jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation);
    verified.map(|data| data.claims).map_err(|_| Invalid)
}

/// The payload of a token, verified or not, as JSON.
pub fn payload(token: &str) -> Result<serde_json::Value, Invalid> {
    let payload = token.split('.').nth(1).ok_or(Invalid)?;
    let json = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|_| Invalid)?;
    serde_json::from_slice(&json).map_err(|_| Invalid)
}

pub fn check(claims: &Claims, expected: &Expectation, now: i64) -> Result<(), Invalid> {
    let in_time = claims.exp > now
        && claims.nbf <= now.saturating_add(expected.leeway)
        && claims.iat <= now.saturating_add(expected.leeway);
    if in_time && claims.iss == expected.issuer && claims.aud.includes(expected.audience) {
        Ok(())
    } else {
        Err(Invalid)
    }
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
            aud: Audience::One("crm".into()),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 900,
            jti: Uuid::from_u128(2),
            sid: Uuid::from_u128(3),
            org_id: Some(Uuid::from_u128(4)),
            role: "crm_app".into(),
            act: None,
        }
    }

    fn expected() -> Expectation<'static> {
        Expectation { issuer: "crm_ext", audience: "crm", leeway: 5 }
    }

    fn signed(algorithm: Algorithm, pair: &KeyPair) -> String {
        let key = encoding_key(algorithm, &pair.private_pem).unwrap();
        sign(&claims(), &pair.kid, algorithm, &key).unwrap()
    }

    fn verifying(pair: &KeyPair, algorithm: Algorithm) -> VerifyingKey {
        VerifyingKey::new(algorithm, &serde_json::from_value(pair.public_jwk.clone()).unwrap()).unwrap()
    }

    fn key_id_of(token: &str) -> Result<String, Invalid> {
        key_id(header_of(token)?).map(|(kid, _)| kid)
    }

    #[test]
    fn every_algorithm_signs_what_it_verifies() {
        for name in ["RS256", "ES256", "EdDSA"] {
            let algorithm = algorithm(name).unwrap();
            let pair = KeyPair::generate(algorithm).unwrap();
            let token = signed(algorithm, &pair);
            assert_eq!(key_id_of(&token), Ok(pair.kid.clone()), "{name}");
            assert_eq!(verify(&token, &verifying(&pair, algorithm)), Ok(claims()), "{name}");
            assert_eq!(payload(&token), Ok(serde_json::to_value(claims()).unwrap()), "{name}");
        }
    }

    #[test]
    fn another_key_or_another_algorithm_is_refused() {
        let pair = KeyPair::generate(Algorithm::ES256).unwrap();
        let other = KeyPair::generate(Algorithm::ES256).unwrap();
        let token = signed(Algorithm::ES256, &pair);
        assert_eq!(verify(&token, &verifying(&other, Algorithm::ES256)), Err(Invalid));
        assert_eq!(verify(&token, &verifying(&pair, Algorithm::EdDSA)), Err(Invalid));
        assert_eq!(verify(&token, &verifying(&pair, Algorithm::RS256)), Err(Invalid));
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
            assert_eq!(verify(&forged, &verifying(&pair, Algorithm::EdDSA)), Err(Invalid), "{forged}");
        }
    }

    #[test]
    fn a_token_of_another_type_is_refused() {
        let pair = KeyPair::generate(Algorithm::EdDSA).unwrap();
        let key = encoding_key(Algorithm::EdDSA, &pair.private_pem).unwrap();
        let header = Header { kid: Some(pair.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let id_token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        assert_eq!(key_id_of(&id_token), Err(Invalid));
        assert_eq!(header_of(&format!("{}.", "a".repeat(100_000))), Err(Invalid));
        assert_eq!(header_of("no token"), Err(Invalid));
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
            let expected = Expectation { issuer, audience, leeway: 5 };
            assert_eq!(check(&claims(), &expected, now), Err(Invalid), "{now} {issuer} {audience}");
        }
    }

    #[test]
    fn a_list_of_audiences_includes_ours() {
        let several = |list: &[&str]| Claims {
            aud: Audience::Several(list.iter().map(|&one| one.to_owned()).collect()),
            ..claims()
        };
        assert_eq!(check(&several(&["other", "crm"]), &expected(), NOW), Ok(()));
        assert_eq!(check(&several(&["other"]), &expected(), NOW), Err(Invalid));
        assert_eq!(check(&several(&[]), &expected(), NOW), Err(Invalid));
        assert_eq!(Audience::new("crm", &[]), Audience::One("crm".into()));
        assert_eq!(Audience::new("crm", &["x".into()]), several(&["crm", "x"]).aud);
    }

    #[test]
    fn a_header_with_more_than_ours_is_refused() {
        let encode = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
        assert!(key_id(&encode(r#"{"typ":"at+jwt","alg":"RS256","kid":"k"}"#)).is_ok());
        for header in [
            r#"{"typ":"at+jwt","alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"{"typ":"at+jwt","alg":"RS256","kid":"k","jku":"https://example.com"}"#,
            r#"{"typ":"at+jwt","alg":"RS256","kid":"k","jwk":{}}"#,
            r#"{"typ":"at+jwt","alg":"RS256","kid":"k","kid":"l"}"#,
            r#"{"typ":"at+jwt","alg":"RS256"}"#,
            r#"{"typ":"at+jwt","alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","kid":"k"}"#,
            "[]",
        ] {
            assert_eq!(key_id(&encode(header)), Err(Invalid), "{header}");
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
            ("aud", serde_json::json!(["crm", 1])),
            ("aud", serde_json::json!({})),
            ("act", serde_json::json!({ "sub": "admin" })),
            ("act", serde_json::json!({ "sub": Uuid::nil(), "act": {} })),
            ("org_id", serde_json::json!("' or true --")),
            ("extra", serde_json::json!(1)),
        ] {
            let mut payload = good.clone();
            payload[name] = value;
            assert!(serde_json::from_value::<Claims>(payload).is_err(), "{name}");
        }
    }
}
