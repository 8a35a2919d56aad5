//! How a receiver knows that a webhook is ours: the Standard Webhooks specification
//! (<https://github.com/standard-webhooks/standard-webhooks>), symmetric signatures. Pure.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a secret begins with where people see it.
const PREFIX: &str = "whsec_";

/// Between 24 and 64 by the specification.
pub const SECRET: usize = 32;

/// A secret as it is told.
pub fn secret_of(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

/// `webhook-signature`: one signature for each secret, so that a receiver may have any of them while they are changed.
pub fn signatures(secrets: &[Vec<u8>], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |secret: &Vec<u8>| format!("v1,{}", STANDARD.encode(tag(secret, signed.as_bytes())));
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// `X-Webhook-Signature`: of the body alone, in hexadecimal digits, with the secret as it was told; for receivers that know no
/// other way.
pub fn plain(secret: &[u8], body: &str) -> String {
    tag(secret_of(secret).as_bytes(), body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tag(key: &[u8], content: &[u8]) -> hmac::Tag {
    hmac::sign(&Key::new(HMAC_SHA256, key), content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(secret: &str) -> Vec<u8> {
        STANDARD.decode(secret.strip_prefix(PREFIX).unwrap()).unwrap()
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let signed = signatures(&[vec![1; SECRET], vec![2; SECRET]], "a", 1, "{}");
        let parts: Vec<_> = signed.split(' ').collect();
        assert!(parts.len() == 2 && parts.iter().all(|part| part.starts_with("v1,")) && parts[0] != parts[1]);
    }

    /// By `printf '%s' '{"a":1}' | openssl dgst -sha256 -hmac whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=`.
    #[test]
    fn the_plain_signature_is_of_the_body_with_the_secret_as_it_was_told() {
        assert_eq!(secret_of(&[1; SECRET]), "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        assert_eq!(
            plain(&[1; SECRET], r#"{"a":1}"#),
            "d224fdc226cc93003692f2fbdac7890fb80fae4ab9a2c1330b153afbf41fd9b5"
        );
    }
}
