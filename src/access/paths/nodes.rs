//! The planner's nodes and lists: reading, copying, making.

use pgrx::prelude::*;

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

/// `left = right`
pub unsafe fn equality(operator: pg_sys::Oid, left: Expr, right: Expr) -> Expr {
    let none = pg_sys::InvalidOid;
    // SAFETY: as above.
    unsafe {
        let equality = pg_sys::make_opclause(operator, pg_sys::BOOLOID, false, left, right, none, none);
        pg_sys::set_opfuncid(equality.cast());
        equality
    }
}

/// `column = any (array)` by a hash table of the array, as PostgreSQL does it for constants: only where the array is not
/// null, and the same for all rows.
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

/// `cardinality(array) = 1`
pub unsafe fn has_one_element(array: Expr) -> Expr {
    let none = pg_sys::InvalidOid;
    let kind = pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
    // SAFETY: as above.
    unsafe {
        let function = pg_sys::Oid::from(pg_sys::F_CARDINALITY);
        let count = pg_sys::makeFuncExpr(function, pg_sys::INT4OID, list(&[array]), none, none, kind);
        equality(pg_sys::Oid::from(pg_sys::Int4EqualOperator), count.cast(), one())
    }
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
        (*element).refupperindexpr = list(&[one()]);
        (*element).refexpr = array;
        element.cast()
    }
}

unsafe fn one() -> Expr {
    // SAFETY: as above.
    unsafe { pg_sys::makeConst(pg_sys::INT4OID, -1, pg_sys::InvalidOid, 4, pg_sys::Datum::from(1), false, true).cast() }
}

pub unsafe fn is_not_null(value: Expr) -> Expr {
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
        return pg_sys::make_restrictinfo(root, condition, true, false, false, level, none, none, none);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::make_restrictinfo(root, condition, true, false, false, false, level, none, none, none);
    }
}
