//! Recognises the policies of row scopes among a table's conditions, by their structure.

use pgrx::prelude::*;

use super::nodes::{Expr, cast, items};

/// `org_id = $0 and (owner_id = $1 or org_id = $2 or (org_id = $3 and owner_id = any ($4)))`
pub struct Form {
    pub organization: pg_sys::AttrNumber,
    pub owner: pg_sys::AttrNumber,
    /// `org_id = $0`
    pub tenant: *mut pg_sys::RestrictInfo,
    /// `$0`
    pub tenant_id: Expr,
    /// The OR.
    pub scopes: *mut pg_sys::RestrictInfo,
    /// `owner_id = $1`
    pub own: *mut pg_sys::OpExpr,
    /// `org_id = $2`
    pub all: *mut pg_sys::OpExpr,
    /// `org_id = $3`
    pub team: *mut pg_sys::OpExpr,
    /// `owner_id = any ($4)`
    pub members: *mut pg_sys::ScalarArrayOpExpr,
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
    pub unsafe fn find(rel: *mut pg_sys::RelOptInfo) -> Option<Self> {
        // SAFETY: the planner's list of conditions.
        unsafe { items((*rel).baserestrictinfo).find_map(|scopes| Self::of(rel, scopes)) }
    }

    unsafe fn of(rel: *mut pg_sys::RelOptInfo, scopes: *mut pg_sys::RestrictInfo) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let mut arms = arms((*scopes).clause, pg_sys::BoolExprType::OR_EXPR, 3)?;
            // However the arms are ordered: the team's is the one that is an AND.
            arms.sort_by_key(|&arm| !super::nodes::is(arm, pg_sys::NodeTag::T_BoolExpr));
            let parts = self::arms(arms[0], pg_sys::BoolExprType::AND_EXPR, 2)?;
            let (team, members) = Equality::of(rel, parts[0])
                .zip(membership(rel, parts[1]))
                .or_else(|| Equality::of(rel, parts[1]).zip(membership(rel, parts[0])))?;
            let (first, second) = (Equality::of(rel, arms[1])?, Equality::of(rel, arms[2])?);
            let (all, own) = if first.column == team.column { (first, second) } else { (second, first) };
            if all.column != team.column || all.operator != team.operator {
                return None;
            }
            if own.column != members.0 || own.operator != (*members.1).opno || own.column == all.column {
                return None;
            }
            let (tenant, tenant_id) = items((*rel).baserestrictinfo).find_map(|tenant| tenant_of(rel, tenant, &all))?;
            if !is_before_others(rel, scopes) || !is_before_others(rel, tenant) {
                return None;
            }
            Some(Self {
                organization: all.column,
                owner: own.column,
                tenant,
                tenant_id,
                scopes,
                own: own.node,
                all: all.node,
                team: team.node,
                members: members.1,
            })
        }
    }

    /// `$1`
    pub fn owner_id(&self) -> Expr {
        // SAFETY: an equality has two sides.
        unsafe { right(self.own) }
    }
}

impl Equality {
    unsafe fn of(rel: *mut pg_sys::RelOptInfo, clause: Expr) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let node: &mut pg_sys::OpExpr = cast(clause, pg_sys::NodeTag::T_OpExpr)?;
            let (column, value) = sides(rel, node.args)?;
            let same_type = pg_sys::exprType(value.cast()) == pg_sys::exprType(left(node).cast());
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
        let (column, _) = sides(rel, node.args)?;
        (node.useOr && node.inputcollid == pg_sys::InvalidOid).then_some((column, std::ptr::from_mut(node)))
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

/// Whether the condition may be looked at before all others: no other hides rows from it.
unsafe fn is_before_others(rel: *mut pg_sys::RelOptInfo, condition: *mut pg_sys::RestrictInfo) -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::restriction_is_securely_promotable(condition, rel) }
}

unsafe fn arms(clause: Expr, kind: pg_sys::BoolExprType::Type, count: usize) -> Option<Vec<Expr>> {
    // SAFETY: as above.
    unsafe {
        let node: &mut pg_sys::BoolExpr = cast(clause, pg_sys::NodeTag::T_BoolExpr)?;
        let arms: Vec<Expr> = items(node.args).collect();
        (node.boolop == kind && arms.len() == count).then_some(arms)
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

pub unsafe fn left(operator: *const pg_sys::OpExpr) -> Expr {
    // SAFETY: as above.
    unsafe { (*(*(*operator).args).elements).ptr_value.cast() }
}

pub unsafe fn right(operator: *const pg_sys::OpExpr) -> Expr {
    // SAFETY: as above.
    unsafe { (*(*(*operator).args).elements.add(1)).ptr_value.cast() }
}
