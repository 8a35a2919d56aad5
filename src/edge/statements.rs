//! Statements that a request has no business with, refused while one runs.
//!
//! EXPLAIN: PostgREST runs it for `Prefer: count=planned`, and its estimates come from statistics over every tenant's
//! rows. The header itself is refused in `pre_request`, but of two Prefer headers PostgREST obeys both and hands on the last.
//! ALTER ROLE: any role may change its own password, so injected SQL could lock PostgREST out.

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use crate::gucs;

static mut PREVIOUS: pg_sys::ProcessUtility_hook_type = None;

unsafe extern "C-unwind" {
    /// PostgreSQL's own function, not pgrx's wrapper of it, which would turn an SQLSTATE it does not know into XX000.
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        query: *const std::ffi::c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        destination: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
    }
}

/// An error of the statement passes through this function as a longjmp: nothing here may need to be dropped.
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    query: *const std::ffi::c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    destination: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the server hands in a valid statement; the functions called are its own, with the arguments it gave.
    unsafe {
        pgrx_extern_c_guard(|| refuse((*(*statement).utilityStmt).type_));
        let next = PREVIOUS.unwrap_or(standard_ProcessUtility);
        next(statement, query, read_only_tree, context, params, environment, destination, completion);
    }
}

fn refuse(kind: pg_sys::NodeTag) {
    let message = match kind {
        pg_sys::NodeTag::T_ExplainStmt => {
            "EXPLAIN, and with it count=planned and count=estimated, is not available in requests"
        }
        pg_sys::NodeTag::T_AlterRoleStmt | pg_sys::NodeTag::T_AlterRoleSetStmt => {
            "ALTER ROLE is not available in requests"
        }
        _ => return,
    };
    // SAFETY: a catalog look-up.
    if gucs::in_request() && !unsafe { pg_sys::superuser_arg(pg_sys::GetSessionUserId()) } {
        ereport!(ERROR, PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message);
    }
}
