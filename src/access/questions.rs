//! What the policies ask is answered by the node of the plan that would call the function.
//!
//! A statement asks up to three questions a table, `(select crm.permitted_org_id('contacts.read'))`, and the answers lie in
//! memory. To call a function that sets its search_path costs ten times as much as to look there: so, where they do, the
//! function is not called. Who may not call it is refused as ever, when the statement begins.

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use super::paths::nodes::{cast, items};
use super::policy::{self, Active};

type Next = unsafe extern "C-unwind" fn(*mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot;

type Answer = fn(&Active, &str) -> Option<pg_sys::Datum>;

const QUESTIONS: [(&CStr, Answer); 3] = [
    (c"permitted_org_id", |active, permission| policy::where_permitted(active, permission).into_datum()),
    (c"scope_user_ids", |active, permission| policy::whose(active, permission).into_datum()),
    (c"all_scope_org_id", |active, permission| policy::where_all(active, permission).into_datum()),
];

/// The functions' OIDs, once they are known; 0 where there is none.
static FUNCTIONS: [AtomicU32; QUESTIONS.len()] = [const { AtomicU32::new(UNKNOWN) }; QUESTIONS.len()];
const UNKNOWN: u32 = u32::MAX;

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
        for cache in [pg_sys::SysCacheIdentifier::PROCOID, pg_sys::SysCacheIdentifier::NAMESPACEOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(functions_changed), pg_sys::Datum::null());
        }
    }
}

/// Runs at arbitrary moments, so it only takes notes.
unsafe extern "C-unwind" fn functions_changed(_: pg_sys::Datum, _cache: c_int, _hash: u32) {
    for function in &FUNCTIONS {
        function.store(UNKNOWN, Relaxed);
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
            if question(node).is_some() {
                COMPUTE = (*node).ExecProcNodeReal;
                (*node).ExecProcNodeReal = Some(next_row);
            }
        }
    }
}

/// What a node asks that does nothing else, and about which permission.
unsafe fn question(node: *mut pg_sys::PlanState) -> Option<(Answer, &'static str)> {
    // SAFETY: as above; the text is the plan's, which outlives its execution.
    unsafe {
        let state: &mut pg_sys::ResultState = cast(node, pg_sys::NodeTag::T_ResultState)?;
        let plan = &*state.ps.plan;
        let column: *mut pg_sys::TargetEntry = items(plan.targetlist).next()?;
        let call: &mut pg_sys::FuncExpr = cast((*column).expr, pg_sys::NodeTag::T_FuncExpr)?;
        let permission: &mut pg_sys::Const = cast(items::<pg_sys::Node>(call.args).next()?, pg_sys::NodeTag::T_Const)?;
        let computes = !plan.lefttree.is_null() || !plan.qual.is_null() || !state.resconstantqual.is_null();
        if computes || (*plan.targetlist).length != 1 {
            return None;
        }
        let at = functions().iter().position(|&function| function == call.funcid.to_u32())?;
        let permission = <&str>::from_datum(permission.constvalue, permission.constisnull)?;
        Some((QUESTIONS[at].1, permission))
    }
}

fn functions() -> [u32; QUESTIONS.len()] {
    let mut found = [0; QUESTIONS.len()];
    for (at, (name, _)) in QUESTIONS.iter().enumerate() {
        found[at] = FUNCTIONS[at].load(Relaxed);
        if found[at] == UNKNOWN {
            found[at] = find(name).to_u32();
            FUNCTIONS[at].store(found[at], Relaxed);
        }
    }
    found
}

/// Somebody else's function of that name is called as any other.
fn find(name: &CStr) -> pg_sys::Oid {
    // SAFETY: catalog look-ups with NUL-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"crm".as_ptr(), true);
        let arguments = pg_sys::buildoidvector(&pg_sys::TEXTOID, 1);
        let cache = pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as c_int;
        let none = pg_sys::Datum::null();
        let row = pg_sys::SearchSysCache(cache, name.as_ptr().into(), arguments.into(), schema.into(), none);
        if row.is_null() {
            return pg_sys::InvalidOid;
        }
        let function = &*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_proc>();
        let ours = function.prolang == pg_sys::get_language_oid(c"c".as_ptr(), true);
        let found = if ours { function.oid } else { pg_sys::InvalidOid };
        pg_sys::ReleaseSysCache(row);
        found
    }
}

/// The answer as the node's one row, if it lies in memory.
unsafe extern "C-unwind" fn next_row(node: *mut pg_sys::PlanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: as above. The row is virtual, and so is valid as long as the memory of a row.
    unsafe {
        let state = node.cast::<pg_sys::ResultState>();
        let mut answered = None;
        if !(*state).rs_done {
            let context = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*(*node).ps_ExprContext).ecxt_per_tuple_memory;
            answered = pgrx_extern_c_guard(|| answer(node));
            pg_sys::CurrentMemoryContext = context;
        }
        match (answered, COMPUTE) {
            (Some(value), _) => {
                (*state).rs_done = true;
                let row = (*node).ps_ResultTupleSlot;
                pg_sys::ExecClearTuple(row);
                *(*row).tts_isnull = value.is_none();
                *(*row).tts_values = value.unwrap_or(pg_sys::Datum::null());
                pg_sys::ExecStoreVirtualTuple(row)
            }
            (None, Some(compute)) => compute(node),
            (None, None) => std::ptr::null_mut(),
        }
    }
}

unsafe fn answer(node: *mut pg_sys::PlanState) -> Option<Option<pg_sys::Datum>> {
    // SAFETY: as above.
    let (answer, permission) = unsafe { question(node)? };
    let active = policy::remembered()?;
    Some(answer(&active, permission))
}
