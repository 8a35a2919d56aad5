//! A change of permissions that meets writes in other transactions: once it has committed, no write that it forbids
//! commits any more.
//!
//! Who writes notes by which permission, and at commit looks whether anything changed since. So that nothing slips in
//! between looking and committing, both sides hold a lock for just that moment: writers share it, and who changes
//! permissions has it alone. Nobody holds that one while a client thinks. Who administers an organization's permissions holds
//! another, the organization's own, from looking at what they may do until they commit.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::permissions::{self, Holder, Permissions};
use crate::error::{CrmError, Result};
use crate::identity::memory;

#[derive(Clone)]
struct Note {
    holder: Holder,
    permission: String,
    permissions: Rc<Permissions>,
}

thread_local! {
    static NOTES: RefCell<(u64, Vec<Note>)> = const { RefCell::new((0, vec![])) };
    static CHANGES: Cell<bool> = const { Cell::new(false) };
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
    NOTES.with_borrow_mut(|(generation, notes)| {
        if notes.is_empty() {
            *generation = memory::generation();
        }
        // Who was given more since, has to have that at commit too.
        let noted = |note: &Note| {
            note.holder == holder
                && note.permission == permission
                && note.permissions.still_allow(permission, permissions)
        };
        if !notes.iter().any(noted) {
            notes.push(Note { holder, permission: permission.into(), permissions: Rc::clone(permissions) });
        }
    });
}

/// This transaction changes what somebody is permitted.
pub fn note_change() {
    CHANGES.set(true);
}

/// Changes of an organization's permissions follow each other: each looks at what the one before has left.
pub fn one_after_another(organization: Uuid) {
    const OF_AN_ORGANIZATION: u16 = 1;
    // The last four bytes of a UUID are random.
    let (_, random) = organization.as_u64_pair();
    lock(random as u32, OF_AN_ORGANIZATION, pg_sys::ExclusiveLock);
}

/// This transaction takes something from whom it acts for: what they have written so far is looked at now, for at commit
/// they will lack it. Then it is enough that they and the organization are active still: other changes of what they may do
/// wait for this transaction.
pub fn step_back(holder: Holder) -> Result<()> {
    look_again()?;
    STEPPED_BACK.with_borrow_mut(|holders| holders.push(holder));
    Ok(())
}

/// Not an advisory lock: anybody could take that, and keep everybody from committing.
fn lock(object: u32, kind: u16, mode: u32) {
    let table = memory::signal();
    if table != 0 {
        // SAFETY: takes a lock that the end of the transaction releases.
        unsafe {
            pg_sys::LockDatabaseObject(pg_sys::Oid::from(table), pg_sys::Oid::from(object), kind, mode as i32);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction_event(event: pg_sys::XactEvent::Type, _argument: *mut std::ffi::c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => before_commit(),
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => before_prepare(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT
        | pg_sys::XactEvent::XACT_EVENT_ABORT
        | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            CHANGES.set(false);
            STEPPED_BACK.with_borrow_mut(Vec::clear);
            memory::forget_touched();
            NOTES.with_borrow_mut(|(_, notes)| notes.clear());
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
    if NOTES.with_borrow(|(_, notes)| !notes.is_empty()) {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "a transaction that wrote with an identity cannot be prepared"
        );
    }
}

fn before_commit() {
    const OF_EVERYBODY: u16 = 0;
    let changes = CHANGES.get();
    let writes = NOTES.with_borrow(|(_, notes)| !notes.is_empty());
    if changes || writes {
        lock(0, OF_EVERYBODY, if changes { pg_sys::ExclusiveLock } else { pg_sys::ShareLock });
    }
    if writes && let Err(error) = look_again() {
        ErrorReport::from(error).report(PgLogLevel::ERROR);
    }
}

/// Whether all that was noted is permitted still.
fn look_again() -> Result<()> {
    let generation = memory::generation();
    let changed = NOTES.with_borrow(|(noted, _)| *noted != generation);
    if !changed {
        return Ok(());
    }
    let notes = NOTES.with_borrow(|(_, notes)| notes.clone());
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
