//! What may fail without ending the transaction.

use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::submodules::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Result;

/// Runs something in a subtransaction: an error of it is its answer, and what it did then is undone. To be cancelled is not
/// an answer. Not while parallel workers run.
pub fn attempt<R>(run: impl FnOnce() -> Result<R>) -> Result<R, String> {
    // SAFETY: as PL/pgSQL begins a block with handlers; memory and resources of what goes on stay the caller's.
    let (memory, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: ended below, on the same level, whatever happens in between.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
    }
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| run().map_err(Failure::Told)))
        .catch_others(|caught| Err(Failure::Caught(caught)))
        .execute();
    // SAFETY: begun above.
    unsafe {
        match outcome {
            Ok(_) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome.map_err(|failure| match failure {
        Failure::Told(error) => ErrorReport::from(error).message().to_owned(),
        Failure::Caught(CaughtError::PostgresError(report) | CaughtError::ErrorReport(report))
            if report.sql_error_code() != PgSqlErrorCode::ERRCODE_QUERY_CANCELED =>
        {
            report.message().to_owned()
        }
        Failure::Caught(caught) => caught.rethrow(),
    })
}

enum Failure {
    Told(crate::error::CrmError),
    Caught(CaughtError),
}
