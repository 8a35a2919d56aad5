//! Passwords: Argon2id with OWASP's parameters (m = 19 MiB, t = 2, p = 1). Pure.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::text::Checked;

/// NIST SP 800-63B: at least 8 characters, at least 64 allowed, no rules of composition, no truncation.
const LENGTH_MIN: usize = 8;
const LENGTH_MAX: usize = 256;

pub fn check(password: &str) -> Checked<()> {
    match password.chars().count() {
        length if length < LENGTH_MIN => Err(format!("too short: at least {LENGTH_MIN} characters are needed").into()),
        length if length > LENGTH_MAX => Err(format!("too long: at most {LENGTH_MAX} characters are allowed").into()),
        _ => Ok(()),
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// The hash in PHC string format.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2().hash_password(password.as_bytes(), &salt)?.to_string())
}

/// Whether the password belongs to the hash. Without a hash (no such user) the same work is done for the answer "no",
/// so that the time taken does not tell which e-mail addresses have an account.
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    let Some(parsed) = stored.and_then(|hash| PasswordHash::new(hash).ok()) else {
        let salt = [0_u8; 16];
        let mut output = [0_u8; 32];
        let _same_work = argon2().hash_password_into(password.as_bytes(), &salt, &mut output);
        return false;
    };
    argon2().verify_password(password.as_bytes(), &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let stored = hash("correct horse battery staple").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse battery staple", Some(&stored)));
        assert!(!verify("Correct horse battery staple", Some(&stored)));
        assert!(!verify("", Some(&stored)));
    }

    #[test]
    fn no_hash_or_a_damaged_one_verifies_nothing() {
        assert!(!verify("anything", None));
        assert!(!verify("anything", Some("")));
        assert!(!verify("anything", Some("$argon2id$v=19$m=19456")));
    }

    #[test]
    fn hashes_are_salted() {
        assert_ne!(hash("same password").unwrap(), hash("same password").unwrap());
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(check("1234567").is_err());
        assert!(check("äöüäöüäö").is_ok());
        assert!(check(&"x".repeat(256)).is_ok());
        assert!(check(&"x".repeat(257)).is_err());
    }
}
