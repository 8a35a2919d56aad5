//! Recognises the policies of row scopes among a table's conditions, by their structure.

use pgrx::prelude::*;

use super::nodes::{Expr, cast, items};

/// `org_id = $0 and (owner_id = any ($1) or org_id = $2)`
pub struct Form {
    pub organization: pg_sys::AttrNumber,
    /// The operator that organizations are compared with.
    pub organization_equals: pg_sys::Oid,
    pub owner: pg_sys::AttrNumber,
    pub owner_equals: pg_sys::Oid,
    /// `org_id = $0`
    pub tenant: *mut pg_sys::RestrictInfo,
    /// `$0`
    pub tenant_id: Expr,
    /// The OR.
    pub scopes: *mut pg_sys::RestrictInfo,
    /// `owner_id = any ($1)`
    pub members: *mut pg_sys::ScalarArrayOpExpr,
    /// `org_id = $2`
    pub all: *mut pg_sys::OpExpr,
}

/// `column = value`, where the value is the same for all rows.
struct Equality {
    column: pg_sys::AttrNumber,
    operator: pg_sys::Oid,
    value: Expr,
    node: *mut pg_sys::OpExpr,
}

impl Form {
    /// # Safety
    ///
    /// A base relation whose conditions are complete; the same for all functions here.
    pub unsafe fn find(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> Option<Self> {
        // SAFETY: the planner's list of conditions.
        unsafe {
            let form = items((*rel).baserestrictinfo).find_map(|scopes| Self::of(rel, scopes))?;
            (is_sub_select(root, form.owners()) && is_sub_select(root, form.all_id())).then_some(form)
        }
    }

    unsafe fn of(rel: *mut pg_sys::RelOptInfo, scopes: *mut pg_sys::RestrictInfo) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let arms = arms((*scopes).clause)?;
            let (members, all) = membership(rel, arms[0])
                .zip(Equality::of(rel, arms[1]))
                .or_else(|| membership(rel, arms[1]).zip(Equality::of(rel, arms[0])))?;
            let (owner, members) = members;
            let (tenant, tenant_id) = items((*rel).baserestrictinfo).find_map(|tenant| tenant_of(rel, tenant, &all))?;
            if owner == all.column || !is_before_others(rel, scopes) || !is_before_others(rel, tenant) {
                return None;
            }
            Some(Self {
                organization: all.column,
                organization_equals: all.operator,
                owner,
                owner_equals: (*members).opno,
                tenant,
                tenant_id,
                scopes,
                members,
                all: all.node,
            })
        }
    }

    /// `owner_id`
    pub fn owner_column(&self) -> Expr {
        // SAFETY: it has two sides.
        unsafe { argument((*self.members).args, 0) }
    }

    /// `$1`
    pub fn owners(&self) -> Expr {
        // SAFETY: as above.
        unsafe { argument((*self.members).args, 1) }
    }

    /// `$2`
    pub fn all_id(&self) -> Expr {
        // SAFETY: as above.
        unsafe { argument((*self.all).args, 1) }
    }
}

impl Equality {
    unsafe fn of(rel: *mut pg_sys::RelOptInfo, clause: Expr) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let node: &mut pg_sys::OpExpr = cast(clause, pg_sys::NodeTag::T_OpExpr)?;
            let (column, value) = sides(rel, node.args)?;
            let same_type = pg_sys::exprType(value.cast()) == pg_sys::exprType(argument(node.args, 0).cast());
            (same_type && node.inputcollid == pg_sys::InvalidOid).then_some(Self {
                column,
                operator: node.opno,
                value,
                node,
            })
        }
    }
}

/// `column = any (array)`
unsafe fn membership(
    rel: *mut pg_sys::RelOptInfo,
    clause: Expr,
) -> Option<(pg_sys::AttrNumber, *mut pg_sys::ScalarArrayOpExpr)> {
    // SAFETY: as above.
    unsafe {
        let node: &mut pg_sys::ScalarArrayOpExpr = cast(clause, pg_sys::NodeTag::T_ScalarArrayOpExpr)?;
        let (column, array) = sides(rel, node.args)?;
        // Elements of the column's own type, as the operator compares them.
        let same_type =
            pg_sys::get_element_type(pg_sys::exprType(array.cast())) == pg_sys::exprType(argument(node.args, 0).cast());
        (node.useOr && same_type && node.inputcollid == pg_sys::InvalidOid)
            .then_some((column, std::ptr::from_mut(node)))
    }
}

/// `org_id = $0`, whatever the planner made of it: it may have learned that the organization is another parameter's.
unsafe fn tenant_of(
    rel: *mut pg_sys::RelOptInfo,
    condition: *mut pg_sys::RestrictInfo,
    all: &Equality,
) -> Option<(*mut pg_sys::RestrictInfo, Expr)> {
    // SAFETY: as above.
    unsafe {
        let equality = Equality::of(rel, (*condition).clause)?;
        (equality.column == all.column && equality.operator == all.operator).then_some((condition, equality.value))
    }
}

/// Whether this is what an uncorrelated sub-select gives: the same as long as the statement runs, however often a part of it
/// is repeated.
unsafe fn is_sub_select(root: *mut pg_sys::PlannerInfo, value: Expr) -> bool {
    // SAFETY: as above; a query that is no part of another has no parent.
    unsafe {
        let Some(parameter) = cast::<_, pg_sys::Param>(value, pg_sys::NodeTag::T_Param) else { return false };
        let sets = |select: *mut pg_sys::SubPlan| {
            (*select).subLinkType == pg_sys::SubLinkType::EXPR_SUBLINK
                && (*select).parParam.is_null()
                && pg_sys::list_member_int((*select).setParam, parameter.paramid)
        };
        let mut query = root;
        while !query.is_null() {
            if items((*query).init_plans).any(sets) {
                return parameter.paramkind == pg_sys::ParamKind::PARAM_EXEC;
            }
            query = (*query).parent_root;
        }
        false
    }
}

/// Whether the condition may be looked at before all others: no other hides rows from it.
unsafe fn is_before_others(rel: *mut pg_sys::RelOptInfo, condition: *mut pg_sys::RestrictInfo) -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::restriction_is_securely_promotable(condition, rel) }
}

/// The two arms of an OR.
unsafe fn arms(clause: Expr) -> Option<[Expr; 2]> {
    // SAFETY: as above.
    unsafe {
        let node: &mut pg_sys::BoolExpr = cast(clause, pg_sys::NodeTag::T_BoolExpr)?;
        let arms: Vec<Expr> = items(node.args).collect();
        if node.boolop == pg_sys::BoolExprType::OR_EXPR { arms.try_into().ok() } else { None }
    }
}

/// A column of the table on the left, a parameter or constant on the right.
unsafe fn sides(rel: *mut pg_sys::RelOptInfo, args: *mut pg_sys::List) -> Option<(pg_sys::AttrNumber, Expr)> {
    // SAFETY: as above.
    unsafe {
        let mut args = items::<pg_sys::Expr>(args);
        let (left, right) = (args.next()?, args.next()?);
        let column: &mut pg_sys::Var = cast(left, pg_sys::NodeTag::T_Var)?;
        let is_value =
            matches!((*right.cast::<pg_sys::Node>()).type_, pg_sys::NodeTag::T_Param | pg_sys::NodeTag::T_Const);
        (is_value && column.varno as pg_sys::Index == (*rel).relid && column.varlevelsup == 0 && column.varattno > 0)
            .then_some((column.varattno, right))
    }
}

unsafe fn argument(arguments: *mut pg_sys::List, at: usize) -> Expr {
    // SAFETY: there are two.
    unsafe { (*(*arguments).elements.add(at)).ptr_value.cast() }
}
