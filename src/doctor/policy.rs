//! What a declared policy says, in the words in which the catalog tells what one says: the same for both, however each was written.

use std::ffi::{CStr, CString};
use std::ptr;

use pgrx::prelude::*;
use pgrx::{IntoDatum, PgList, direct_function_call};
use serde_json::{Value, json};

use crate::error::{CrmError, Result};

/// Of a statement that makes a policy, what the columns of `pg_policy` would be. Nothing is made.
pub fn says(statement: &str) -> Result<Value> {
    let text = CString::new(statement).map_err(|_| CrmError::internal("a policy contains NUL"))?;
    // SAFETY: a NUL-terminated text; a list of one statement is looked at after its kind.
    unsafe {
        let parsed = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let policy = PgList::<pg_sys::RawStmt>::from_pg(parsed).get_ptr(0).map(|raw| (*raw).stmt);
        match policy {
            Some(policy) if (*policy).type_ == pg_sys::NodeTag::T_CreatePolicyStmt => {
                columns(&*policy.cast::<pg_sys::CreatePolicyStmt>())
            }
            _ => Err(CrmError::internal("this makes no policy")),
        }
    }
}

/// # Safety
/// A statement of the parser's.
unsafe fn columns(policy: &pg_sys::CreatePolicyStmt) -> Result<Value> {
    // SAFETY: strings and lists of the parser's; the relation is open while expressions are read that name its columns.
    unsafe {
        let command = match word(policy.cmd_name).as_str() {
            "select" => "r",
            "insert" => "a",
            "update" => "w",
            "delete" => "d",
            _ => "*",
        };
        let relation = pg_sys::table_openrv(policy.table, pg_sys::AccessShareLock as i32);
        let using = expression(relation, policy.qual);
        let check = expression(relation, policy.with_check);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        Ok(json!({
            "permissive": policy.permissive, "command": command, "roles": roles(policy.roles), "using": using, "check": check
        }))
    }
}

/// # Safety
/// A list of roles of the parser's.
unsafe fn roles(list: *mut pg_sys::List) -> Vec<String> {
    // SAFETY: see above. PUBLIC has no name.
    let mut names: Vec<_> = unsafe {
        PgList::<pg_sys::RoleSpec>::from_pg(list)
            .iter_ptr()
            .map(|role| if (*role).rolename.is_null() { "public".to_owned() } else { word((*role).rolename) })
            .collect()
    };
    names.sort();
    names
}

/// As CREATE POLICY reads it, and `pg_get_expr` writes it.
///
/// # Safety
/// An open relation, and an expression of the parser's over its columns, or null.
unsafe fn expression(relation: pg_sys::Relation, parsed: *mut pg_sys::Node) -> Option<String> {
    if parsed.is_null() {
        return None;
    }
    // SAFETY: see above; what is made on the way lives as long as this memory context.
    unsafe {
        let state = pg_sys::make_parsestate(ptr::null_mut());
        let lock = pg_sys::AccessShareLock as i32;
        let item = pg_sys::addRangeTableEntryForRelation(state, relation, lock, ptr::null_mut(), false, false);
        pg_sys::addNSItemToQuery(state, item, false, true, true);
        let read = pg_sys::transformExpr(state, parsed, pg_sys::ParseExprKind::EXPR_KIND_POLICY);
        let read = pg_sys::coerce_to_boolean(state, read, c"POLICY".as_ptr());
        pg_sys::assign_expr_collations(state, read);
        let tree = CStr::from_ptr(pg_sys::nodeToString(read.cast())).to_string_lossy().into_owned();
        pg_sys::free_parsestate(state);
        direct_function_call::<String>(pg_sys::pg_get_expr, &[tree.into_datum(), (*relation).rd_id.into_datum()])
    }
}

/// # Safety
/// A NUL-terminated string.
unsafe fn word(text: *const std::ffi::c_char) -> String {
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
