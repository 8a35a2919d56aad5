//! Tokens of other issuers, verified against the key sets they publish (RFC 7515, RFC 7517, RFC 7519, OpenID Connect
//! Core 1.0) after the advice of RFC 8725. Pure: no PostgreSQL in here.

mod key_set;
#[cfg(test)]
mod tests;

use std::fmt;
use std::slice::from_ref;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

pub use super::jwt::Invalid;
use crate::text;
pub use key_set::KeySet;

/// Longer tokens are not looked at.
const TOKEN_MAX: usize = 16 * 1024;
const ISSUER_MAX: usize = 2_000;
/// OpenID Connect Core 1.0, 2.
const SUBJECT_MAX: usize = 255;
const NAME_MAX: usize = 200;
const EMAIL_MAX: usize = 254;
/// The last second of the year 9999.
const TIME_MAX: i64 = 253_402_300_799;

/// Header parameters that bring a key along, change how the token is read or have to be understood. No issuer needs
/// them, so none is.
const REFUSED: [&str; 7] = ["jku", "x5u", "x5c", "jwk", "crit", "b64", "zip"];

const ID_TYPES: [&str; 1] = ["jwt"];
const ACCESS_TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// What is trusted of an issuer.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The accepted values of `iss`; some issuers have two.
    pub issuers: Vec<String>,
    /// Names of algorithms. One that is not for the key counts for nothing, whatever it is.
    pub algorithms: Vec<String>,
    /// One of them must be in `aud`.
    pub audiences: Vec<String>,
    pub keys: KeySet,
    /// Seconds that the issuer's clock may be ahead or behind.
    pub leeway: i64,
}

/// An OpenID Connect ID token, verified (OpenID Connect Core 1.0, 3.1.3.7).
#[derive(Debug, PartialEq)]
pub struct IdToken {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    /// The issuer says that the address is the user's; never true without an address.
    pub email_verified: bool,
    pub name: Option<String>,
    pub expires_at: i64,
}

/// An access token, verified.
#[derive(Debug, PartialEq)]
pub struct AccessToken {
    pub issuer: String,
    pub subject: String,
    pub expires_at: i64,
    pub payload: Value,
}

/// Verifies an ID token. `nonce` is the one that was sent along with the request for it, if any was.
pub fn id_token(token: &str, trust: &Trust, nonce: Option<&str>, now: i64) -> Result<IdToken, Invalid> {
    let AccessToken { issuer, subject, expires_at, payload } = verified(token, trust, &ID_TYPES, now)?;
    let claims = payload.as_object().ok_or(Invalid)?;
    let authorized = match member(claims, "azp")? {
        Some(party) => trust.audiences.iter().any(|audience| audience == party),
        None => audiences(claims)?.len() == 1,
    };
    if !authorized || !claims.contains_key("iat") || !same_nonce(nonce, member(claims, "nonce")?) {
        return Err(Invalid);
    }
    let email = line(claims, "email", EMAIL_MAX);
    let email_verified = email.is_some() && claims.get("email_verified").is_some_and(is_true);
    Ok(IdToken { issuer, subject, email, email_verified, name: line(claims, "name", NAME_MAX), expires_at })
}

/// Verifies an access token.
pub fn access_token(token: &str, trust: &Trust, now: i64) -> Result<AccessToken, Invalid> {
    verified(token, trust, &ACCESS_TYPES, now)
}

/// The issuer a token says it is of. Not verified: only to look the issuer up.
pub fn issuer_of(token: &str) -> Result<String, Invalid> {
    let claims = object(&Parts::of(token)?.payload()?)?;
    let issuer = member(&claims, "iss")?.ok_or(Invalid)?;
    if is_plain(issuer, ISSUER_MAX) { Ok(issuer.to_owned()) } else { Err(Invalid) }
}

/// What ID tokens and access tokens have in common.
fn verified(token: &str, trust: &Trust, types: &[&str], now: i64) -> Result<AccessToken, Invalid> {
    let (header, payload) = signed(token, trust)?;
    let claims = object(&payload)?;
    let issuer = member(&claims, "iss")?.filter(|issuer| trust.issuers.iter().any(|trusted| trusted == issuer));
    let subject = member(&claims, "sub")?.filter(|subject| is_plain(subject, SUBJECT_MAX));
    let (issuer, subject) = (issuer.ok_or(Invalid)?.to_owned(), subject.ok_or(Invalid)?.to_owned());
    let expires_at = in_time(&claims, trust.leeway, now)?;
    let for_us = audiences(&claims)?.iter().any(|one| trust.audiences.iter().any(|trusted| trusted == one));
    // RFC 8417: a logout or another event is signed with the same keys and may look like a token otherwise.
    let is_event = claims.contains_key("events");
    if !header.is_type(types) || !for_us || is_event {
        return Err(Invalid);
    }
    Ok(AccessToken { issuer, subject, expires_at, payload: Value::Object(claims) })
}

/// Verifies the signature and gives header and payload; nothing of the payload is read before.
fn signed(token: &str, trust: &Trust) -> Result<(Header, Vec<u8>), Invalid> {
    let parts = Parts::of(token)?;
    let header = Header::parse(parts.header)?;
    if !trust.algorithms.contains(&header.algorithm) {
        return Err(Invalid);
    }
    let key = trust.keys.choose(header.key_id.as_deref(), &header.algorithm).ok_or(Invalid)?;
    if !key.verifies(&header.algorithm, parts.message.as_bytes(), &decoded(parts.signature)?) {
        return Err(Invalid);
    }
    Ok((header, parts.payload()?))
}

/// RFC 7515, 7.1: the compact serialization.
struct Parts<'a> {
    /// What is signed.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, Invalid> {
        if token.len() > TOKEN_MAX {
            return Err(Invalid);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Invalid)?;
        // A fourth part would be left in the payload, where a dot is no base64.
        let (header, payload) = message.split_once('.').ok_or(Invalid)?;
        Ok(Self { message, header, payload, signature })
    }

    fn payload(&self) -> Result<Vec<u8>, Invalid> {
        decoded(self.payload)
    }
}

struct Header {
    algorithm: String,
    key_id: Option<String>,
    typ: Option<String>,
}

impl Header {
    fn parse(encoded: &str) -> Result<Self, Invalid> {
        let members = object(&decoded(encoded)?)?;
        if REFUSED.iter().any(|name| members.contains_key(*name)) {
            return Err(Invalid);
        }
        let text = |name| member(&members, name).map(|value| value.map(str::to_owned));
        Ok(Self { algorithm: text("alg")?.ok_or(Invalid)?, key_id: text("kid")?, typ: text("typ")? })
    }

    /// A token need not say what it is, but what it says counts. `typ` is a media type: case does not matter, and
    /// "application/" may be left out (RFC 7515, 4.1.9).
    fn is_type(&self, types: &[&str]) -> bool {
        let Some(typ) = &self.typ else { return true };
        let typ = typ.to_ascii_lowercase();
        types.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
    }
}

/// `exp` of a token that has begun and not expired.
fn in_time(claims: &Map<String, Value>, leeway: i64, now: i64) -> Result<i64, Invalid> {
    let expires_at = seconds(claims, "exp")?.ok_or(Invalid)?;
    let latest = now.saturating_add(leeway);
    let begun = |time: Option<i64>| time.is_none_or(|time| time <= latest);
    let valid = expires_at.saturating_add(leeway) > now;
    if valid && begun(seconds(claims, "nbf")?) && begun(seconds(claims, "iat")?) {
        Ok(expires_at)
    } else {
        Err(Invalid)
    }
}

/// A time in whole seconds since 1970.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Invalid> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    value.as_i64().filter(|time| (0..=TIME_MAX).contains(time)).map(Some).ok_or(Invalid)
}

/// `aud`: one string or a list of strings, none of them empty.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, Invalid> {
    let audiences = match claims.get("aud") {
        Some(Value::Array(list)) => list.as_slice(),
        one => one.map(from_ref).unwrap_or_default(),
    };
    audiences.iter().map(|one| one.as_str().filter(|text| !text.is_empty()).ok_or(Invalid)).collect()
}

/// A token with a nonce where none was sent is refused, too: it was made for another request.
fn same_nonce(expected: Option<&str>, actual: Option<&str>) -> bool {
    match (expected, actual) {
        (None, None) => true,
        (Some(expected), Some(actual)) => {
            !expected.is_empty() && verify_slices_are_equal(expected.as_bytes(), actual.as_bytes()).is_ok()
        }
        _ => false,
    }
}

/// Some issuers send the boolean as text.
fn is_true(value: &Value) -> bool {
    value == true || value == "true"
}

/// One line of text about the user, or nothing: what is wrong with it is no reason to refuse the token.
fn line(claims: &Map<String, Value>, name: &str, max: usize) -> Option<String> {
    let value = claims.get(name)?.as_str()?;
    text::line(value, max).ok().filter(|line| !line.is_empty())
}

fn is_plain(value: &str, max: usize) -> bool {
    !value.is_empty() && value.chars().count() <= max && !value.chars().any(char::is_control)
}

fn decoded(part: &str) -> Result<Vec<u8>, Invalid> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Invalid)
}

/// A member that may be missing, but is text if it is there.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Invalid> {
    members.get(name).map(|value| value.as_str().ok_or(Invalid)).transpose()
}

fn object(json: &[u8]) -> Result<Map<String, Value>, Invalid> {
    serde_json::from_slice::<Members>(json).map(|members| members.0).map_err(|_| Invalid)
}

/// A JSON object without repeated names (RFC 7519, 4): of two values, another reader of the same token may see the
/// other one.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(Members(members))
    }
}
