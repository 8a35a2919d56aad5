//! The node of a plan that asks the policies' questions answers them itself, where the answers lie in memory.

use std::ffi::c_int;

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use super::{Question, questions_of};
use crate::access::paths::nodes::{cast, items};
use crate::access::policy;

type Next = unsafe extern "C-unwind" fn(*mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot;

static mut PREVIOUS_START: pg_sys::ExecutorStart_hook_type = None;

/// How PostgreSQL goes on with a node that computes one row.
static mut COMPUTE: Option<Next> = None;

// PostgreSQL's own function, not pgrx's wrapper of it, which would turn an SQLSTATE it does not know into XX000.
unsafe extern "C-unwind" {
    fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: c_int);
}

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS_START = pg_sys::ExecutorStart_hook;
        pg_sys::ExecutorStart_hook = Some(executor_start);
    }
}

/// An error of the statement passes through this function as a longjmp: nothing here may need to be dropped.
unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: the server hands in a valid statement; the functions called are its own, with the arguments it gave.
    unsafe {
        let next = PREVIOUS_START.unwrap_or(standard_ExecutorStart);
        next(query, flags);
        pgrx_extern_c_guard(|| take_over(&*(*query).estate));
    }
}

/// # Safety
///
/// A statement that is being executed; the same, for its nodes, goes for the functions below.
unsafe fn take_over(statement: &pg_sys::EState) {
    // SAFETY: as above. A worker has no identity.
    unsafe {
        if pg_sys::ParallelWorkerNumber >= 0 {
            return;
        }
        for node in items::<pg_sys::PlanState>(statement.es_subplanstates) {
            let state: Option<&mut pg_sys::ResultState> = cast(node, pg_sys::NodeTag::T_ResultState);
            if state.is_some_and(|state| asks(state.ps.plan)) {
                COMPUTE = (*node).ExecProcNodeReal;
                (*node).ExecProcNodeReal = Some(next_row);
            }
        }
    }
}

unsafe fn asks(plan: *mut pg_sys::Plan) -> bool {
    // SAFETY: as above.
    unsafe { questions_of(plan).is_some_and(|mut questions| questions.all(|question| question.is_some())) }
}

/// The answers as the node's one row, if they lie in memory.
unsafe extern "C-unwind" fn next_row(node: *mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: as above. The row is virtual, and so is valid as long as the memory of a row.
    unsafe {
        let state = node.cast::<pg_sys::ResultState>();
        let row = (*node).ps_ResultTupleSlot;
        if !(*state).rs_done {
            let context = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*(*node).ps_ExprContext).ecxt_per_tuple_memory;
            let answered = pgrx_extern_c_guard(|| answer(node, row));
            pg_sys::CurrentMemoryContext = context;
            if answered.is_some() {
                (*state).rs_done = true;
                return pg_sys::ExecStoreVirtualTuple(row);
            }
        }
        match COMPUTE {
            Some(compute) => compute(node),
            None => std::ptr::null_mut(),
        }
    }
}

unsafe fn answer(node: *mut pg_sys::PlanState, row: *mut pg_sys::TupleTableSlot) -> Option<()> {
    // SAFETY: as above; a row has as many columns as its node.
    unsafe {
        let active = policy::remembered()?;
        pg_sys::ExecClearTuple(row);
        for (at, question) in questions_of((*node).plan)?.enumerate() {
            let Question(answer, permission) = question?;
            let value = answer(&active, permission);
            *(*row).tts_isnull.add(at) = value.is_none();
            *(*row).tts_values.add(at) = value.unwrap_or(pg_sys::Datum::null());
        }
        Some(())
    }
}
