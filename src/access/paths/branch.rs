//! The branches of a plan, one for each scope, each with the conditions that the policy comes to in that scope.
//!
//! A branch is shut by the value that its index is entered with, `case when … then $0 end`: an index scan for NULL ends before
//! it has begun. The open branches give the policy's rows, each once (of pages see `mine`: were parameters set that never are
//! together, they would give fewer). All are of the organization `$0`, and there
//! - `all`, open when `$2 = $0`, gives every row, as the policy does;
//! - `team`, open when `$3 = $0` and `all` is shut, gives the members' rows;
//! - `own`, open when `all` is shut, gives `$1`'s rows, unless `team` is open and `$1` is a member.

use pgrx::prelude::*;

use super::form::{Form, left, right};
use super::nodes::{self, Expr, both, cast, compare, copy, is_not_true, items, list, value_if};

/// Reading a table of fewer pages is cheaper than opening it three times.
const MANY_PAGES: pg_sys::BlockNumber = 32;

pub struct Branches<'a> {
    form: &'a Form,
    rel: *mut pg_sys::RelOptInfo,
    all: Branch,
    team: Branch,
    own: Branch,
    /// For pages, of which most are short, so that each scan that is begun for nothing weighs: `own`, open when `$1` is set …
    mine: Branch,
    /// … and, when it is not, `all` and `team` in one, with the policy itself as condition. `$1` is set for scope own alone;
    /// were another set too, `mine` would give less than the policy.
    others: Branch,
    /// `all` and `team` in one, with the policy itself as condition, where the whole table is read.
    wide: Branch,
    /// The branch beside it.
    narrow: Branch,
}

struct Branch {
    /// When it is open.
    gate: Expr,
    /// The condition on the owner that the index is entered with, if it has the column.
    owner: *mut pg_sys::RestrictInfo,
    /// The table with the conditions of this branch.
    rel: *mut pg_sys::RelOptInfo,
    /// The same without the organization, which is the bitmap's: it is looked at again only where the bitmap is lossy.
    heap: *mut pg_sys::RelOptInfo,
    /// The columns that it takes to answer the query.
    columns: *mut pg_sys::Bitmapset,
}

/// What is replaced.
struct Model {
    path: *mut pg_sys::Path,
    index: *mut pg_sys::IndexOptInfo,
    /// The conditions that the index is entered with after the organization.
    others: Vec<*mut pg_sys::IndexClause>,
    direction: pg_sys::ScanDirection::Type,
    /// Whether rows are fetched in the table's order: best where all are wanted, of which there may be many.
    by_bitmap: bool,
}

impl<'a> Branches<'a> {
    /// # Safety
    ///
    /// A table in which the form was found; the same for all functions here.
    pub unsafe fn new(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo, form: &'a Form) -> Self {
        // SAFETY: as above.
        unsafe {
            let level = (*form.scopes).security_level;
            let is_all = compare(form.all, form.tenant_id, right(form.all));
            let is_team = compare(form.team, form.tenant_id, right(form.team));
            let is_member = compare(form.members.cast(), form.owner_id(), right(form.members.cast()));
            let not_all = is_not_true(is_all);
            let not_both = is_not_true(both(is_team, is_member));
            let is_wide = pg_sys::make_orclause(list(&[is_all, is_team]));

            let none = std::ptr::null_mut();
            let own = nodes::restriction(root, form.own.cast(), false, level);
            let members = nodes::restriction(root, form.members.cast(), false, level);
            let wide_only = nodes::restriction(root, is_wide, true, level);
            let is_mine = nodes::null_test(form.owner_id(), pg_sys::NullTestType::IS_NOT_NULL);
            let is_others = nodes::null_test(form.owner_id(), pg_sys::NullTestType::IS_NULL);
            Self {
                form,
                rel,
                mine: Branch::new(rel, form, is_mine, own, &[own]),
                others: Branch::new(rel, form, is_others, none, &[form.scopes]),
                all: Branch::new(rel, form, is_all, none, &[]),
                team: Branch::new(rel, form, both(is_team, not_all), members, &[members]),
                own: Branch::new(rel, form, both(not_all, not_both), own, &[own]),
                wide: Branch::new(rel, form, is_wide, none, &[wide_only, form.scopes]),
                narrow: Branch::new(rel, form, is_not_true(is_wide), own, &[own]),
            }
        }
    }

    /// The branches that take the place of a path, if it walks through an organization and they can do better.
    pub unsafe fn of(&self, root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::Path) -> Option<*mut pg_sys::List> {
        // SAFETY: as above.
        unsafe {
            if !(*path).param_info.is_null() {
                return None;
            }
            if (*path).pathtype == pg_sys::NodeTag::T_SeqScan {
                return self.beside_whole_table(root, path);
            }
            let model = Model::of(root, path, self.form)?;
            if (*path).pathkeys.is_null() && model.others.is_empty() {
                return self.of_organization(root, &model);
            }
            let mine = self.own_in_order(root, &model)?;
            let others = self.others.scan(root, self.form, &model, model.index, std::ptr::null_mut());
            (*others).pathkeys = (*path).pathkeys;
            Some(list(&[mine, others]))
        }
    }

    /// Where the organization's rows are read in any order, each branch takes the best index for it.
    unsafe fn of_organization(&self, root: *mut pg_sys::PlannerInfo, model: &Model) -> Option<*mut pg_sys::List> {
        // SAFETY: as above.
        unsafe {
            let owners = self.owner_indexes();
            let own = self.own.scan(root, self.form, model, self.own.best(&owners)?, self.own.owner);
            let team = self.team.scan(root, self.form, model, self.team.best(&owners)?, self.team.owner);
            let mut all_indexes = self.indexes();
            all_indexes.retain(|&index| self.all.is_covered_by(index));
            let all_index = self.all.best(&all_indexes).unwrap_or(model.index);
            let all = self.all.scan(root, self.form, model, all_index, std::ptr::null_mut());
            Some(list(&[own, all, team]))
        }
    }

    /// `mine` by an index that has the owner before the other columns of the model's index, and so, the owner being one,
    /// their order. Without such an index, the owner's rows are sorted.
    unsafe fn own_in_order(&self, root: *mut pg_sys::PlannerInfo, model: &Model) -> Option<*mut pg_sys::Path> {
        // SAFETY: as above.
        unsafe {
            let mut owners = self.owner_indexes();
            let order = (*model.path).pathkeys;
            let twin = owners.iter().copied().find(|&index| {
                model.is_entered_alike(index)
                    && pg_sys::pathkeys_contained_in(order, order_within_owner(root, index, model.direction))
            });
            if let Some(index) = twin {
                let mine = self.mine.scan(root, self.form, model, index, self.mine.owner);
                (*mine).pathkeys = order;
                return Some(mine);
            }
            owners.retain(|&index| model.is_entered_alike(index));
            Some(self.mine.scan(root, self.form, model, self.mine.best(&owners)?, self.mine.owner))
        }
    }

    unsafe fn beside_whole_table(
        &self,
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::Path,
    ) -> Option<*mut pg_sys::List> {
        // SAFETY: as above.
        unsafe {
            if (*self.rel).pages < MANY_PAGES {
                return None;
            }
            let model = Model {
                path,
                index: std::ptr::null_mut(),
                others: Vec::new(),
                direction: pg_sys::ScanDirection::ForwardScanDirection,
                by_bitmap: wants_all(root),
            };
            let narrow = &self.narrow;
            let own = narrow.scan(root, self.form, &model, narrow.best(&self.owner_indexes())?, narrow.owner);
            let wide = copy(path);
            (*wide).parent = self.wide.rel;
            // The planner looks for conditions of whole scans only when it knows of one.
            (*root).hasPseudoConstantQuals = true;
            Some(list(&[own, wide]))
        }
    }

    /// The indexes that begin with the organization.
    unsafe fn indexes(&self) -> Vec<*mut pg_sys::IndexOptInfo> {
        // SAFETY: as above.
        unsafe { items((*self.rel).indexlist).filter(|&index| begins_with_organization(index, self.form)).collect() }
    }

    /// … and then the owner.
    unsafe fn owner_indexes(&self) -> Vec<*mut pg_sys::IndexOptInfo> {
        // SAFETY: as above.
        unsafe {
            let mut indexes = self.indexes();
            let operator = (*self.form.own).opno;
            indexes.retain(|&index| (*index).nkeycolumns > 1 && is_column(index, 1, self.form.owner, operator));
            indexes
        }
    }
}

impl Branch {
    unsafe fn new(
        rel: *mut pg_sys::RelOptInfo,
        form: &Form,
        gate: Expr,
        owner: *mut pg_sys::RestrictInfo,
        instead: &[*mut pg_sys::RestrictInfo],
    ) -> Self {
        // SAFETY: as above.
        unsafe {
            let mut conditions = Vec::new();
            for condition in items((*rel).baserestrictinfo) {
                if condition == form.scopes {
                    conditions.extend_from_slice(instead);
                } else {
                    conditions.push(condition);
                }
            }
            let mut columns = std::ptr::null_mut();
            pg_sys::pull_varattnos((*(*rel).reltarget).exprs.cast(), (*rel).relid, &raw mut columns);
            for &condition in &conditions {
                pg_sys::pull_varattnos((*condition).clause.cast(), (*rel).relid, &raw mut columns);
            }
            let rel = copy(rel);
            (*rel).baserestrictinfo = list(&conditions);
            let heap = copy(rel);
            conditions.retain(|&condition| condition != form.tenant);
            (*heap).baserestrictinfo = list(&conditions);
            Self { gate, owner, rel, heap, columns }
        }
    }

    /// An index scan as the model's, shut by the gate.
    unsafe fn scan(
        &self,
        root: *mut pg_sys::PlannerInfo,
        form: &Form,
        model: &Model,
        index: *mut pg_sys::IndexOptInfo,
        owner: *mut pg_sys::RestrictInfo,
    ) -> *mut pg_sys::Path {
        // SAFETY: as above.
        unsafe {
            let mut clauses = vec![self.tenant_clause(root, form)];
            if owner.is_null() {
                clauses.extend_from_slice(&model.others);
            } else {
                clauses.push(index_clause(owner, owner, 1));
                clauses.extend(model.others.iter().map(|&clause| next_column(clause)));
            }
            let only = self.is_covered_by(index);
            let scan = nodes::make::<pg_sys::IndexPath>(pg_sys::NodeTag::T_IndexPath);
            (*scan).path = path_of(model, self.rel, pg_sys::NodeTag::T_IndexPath);
            (*scan).path.pathtype = if only { pg_sys::NodeTag::T_IndexOnlyScan } else { pg_sys::NodeTag::T_IndexScan };
            (*scan).indexinfo = copy(index);
            (*(*scan).indexinfo).rel = self.rel;
            (*(*scan).indexinfo).indrestrictinfo = (*self.rel).baserestrictinfo;
            (*scan).indexclauses = list(&clauses);
            (*scan).indexscandir = model.direction;
            (*scan).indextotalcost = (*model.path).total_cost;
            (*scan).indexselectivity = 1.0;
            if only || !model.by_bitmap {
                return scan.cast();
            }
            // Of a bitmap, the workers of a parallel plan share what it leads to.
            (*scan).path.parallel_aware = false;
            (*scan).path.parallel_workers = 0;
            let heap = nodes::make::<pg_sys::BitmapHeapPath>(pg_sys::NodeTag::T_BitmapHeapPath);
            (*heap).path = path_of(model, self.heap, pg_sys::NodeTag::T_BitmapHeapPath);
            (*heap).path.pathtype = pg_sys::NodeTag::T_BitmapHeapScan;
            (*heap).bitmapqual = scan.cast();
            heap.cast()
        }
    }

    /// `org_id = case when gate then $0 end`, which says `org_id = $0` too.
    unsafe fn tenant_clause(&self, root: *mut pg_sys::PlannerInfo, form: &Form) -> *mut pg_sys::IndexClause {
        // SAFETY: as above.
        unsafe {
            let operator = (*form.tenant).clause.cast();
            let gated = compare(operator, left(operator), value_if(self.gate, form.tenant_id));
            let condition = nodes::restriction(root, gated, false, (*form.tenant).security_level);
            index_clause(form.tenant, condition, 0)
        }
    }

    /// One that has all columns, and among these or otherwise the smallest.
    unsafe fn best(&self, indexes: &[*mut pg_sys::IndexOptInfo]) -> Option<*mut pg_sys::IndexOptInfo> {
        // SAFETY: as above.
        unsafe { indexes.iter().copied().min_by_key(|&index| (!self.is_covered_by(index), (*index).pages)) }
    }

    /// Whether the index alone answers the query.
    unsafe fn is_covered_by(&self, index: *mut pg_sys::IndexOptInfo) -> bool {
        // SAFETY: an index has arrays of as many elements as columns.
        unsafe {
            let mut columns = std::ptr::null_mut();
            for at in 0..(*index).ncolumns as usize {
                if *(*index).canreturn.add(at) {
                    let member = *(*index).indexkeys.add(at) - pg_sys::FirstLowInvalidHeapAttributeNumber;
                    columns = pg_sys::bms_add_member(columns, member);
                }
            }
            pg_sys::enable_indexonlyscan && pg_sys::bms_is_subset(self.columns, columns)
        }
    }
}

impl Model {
    /// The path, if it enters an index by the organization.
    unsafe fn of(root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::Path, form: &Form) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let heap: Option<&mut pg_sys::BitmapHeapPath> = cast(path, pg_sys::NodeTag::T_BitmapHeapPath);
            let by_bitmap = heap.is_some() || ((*path).pathkeys.is_null() && wants_all(root));
            let scan = heap.map_or(path, |heap| heap.bitmapqual);
            let scan: &mut pg_sys::IndexPath = cast(scan, pg_sys::NodeTag::T_IndexPath)?;
            let mut others: Vec<_> = items(scan.indexclauses).collect();
            let first: *mut pg_sys::IndexClause = others.first().copied()?;
            let is_tenant = (*first).rinfo == form.tenant && (*first).indexcol == 0 && !(*first).lossy;
            others.remove(0);
            let are_later = others.iter().all(|&clause| (*clause).indexcol > 0);
            let is_fit = is_tenant && are_later && scan.indexorderbys.is_null();
            (is_fit && begins_with_organization(scan.indexinfo, form)).then_some(Self {
                path,
                index: scan.indexinfo,
                others,
                direction: scan.indexscandir,
                by_bitmap,
            })
        }
    }

    /// Whether the conditions suit the other index, one column further.
    unsafe fn is_entered_alike(&self, other: *mut pg_sys::IndexOptInfo) -> bool {
        // SAFETY: as above.
        unsafe {
            self.others.iter().flat_map(|&clause| columns_of(clause)).all(|column| {
                let (at, next) = (column as usize, column as usize + 1);
                column + 1 < (*other).nkeycolumns
                    && *(*self.index).indexkeys.add(at) != 0
                    && *(*self.index).indexkeys.add(at) == *(*other).indexkeys.add(next)
                    && *(*self.index).opfamily.add(at) == *(*other).opfamily.add(next)
                    && *(*self.index).indexcollations.add(at) == *(*other).indexcollations.add(next)
            })
        }
    }
}

unsafe fn path_of(model: &Model, rel: *mut pg_sys::RelOptInfo, tag: pg_sys::NodeTag) -> pg_sys::Path {
    // SAFETY: as above.
    unsafe { pg_sys::Path { type_: tag, parent: rel, pathkeys: std::ptr::null_mut(), ..*model.path } }
}

/// Whether the query is answered as a whole, not for its first rows.
unsafe fn wants_all(root: *mut pg_sys::PlannerInfo) -> bool {
    // SAFETY: as above, and a setting.
    unsafe { (*root).tuple_fraction == 0.0 && pg_sys::enable_bitmapscan }
}

unsafe fn begins_with_organization(index: *mut pg_sys::IndexOptInfo, form: &Form) -> bool {
    // SAFETY: as above.
    unsafe {
        (*index).relam == pg_sys::BTREE_AM_OID
            && (*index).indpred.is_null()
            && !(*index).hypothetical
            && is_column(index, 0, form.organization, (*form.all).opno)
    }
}

/// Whether that column of the index is this one of the table, and finds what is equal by this operator.
unsafe fn is_column(
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
unsafe fn order_within_owner(
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

unsafe fn index_clause(
    says: *mut pg_sys::RestrictInfo,
    condition: *mut pg_sys::RestrictInfo,
    column: pg_sys::AttrNumber,
) -> *mut pg_sys::IndexClause {
    // SAFETY: as above.
    unsafe {
        let clause = nodes::make::<pg_sys::IndexClause>(pg_sys::NodeTag::T_IndexClause);
        (*clause).rinfo = says;
        (*clause).indexquals = list(&[condition]);
        (*clause).indexcol = column;
        clause
    }
}

/// The same condition for an index that has the column one further.
unsafe fn next_column(clause: *mut pg_sys::IndexClause) -> *mut pg_sys::IndexClause {
    // SAFETY: as above.
    unsafe {
        let next = copy(clause);
        (*next).indexcol += 1;
        (*next).indexcols = row_columns(clause)
            .into_iter()
            .fold(std::ptr::null_mut(), |list, column| pg_sys::lappend_int(list, column + 1));
        next
    }
}

unsafe fn columns_of(clause: *mut pg_sys::IndexClause) -> Vec<i32> {
    // SAFETY: as above.
    unsafe {
        let mut columns = row_columns(clause);
        columns.push(i32::from((*clause).indexcol));
        columns
    }
}

/// The index's columns that a comparison of rows is about.
unsafe fn row_columns(clause: *mut pg_sys::IndexClause) -> Vec<i32> {
    // SAFETY: a list of numbers.
    unsafe {
        (*clause).indexcols.as_ref().map_or_else(Vec::new, |list| {
            (0..list.length as usize).map(|at| (*list.elements.add(at)).int_value).collect()
        })
    }
}
