//! Tables that were never analyzed, or were empty then, are planned as large ones.
//!
//! PostgreSQL takes them for a few pages, where an index that only begins with the organization is as good as the primary key,
//! or better by a hair. A session keeps such plans, for foreign keys too, and an import that fills the tables then reads all of
//! the organization for each row: eight thousand deals took a minute instead of seconds.

use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;

use super::paths::nodes::items;

/// As good as any number that is large.
const TUPLES: f64 = 100_000.0;
const PAGES: u32 = 5_000;
const INDEX_PAGES: u32 = 500;

static mut PREVIOUS: pg_sys::get_relation_info_hook_type = None;

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::get_relation_info_hook;
        pg_sys::get_relation_info_hook = Some(get_relation_info);
    }
}

/// An error of the hook before passes through this function as a longjmp: nothing here may need to be dropped.
unsafe extern "C-unwind" fn get_relation_info(
    root: *mut pg_sys::PlannerInfo,
    table: pg_sys::Oid,
    is_parent: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: the planner hands in valid nodes, and holds a lock on the table.
    unsafe {
        pgrx_extern_c_guard(|| {
            if !is_parent && is_unknown(table) {
                take_for_large(rel);
            }
        });
        if let Some(next) = PREVIOUS {
            next(root, table, is_parent, rel);
        }
    }
}

/// Of those with forced row level security: an organization's rows are looked for by index there, however few they are.
///
/// # Safety
///
/// A table on which the caller holds a lock.
unsafe fn is_unknown(table: pg_sys::Oid) -> bool {
    // SAFETY: see above.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(table);
        if relation.is_null() {
            return false;
        }
        let class = (*relation).rd_rel;
        let unknown = (*class).relforcerowsecurity && (*class).reltuples <= 0.0;
        pg_sys::RelationClose(relation);
        unknown
    }
}

/// # Safety
///
/// As handed in by the planner.
unsafe fn take_for_large(rel: *mut pg_sys::RelOptInfo) {
    // SAFETY: see above.
    unsafe {
        (*rel).pages = (*rel).pages.max(PAGES);
        (*rel).tuples = (*rel).tuples.max(TUPLES);
        for index in items::<pg_sys::IndexOptInfo>((*rel).indexlist) {
            (*index).pages = (*index).pages.max(INDEX_PAGES);
            (*index).tuples = (*index).tuples.max(TUPLES);
        }
    }
}
