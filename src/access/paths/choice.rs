//! A node of a plan that has several children, and runs one of them: the first whose gate is true, or the last.
//!
//! PostgreSQL's custom scan. A child that is not taken is not even begun: to begin one costs as much as to fetch a few rows. (So
//! who declares a cursor and drops an index before its first row may have dropped what it needs.)

use std::ffi::{CStr, c_int};
use std::ptr::null_mut;

use pgrx::prelude::*;

use super::branch::Choices;
use super::nodes::{self, items, list};

const NAME: &CStr = c"Row Scope";

/// The scopes, and that of a team in two sizes.
const CHILDREN_MAX: usize = 4;

/// Pointers to functions and constants only.
struct Methods<T>(T);
// SAFETY: nobody writes to it.
unsafe impl<T> Sync for Methods<T> {}

static OF_PATH: Methods<pg_sys::CustomPathMethods> = Methods(pg_sys::CustomPathMethods {
    CustomName: NAME.as_ptr(),
    PlanCustomPath: Some(plan),
    ReparameterizeCustomPathByChild: None,
});

static OF_PLAN: Methods<pg_sys::CustomScanMethods> =
    Methods(pg_sys::CustomScanMethods { CustomName: NAME.as_ptr(), CreateCustomScanState: Some(create_state) });

static OF_STATE: Methods<pg_sys::CustomExecMethods> = Methods(pg_sys::CustomExecMethods {
    CustomName: NAME.as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(next_row),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(rescan),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: None,
});

/// What PostgreSQL knows of the node, and behind it what is ours.
#[repr(C)]
struct State {
    scan: pg_sys::CustomScanState,
    flags: c_int,
    /// Those that were prepared.
    gates: [*mut pg_sys::ExprState; CHILDREN_MAX],
    /// Those that have begun.
    children: [*mut pg_sys::PlanState; CHILDREN_MAX],
    /// The one that runs; null as long as none was chosen.
    taken: *mut pg_sys::PlanState,
}

// PostgreSQL's own functions, not pgrx's wrappers of them, which would turn an SQLSTATE they do not know into XX000. Their
// errors pass through the functions below as longjmps: nothing there may need to be dropped.
unsafe extern "C-unwind" {
    fn ExecInitNode(plan: *mut pg_sys::Plan, estate: *mut pg_sys::EState, flags: c_int) -> *mut pg_sys::PlanState;
    fn ExecInitExpr(expression: *mut pg_sys::Expr, parent: *mut pg_sys::PlanState) -> *mut pg_sys::ExprState;
    fn ExecEndNode(node: *mut pg_sys::PlanState);
    fn ExecReScan(node: *mut pg_sys::PlanState);
    fn UpdateChangedParamSet(node: *mut pg_sys::PlanState, changed: *mut pg_sys::Bitmapset);
    fn lappend(list: *mut pg_sys::List, datum: *mut std::ffi::c_void) -> *mut pg_sys::List;
}

/// So that parallel workers know the node when they read the plan. Called once, while the library is loaded.
pub fn register() {
    // SAFETY: the methods live as long as the backend.
    unsafe { pg_sys::RegisterCustomScanMethods(&raw const OF_PLAN.0) };
}

/// A path in the place of the model: a little cheaper, so that it is chosen exactly where that would have been.
///
/// # Safety
///
/// A path of this table, and others that give the same rows in its order.
pub unsafe fn path(rel: *mut pg_sys::RelOptInfo, model: *mut pg_sys::Path, choices: &Choices) -> *mut pg_sys::Path {
    // SAFETY: as above.
    unsafe {
        let path = nodes::make::<pg_sys::CustomPath>(pg_sys::NodeTag::T_CustomPath);
        (*path).path = pg_sys::Path {
            type_: pg_sys::NodeTag::T_CustomPath,
            pathtype: pg_sys::NodeTag::T_CustomScan,
            parent: rel,
            parallel_aware: false,
            total_cost: (*model).startup_cost + ((*model).total_cost - (*model).startup_cost) * 0.999,
            ..*model
        };
        (*path).custom_paths = list(&choices.paths);
        (*path).custom_private = list(&choices.gates);
        (*path).methods = &raw const OF_PATH.0;
        path.cast()
    }
}

/// The plan of a path, whose children have become plans already.
unsafe extern "C-unwind" fn plan(
    _root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    path: *mut pg_sys::CustomPath,
    columns: *mut pg_sys::List,
    _conditions: *mut pg_sys::List,
    children: *mut pg_sys::List,
) -> *mut pg_sys::Plan {
    // SAFETY: the planner hands in valid nodes. Each child has the conditions of its own.
    unsafe {
        let plan = nodes::make::<pg_sys::CustomScan>(pg_sys::NodeTag::T_CustomScan);
        (*plan).scan.plan.targetlist = columns;
        (*plan).scan.scanrelid = (*rel).relid;
        (*plan).custom_plans = children;
        (*plan).custom_exprs = (*path).custom_private;
        (*plan).methods = &raw const OF_PLAN.0;
        plan.cast()
    }
}

unsafe extern "C-unwind" fn create_state(_plan: *mut pg_sys::CustomScan) -> *mut pg_sys::Node {
    // SAFETY: zeroes are an empty state.
    unsafe {
        let state = nodes::make::<State>(pg_sys::NodeTag::T_CustomScanState);
        (*state).scan.methods = &raw const OF_STATE.0;
        state.cast()
    }
}

unsafe extern "C-unwind" fn begin(node: *mut pg_sys::CustomScanState, estate: *mut pg_sys::EState, flags: c_int) {
    // SAFETY: a node that this file made; the same for all functions here.
    unsafe {
        let state = node.cast::<State>();
        (*state).flags = flags;
        // What the rows are stored in is the children's affair.
        (*node).ss.ps.resultops = std::ptr::null();
        (*node).ss.ps.resultopsfixed = false;
        (*node).ss.ps.resultopsset = true;
        let plan = (*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        // EXPLAIN shows all of them. And of what runs in parallel, each process has to know the nodes of the others.
        let is_parallel = pg_sys::ParallelWorkerNumber >= 0 || (*(*estate).es_plannedstmt).parallelModeNeeded;
        if is_parallel || flags & pg_sys::EXEC_FLAG_EXPLAIN_ONLY as c_int != 0 {
            for (at, child) in items((*plan).custom_plans).enumerate() {
                begin_child(state, at, child);
            }
        }
    }
}

unsafe fn begin_child(state: *mut State, at: usize, plan: *mut pg_sys::Plan) -> *mut pg_sys::PlanState {
    // SAFETY: as above.
    unsafe {
        let estate = (*state).scan.ss.ps.state;
        let context = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = (*estate).es_query_cxt;
        let child = ExecInitNode(plan, estate, (*state).flags);
        (*state).children[at] = child;
        (*state).scan.custom_ps = lappend((*state).scan.custom_ps, child.cast());
        pg_sys::CurrentMemoryContext = context;
        child
    }
}

unsafe extern "C-unwind" fn next_row(node: *mut pg_sys::CustomScanState) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: as above; the rest is PostgreSQL's ExecProcNode, which is inline there.
    unsafe {
        let state = node.cast::<State>();
        if (*state).taken.is_null() {
            choose(state);
        }
        let child = (*state).taken;
        if !(*child).chgParam.is_null() {
            ExecReScan(child);
        }
        match (*child).ExecProcNode {
            Some(next) => next(child),
            None => null_mut(),
        }
    }
}

unsafe fn choose(state: *mut State) {
    // SAFETY: as above.
    unsafe {
        let plan = (*state).scan.ss.ps.plan.cast::<pg_sys::CustomScan>();
        let mut gates = items((*plan).custom_exprs).enumerate();
        let open = gates.position(|(at, gate)| is_true(state, at, gate));
        let at = open.unwrap_or((*(*plan).custom_plans).length as usize - 1);
        (*state).taken = (*state).children[at];
        if (*state).taken.is_null()
            && let Some(child) = items((*plan).custom_plans).nth(at)
        {
            (*state).taken = begin_child(state, at, child);
        }
        show_position(state);
    }
}

/// Lets UPDATE … WHERE CURRENT OF a cursor see where the child stands, or refuse where it does not know.
unsafe fn show_position(state: *mut State) {
    const OF_ROWS: [pg_sys::NodeTag; 3] =
        [pg_sys::NodeTag::T_IndexScanState, pg_sys::NodeTag::T_BitmapHeapScanState, pg_sys::NodeTag::T_SeqScanState];
    // SAFETY: as above. The relation is closed when the statement ends, by another list.
    unsafe {
        let child = (*state).taken;
        let scan = &mut (*state).scan.ss;
        if OF_ROWS.contains(&(*child).type_) {
            scan.ss_ScanTupleSlot = (*child.cast::<pg_sys::ScanState>()).ss_ScanTupleSlot;
        } else {
            scan.ss_currentRelation = null_mut();
        }
    }
}

/// The gate is prepared only now: mostly it is one of the first that is true.
unsafe fn is_true(state: *mut State, at: usize, gate: *mut pg_sys::Expr) -> bool {
    // SAFETY: as above.
    unsafe {
        let node = &raw mut (*state).scan.ss.ps;
        let context = pg_sys::CurrentMemoryContext;
        if (*state).gates[at].is_null() {
            pg_sys::CurrentMemoryContext = (*(*node).state).es_query_cxt;
            (*state).gates[at] = ExecInitExpr(gate, node);
        }
        let gate = (*state).gates[at];
        pg_sys::CurrentMemoryContext = (*(*node).ps_ExprContext).ecxt_per_tuple_memory;
        let mut is_null = false;
        let evaluate = (*gate).evalfunc;
        let value =
            evaluate.is_some_and(|evaluate| evaluate(gate, (*node).ps_ExprContext, &raw mut is_null).value() != 0);
        pg_sys::CurrentMemoryContext = context;
        value && !is_null
    }
}

unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: as above.
    unsafe {
        let state = node.cast::<State>();
        let changed = (*node).ss.ps.chgParam;
        if !changed.is_null() {
            (*state).taken = null_mut();
        }
        for child in items::<pg_sys::PlanState>((*node).custom_ps) {
            if !changed.is_null() {
                UpdateChangedParamSet(child, changed);
            }
            if (*child).chgParam.is_null() {
                ExecReScan(child);
            }
        }
    }
}

unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: as above.
    unsafe {
        for child in items((*node).custom_ps) {
            ExecEndNode(child);
        }
    }
}
