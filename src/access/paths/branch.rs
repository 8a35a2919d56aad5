//! The branches of a plan, one for each scope, each with the conditions that the policy comes to in that scope:
//! - `all`, taken when `$2` is the organization `$0`, gives the rows of `org_id = $2`;
//! - `own`, taken otherwise when `$1` is one person, gives that person's rows;
//! - `members`, taken otherwise, gives the rows of those in `$1`.
//!
//! All are of the organization `$0`. Each gives rows of the policy only, whichever is taken.

use pgrx::prelude::*;

use super::form::Form;
use super::indexes::{begins_with_organization, is_column, order_within_owner};
use super::nodes::{self, Expr, cast, copy, items, list};

/// Reading a table of fewer pages is cheaper than opening it twice.
const MANY_PAGES: pg_sys::BlockNumber = 32;

pub struct Branches<'a> {
    form: &'a Form,
    rel: *mut pg_sys::RelOptInfo,
    own: Branch,
    members: Branch,
    all: Branch,
    /// `members` in an order that no index has for several people's rows: by going through the organization.
    members_in_order: Branch,
    /// The same for many, who are looked up in a hash table.
    many_in_order: Branch,
    is_all: Expr,
    is_one: Expr,
    are_many: Expr,
}

/// What takes the place of a path: one for each gate, for when that is the first that is true, and one for when none is.
pub struct Choices {
    pub gates: Vec<Expr>,
    pub paths: Vec<*mut pg_sys::Path>,
}

struct Branch {
    /// The condition on the owner that the index is entered with, if it has the column.
    owner: *mut pg_sys::RestrictInfo,
    /// The table with the conditions of this branch.
    rel: *mut pg_sys::RelOptInfo,
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
            let is_owner =
                nodes::comparison(form.owner_equals, form.owner_column(), nodes::first_element(form.owners()));
            let own = nodes::restriction(root, is_owner, level);
            let members = nodes::restriction(root, form.members.cast(), level);
            let all = nodes::restriction(root, form.all.cast(), level);
            let hashed = nodes::restriction(root, nodes::hashed(form.members), level);
            let none = std::ptr::null_mut();
            Self {
                form,
                rel,
                own: Branch::new(rel, form, own, own),
                members: Branch::new(rel, form, members, members),
                all: Branch::new(rel, form, none, all),
                members_in_order: Branch::new(rel, form, none, members),
                many_in_order: Branch::new(rel, form, none, hashed),
                is_all: nodes::comparison(form.organization_equals, form.tenant_id, form.all_id()),
                is_one: nodes::is_one_element(form.owners()),
                are_many: nodes::has_more_elements(nodes::HASHED_FROM, form.owners()),
            }
        }
    }

    /// The branches that take the place of a path, if it walks through an organization and they can do better.
    pub unsafe fn of(&self, root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::Path) -> Option<Choices> {
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
                return self.of_organization(&model);
            }
            let own = self.own_in_order(root, &model)?;
            let [all, many, members] = [&self.all, &self.many_in_order, &self.members_in_order].map(|branch| {
                let scan = branch.scan(self.form, &model, model.index);
                (*scan).pathkeys = (*path).pathkeys;
                scan
            });
            let gates = vec![self.is_all, self.is_one, self.are_many];
            Some(Choices { gates, paths: vec![all, own, many, members] })
        }
    }

    /// Where the organization's rows are read in any order, each branch takes the best index for it.
    unsafe fn of_organization(&self, model: &Model) -> Option<Choices> {
        // SAFETY: as above.
        unsafe {
            let owners = self.owner_indexes();
            let own = self.own.scan(self.form, model, self.own.best(&owners)?);
            let members = self.members.scan(self.form, model, self.members.best(&owners)?);
            let mut all_indexes = self.indexes();
            all_indexes.retain(|&index| self.all.is_covered_by(index));
            let all = self.all.scan(self.form, model, self.all.best(&all_indexes).unwrap_or(model.index));
            Some(Choices { gates: vec![self.is_all, self.is_one], paths: vec![all, own, members] })
        }
    }

    /// `own` by an index that has the owner before the other columns of the model's index, and so, the owner being one,
    /// their order. Without such an index, the owner's rows are sorted.
    unsafe fn own_in_order(&self, root: *mut pg_sys::PlannerInfo, model: &Model) -> Option<*mut pg_sys::Path> {
        // SAFETY: as above.
        unsafe {
            let mut owners = self.owner_indexes();
            owners.retain(|&index| model.is_entered_alike(index));
            let order = (*model.path).pathkeys;
            let twin = owners
                .iter()
                .copied()
                .find(|&index| pg_sys::pathkeys_contained_in(order, order_within_owner(root, index, model.direction)));
            if let Some(index) = twin {
                let own = self.own.scan(self.form, model, index);
                (*own).pathkeys = order;
                return Some(own);
            }
            let own = self.own.scan(self.form, model, self.own.best(&owners)?);
            let sorted = pg_sys::create_sort_path(root, self.own.rel, own, order, -1.0);
            // An expression that it is sorted by is no column of the result.
            let target = (*model.path).pathtarget;
            Some(pg_sys::create_projection_path(root, self.own.rel, sorted.cast(), target).cast())
        }
    }

    unsafe fn beside_whole_table(&self, root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::Path) -> Option<Choices> {
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
            let own = self.own.scan(self.form, &model, self.own.best(&self.owner_indexes())?);
            let (all, members) = (copy(path), copy(path));
            Some(Choices { gates: vec![self.is_all, self.is_one], paths: vec![all, own, members] })
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
            let (owner, operator) = (self.form.owner, self.form.owner_equals);
            indexes.retain(|&index| (*index).nkeycolumns > 1 && is_column(index, 1, owner, operator));
            indexes
        }
    }
}

impl Branch {
    unsafe fn new(
        rel: *mut pg_sys::RelOptInfo,
        form: &Form,
        owner: *mut pg_sys::RestrictInfo,
        instead: *mut pg_sys::RestrictInfo,
    ) -> Self {
        // SAFETY: as above.
        unsafe {
            let replaced = |condition| if condition == form.scopes { instead } else { condition };
            let conditions: Vec<_> = items((*rel).baserestrictinfo).map(replaced).collect();
            let mut columns = std::ptr::null_mut();
            pg_sys::pull_varattnos((*(*rel).reltarget).exprs.cast(), (*rel).relid, &raw mut columns);
            for &condition in &conditions {
                pg_sys::pull_varattnos((*condition).clause.cast(), (*rel).relid, &raw mut columns);
            }
            let rel = copy(rel);
            (*rel).baserestrictinfo = list(&conditions);
            Self { owner, rel, columns }
        }
    }

    /// An index scan as the model's.
    unsafe fn scan(&self, form: &Form, model: &Model, index: *mut pg_sys::IndexOptInfo) -> *mut pg_sys::Path {
        // SAFETY: as above.
        unsafe {
            let mut clauses = vec![index_clause(form.tenant, 0)];
            if self.owner.is_null() {
                clauses.extend_from_slice(&model.others);
            } else {
                clauses.push(index_clause(self.owner, 1));
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
            (*heap).path = path_of(model, self.rel, pg_sys::NodeTag::T_BitmapHeapPath);
            (*heap).path.pathtype = pg_sys::NodeTag::T_BitmapHeapScan;
            (*heap).bitmapqual = scan.cast();
            heap.cast()
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
                // 0 is an expression.
                if *(*index).canreturn.add(at) && *(*index).indexkeys.add(at) != 0 {
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

unsafe fn index_clause(condition: *mut pg_sys::RestrictInfo, column: pg_sys::AttrNumber) -> *mut pg_sys::IndexClause {
    // SAFETY: as above.
    unsafe {
        let clause = nodes::make::<pg_sys::IndexClause>(pg_sys::NodeTag::T_IndexClause);
        (*clause).rinfo = condition;
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
