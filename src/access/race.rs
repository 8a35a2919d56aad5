//! A change of permissions that meets writes in other transactions: once it has committed, no write that it forbids
//! commits any more.
//!
//! Who writes notes by which permission, and at commit looks whether anything changed since. So that nothing slips in
//! between looking and committing, both sides hold locks for just that moment: of each organization one, which its writers
//! share and who changes permissions there has alone; and one of everybody's, for changes that are not of few organizations.
//! Nobody holds these while a client thinks. Who administers an organization's permissions holds another, the organization's
//! own, from looking at what they may do until they commit.
//!
//! Nobody waits in a circle: the locks of the commit are taken in one order, each once and as strong as it is needed, and who
//! has one of them waits for nothing but a later one. So it does not matter what else somebody holds who comes to the first.
//! (Who looks again also waits for who has locked a whole table, by TRUNCATE or ALTER TABLE. Where that one changes permissions
//! as well, PostgreSQL ends one of the two.)

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::permissions::{self, Holder, Permissions};
use crate::db::locks;
use crate::error::{CrmError, Result};
use crate::identity::memory;
use crate::records::guard::Action;

#[derive(Clone)]
struct Note {
    holder: Holder,
    permission: String,
    permissions: Rc<Permissions>,
}

/// Where this transaction changes permissions; also where that was rolled back to a savepoint.
#[derive(Default)]
enum Changes {
    #[default]
    None,
    In(BTreeSet<Uuid>),
    Everywhere,
}

thread_local! {
    static NOTES: RefCell<Vec<Note>> = const { RefCell::new(vec![]) };
    /// What rows of these tables would be written by.
    static EXPECTED: RefCell<HashMap<(u32, Action, Holder), Vec<Note>>> = RefCell::default();
    static CHANGES: RefCell<Changes> = const { RefCell::new(Changes::None) };
    /// Who took something from themselves in this transaction.
    static STEPPED_BACK: RefCell<Vec<Holder>> = const { RefCell::new(vec![]) };
}

/// Called once, while the library is loaded.
pub fn listen() {
    // SAFETY: registers functions that live as long as the backend.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_event), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(savepoint_event), std::ptr::null_mut());
    }
}

/// A statement of this transaction writes by a permission.
pub fn note(holder: Holder, permission: &str, permissions: &Rc<Permissions>) {
    NOTES.with_borrow_mut(|notes| add(notes, holder, permission, permissions));
}

fn add(notes: &mut Vec<Note>, holder: Holder, permission: &str, permissions: &Rc<Permissions>) {
    // Who was given more since, has to have that at commit too.
    let noted = |note: &Note| {
        note.holder == holder && note.permission == permission && note.permissions.still_allow(permission, permissions)
    };
    if !notes.iter().any(noted) {
        notes.push(Note { holder, permission: permission.into(), permissions: Rc::clone(permissions) });
    }
}

/// The same for a statement that may write in several organizations: `note_row` says in which it does.
pub fn expect(table: u32, action: Action, holder: Holder, permission: &str, permissions: &Rc<Permissions>) {
    EXPECTED.with_borrow_mut(|expected| {
        add(expected.entry((table, action, holder)).or_default(), holder, permission, permissions);
    });
}

/// A row of the holder's organization is written.
pub fn note_row(table: u32, action: Action, holder: Holder) {
    EXPECTED.with_borrow(|expected| {
        for note in expected.get(&(table, action, holder)).into_iter().flatten() {
            self::note(note.holder, &note.permission, &note.permissions);
        }
    });
}

/// This transaction changes what somebody is permitted in this organization; without one, anywhere.
pub fn note_change(organization: Option<Uuid>) {
    CHANGES.with_borrow_mut(|changes| match (organization, &mut *changes) {
        (_, Changes::Everywhere) => (),
        (Some(organization), Changes::None) => *changes = Changes::In(BTreeSet::from([organization])),
        (Some(organization), Changes::In(organizations))
            if organizations.len() < FEW || organizations.contains(&organization) =>
        {
            organizations.insert(organization);
        }
        _ => *changes = Changes::Everywhere,
    });
}

/// Changes of an organization's permissions follow each other: each looks at what the one before has left.
pub fn one_after_another(organization: Uuid) {
    lock(Lock::Organization(locks::number(organization)), pg_sys::ExclusiveLock);
}

/// This transaction takes something from whom it acts for: what they have written so far is looked at now, for at commit
/// they will lack it. Then it is enough that they and the organization are active still: other changes of what they may do
/// wait for this transaction.
pub fn step_back(holder: Holder) -> Result<()> {
    look_again()?;
    STEPPED_BACK.with_borrow_mut(|holders| holders.push(holder));
    Ok(())
}

/// In the order in which they are taken; all but the first at commit.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Lock {
    /// By who changes its permissions, until the end.
    Organization(u32),
    Everybody,
    /// Of an organization.
    Commits(u32),
}

fn lock(lock: Lock, mode: u32) {
    let (number, kind) = match lock {
        Lock::Everybody => (0, 0),
        Lock::Organization(number) => (number, 1),
        Lock::Commits(number) => (number, 2),
    };
    let table = memory::signal();
    if table != 0 {
        locks::lock(pg_sys::Oid::from(table), number, kind, mode);
    }
}

/// Each is a place in the server's lock table. Who has to do with more organizations takes everybody's lock for all of them.
const FEW: usize = 16;

/// What a transaction locks to commit that wrote in these organizations and changed permissions in those. Everybody's lock
/// keeps apart: changes everywhere from all others, and writes in many organizations from any change.
fn locks_of(written: &BTreeSet<Uuid>, changes: &Changes) -> BTreeMap<Lock, u32> {
    let changed = match changes {
        Changes::None if written.is_empty() => return BTreeMap::new(),
        Changes::None if written.len() > FEW => return BTreeMap::from([(Lock::Everybody, pg_sys::ShareLock)]),
        Changes::None => &BTreeSet::new(),
        Changes::In(organizations) if written.len() <= FEW => organizations,
        Changes::In(_) | Changes::Everywhere => return BTreeMap::from([(Lock::Everybody, pg_sys::ExclusiveLock)]),
    };
    let everybodys = if changed.is_empty() { pg_sys::RowShareLock } else { pg_sys::RowExclusiveLock };
    let mut locks = BTreeMap::from([(Lock::Everybody, everybodys)]);
    let of = |organization: &Uuid| Lock::Commits(locks::number(*organization));
    locks.extend(written.iter().map(|organization| (of(organization), pg_sys::ShareLock)));
    // In the place of the weaker one.
    locks.extend(changed.iter().map(|organization| (of(organization), pg_sys::ExclusiveLock)));
    locks
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction_event(event: pg_sys::XactEvent::Type, _argument: *mut std::ffi::c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => before_commit(),
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => before_prepare(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT
        | pg_sys::XactEvent::XACT_EVENT_ABORT
        | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            CHANGES.set(Changes::None);
            STEPPED_BACK.with_borrow_mut(Vec::clear);
            NOTES.with_borrow_mut(Vec::clear);
            EXPECTED.with_borrow_mut(HashMap::clear);
        }
        _ => (),
    }
}

/// What is rolled back to a savepoint has not happened.
#[pg_guard]
unsafe extern "C-unwind" fn savepoint_event(
    event: pg_sys::SubXactEvent::Type,
    _savepoint: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        STEPPED_BACK.with_borrow_mut(Vec::clear);
    }
}

/// It would commit later, when nobody looks.
fn before_prepare() {
    if NOTES.with_borrow(|notes| !notes.is_empty()) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "a transaction that wrote with an identity cannot be prepared"
        );
    }
}

fn before_commit() {
    let written: BTreeSet<_> = NOTES.with_borrow(|notes| notes.iter().map(|note| note.holder.organization()).collect());
    for (one, mode) in CHANGES.with_borrow(|changes| locks_of(&written, changes)) {
        lock(one, mode);
    }
    if !written.is_empty()
        && let Err(error) = look_again()
    {
        ErrorReport::from(error).report(PgLogLevel::ERROR);
    }
}

/// Whether all that was noted is permitted still.
fn look_again() -> Result<()> {
    let generation = memory::generation();
    let is_old = |note: &Note| note.permissions.generation != generation;
    let notes: Vec<_> = NOTES.with_borrow(|notes| notes.iter().filter(|note| is_old(note)).cloned().collect());
    let stepped_back = STEPPED_BACK.with_borrow(Clone::clone);
    for note in &notes {
        if stepped_back.contains(&note.holder) {
            if permissions::in_good_standing(note.holder)? {
                continue;
            }
            return Err(taken(&note.permission));
        }
        let now = permissions::of(note.holder)?;
        if !now.still_allow(&note.permission, &note.permissions) {
            return Err(taken(&note.permission));
        }
    }
    Ok(())
}

fn taken(permission: &str) -> CrmError {
    CrmError::forbidden(format!("{permission} was taken from you meanwhile: nothing was saved"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<Uuid> {
        numbers.into_iter().map(|number| Uuid::from_u128(number.into())).collect()
    }

    /// Whether one waits for the other, by PostgreSQL's table of conflicts.
    fn meet(one: &BTreeMap<Lock, u32>, other: &BTreeMap<Lock, u32>) -> bool {
        const CONFLICTS: [(u32, &[u32]); 4] = [
            (pg_sys::RowShareLock, &[pg_sys::ExclusiveLock]),
            (pg_sys::RowExclusiveLock, &[pg_sys::ShareLock, pg_sys::ExclusiveLock]),
            (pg_sys::ShareLock, &[pg_sys::RowExclusiveLock, pg_sys::ExclusiveLock]),
            (
                pg_sys::ExclusiveLock,
                &[pg_sys::RowShareLock, pg_sys::RowExclusiveLock, pg_sys::ShareLock, pg_sys::ExclusiveLock],
            ),
        ];
        let conflict = |mode, with| CONFLICTS.iter().any(|(held, waits)| *held == mode && waits.contains(&with));
        one.iter().any(|(lock, mode)| other.get(lock).is_some_and(|with| conflict(*mode, *with)))
    }

    #[test]
    fn writers_meet_the_changes_where_they_write_and_nobody_else() {
        let none = Changes::None;
        let few = FEW as u32;
        let writes = |numbers| locks_of(&numbers, &none);
        let changes = |numbers| locks_of(&some([]), &Changes::In(numbers));
        let everywhere = locks_of(&some([]), &Changes::Everywhere);
        assert_eq!(writes(some([])), BTreeMap::new());
        assert!(!meet(&writes(some([1])), &writes(some([1]))));
        assert!(!meet(&writes(some([1])), &changes(some([2]))));
        assert!(!meet(&changes(some([1])), &changes(some([2]))));
        assert!(meet(&writes(some([1, 2])), &changes(some([2, 3]))));
        assert!(meet(&writes(some([1])), &everywhere) && meet(&changes(some([1])), &everywhere));
        assert!(meet(&everywhere, &everywhere));
        // Who writes in many takes no lock of each.
        let many = writes(some(0..few + 1));
        assert_eq!(many.len(), 1);
        assert!(meet(&many, &changes(some([1]))) && meet(&many, &everywhere));
        assert!(!meet(&many, &many) && !meet(&many, &writes(some([1]))));
        assert_eq!(writes(some(0..few)).len(), FEW + 1);
        // And changes besides.
        let both = locks_of(&some([1]), &Changes::In(some([1, 2])));
        assert!(meet(&both, &writes(some([1]))) && meet(&both, &writes(some([2]))) && !meet(&both, &writes(some([3]))));
        assert!(meet(&both, &many) && meet(&both, &both));
        let both = locks_of(&some(0..few + 1), &Changes::In(some([1])));
        assert!(meet(&both, &writes(some([99]))) && meet(&both, &changes(some([99]))));
    }

    #[test]
    fn everybodys_lock_comes_first() {
        let order: Vec<_> = locks_of(&some([7, 3]), &Changes::In(some([5]))).into_keys().collect();
        let commits = [3, 5, 7].map(Lock::Commits);
        assert_eq!(order, [&[Lock::Everybody][..], &commits].concat());
    }

    #[test]
    fn changes_in_many_organizations_are_changes_everywhere() {
        let changes_in = |numbers: std::ops::Range<u32>| {
            CHANGES.set(Changes::None);
            some(numbers).into_iter().for_each(|organization| note_change(Some(organization)));
            CHANGES.take()
        };
        assert!(matches!(changes_in(0..FEW as u32), Changes::In(organizations) if organizations.len() == FEW));
        assert!(matches!(changes_in(0..FEW as u32 + 1), Changes::Everywhere));
        note_change(None);
        note_change(Some(Uuid::from_u128(1)));
        assert!(matches!(CHANGES.take(), Changes::Everywhere));
    }
}
