//! Statements that are refused, because what they tell or change is past row level security.
//!
//! In requests: EXPLAIN, which PostgREST runs for `Prefer: count=planned`, and whose estimates come from statistics over
//! every tenant's rows (the header itself is refused in `pre_request`, but of two Prefer headers PostgREST obeys both and
//! hands on the last); and what injected SQL could change for everybody (any role may change its own password).
//!
//! Everywhere: MERGE into a table with row level security by an API role. Where its conditions read no column of the
//! table, PostgreSQL applies no SELECT policy, so a function among them is called once for each row of every tenant.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use crate::gucs;
use crate::identity::principal::needs_identity;

static mut PREVIOUS_UTILITY: pg_sys::ProcessUtility_hook_type = None;
static mut PREVIOUS_START: pg_sys::ExecutorStart_hook_type = None;

// PostgreSQL's own functions, not pgrx's wrappers of them, which would turn an SQLSTATE they do not know into XX000.
unsafe extern "C-unwind" {
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
    fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: std::ffi::c_int);
}

pub fn install_hooks() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS_UTILITY = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(process_utility);
        PREVIOUS_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(executor_start);
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
        pgrx_extern_c_guard(|| refuse_utility((*(*statement).utilityStmt).type_));
        let next = PREVIOUS_UTILITY.unwrap_or(standard_ProcessUtility);
        next(statement, query, read_only_tree, context, params, environment, destination, completion);
    }
}

/// As above.
unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: std::ffi::c_int) {
    // SAFETY: as above.
    unsafe {
        if (*query).operation == pg_sys::CmdType::CMD_MERGE {
            pgrx_extern_c_guard(|| refuse_merge(&*(*query).plannedstmt));
        }
        let next = PREVIOUS_START.unwrap_or(standard_ExecutorStart);
        next(query, flags);
    }
}

fn refuse_utility(kind: pg_sys::NodeTag) {
    let message = match kind {
        pg_sys::NodeTag::T_ExplainStmt => {
            "EXPLAIN, and with it count=planned and count=estimated, is not available in requests"
        }
        pg_sys::NodeTag::T_AlterRoleStmt | pg_sys::NodeTag::T_AlterRoleSetStmt => {
            "ALTER ROLE is not available in requests"
        }
        pg_sys::NodeTag::T_AlterDefaultPrivilegesStmt => "ALTER DEFAULT PRIVILEGES is not available in requests",
        pg_sys::NodeTag::T_DropOwnedStmt => "DROP OWNED is not available in requests",
        _ => return,
    };
    // SAFETY: a catalog look-up.
    if gucs::in_request() && !unsafe { pg_sys::superuser_arg(pg_sys::GetSessionUserId()) } {
        ereport!(ERROR, PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message);
    }
}

fn refuse_merge(statement: &pg_sys::PlannedStmt) {
    // SAFETY: the planner's lists: of range table indexes from 1, and of range table entries.
    let protected = unsafe {
        let targets = &*statement.resultRelations;
        let tables = &*statement.rtable;
        (0..targets.length as usize).any(|at| {
            let index = (*targets.elements.add(at)).int_value as usize;
            let table = (*tables.elements.add(index - 1)).ptr_value.cast::<pg_sys::RangeTblEntry>();
            pg_sys::check_enable_rls((*table).relid, pg_sys::InvalidOid, true)
                == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
        })
    };
    // SAFETY: reads the current user.
    if protected && needs_identity(unsafe { pg_sys::GetUserId() }) {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "MERGE is not available on tables with row level security",
            "",
        )
        .set_hint("Use INSERT … ON CONFLICT, UPDATE or DELETE.")
        .report(PgLogLevel::ERROR);
    }
}

/// Whether this is a request whose statement filters what its function answers.
pub fn answer_is_filtered() -> bool {
    // SAFETY: the portal of the client's statement, which is being executed; its plan lives as long.
    unsafe {
        let portal = pg_sys::ActivePortal;
        if !gucs::in_request() || portal.is_null() || (*portal).queryDesc.is_null() {
            return false;
        }
        let statement = &*(*(*portal).queryDesc).plannedstmt;
        filters(statement.planTree) || nodes(statement.subplans).any(|plan| filters(plan.cast()))
    }
}

/// # Safety
///
/// A plan tree, or null.
unsafe fn filters(plan: *const pg_sys::Plan) -> bool {
    // SAFETY: every node of the tree begins with a Plan; a subquery's scan has its plan beside the two branches.
    unsafe {
        let Some(node) = plan.as_ref() else { return false };
        let below = if node.type_ == pg_sys::NodeTag::T_SubqueryScan {
            (*plan.cast::<pg_sys::SubqueryScan>()).subplan
        } else {
            std::ptr::null_mut()
        };
        !node.qual.is_null() || filters(node.lefttree) || filters(node.righttree) || filters(below)
    }
}

/// # Safety
///
/// A list of nodes, or null.
unsafe fn nodes(list: *mut pg_sys::List) -> impl Iterator<Item = *mut std::ffi::c_void> {
    // SAFETY: as many elements as it says.
    let elements = unsafe {
        list.as_ref().map_or(&[][..], |list| std::slice::from_raw_parts(list.elements, list.length as usize))
    };
    // SAFETY: a list of nodes holds pointers.
    elements.iter().map(|element| unsafe { element.ptr_value })
}
