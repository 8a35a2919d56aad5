//! What may fail without taking the transaction along.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use super::timer::Timer;
use crate::error::{CrmError, LIMIT_DETAIL, Result, STATE_DETAIL, sqlstate};

/// Classes of errors that say nothing of what was tried: somebody else was in the way, or the server has a problem.
const OTHERS: [&str; 5] = ["40", "53", "57", "58", "F0"];

/// Runs something in a savepoint, to which it is rolled back where it fails; then gives why, in words.
pub fn attempt<R>(run: impl FnOnce() -> Result<R>) -> Result<R, String> {
    within(run).map_err(|failure| failure.words(says_nothing))
}

/// The same for something that may take no longer than this.
pub fn attempt_for<R>(time: Duration, run: impl FnOnce() -> Result<R>) -> Result<R, String> {
    let timer = Timer::start(time);
    let outcome = within(run);
    let is_over = timer.is_some_and(Timer::stop);
    outcome.map_err(|failure| match failure.code() {
        Some(PgSqlErrorCode::ERRCODE_QUERY_CANCELED) if is_over => "it takes too long".to_owned(),
        _ => failure.words(says_nothing),
    })
}

/// Why something could not be done, as a client is told.
#[derive(Debug)]
pub struct Refused {
    /// The SQLSTATE.
    pub code: String,
    pub message: String,
    /// Where it is one of ours: PostgreSQL's own quote rows.
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The same with all that is told of a failure, where it is about what was tried; every other failure stays one.
pub fn answered<R>(run: impl FnOnce() -> Result<R>) -> Result<Result<R, Refused>> {
    let raised = || {
        run().map_err(|error| {
            // Raised, so that what it says is read in one way.
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            CrmError::internal("an error was not raised")
        })
    };
    match within(raised) {
        Ok(result) => Ok(Ok(result)),
        Err(Failure::Told(error)) => Err(error),
        Err(Failure::Raised(error)) => match Refused::of(&error) {
            Some(refused) => Ok(Err(refused)),
            None => error.rethrow(),
        },
    }
}

/// The same where every failure is an answer, whatever it is; to be cancelled is none. Not while parallel workers run.
pub fn probe<R>(run: impl FnOnce() -> Result<R>) -> Result<R, String> {
    within(run).map_err(|failure| failure.words(|code| code == PgSqlErrorCode::ERRCODE_QUERY_CANCELED))
}

/// Runs something in a savepoint that waits for locks no longer than the setting `lock_timeout` says: `None` where it would have to.
/// Every other failure stays one.
pub fn unless_locked<R>(run: impl FnOnce() -> Result<R>) -> Result<Option<R>> {
    match within(run) {
        Ok(result) => Ok(Some(result)),
        Err(failure) if failure.code().is_some_and(is_of_locks) => Ok(None),
        Err(Failure::Told(error)) => Err(error),
        Err(Failure::Raised(error)) => error.rethrow(),
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

fn within<R>(run: impl FnOnce() -> Result<R>) -> Result<R, Failure> {
    let savepoint = Savepoint::begin();
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| run().map_err(Failure::Told)))
        .catch_others(|error| Err(Failure::Raised(error)))
        .execute();
    match outcome {
        Ok(_) => savepoint.release(),
        Err(_) => savepoint.roll_back(),
    }
    outcome
}

/// Why something failed.
enum Failure {
    /// By the CRM's own word.
    Told(CrmError),
    Raised(CaughtError),
}

impl Failure {
    /// Of an error that was raised; a panic has none.
    fn code(&self) -> Option<PgSqlErrorCode> {
        match self {
            Self::Raised(CaughtError::PostgresError(report) | CaughtError::ErrorReport(report)) => {
                Some(report.sql_error_code())
            }
            _ => None,
        }
    }

    /// Raises again what is no answer: a panic, and errors with these codes.
    fn words(self, is_no_answer: fn(PgSqlErrorCode) -> bool) -> String {
        match self {
            Self::Told(error) => ErrorReport::from(error).message().to_owned(),
            Self::Raised(CaughtError::PostgresError(report) | CaughtError::ErrorReport(report))
                if !is_no_answer(report.sql_error_code()) =>
            {
                report.message().to_owned()
            }
            Self::Raised(error) => error.rethrow(),
        }
    }
}

/// Classes of errors that are about what was tried: its values, what others of its kind are, what it needs, how large it is,
/// and what somebody else's trigger says of it.
const ABOUT_IT: [&str; 6] = ["0A", "22", "23", "44", "54", "P0"];

const MESSAGE_MAX: usize = 500;

impl Refused {
    fn of(error: &CaughtError) -> Option<Self> {
        let (CaughtError::PostgresError(report) | CaughtError::ErrorReport(report)) = error else { return None };
        let code = text_of(report.sql_error_code());
        let detail =
            report.detail().filter(|detail| [LIMIT_DETAIL, STATE_DETAIL].iter().any(|own| detail.starts_with(own)));
        let is_limit = code == "53400" && detail.is_some();
        if !is_limit && code != "42501" && !ABOUT_IT.contains(&&code[..2]) {
            return None;
        }
        Some(Self {
            code,
            // It may quote what was sent.
            message: report.message().chars().take(MESSAGE_MAX).collect(),
            detail: detail.map(str::to_owned),
            hint: report.hint().map(str::to_owned),
        })
    }
}

/// The five characters of an SQLSTATE.
fn text_of(code: PgSqlErrorCode) -> String {
    (0..5).map(|at| char::from(b'0' + ((code as i32 >> (6 * at)) & 0x3f) as u8)).collect()
}

/// Where `deadlock_timeout` is the shorter one, it comes first.
fn is_of_locks(code: PgSqlErrorCode) -> bool {
    use PgSqlErrorCode::{ERRCODE_LOCK_NOT_AVAILABLE, ERRCODE_T_R_DEADLOCK_DETECTED};
    [ERRCODE_LOCK_NOT_AVAILABLE, ERRCODE_T_R_DEADLOCK_DETECTED].contains(&code)
}

fn says_nothing(code: PgSqlErrorCode) -> bool {
    // The first two characters of an SQLSTATE.
    let class = code as i32 & 0xfff;
    OTHERS.iter().any(|other| sqlstate(other) == class)
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
