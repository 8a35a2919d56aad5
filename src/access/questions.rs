//! The policies' questions, `(select crm.permitted_org_id('contacts.read'))`, at less cost than that of calling functions.
//!
//! A statement asks two or three of them for each table and command that it needs a permission for, and the answers lie in
//! memory: what costs is to set up a node of the plan for each, and to call a function that sets its search_path. So all
//! questions of a query are put to one node (see `merge`), which answers by itself where it can (see `answer`). Who may not
//! call the functions is refused as ever, when the statement begins.

pub mod answer;
pub mod merge;

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pgrx::prelude::*;

use super::paths::nodes::{cast, items};
use super::policy::{self, Active};

type Answer = fn(&Active, &str) -> Option<pg_sys::Datum>;

/// A question, and the permission that it is about.
struct Question(Answer, &'static str);

const FUNCTIONS: [(&CStr, Answer); 3] = [
    (c"permitted_org_id", |active, permission| policy::where_permitted(active, permission).into_datum()),
    (c"scope_user_ids", |active, permission| policy::whose(active, permission).into_datum()),
    (c"all_scope_org_id", |active, permission| policy::where_all(active, permission).into_datum()),
];

/// The functions' OIDs, once they are known; 0 where there is none.
static KNOWN: [AtomicU32; FUNCTIONS.len()] = [const { AtomicU32::new(UNKNOWN) }; FUNCTIONS.len()];
const UNKNOWN: u32 = u32::MAX;

pub fn install_hooks() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        for cache in [pg_sys::SysCacheIdentifier::PROCOID, pg_sys::SysCacheIdentifier::NAMESPACEOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as c_int, Some(functions_changed), pg_sys::Datum::null());
        }
    }
    merge::install_hook();
    answer::install_hook();
}

/// Runs at arbitrary moments, so it only takes notes.
unsafe extern "C-unwind" fn functions_changed(_: pg_sys::Datum, _cache: c_int, _hash: u32) {
    for function in &KNOWN {
        function.store(UNKNOWN, Relaxed);
    }
}

/// What the plan asks, if that is all it does.
///
/// # Safety
///
/// A plan, or null. The texts are the plan's, which outlives its execution.
unsafe fn questions_of(plan: *mut pg_sys::Plan) -> Option<impl Iterator<Item = Option<Question>>> {
    // SAFETY: as above.
    unsafe {
        let result: &mut pg_sys::Result = cast(plan, pg_sys::NodeTag::T_Result)?;
        let computes =
            !result.plan.lefttree.is_null() || !result.plan.qual.is_null() || !result.resconstantqual.is_null();
        (!computes).then(|| items(result.plan.targetlist).map(|column| question(column)))
    }
}

/// # Safety
///
/// A column of a plan.
unsafe fn question(column: *mut pg_sys::TargetEntry) -> Option<Question> {
    // SAFETY: as above.
    unsafe {
        let call: &mut pg_sys::FuncExpr = cast((*column).expr, pg_sys::NodeTag::T_FuncExpr)?;
        let permission: &mut pg_sys::Const = cast(items::<pg_sys::Node>(call.args).next()?, pg_sys::NodeTag::T_Const)?;
        let at = functions().iter().position(|&function| function == call.funcid.to_u32())?;
        let permission = <&str>::from_datum(permission.constvalue, permission.constisnull)?;
        Some(Question(FUNCTIONS[at].1, permission))
    }
}

fn functions() -> [u32; FUNCTIONS.len()] {
    let mut found = [0; FUNCTIONS.len()];
    for (at, (name, _)) in FUNCTIONS.iter().enumerate() {
        found[at] = KNOWN[at].load(Relaxed);
        if found[at] == UNKNOWN {
            found[at] = find(name).to_u32();
            KNOWN[at].store(found[at], Relaxed);
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
