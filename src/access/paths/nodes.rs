//! The planner's nodes and lists: reading, copying, making.

use pgrx::prelude::*;

/// PostgreSQL too hashes what has more.
pub const HASHED_FROM: i32 = 8;

pub type Expr = *mut pg_sys::Expr;

/// The elements of a list of nodes, or of none.
///
/// # Safety
///
/// A list of nodes of this type, which is not changed meanwhile; the same, a valid node, goes for all functions here.
pub unsafe fn items<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: as many elements as it says, and a list of nodes holds pointers.
    let elements = unsafe {
        list.as_ref().map_or(&[][..], |list| std::slice::from_raw_parts(list.elements, list.length as usize))
    };
    // SAFETY: as above.
    elements.iter().map(|element| unsafe { element.ptr_value.cast() })
}

pub unsafe fn list<T>(nodes: &[*mut T]) -> *mut pg_sys::List {
    // SAFETY: appends to a list of its own.
    nodes.iter().fold(std::ptr::null_mut(), |list, &node| unsafe { pg_sys::lappend(list, node.cast()) })
}

pub unsafe fn is<T>(node: *mut T, tag: pg_sys::NodeTag) -> bool {
    // SAFETY: every node begins with its tag.
    unsafe { !node.is_null() && (*node.cast::<pg_sys::Node>()).type_ == tag }
}

/// The node as that type, if it is one.
pub unsafe fn cast<'a, T, U>(node: *mut T, tag: pg_sys::NodeTag) -> Option<&'a mut U> {
    // SAFETY: the tag tells the type.
    unsafe { if is(node, tag) { node.cast::<U>().as_mut() } else { None } }
}

pub unsafe fn make<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: zeroes are what a new node holds, apart from its tag.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        (*node.cast::<pg_sys::Node>()).type_ = tag;
        node.cast()
    }
}

/// A copy of the node alone; what it points to is shared.
pub unsafe fn copy<T>(node: *const T) -> *mut T {
    // SAFETY: as much room as is copied.
    unsafe {
        let copy = pg_sys::palloc(size_of::<T>()).cast::<T>();
        std::ptr::copy_nonoverlapping(node, copy, 1);
        copy
    }
}

/// `left = right`, or another operator of two arguments.
pub unsafe fn comparison(operator: pg_sys::Oid, left: Expr, right: Expr) -> Expr {
    let none = pg_sys::InvalidOid;
    // SAFETY: as above.
    unsafe {
        let comparison = pg_sys::make_opclause(operator, pg_sys::BOOLOID, false, left, right, none, none);
        pg_sys::set_opfuncid(comparison.cast());
        comparison
    }
}

/// `column = any (array)` by a hash table of the array, as PostgreSQL does it for constants. Only where the array is the same
/// for all rows, and has more elements than `HASHED_FROM`: fewer are stored in a short form, of which the server makes another
/// for each row, while the table points to the elements of the first.
pub unsafe fn hashed(membership: *const pg_sys::ScalarArrayOpExpr) -> Expr {
    // SAFETY: as above, and a catalog look-up.
    unsafe {
        let hashed = copy(membership);
        let (mut left, mut right) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        if pg_sys::get_op_hash_functions((*hashed).opno, &raw mut left, &raw mut right) && left == right {
            (*hashed).hashfuncid = left;
        }
        hashed.cast()
    }
}

/// `cardinality(array) = 1 and array[1] is not null`: one element, at its usual place.
pub unsafe fn is_one_element(array: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let equals = pg_sys::Oid::from(pg_sys::Int4EqualOperator);
        let is_one = comparison(equals, cardinality(array), integer(1));
        pg_sys::make_andclause(list(&[is_one, is_not_null(first_element(array))]))
    }
}

/// `least < cardinality(array)`
pub unsafe fn has_more_elements(least: i32, array: Expr) -> Expr {
    // SAFETY: as above.
    unsafe { comparison(pg_sys::Oid::from(pg_sys::Int4LessOperator), integer(least), cardinality(array)) }
}

unsafe fn cardinality(array: Expr) -> Expr {
    let none = pg_sys::InvalidOid;
    let kind = pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
    let function = pg_sys::Oid::from(pg_sys::F_CARDINALITY);
    // SAFETY: as above.
    unsafe { pg_sys::makeFuncExpr(function, pg_sys::INT4OID, list(&[array]), none, none, kind).cast() }
}

/// `array[1]`
pub unsafe fn first_element(array: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let element = make::<pg_sys::SubscriptingRef>(pg_sys::NodeTag::T_SubscriptingRef);
        (*element).refcontainertype = pg_sys::exprType(array.cast());
        (*element).refelemtype = pg_sys::get_element_type((*element).refcontainertype);
        (*element).refrestype = (*element).refelemtype;
        (*element).reftypmod = -1;
        (*element).refupperindexpr = list(&[integer(1)]);
        (*element).refexpr = array;
        element.cast()
    }
}

unsafe fn integer(value: i32) -> Expr {
    let value = pg_sys::Datum::from(value);
    // SAFETY: as above.
    unsafe { pg_sys::makeConst(pg_sys::INT4OID, -1, pg_sys::InvalidOid, 4, value, false, true).cast() }
}

unsafe fn is_not_null(value: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let test = make::<pg_sys::NullTest>(pg_sys::NodeTag::T_NullTest);
        (*test).arg = value;
        (*test).nulltesttype = pg_sys::NullTestType::IS_NOT_NULL;
        (*test).location = -1;
        test.cast()
    }
}

/// A condition of the table's rows.
pub unsafe fn restriction(
    root: *mut pg_sys::PlannerInfo,
    condition: Expr,
    level: pg_sys::Index,
) -> *mut pg_sys::RestrictInfo {
    let none = std::ptr::null_mut();
    // SAFETY: as above.
    unsafe {
        #[cfg(feature = "pg15")]
        let made = pg_sys::make_restrictinfo(root, condition, true, false, false, level, none, none, none);
        #[cfg(not(feature = "pg15"))]
        let made = pg_sys::make_restrictinfo(root, condition, true, false, false, false, level, none, none, none);
        put_first(root, made);
        made
    }
}

/// Has a policy's condition looked at before those of the query.
pub unsafe fn put_first(root: *mut pg_sys::PlannerInfo, condition: *mut pg_sys::RestrictInfo) {
    // SAFETY: as above. A cost that is not below zero at the start is taken for computed.
    unsafe {
        if (*condition).security_level < (*root).qual_security_level {
            (*condition).eval_cost = pg_sys::QualCost { startup: 0.0, per_tuple: -1e-9 };
        }
    }
}
