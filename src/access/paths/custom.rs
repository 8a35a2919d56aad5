//! Conditions on custom fields that may enter an index although the table has policies.
//!
//! PostgreSQL lets a condition of the query look at rows before the policies do only where its functions are marked LEAKPROOF:
//! those that tell of their arguments nothing but their result, be it by an error. The operators below are not marked, and are:
//! - `->` and `->>` give a member of an object, or NULL, also for what is no object. They raise nothing, whatever the values
//!   are: a member is no longer than the jsonb it was in, and its text cannot exceed the server's limit of 1 GB, as values of
//!   custom fields have at most some 10,000 characters (`records::custom`), of which the trigger below is the proof.
//! - jsonb is compared by its structure, numbers as numeric, strings as text by the database's collation: every two values
//!   compare, and an error could only tell of a damaged row. text is marked; but without a collation, as where two sides bring
//!   different ones, it raises an error at the first value there is: so only the database's own is taken.
//!
//! So these conditions are taken for leakproof: they may enter an index, or be looked at before others. The policies hold for
//! every row as before, as conditions of their own.

use std::ffi::CStr;

use pgrx::prelude::*;

use super::nodes::{Expr, cast, is, items};

const COLUMN: &CStr = c"custom_fields";

const COMPARISONS: [u32; 10] = [
    pg_sys::F_TEXTEQ,
    pg_sys::F_TEXT_LT,
    pg_sys::F_TEXT_LE,
    pg_sys::F_TEXT_GT,
    pg_sys::F_TEXT_GE,
    pg_sys::F_JSONB_EQ,
    pg_sys::F_JSONB_LT,
    pg_sys::F_JSONB_LE,
    pg_sys::F_JSONB_GT,
    pg_sys::F_JSONB_GE,
];

fn is_text(comparison: pg_sys::Oid) -> bool {
    COMPARISONS[..5].contains(&comparison.to_u32())
}

/// Marks the conditions of a table; gives whether there are any. Its paths were made without.
///
/// # Safety
///
/// The arguments of the planner's hook, for an ordinary table; the same for all functions here.
pub unsafe fn trust(rel: *mut pg_sys::RelOptInfo, table: *mut pg_sys::RangeTblEntry) -> bool {
    // SAFETY: the planner's list of conditions.
    unsafe {
        let waits = |condition: &*mut pg_sys::RestrictInfo| {
            !pg_sys::restriction_is_securely_promotable(*condition, rel)
                && is_on_custom_field(rel, table, (**condition).clause)
        };
        let conditions: Vec<_> = items::<pg_sys::RestrictInfo>((*rel).baserestrictinfo).filter(waits).collect();
        if conditions.is_empty() || !is_checked((*table).relid) {
            return false;
        }
        for condition in conditions {
            (*condition).leakproof = true;
        }
        true
    }
}

/// A field compared with what is the same for all rows, or that there is a value.
unsafe fn is_on_custom_field(rel: *mut pg_sys::RelOptInfo, table: *mut pg_sys::RangeTblEntry, clause: Expr) -> bool {
    // SAFETY: the tags tell the types; a comparison has two sides.
    unsafe {
        let (function, collation, arguments) = if let Some(test) =
            cast::<_, pg_sys::NullTest>(clause, pg_sys::NodeTag::T_NullTest)
        {
            return !test.argisrow && is_field(rel, table, test.arg);
        } else if let Some(comparison) = cast::<_, pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) {
            (comparison.opfuncid, comparison.inputcollid, comparison.args)
        } else if let Some(any) = cast::<_, pg_sys::ScalarArrayOpExpr>(clause, pg_sys::NodeTag::T_ScalarArrayOpExpr) {
            (any.opfuncid, any.inputcollid, any.args)
        } else {
            return false;
        };
        let mut arguments = items::<pg_sys::Expr>(arguments);
        let (Some(field), Some(value), None) = (arguments.next(), arguments.next(), arguments.next()) else {
            return false;
        };
        COMPARISONS.contains(&function.to_u32())
            && collation == if is_text(function) { pg_sys::DEFAULT_COLLATION_OID } else { pg_sys::InvalidOid }
            && (is(value, pg_sys::NodeTag::T_Const) || is(value, pg_sys::NodeTag::T_Param))
            && is_field(rel, table, field)
    }
}

/// `custom_fields -> 'key'` or `custom_fields ->> 'key'`
unsafe fn is_field(rel: *mut pg_sys::RelOptInfo, table: *mut pg_sys::RangeTblEntry, value: Expr) -> bool {
    // SAFETY: as above.
    unsafe {
        let Some(member) = cast::<_, pg_sys::OpExpr>(value, pg_sys::NodeTag::T_OpExpr) else { return false };
        let mut arguments = items::<pg_sys::Expr>(member.args);
        let (Some(column), Some(key)) = (arguments.next(), arguments.next()) else { return false };
        [pg_sys::F_JSONB_OBJECT_FIELD, pg_sys::F_JSONB_OBJECT_FIELD_TEXT].contains(&member.opfuncid.to_u32())
            && is(key, pg_sys::NodeTag::T_Const)
            && cast::<_, pg_sys::Var>(column, pg_sys::NodeTag::T_Var)
                .is_some_and(|column| is_column(rel, table, column))
    }
}

unsafe fn is_column(rel: *mut pg_sys::RelOptInfo, table: *mut pg_sys::RangeTblEntry, column: &pg_sys::Var) -> bool {
    // SAFETY: a column of this table has a name.
    unsafe {
        column.varno as pg_sys::Index == (*rel).relid
            && column.varlevelsup == 0
            && column.vartype == pg_sys::JSONBOID
            && column.varattno > 0
            && CStr::from_ptr(pg_sys::get_attname((*table).relid, column.varattno, false)) == COLUMN
    }
}

/// Whether the table's custom fields are checked by the trigger of enrolled tables.
unsafe fn is_checked(relid: pg_sys::Oid) -> bool {
    // SAFETY: the planner holds a lock on the table; its triggers are counted.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(relid);
        if relation.is_null() {
            return false;
        }
        let triggers = (*relation)
            .trigdesc
            .as_ref()
            .map_or(&[][..], |triggers| std::slice::from_raw_parts(triggers.triggers, triggers.numtriggers as usize));
        let schema = pg_sys::get_namespace_oid(c"crm_private".as_ptr(), true);
        let found = triggers.iter().any(|trigger| {
            let name = pg_sys::get_func_name(trigger.tgfoid);
            !name.is_null()
                && CStr::from_ptr(name) == c"check_custom_fields"
                && pg_sys::get_func_namespace(trigger.tgfoid) == schema
        });
        pg_sys::RelationClose(relation);
        found
    }
}
