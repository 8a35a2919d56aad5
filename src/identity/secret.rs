//! Opaque secrets: refresh tokens, API keys, tokens in messages. What is stored of them is a hash. Pure.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::random::{self, NoRandomness};

/// 256 bits, so that a plain hash is enough to keep them.
pub const BYTES: usize = 32;

/// Characters of a secret's text.
pub const LENGTH: usize = 43;

/// A new secret, base64url.
pub fn generate() -> Result<String, NoRandomness> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<BYTES>()?))
}

/// What is stored of a secret.
pub fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

pub fn equal(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// The code challenge of a code verifier (RFC 7636, S256).
pub fn code_challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        BYTES
    }
}

/// The refresh token that follows this one (HKDF, RFC 5869). Whoever shows the same token within the grace gets the same
/// successor, though neither of the two is stored.
pub fn successor(token: &str, salt: &[u8]) -> Result<String, NoRandomness> {
    let mut next = [0; BYTES];
    let key = Salt::new(HKDF_SHA256, salt).extract(token.as_bytes());
    key.expand(&[b"crm_ext refresh token"], Length)
        .and_then(|output| output.fill(&mut next))
        .map_err(|_| NoRandomness)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_is_another_each_time() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_eq!((one.len(), other.len()), (LENGTH, LENGTH));
        assert_ne!(one, other);
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hex: String = hash("abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn the_code_challenge_follows_rfc_7636_appendix_b() {
        assert_eq!(
            code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_token_has_one_successor_for_each_salt() {
        let next = successor("token", b"salt").unwrap();
        assert_eq!(next, successor("token", b"salt").unwrap());
        assert_ne!(next, successor("token", b"other").unwrap());
        assert_ne!(next, successor("other", b"salt").unwrap());
        assert_eq!(next.len(), LENGTH);
    }

    #[test]
    fn equal_is_equal() {
        assert!(equal(b"same", b"same"));
        assert!(!equal(b"same", b"sane"));
        assert!(!equal(b"same", b"sam"));
    }
}
