//! What an index has to offer: how it begins, and in which order one finds rows there.

use pgrx::prelude::*;

use super::form::Form;
use super::nodes::{copy, items, list};

/// Whether it is a plain one that begins with the organization.
///
/// # Safety
///
/// An index of the table that the form is of; the same for all functions here.
pub unsafe fn begins_with_organization(index: *mut pg_sys::IndexOptInfo, form: &Form) -> bool {
    // SAFETY: an index has arrays of as many elements as columns.
    unsafe {
        (*index).relam == pg_sys::BTREE_AM_OID
            && (*index).indpred.is_null()
            && !(*index).hypothetical
            && is_column(index, 0, form.organization, form.organization_equals)
    }
}

/// Whether that column of the index is this one of the table, and finds what is equal by this operator.
pub unsafe fn is_column(
    index: *mut pg_sys::IndexOptInfo,
    at: usize,
    column: pg_sys::AttrNumber,
    operator: pg_sys::Oid,
) -> bool {
    // SAFETY: as above, and a catalog look-up.
    unsafe {
        *(*index).indexkeys.add(at) == i32::from(column)
            && pg_sys::get_op_opfamily_strategy(operator, *(*index).opfamily.add(at))
                == pg_sys::BTEqualStrategyNumber as i32
    }
}

/// The order of an index's rows of one organization and one owner: that of the index without its second column.
pub unsafe fn order_within_owner(
    root: *mut pg_sys::PlannerInfo,
    index: *mut pg_sys::IndexOptInfo,
    direction: pg_sys::ScanDirection::Type,
) -> *mut pg_sys::List {
    // SAFETY: as above; the arrays are as long as the index has columns.
    unsafe {
        let rest = copy(index);
        let count = (*index).ncolumns as usize;
        (*rest).ncolumns -= 1;
        (*rest).nkeycolumns -= 1;
        (*rest).indexkeys = without_second((*index).indexkeys, count);
        let keys = (*index).nkeycolumns as usize;
        (*rest).indexcollations = without_second((*index).indexcollations, keys);
        (*rest).opcintype = without_second((*index).opcintype, keys);
        (*rest).opfamily = without_second((*index).opfamily, keys);
        (*rest).sortopfamily = without_second((*index).sortopfamily, keys);
        (*rest).reverse_sort = without_second((*index).reverse_sort, keys);
        (*rest).nulls_first = without_second((*index).nulls_first, keys);
        let mut columns: Vec<*mut pg_sys::TargetEntry> = items((*index).indextlist).collect();
        columns.remove(1);
        (*rest).indextlist = list(&columns);
        pg_sys::build_index_pathkeys(root, rest, direction)
    }
}

unsafe fn without_second<T: Copy>(array: *mut T, count: usize) -> *mut T {
    // SAFETY: as many elements as counted.
    unsafe {
        let copy = pg_sys::palloc(size_of::<T>() * count).cast::<T>();
        std::ptr::copy_nonoverlapping(array, copy, 1);
        std::ptr::copy_nonoverlapping(array.add(2), copy.add(1), count - 2);
        copy
    }
}
