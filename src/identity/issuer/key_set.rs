//! The keys an issuer publishes (RFC 7517), reduced to what verifies signatures. Pure: no PostgreSQL in here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{is_plain, member};
use crate::text::Checked;

const KEYS_MAX: usize = 100;
const KEY_ID_MAX: usize = 200;

/// Members of private keys (RFC 7518, 6.2.2 and 6.3.2; RFC 8037, 2) and of the newer kinds.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"];

#[derive(Clone, Debug, PartialEq)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm the key is for, if its issuer names one.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq)]
enum Material {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// Points in SEC 1 form, not compressed.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// Takes a key set as an issuer publishes it. Keys of no use here are left out, among them malformed ones
    /// (RFC 7517, 5); a private key is not: whoever published it has to make a new one.
    pub fn parse(json: &Value) -> Checked<Self> {
        let Some(members) = json.get("keys").and_then(Value::as_array) else {
            return Err("not a key set: an object with a list of keys is expected".into());
        };
        if members.len() > KEYS_MAX {
            return Err(format!("too many keys: {}, at most {KEYS_MAX} are allowed", members.len()).into());
        }
        let mut keys = Vec::new();
        for member in members {
            let member = member.as_object().ok_or("not a key set: every key is an object")?;
            if PRIVATE.iter().any(|name| member.contains_key(*name)) {
                return Err("the key set contains a private key".into());
            }
            keys.extend(Key::parse(member).filter(|key| !keys.contains(key)));
        }
        if keys.is_empty() {
            return Err("no key of the set verifies signatures: RSA (2048 to 8192 bits), EC (P-256, P-384) or \
                        Ed25519 keys are expected"
                .into());
        }
        Ok(Self(keys))
    }

    /// The key set with nothing in it but what was checked: what another reader cannot parse, it may take for a
    /// shared secret.
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.0.iter().map(Key::to_json).collect::<Vec<_>>() })
    }

    /// The one key that fits. Of several, none is tried.
    pub(super) fn choose(&self, id: Option<&str>, algorithm: &str) -> Option<&Key> {
        let fits = |key: &&Key| (id.is_none() || id == key.id.as_deref()) && key.is_for(algorithm);
        let mut fitting = self.0.iter().filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

impl Key {
    fn parse(members: &Map<String, Value>) -> Option<Self> {
        let usage = member(members, "use").ok()?;
        if usage.is_some_and(|usage| usage != "sig") || !members.get("key_ops").is_none_or(includes_verify) {
            return None;
        }
        let material = Material::parse(members)?;
        let id = member(members, "kid").ok()?;
        let algorithm = member(members, "alg").ok()?;
        if id.is_some_and(|id| !is_plain(id, KEY_ID_MAX))
            || algorithm.is_some_and(|algorithm| !material.algorithms().contains(&algorithm))
        {
            return None;
        }
        Some(Self { id: id.map(str::to_owned), algorithm: algorithm.map(str::to_owned), material })
    }

    fn to_json(&self) -> Value {
        let mut members = self.material.to_json();
        members["use"] = "sig".into();
        if let Some(id) = &self.id {
            members["kid"] = id.as_str().into();
        }
        if let Some(algorithm) = &self.algorithm {
            members["alg"] = algorithm.as_str().into();
        }
        members
    }

    fn is_for(&self, algorithm: &str) -> bool {
        self.algorithm.as_deref().is_none_or(|own| own == algorithm) && self.material.algorithms().contains(&algorithm)
    }

    pub(super) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        self.is_for(algorithm) && self.material.verifies(algorithm, message, signature)
    }
}

impl Material {
    fn parse(members: &Map<String, Value>) -> Option<Self> {
        let text = |name| members.get(name).and_then(Value::as_str);
        let bytes = |name| text(name).and_then(|value| BASE64_URL_SAFE_NO_PAD.decode(value).ok());
        match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(bytes("n")?, bytes("e")?),
            ("EC", Some("P-256")) => point(&ECDSA_P256_SHA256_FIXED, 32, bytes("x")?, bytes("y")?).map(Self::P256),
            ("EC", Some("P-384")) => point(&ECDSA_P384_SHA384_FIXED, 48, bytes("x")?, bytes("y")?).map(Self::P384),
            ("OKP", Some("Ed25519")) => bytes("x").filter(|key| key.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let ec = |curve, point: &[u8]| {
            let coordinates = point.get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
        };
        match self {
            Self::Rsa(n, e) => json!({ "kty": "RSA", "n": text(n), "e": text(e) }),
            Self::P256(point) => ec("P-256", point),
            Self::P384(point) => ec("P-384", point),
            Self::Ed25519(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key) }),
        }
    }

    /// All there are; no kind of key shares one with another.
    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Rsa(..) => &["RS256", "RS384", "PS256"],
            Self::P256(_) => &["ES256"],
            Self::P384(_) => &["ES384"],
            Self::Ed25519(_) => &["EdDSA"],
        }
    }

    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters| match self {
            Self::Rsa(n, e) => RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok(),
            _ => false,
        };
        match (self, algorithm) {
            (Self::Rsa(..), "RS256") => rsa(&RSA_PKCS1_2048_8192_SHA256),
            (Self::Rsa(..), "RS384") => rsa(&RSA_PKCS1_2048_8192_SHA384),
            (Self::Rsa(..), "PS256") => rsa(&RSA_PSS_2048_8192_SHA256),
            (Self::P256(key), "ES256") => ECDSA_P256_SHA256_FIXED.verify_sig(key, message, signature).is_ok(),
            (Self::P384(key), "ES384") => ECDSA_P384_SHA384_FIXED.verify_sig(key, message, signature).is_ok(),
            (Self::Ed25519(key), "EdDSA") => ED25519.verify_sig(key, message, signature).is_ok(),
            _ => false,
        }
    }
}

/// RFC 7517, 4.3.
fn includes_verify(operations: &Value) -> bool {
    operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"))
}

/// An RSA key within the limits of the library. With an exponent of 1, every text would be its own signature.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Material> {
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    let exponent = e.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)))?;
    let minimal = n.first() != Some(&0) && e.first() != Some(&0);
    let odd = n.last()? % 2 == 1 && exponent % 2 == 1;
    let in_range = (2048..=8192).contains(&bits) && (3..1 << 33).contains(&exponent);
    (minimal && odd && in_range).then_some(Material::Rsa(n, e))
}

/// A point on the curve, each coordinate in its full length.
fn point(curve: &'static dyn VerificationAlgorithm, length: usize, x: Vec<u8>, y: Vec<u8>) -> Option<Vec<u8>> {
    if x.len() != length || y.len() != length {
        return None;
    }
    let point = [vec![4], x, y].concat();
    ParsedPublicKey::new(curve, &point).is_ok().then_some(point)
}
