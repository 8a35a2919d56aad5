//! The planner's nodes and lists: reading, copying, making; and where its functions differ between the server's versions.

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

/// A copy of an operator's node, comparing these two.
pub unsafe fn compare(operator: *const pg_sys::OpExpr, left: Expr, right: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let operator = copy(operator);
        (*operator).args = list(&[left, right]);
        operator.cast()
    }
}

pub unsafe fn both(left: Expr, right: Expr) -> Expr {
    // SAFETY: as above.
    unsafe { pg_sys::make_andclause(list(&[left, right])) }
}

pub unsafe fn is_not_true(expression: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let test = make::<pg_sys::BooleanTest>(pg_sys::NodeTag::T_BooleanTest);
        (*test).arg = expression;
        (*test).booltesttype = pg_sys::BoolTestType::IS_NOT_TRUE;
        (*test).location = -1;
        test.cast()
    }
}

/// `value is null`, or `value is not null`
pub unsafe fn null_test(value: Expr, kind: pg_sys::NullTestType::Type) -> Expr {
    // SAFETY: as above.
    unsafe {
        let test = make::<pg_sys::NullTest>(pg_sys::NodeTag::T_NullTest);
        (*test).arg = value;
        (*test).nulltesttype = kind;
        (*test).location = -1;
        test.cast()
    }
}

/// `case when condition then value end`
pub unsafe fn value_if(condition: Expr, value: Expr) -> Expr {
    // SAFETY: as above.
    unsafe {
        let value_type = pg_sys::exprType(value.cast());
        let when = make::<pg_sys::CaseWhen>(pg_sys::NodeTag::T_CaseWhen);
        (*when).expr = condition;
        (*when).result = value;
        (*when).location = -1;
        let case = make::<pg_sys::CaseExpr>(pg_sys::NodeTag::T_CaseExpr);
        (*case).casetype = value_type;
        (*case).args = list(&[when]);
        (*case).defresult = pg_sys::makeNullConst(value_type, -1, pg_sys::InvalidOid).cast();
        (*case).location = -1;
        case.cast()
    }
}

/// A condition of the table's rows, or with `once` of the whole scan.
pub unsafe fn restriction(
    root: *mut pg_sys::PlannerInfo,
    condition: Expr,
    once: bool,
    level: pg_sys::Index,
) -> *mut pg_sys::RestrictInfo {
    let none = std::ptr::null_mut();
    // SAFETY: as above.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::make_restrictinfo(root, condition, true, false, once, level, none, none, none);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::make_restrictinfo(root, condition, true, false, false, once, level, none, none, none);
    }
}

/// PostgreSQL 18 counts the disabled nodes of a path beside its cost.
#[cfg(not(feature = "pg18"))]
pub unsafe fn copy_disabled(_path: *mut pg_sys::Path, _model: *mut pg_sys::Path) {}
#[cfg(feature = "pg18")]
pub unsafe fn copy_disabled(path: *mut pg_sys::Path, model: *mut pg_sys::Path) {
    // SAFETY: as above.
    unsafe { (*path).disabled_nodes = (*model).disabled_nodes }
}
