//! Tokens as an attacker would make them: any header, any payload, any key.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;

use crate::admin;

/// The key of RFC 8037, appendix A: not one of ours.
const STRANGER_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
pub const STRANGER_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub fn from_base64url(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&from_base64url(token.split('.').nth(number).unwrap())).unwrap()
}

pub fn header(token: &str) -> Value {
    part(token, 0)
}

pub fn payload(token: &str) -> Value {
    part(token, 1)
}

/// What signs a token, ours or not.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    /// The server's own key, as somebody who stole it would have it: what such a token gets is what the other checks are worth.
    pub fn stolen() -> Self {
        let pem: String =
            admin::value("select private_key from crm_private.signing_keys where retired_at is null", &[]);
        let alg: String = admin::value("select alg from crm_private.signing_keys where retired_at is null", &[]);
        let (algorithm, key) = match alg.as_str() {
            "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes())),
            "ES256" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes())),
            _ => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes())),
        };
        Self { algorithm, key: key.unwrap() }
    }

    /// The same key, used for another algorithm.
    pub fn misused(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// HMAC with whatever the attacker knows.
    pub fn hmac(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { algorithm, key: EncodingKey::from_secret(secret) }
    }

    /// A key the attacker made.
    pub fn stranger() -> Self {
        // RFC 8410: the PKCS #8 form of an Ed25519 key is this and its 32 bytes.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend(from_base64url(STRANGER_D));
        Self { algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der) }
    }

    /// A token of exactly these texts.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        self.sign_bytes(header, payload)
    }

    /// A token of exactly these bytes.
    pub fn sign_bytes(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.seal(&format!("{}.{}", base64url(header), base64url(payload)))
    }

    /// A token of this text and its signature.
    pub fn seal(&self, message: &str) -> String {
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// A copy of a JSON object with one member changed; null removes it.
pub fn with(object: &Value, member: &str, value: Value) -> Value {
    let mut copy = object.clone();
    if value.is_null() {
        copy.as_object_mut().unwrap().remove(member);
    } else {
        copy[member] = value;
    }
    copy
}

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}
