//! What may fail without taking the transaction along.

use std::panic::AssertUnwindSafe;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use crate::error::{Result, sqlstate};

/// Classes of errors that say nothing of what was tried: somebody else was in the way, or the server has a problem.
const OTHERS: [&str; 5] = ["40", "53", "57", "58", "F0"];

/// Runs something in a savepoint, to which it is rolled back where it fails; then gives why, in words.
pub fn attempt<R>(run: impl FnOnce() -> Result<R>) -> Result<Result<R, String>> {
    let savepoint = Savepoint::begin();
    match caught(run) {
        Ok(result) => {
            savepoint.release();
            Ok(Ok(result))
        }
        Err(reason) => {
            savepoint.roll_back();
            Ok(Err(reason))
        }
    }
}

/// Runs something and rolls back what it did.
pub fn rehearse<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    kept_if(run, |_| false)
}

/// Runs something, and rolls back what it did unless the result is good.
pub fn kept_if<R>(run: impl FnOnce() -> Result<R>, is_good: impl FnOnce(&R) -> bool) -> Result<R> {
    let savepoint = Savepoint::begin();
    let result = run()?;
    if is_good(&result) {
        savepoint.release();
    } else {
        savepoint.roll_back();
    }
    Ok(result)
}

fn caught<R>(run: impl FnOnce() -> Result<R>) -> Result<R, String> {
    PgTryBuilder::new(AssertUnwindSafe(|| run().map_err(|error| ErrorReport::from(error).message().to_owned())))
        .catch_others(|error| {
            let report = match &error {
                CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => report,
                CaughtError::RustPanic { .. } => error.rethrow(),
            };
            // The first two characters of an SQLSTATE.
            let class = report.sql_error_code() as i32 & 0xfff;
            if OTHERS.iter().any(|other| sqlstate(other) == class) {
                error.rethrow();
            }
            Err(report.message().to_owned())
        })
        .execute()
}

struct Savepoint {
    memory: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
}

impl Savepoint {
    fn begin() -> Self {
        // SAFETY: as PL/pgSQL begins a block with handlers.
        unsafe {
            let before = Self { memory: pg_sys::CurrentMemoryContext, owner: pg_sys::CurrentResourceOwner };
            pg_sys::BeginInternalSubTransaction(std::ptr::null());
            pg_sys::MemoryContextSwitchTo(before.memory);
            before
        }
    }

    fn release(self) {
        // SAFETY: begun above, on the same level.
        unsafe { pg_sys::ReleaseCurrentSubTransaction() };
        self.go_back();
    }

    fn roll_back(self) {
        // SAFETY: as above.
        unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() };
        self.go_back();
    }

    fn go_back(self) {
        // SAFETY: what was current when the savepoint began, and lives on.
        unsafe {
            pg_sys::MemoryContextSwitchTo(self.memory);
            pg_sys::CurrentResourceOwner = self.owner;
        }
    }
}
