//! Passwords: Argon2id, and bcrypt where the hash was made elsewhere. Pure.

use std::borrow::Cow;
use std::hint::black_box;
use std::str::FromStr;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use bcrypt::HashParts;
use memmap2::MmapMut;
use zxcvbn::zxcvbn;

use crate::text::Checked;

/// NIST SP 800-63B: at least 64 characters are allowed, there are no rules of composition and no truncation.
const LENGTH_MAX: usize = 256;
/// Passwords that a guesser finds within so many attempts are refused: as many as the list of known passwords has.
const GUESSES: u64 = 30_000;
/// No password on that list is longer.
const COMMON_LENGTH_MAX: usize = 20;

/// What the work for one hash is limited to, whoever made it: 256 MiB, and seconds rather than minutes.
const MEMORY_KIB_MAX: u32 = 262_144;
const ITERATIONS_MAX: u32 = 20;
/// About a second.
const WORK_MAX: u32 = 1_048_576;
const PARALLELISM_MAX: u32 = 16;
const BCRYPT_COST_MIN: u32 = 4;
const BCRYPT_COST_MAX: u32 = 14;

const OUTPUT_LENGTH: usize = Params::DEFAULT_OUTPUT_LEN;

/// Why there is no hash, in words.
pub type Error = Cow<'static, str>;

/// What new hashes cost; kept in crm_private.settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

/// What OWASP recommends.
impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Cost {
    fn params(&self, output_length: usize) -> Checked<Params> {
        // `Params::new` multiplies the parallelism unchecked, so the limits come first.
        at_most("memory in KiB", self.memory_kib, MEMORY_KIB_MAX)?;
        at_most("iterations", self.iterations, ITERATIONS_MAX)?;
        at_most("memory in KiB times iterations", self.memory_kib.saturating_mul(self.iterations), WORK_MAX)?;
        at_most("parallelism", self.parallelism, PARALLELISM_MAX)?;
        Params::new(self.memory_kib, self.iterations, self.parallelism, Some(output_length))
            .map_err(|problem| problem.to_string().into())
    }
}

fn at_most(what: &str, value: u32, max: u32) -> Checked<()> {
    if value > max { Err(format!("{what}: {value}, at most {max} is allowed").into()) } else { Ok(()) }
}

/// What a new password must be; kept in crm_private.settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    pub length_min: usize,
}

/// Whether the password may be chosen: long enough, not one of the commonest, and nothing of what is known `about` its
/// user, such as the e-mail address (or the part before the @) and the name.
pub fn check(password: &str, rules: &Rules, about: &[&str]) -> Checked<()> {
    match password.chars().count() {
        length if length < rules.length_min => {
            Err(format!("too short: at least {} characters are needed", rules.length_min).into())
        }
        length if length > LENGTH_MAX => Err(format!("too long: at most {LENGTH_MAX} characters are allowed").into()),
        _ if is_common(password) => Err("one of the commonest passwords: choose another".into()),
        _ if is_among(password, about) => Err("too close to your e-mail or name: choose another".into()),
        _ => Ok(()),
    }
}

fn is_common(password: &str) -> bool {
    let password = password.trim().to_lowercase();
    // The estimate takes time with the square of the length.
    password.chars().nth(COMMON_LENGTH_MAX).is_none() && zxcvbn(&password, &[]).guesses() <= GUESSES
}

fn is_among(password: &str, about: &[&str]) -> bool {
    let password = plain(password);
    let local_parts = about.iter().filter_map(|known| Some(known.rsplit_once('@')?.0));
    !password.is_empty() && about.iter().copied().chain(local_parts).any(|known| plain(known) == password)
}

/// Letters and digits alone, in lower case.
fn plain(value: &str) -> String {
    value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The hash in PHC string format.
pub fn hash(password: &str, cost: &Cost) -> Result<String, Error> {
    let params = cost.params(OUTPUT_LENGTH)?;
    let salt = SaltString::generate(&mut OsRng);
    let output = derive(password, &bytes_of(salt.as_salt())?, Version::V0x13, &params)?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(in_words)?,
        salt: Some(salt.as_salt()),
        hash: Some(output),
    };
    Ok(phc.to_string())
}

fn derive(password: &str, salt: &[u8], version: Version, params: &Params) -> Checked<Output> {
    // Of the system's and given back to it: pieces of this size in the heap, between what lives longer, would make it grow
    // with each log-in. An allocation there that fails would abort the process, and PostgreSQL restart every other.
    let size = params.block_count() * Block::SIZE;
    let mut memory = MmapMut::map_anon(size).map_err(|_| "not enough memory")?;
    // SAFETY: any bytes are blocks.
    let (_, blocks, _) = unsafe { memory.align_to_mut::<Block>() };

    let argon2 = Argon2::new(Algorithm::Argon2id, version, params.clone());
    let length = params.output_len().unwrap_or(OUTPUT_LENGTH);
    let output = Output::init_with(length, |output| {
        Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut *blocks)?)
    });
    output.map_err(in_words)
}

fn bytes_of(salt: Salt<'_>) -> Checked<Vec<u8>> {
    let mut buffer = [0; Salt::MAX_LENGTH];
    Ok(salt.decode_b64(&mut buffer).map_err(in_words)?.to_vec())
}

fn in_words(problem: argon2::password_hash::Error) -> Cow<'static, str> {
    problem.to_string().into()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub right: bool,
    /// The password is right, but its hash is not what `hash` would make of it now.
    pub rehash: bool,
}

/// Whether the password belongs to the hash. Without a hash (no such user) the same work is done for the answer "no",
/// so that the time taken does not tell which e-mail addresses have an account.
pub fn verify(password: &str, stored: Option<&str>, cost: &Cost) -> Outcome {
    // A longer one was never accepted, so it is no password; the work is done all the same.
    let fits = password.chars().nth(LENGTH_MAX).is_none();
    let password = if fits { password } else { "" };
    let wanted = cost.params(OUTPUT_LENGTH);

    let Some(stored) = stored.and_then(|hash| read(hash).ok()) else {
        let _same_work = black_box(derive(password, &[0; 16], Version::V0x13, &wanted.unwrap_or_default()));
        return Outcome { right: false, rehash: false };
    };
    let right = stored.belongs_to(password) && fits;
    Outcome { right, rehash: right && wanted.is_ok_and(|wanted| !stored.is_made_with(&wanted)) }
}

/// Whether a hash made elsewhere can be taken over: bcrypt or Argon2id, of bounded cost. What cannot be taken over
/// verifies nothing.
pub fn acceptable_hash(stored: &str) -> Checked<()> {
    read(stored).map(drop)
}

/// A hash that is whole, and whose work is bounded.
enum Stored<'a> {
    Bcrypt(&'a str),
    Argon2id { version: Version, params: Params, salt: Vec<u8>, output: Output },
}

impl Stored<'_> {
    fn belongs_to(&self, password: &str) -> bool {
        match self {
            Stored::Bcrypt(hash) => {
                // bcrypt repeats its key, NUL between: "a\0a" and "a" are one to it.
                let whole = !password.contains('\0');
                // Bytes after the 72nd do not count, as everywhere else.
                bcrypt::verify(if whole { password } else { "" }, hash).unwrap_or(false) && whole
            }
            // An `Output` is compared in constant time.
            Stored::Argon2id { version, params, salt, output } => {
                derive(password, salt, *version, params).is_ok_and(|derived| derived == *output)
            }
        }
    }

    fn is_made_with(&self, wanted: &Params) -> bool {
        matches!(self, Stored::Argon2id { version: Version::V0x13, params, .. } if params == wanted)
    }
}

fn read(stored: &str) -> Checked<Stored<'_>> {
    match stored.split('$').nth(1) {
        Some("argon2id") => read_argon2id(stored),
        Some("2a" | "2b" | "2y") => read_bcrypt(stored),
        // $2x$ stands for a miscalculation of 2011 that nobody offers any more.
        _ => Err("neither bcrypt ($2a$, $2b$, $2y$) nor argon2id in PHC format".into()),
    }
}

fn read_bcrypt(stored: &str) -> Checked<Stored<'_>> {
    let parts = HashParts::from_str(stored).map_err(|problem| problem.to_string())?;
    match parts.get_cost() {
        BCRYPT_COST_MIN..=BCRYPT_COST_MAX => Ok(Stored::Bcrypt(stored)),
        cost => Err(format!("bcrypt cost: {cost}, {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX} are allowed").into()),
    }
}

fn read_argon2id(stored: &str) -> Checked<Stored<'_>> {
    let hash = PasswordHash::new(stored).map_err(|problem| format!("not in PHC format: {problem}"))?;
    // Without a version the reference implementation means 16, the library 19.
    let version = hash.version.ok_or("the version is missing: v=19 is needed")?;
    let version = Version::try_from(version).map_err(|_| "unknown version of argon2id: v=19 is needed")?;
    // Key identifier and associated data would go into the hash, and the library leaves them out.
    if hash.params.iter().count() > 3 {
        return Err("parameters other than m, t and p are not allowed".into());
    }
    let parameter = |name: &str| hash.params.get_decimal(name).ok_or(format!("{name} is missing or not a number"));
    let cost = Cost { memory_kib: parameter("m")?, iterations: parameter("t")?, parallelism: parameter("p")? };
    let output = hash.hash.ok_or("the hash is missing at its end")?;
    let salt = bytes_of(hash.salt.ok_or("the salt is missing")?)?;
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(format!("the salt is too short: at least {} bytes are needed", argon2::MIN_SALT_LEN).into());
    }
    Ok(Stored::Argon2id { version, params: cost.params(output.len())?, salt, output })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, iterations: 1, parallelism: 1 };
    const RULES: Rules = Rules { length_min: 8 };

    const WRONG: Outcome = Outcome { right: false, rehash: false };
    const RIGHT: Outcome = Outcome { right: true, rehash: false };
    const REHASH: Outcome = Outcome { right: true, rehash: true };

    /// Of the test of the reference implementation (phc-winner-argon2, src/test.c).
    const ARGON2ID: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    const ARGON2ID_COST: Cost = Cost { memory_kib: 256, iterations: 2, parallelism: 1 };

    /// Of the test of crypt_blowfish (wrapper.c).
    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn refusal(password: &str, about: &[&str]) -> String {
        check(password, &RULES, about).unwrap_err().into_owned()
    }

    #[test]
    fn a_new_hash_costs_what_owasp_recommends() {
        let stored = hash("correct horse battery staple", &Cost::default()).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify("correct horse battery staple", Some(&stored), &Cost::default()), RIGHT);
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let stored = hash("correct horse battery staple", &CHEAP).unwrap();
        assert_eq!(verify("correct horse battery staple", Some(&stored), &CHEAP), RIGHT);
        for other in ["Correct horse battery staple", "correct horse battery staple ", "correct horse battery", ""] {
            assert_eq!(verify(other, Some(&stored), &CHEAP), WRONG, "{other:?}");
        }
    }

    #[test]
    fn hashes_are_salted() {
        assert_ne!(hash("same password", &CHEAP).unwrap(), hash("same password", &CHEAP).unwrap());
    }

    #[test]
    fn the_vectors_of_argon2id_verify() {
        let two_lanes = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
        for stored in [ARGON2ID, two_lanes] {
            assert_eq!(acceptable_hash(stored), Ok(()));
            assert!(verify("password", Some(stored), &CHEAP).right, "{stored}");
            assert!(!verify("Password", Some(stored), &CHEAP).right, "{stored}");
        }
    }

    #[test]
    fn the_vectors_of_bcrypt_verify() {
        // Of crypt_blowfish, then of jBCrypt (TestBCrypt.java).
        for (password, stored) in [
            ("U*U", BCRYPT),
            ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
            ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
            ("", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ] {
            for prefix in ["$2a$", "$2b$", "$2y$"] {
                let stored = stored.replacen("$2a$", prefix, 1);
                assert_eq!(acceptable_hash(&stored), Ok(()));
                assert_eq!(verify(password, Some(&stored), &CHEAP), REHASH, "{stored}");
                assert_eq!(verify("U*V", Some(&stored), &CHEAP), WRONG, "{stored}");
            }
        }
    }

    #[test]
    fn bcrypt_looks_at_72_bytes() {
        // Of crypt_blowfish.
        let stored = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
        let bytes72 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        assert_eq!(verify(&format!("{bytes72}chars after 72 are ignored"), Some(stored), &CHEAP), REHASH);
        assert_eq!(verify(bytes72, Some(stored), &CHEAP), REHASH);
        assert_eq!(verify(&bytes72[..71], Some(stored), &CHEAP), WRONG);
        // The 72nd byte is the first half of a letter.
        assert_eq!(verify(&format!("{}ä", &bytes72[..71]), Some(stored), &CHEAP), WRONG);
    }

    #[test]
    fn bcrypt_verifies_no_password_with_nul() {
        for other in ["U*U\0", "U*U\0U*U", "U*U\0anything", "\0U*U", "\0"] {
            assert_eq!(verify(other, Some(BCRYPT), &CHEAP), WRONG, "{other:?}");
        }
        let empty = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy";
        assert_eq!(verify("\0", Some(empty), &CHEAP), WRONG);
    }

    #[test]
    fn argon2id_takes_nul_as_any_other_character() {
        let stored = hash("eight\0characters", &CHEAP).unwrap();
        assert_eq!(verify("eight\0characters", Some(&stored), &CHEAP), RIGHT);
        assert_eq!(verify("eight", Some(&stored), &CHEAP), WRONG);
    }

    #[test]
    fn a_hash_of_another_cost_is_made_anew() {
        assert_eq!(verify("password", Some(ARGON2ID), &ARGON2ID_COST), RIGHT);
        for other in [
            Cost { memory_kib: 255, ..ARGON2ID_COST },
            Cost { iterations: 1, ..ARGON2ID_COST },
            Cost { parallelism: 2, ..ARGON2ID_COST },
        ] {
            assert_eq!(verify("password", Some(ARGON2ID), &other), REHASH, "{other:?}");
            assert_eq!(verify("wrong", Some(ARGON2ID), &other), WRONG, "{other:?}");
        }
    }

    #[test]
    fn a_hash_of_another_version_or_length_is_made_anew() {
        for (version, length) in [(Version::V0x10, 32), (Version::V0x13, 16), (Version::V0x13, 64)] {
            let params = CHEAP.params(length).unwrap();
            let output = derive("password", b"somesalt", version, &params).unwrap();
            let stored = format!("$argon2id$v={}$m=64,t=1,p=1$c29tZXNhbHQ${output}", u32::from(version));
            assert_eq!(acceptable_hash(&stored), Ok(()));
            assert_eq!(verify("password", Some(&stored), &CHEAP), REHASH, "{stored}");
        }
    }

    #[test]
    fn nothing_is_made_anew_at_a_cost_that_is_not_allowed() {
        let too_much = Cost { memory_kib: MEMORY_KIB_MAX + 1, ..CHEAP };
        assert_eq!(verify("U*U", Some(BCRYPT), &too_much), RIGHT);
        assert_eq!(verify("password", Some(ARGON2ID), &too_much), RIGHT);
    }

    #[test]
    fn no_hash_is_made_at_a_cost_that_verify_would_refuse() {
        for bad in [
            Cost { memory_kib: MEMORY_KIB_MAX + 1, ..CHEAP },
            Cost { memory_kib: 7, ..CHEAP },
            Cost { memory_kib: 64, parallelism: 9, ..CHEAP },
            Cost { iterations: 0, ..CHEAP },
            Cost { iterations: ITERATIONS_MAX + 1, ..CHEAP },
            Cost { parallelism: 0, ..CHEAP },
            Cost { memory_kib: 1024, parallelism: PARALLELISM_MAX + 1, ..CHEAP },
            Cost { parallelism: u32::MAX, ..CHEAP },
        ] {
            assert!(hash("correct horse", &bad).is_err(), "{bad:?}");
        }
        let most = Cost { memory_kib: 128, iterations: ITERATIONS_MAX, parallelism: PARALLELISM_MAX };
        let stored = hash("correct horse", &most).unwrap();
        assert_eq!(verify("correct horse", Some(&stored), &most), RIGHT);
    }

    #[test]
    fn no_hash_or_a_damaged_one_verifies_nothing() {
        assert_eq!(verify("anything", None, &CHEAP), WRONG);
        for end in 0..ARGON2ID.len() {
            assert_eq!(verify("password", Some(&ARGON2ID[..end]), &CHEAP), WRONG, "{end}");
        }
        for end in 0..BCRYPT.len() {
            assert_eq!(verify("U*U", Some(&BCRYPT[..end]), &CHEAP), WRONG, "{end}");
        }
    }

    #[test]
    fn a_password_without_a_usable_hash_takes_as_long() {
        let cost = Cost { memory_kib: 2048, iterations: 2, parallelism: 1 };
        let stored = hash("correct horse", &cost).unwrap();
        let time = |password: &str, stored: Option<&str>| {
            let start = Instant::now();
            verify(password, stored, &cost);
            start.elapsed()
        };
        let known = time("correct horse", Some(&stored));
        // Without the work it would be a thousandth.
        assert!(time("correct horse", None) > known / 10);
        assert!(time("correct horse", Some("")) > known / 10);
        assert!(time("correct horse", Some(&stored[..60])) > known / 10);
        assert!(time(&"x".repeat(257), Some(&stored)) > known / 10);
    }

    #[test]
    fn a_password_of_more_than_256_characters_is_never_right() {
        let params = CHEAP.params(OUTPUT_LENGTH).unwrap();
        for (password, right) in [("ä".repeat(256), true), ("ä".repeat(257), false)] {
            let output = derive(&password, b"somesalt", Version::V0x13, &params).unwrap();
            let stored = format!("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ${output}");
            assert_eq!(verify(&password, Some(&stored), &CHEAP).right, right);
        }
        let of_nothing = hash("", &CHEAP).unwrap();
        assert_eq!(verify(&"x".repeat(257), Some(&of_nothing), &CHEAP), WRONG);
    }

    #[test]
    fn a_hash_is_taken_over_up_to_a_cost() {
        let argon2id = |params: &str| ARGON2ID.replacen("m=256,t=2,p=1", params, 1);
        let bcrypt = |cost: &str| BCRYPT.replacen("$05$", cost, 1);
        for good in [argon2id("m=262144,t=4,p=16"), argon2id("m=8,t=1,p=1"), bcrypt("$04$"), bcrypt("$14$")] {
            assert_eq!(acceptable_hash(&good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            (argon2id("m=262144,t=5,p=1"), "memory in KiB times iterations: 1310720, at most 1048576 is allowed"),
            (argon2id("m=262145,t=2,p=1"), "memory in KiB: 262145, at most 262144 is allowed"),
            (argon2id("m=4294967295,t=1,p=1"), "memory in KiB: 4294967295, at most 262144 is allowed"),
            (argon2id("m=256,t=21,p=1"), "iterations: 21, at most 20 is allowed"),
            (argon2id("m=256,t=2,p=17"), "parallelism: 17, at most 16 is allowed"),
            (argon2id("m=256,t=2,p=536870912"), "parallelism: 536870912, at most 16 is allowed"),
            (argon2id("m=7,t=2,p=1"), "memory cost is too small"),
            (argon2id("m=256,t=0,p=1"), "time cost is too small"),
            (argon2id("m=256,t=2,p=0"), "not enough threads"),
            (bcrypt("$03$"), "bcrypt cost: 3, 4 to 14 are allowed"),
            (bcrypt("$15$"), "bcrypt cost: 15, 4 to 14 are allowed"),
            (bcrypt("$31$"), "bcrypt cost: 31, 4 to 14 are allowed"),
        ] {
            assert_eq!(acceptable_hash(&bad).unwrap_err(), reason, "{bad}");
            assert_eq!(verify("password", Some(&bad), &CHEAP), WRONG, "{bad}");
        }
    }

    #[test]
    fn what_is_no_hash_of_a_known_kind_is_not_taken_over() {
        for bad in [
            "",
            "$",
            "plain text",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "$1$etNnh7FA$OlM7eljE/B7F1J4XYNnk81",
            "$5$MnfsQ4iN$ZMTppKN16y/tIsUYs/obHlhdP.Os80yXhTurpBMUbA5",
            "$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOä",
            "$2a$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
            "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=18$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1,data=aaaa$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
        ] {
            assert!(acceptable_hash(bad).is_err(), "{bad:?}");
            assert_eq!(verify("password", Some(bad), &CHEAP), WRONG, "{bad:?}");
            assert_eq!(verify("U*U", Some(bad), &CHEAP), WRONG, "{bad:?}");
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        let long = "kzq ß ".repeat(43);
        assert_eq!(refusal("1234567", &[]), "too short: at least 8 characters are needed");
        assert_eq!(refusal("äöüxyz7", &[]), "too short: at least 8 characters are needed");
        assert!(check("äöüxyzq7", &RULES, &[]).is_ok());
        assert!(check(&long[..long.len() - 2 - 1], &RULES, &[]).is_ok());
        assert_eq!(refusal(&long, &[]), "too long: at most 256 characters are allowed");
    }

    #[test]
    fn the_least_length_is_a_setting() {
        assert!(check("correct horse", &Rules { length_min: 13 }, &[]).is_ok());
        let refused = check("correct horse", &Rules { length_min: 14 }, &[]);
        assert_eq!(refused.unwrap_err(), "too short: at least 14 characters are needed");
    }

    #[test]
    fn the_commonest_passwords_are_refused_in_any_case() {
        for common in [
            "password",
            "password1",
            "Password123",
            "12345678",
            "1234567890",
            "iloveyou",
            "ILoveYou",
            "sunshine1",
            "qwertyuiop",
            "1q2w3e4r",
            "trustno1",
            " TrustNo1\n",
            "PASSWORD",
            "aaaaaaaa",
            "12341234",
        ] {
            assert_eq!(refusal(common, &[]), "one of the commonest passwords: choose another", "{common:?}");
        }
    }

    #[test]
    fn other_passwords_are_allowed_whatever_they_consist_of() {
        for good in [
            "password of ann",
            "correct horse",
            "correct horse battery staple",
            "kzq-passphrase-1",
            "vhzkrtwq",
            "91730468",
            "пароль анны",
            &"kzq ß ".repeat(20),
        ] {
            assert_eq!(check(good, &RULES, &["ann@example.com", "Ann Lee"]), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn a_password_is_not_what_is_known_about_its_user() {
        let about = ["Ann.Lee-Miller@example.com", "Ännchen Kowalczyk"];
        for close in [
            "ann.lee-miller@example.com",
            "Ann.Lee-Miller",
            "annleemiller",
            " ANN LEE MILLER ",
            "ännchen kowalczyk",
            "ÄnnchenKowalczyk!",
        ] {
            assert_eq!(refusal(close, &about), "too close to your e-mail or name: choose another", "{close:?}");
            assert_eq!(check(close, &RULES, &["someone@example.com", "Someone Else"]), Ok(()), "{close:?}");
        }
    }

    #[test]
    fn what_is_unknown_about_a_user_forbids_nothing() {
        assert_eq!(check("§$%&/()=?", &RULES, &["", "@", "-"]), Ok(()));
    }
}
