//! What the HTTP tests share: actors who register and send requests, the administrator's SQL connection, tokens as an
//! attacker would make them. `tests/run http` starts the servers and names them in `CRM_TEST_…`.

// Tests of tests/http stop at the first surprise: that is their purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod actor;
pub mod admin;
pub mod certificate;
pub mod document;
pub mod entity;
pub mod everybodys;
pub mod fixture;
pub mod forgery;
pub mod http;
pub mod identity;
pub mod issuer;
pub mod machine;
pub mod mailbox;
pub mod office;
pub mod openapi;
pub mod permissions;
pub mod raw;
pub mod receiver;
pub mod smtp;
pub mod sql;
pub mod team;
pub mod token;
pub mod victim;
pub mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// What every password of these tests begins with, so that a server log can be searched for all of them.
pub const PASSWORD_PREFIX: &str = "kzq-passphrase-";

/// A setting of `tests/run`.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/run http"))
}

/// A name nobody has had before.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &Uuid::new_v4().simple().to_string()[..16])
}

/// Held by tests that change or measure what all of the server shares. Files run one after the other, so it is enough
/// that all tests of such a file take it.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the cases of a table and fails once, naming every case that failed.
pub fn all<T>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) -> Result<(), String>) {
    let failures: Vec<_> = cases.into_iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
