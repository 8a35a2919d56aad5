//! All questions of a query are put to one node of its plan.
//!
//! The planner makes of each uncorrelated sub-select a plan of its own (an InitPlan), that sets a parameter. Those that only ask
//! become one, that sets the parameters of all.

use std::ffi::{CStr, c_void};

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use super::questions_of;
use crate::access::paths::nodes::{items, list};

static mut PREVIOUS: pg_sys::create_upper_paths_hook_type = None;

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::create_upper_paths_hook;
        pg_sys::create_upper_paths_hook = Some(create_upper_paths);
    }
}

/// Called at several stages of planning each query; at the last one all its sub-selects have plans, and none is in use yet. An
/// error of the hook before passes through this function as a longjmp: nothing here may need to be dropped.
unsafe extern "C-unwind" fn create_upper_paths(
    root: *mut pg_sys::PlannerInfo,
    stage: pg_sys::UpperRelationKind::Type,
    input: *mut pg_sys::RelOptInfo,
    output: *mut pg_sys::RelOptInfo,
    extra: *mut c_void,
) {
    // SAFETY: the planner hands in valid nodes.
    unsafe {
        if stage == pg_sys::UpperRelationKind::UPPERREL_FINAL && !(*root).init_plans.is_null() {
            pgrx_extern_c_guard(|| merge(&mut *root));
        }
        if let Some(next) = PREVIOUS {
            next(root, stage, input, output, extra);
        }
    }
}

/// # Safety
///
/// A query that is being planned; the same, for its nodes, goes for the functions below.
unsafe fn merge(root: &mut pg_sys::PlannerInfo) {
    // SAFETY: as above.
    unsafe {
        let (asking, others): (Vec<_>, Vec<_>) = items(root.init_plans).partition(|&select| asks(root, select));
        let [first, rest @ ..] = asking.as_slice() else { return };
        if rest.is_empty() {
            return;
        }
        for &select in rest {
            add(root, *first, select);
        }
        (**first).plan_name = name(&**first);
        root.init_plans = pg_sys::list_concat(list(&[*first]), list(&others));
    }
}

unsafe fn asks(root: &pg_sys::PlannerInfo, select: *mut pg_sys::SubPlan) -> bool {
    // SAFETY: as above.
    unsafe {
        (*select).subLinkType == pg_sys::SubLinkType::EXPR_SUBLINK
            && (*select).parParam.is_null()
            && questions_of((*plan_of(root, select)).cast())
                .is_some_and(|mut questions| questions.all(|question| question.is_some()))
    }
}

/// Where the planner keeps the plan of a sub-select: they are numbered from 1.
unsafe fn plan_of(root: &pg_sys::PlannerInfo, select: *mut pg_sys::SubPlan) -> *mut *mut c_void {
    // SAFETY: as above.
    unsafe { &raw mut (*(*(*root.glob).subplans).elements.add((*select).plan_id as usize - 1)).ptr_value }
}

/// What `other` asks, `select` asks too. The plan of `other` is used by nobody any more, and so is none.
unsafe fn add(root: &pg_sys::PlannerInfo, select: *mut pg_sys::SubPlan, other: *mut pg_sys::SubPlan) {
    // SAFETY: as above.
    unsafe {
        let plan = (*plan_of(root, select)).cast::<pg_sys::Plan>();
        let others = plan_of(root, other);
        for column in items::<pg_sys::TargetEntry>((*(*others).cast::<pg_sys::Plan>()).targetlist) {
            (*column).resno = (*(*plan).targetlist).length as pg_sys::AttrNumber + 1;
            (*plan).targetlist = pg_sys::lappend((*plan).targetlist, column.cast());
        }
        *others = std::ptr::null_mut();
        (*select).setParam = pg_sys::list_concat((*select).setParam, (*other).setParam);
        (*select).startup_cost += (*other).startup_cost;
        (*select).per_call_cost += (*other).per_call_cost;
    }
}

/// As EXPLAIN shows it, before PostgreSQL 17 with the parameters it sets.
unsafe fn name(select: &pg_sys::SubPlan) -> *mut std::ffi::c_char {
    // SAFETY: a NUL-terminated name, and a list of numbers.
    unsafe {
        let before = CStr::from_ptr(select.plan_name).to_string_lossy();
        let Some((number, _)) = before.split_once(" (returns ") else { return select.plan_name };
        let parameters = &*select.setParam;
        let parameters: Vec<_> = (0..parameters.length as usize)
            .map(|at| format!("${}", (*parameters.elements.add(at)).int_value))
            .collect();
        let name = format!("{number} (returns {})\0", parameters.join(","));
        pg_sys::pstrdup(name.as_ptr().cast())
    }
}
