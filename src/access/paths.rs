//! Plans of tables with row scopes: those an expert would write by hand, for each scope.
//!
//! The policies of a table with owners say `org_id = $0 and (owner_id = any ($1) or org_id = $2)`, where `$1` is set for those
//! who reach some people's rows, and `$2` for those who reach all. What they hold is not known when the query is planned, and
//! plans outlive identities. PostgreSQL guesses that the OR lets next to nothing through, and plans for that: whoever sees a
//! whole organization waits while all of it is read and sorted for a page of 50.
//!
//! So such a table is planned as if the OR let everything through, as for `org_id = $0`. Where that plan would walk through
//! an organization, one is put in its place that has a branch for each scope (see `branch`), and takes the one that it needs
//! when it is executed (see `choice`).
//!
//! And conditions on custom fields may enter an index (see `custom`).

mod branch;
mod choice;
mod custom;
mod form;
mod indexes;
pub mod nodes;

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use branch::Branches;
use form::Form;
use nodes::items;

static mut PREVIOUS: pg_sys::set_rel_pathlist_hook_type = None;

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::set_rel_pathlist_hook;
        pg_sys::set_rel_pathlist_hook = Some(set_rel_pathlist);
        choice::register();
    }
}

/// An error of the hook before passes through this function as a longjmp: nothing here may need to be dropped.
unsafe extern "C-unwind" fn set_rel_pathlist(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: pg_sys::Index,
    table: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner hands in valid nodes.
    unsafe {
        pgrx_extern_c_guard(|| plan_scopes(root, rel, index, table));
        if let Some(next) = PREVIOUS {
            next(root, rel, index, table);
        }
    }
}

/// # Safety
///
/// The arguments of the hook, as for all functions here and below.
unsafe fn plan_scopes(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: pg_sys::Index,
    table: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: see above.
    unsafe {
        policies_first(root, rel);
        if !is_table(rel, table) {
            return;
        }
        let trusted = custom::trust(rel, table);
        let form = if is_plain_read(root, rel, index) { Form::find(root, rel) } else { None };
        let Some(form) = form else {
            if trusted {
                pg_sys::create_index_paths(root, rel);
            }
            return;
        };
        plan_anew(root, rel, &form);
        let branches = Branches::new(root, rel, &form);
        add_branched(root, rel, &branches);
    }
}

/// PostgreSQL looks at a condition of the query before the policies where it is cheap and LEAKPROOF, for it tells nothing by
/// itself. But which of the conditions after it are looked at, tells: one that fails when it is first asked for (a sub-select that
/// divides by zero) says whether any row of anybody's met those before. So the policies come first: what costs less than
/// nothing is put before all else.
unsafe fn policies_first(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) {
    // SAFETY: as above.
    unsafe {
        for condition in items::<pg_sys::RestrictInfo>((*rel).baserestrictinfo) {
            nodes::put_first(root, condition);
        }
    }
}

unsafe fn is_table(rel: *mut pg_sys::RelOptInfo, table: *mut pg_sys::RangeTblEntry) -> bool {
    // SAFETY: as above.
    unsafe {
        (*rel).reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
            && (*table).rtekind == pg_sys::RTEKind::RTE_RELATION
            && (*table).relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
            && !(*table).inh
            && (*table).tablesample.is_null()
            && !pg_sys::is_dummy_rel(rel)
            && has_all_conditions(rel)
    }
}

/// A row that somebody else is changing is looked at again (EvalPlanQual) in the first scan of its table that asks for it,
/// and the other branches would not see it: so nothing is changed where rows are locked.
unsafe fn is_plain_read(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, index: pg_sys::Index) -> bool {
    // SAFETY: as above.
    unsafe {
        let query = &*(*root).parse;
        matches!(query.commandType, pg_sys::CmdType::CMD_SELECT | pg_sys::CmdType::CMD_INSERT)
            && query.resultRelation as pg_sys::Index != index
            && (*root).rowMarks.is_null()
            && (*rel).lateral_relids.is_null()
    }
}

/// Whether the indexes know what their scans have to look at. They do not yet where a table was found to have no row that the
/// query could want: a scan made of them would look at nothing.
unsafe fn has_all_conditions(rel: *mut pg_sys::RelOptInfo) -> bool {
    // SAFETY: as above.
    unsafe {
        items::<pg_sys::IndexOptInfo>((*rel).indexlist)
            .all(|index| !(*index).indpred.is_null() || (*index).indrestrictinfo == (*rel).baserestrictinfo)
    }
}

/// Makes the paths anew, as the server does for a plain table, with the OR taken for true: it neither reduces the estimate nor
/// is split into a bitmap of its arms.
unsafe fn plan_anew(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, form: &Form) {
    // SAFETY: as above.
    unsafe {
        (*form.scopes).norm_selec = 1.0;
        (*form.scopes).outer_selec = 1.0;
        (*form.scopes).orclause = std::ptr::null_mut();
        (*rel).pathlist = std::ptr::null_mut();
        (*rel).partial_pathlist = std::ptr::null_mut();
        (*rel).ppilist = std::ptr::null_mut();
        pg_sys::set_baserel_size_estimates(root, rel);
        pg_sys::add_path(rel, pg_sys::create_seqscan_path(root, rel, std::ptr::null_mut(), 0));
        if (*rel).consider_parallel {
            let most = pg_sys::max_parallel_workers_per_gather;
            let workers = pg_sys::compute_parallel_worker(rel, f64::from((*rel).pages), -1.0, most);
            if workers > 0 {
                pg_sys::add_partial_path(rel, pg_sys::create_seqscan_path(root, rel, std::ptr::null_mut(), workers));
            }
        }
        pg_sys::create_index_paths(root, rel);
        pg_sys::create_tidscan_paths(root, rel);
    }
}

/// Puts a branched path in the place of each that walks through an organization. Adding one may free others, so all are
/// made before.
unsafe fn add_branched(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, branches: &Branches) {
    // SAFETY: as above.
    unsafe {
        let branched = |path| branches.of(root, path).map(|choices| choice::path(rel, path, &choices));
        let whole: Vec<_> = items((*rel).pathlist).filter_map(branched).collect();
        // For a parallel plan: each worker takes its share of the branch that they all take. In an order they are whole.
        let partial: Vec<_> = items((*rel).partial_pathlist)
            .filter(|&path: &*mut pg_sys::Path| (*path).pathkeys.is_null())
            .filter_map(branched)
            .collect();
        for path in whole {
            pg_sys::add_path(rel, path);
        }
        for path in partial {
            pg_sys::add_partial_path(rel, path);
        }
    }
}
