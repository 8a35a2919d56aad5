//! What a transaction has noted so far, by organization; written to `crm.audit_transactions` as it commits.
//!
//! Who is alone in committing takes the next place in the organization's chain, and gives places to those who were not; nobody
//! waits. What is rolled back to a savepoint is forgotten.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::{Builder, Uuid};

use super::chain::{Content, Link, SALT};
use super::entry::Entry;
use super::origin::{self, Origin};
use super::place;
use crate::error::Result;
use crate::random;

/// What one organization's entries are so far.
#[derive(Clone)]
pub struct Progress {
    pub salt: [u8; SALT],
    content: Content,
    /// Of the first entry.
    origin: Rc<Origin>,
}

pub type Organizations = BTreeMap<Uuid, Progress>;

#[derive(Default)]
struct State {
    id: Option<Uuid>,
    organizations: Organizations,
    /// As it was when a savepoint's first entry came, with the level of that savepoint; the levels grow.
    saved: Vec<(i32, Organizations)>,
}

thread_local! {
    /// No id may be smaller.
    static LEAST_ID: Cell<Uuid> = const { Cell::new(Uuid::nil()) };
    static STATE: RefCell<State> = RefCell::default();
}

/// Called once, while the library is loaded; before others that wait at commit, for what is registered first comes last.
pub fn listen() {
    // SAFETY: registers functions that live as long as the backend.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_event), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(savepoint_event), std::ptr::null_mut());
    }
}

/// The transaction's name for ever: PostgreSQL's own numbers come again, at the latest in a restored copy.
pub fn id() -> Uuid {
    STATE.with_borrow_mut(|state| *state.id.get_or_insert_with(Uuid::now_v7))
}

/// Ids of entries, each greater than those before: UUIDs of version 7 with more precision than milliseconds, by which they are in the
/// order of what happened to a record, whoever did it (RFC 9562, 6.2, method 3). Whoever waits for somebody else to commit comes
/// later than that by more than the clock tells apart.
pub struct Ids(Option<Uuid>);

impl Ids {
    pub fn new() -> Self {
        Self(None)
    }

    pub fn next(&mut self) -> Uuid {
        let next = match self.0 {
            Some(last) => after(last),
            None => first(LEAST_ID.get()),
        };
        self.0 = Some(next);
        LEAST_ID.set(after(next));
        next
    }
}

/// What is random of an id: of the 62 bits behind the variant all but the first, so that one can count up from there.
const RANDOM: u64 = (1 << 61) - 1;

fn after(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() + 1)
}

/// Random is where a session begins to count: from each statement on, that would cost more than to write the entry.
fn first(least: Uuid) -> Uuid {
    let tail = if least.is_nil() { Uuid::new_v4() } else { least }.as_u64_pair().1 & RANDOM;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at(now, tail).max(least)
}

/// The time since 1970 in milliseconds, then a 4096th of one, then the tail.
fn at(time: Duration, tail: u64) -> Uuid {
    let fraction = u64::from(time.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&(fraction as u16).to_be_bytes());
    rest[2..].copy_from_slice(&tail.to_be_bytes());
    Builder::from_unix_timestamp_millis(time.as_millis() as u64, &rest).into_uuid()
}

/// When it began, in microseconds since 2000-01-01.
pub fn began_at() -> i64 {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::GetCurrentTransactionStartTimestamp() }
}

/// Whether anything of the organization was noted.
pub fn has_entries(organization: Uuid) -> bool {
    STATE.with_borrow(|state| state.organizations.contains_key(&organization))
}

/// A statement's entries are about to be noted.
pub fn begin_entries() {
    // SAFETY: reads the transaction's state.
    let level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    STATE.with_borrow_mut(|state| {
        if level > 1 && state.saved.last().is_none_or(|(saved, _)| *saved < level) {
            state.saved.push((level, state.organizations.clone()));
        }
    });
}

/// In the order of their ids.
pub fn note(entry: &Entry, origin: &Rc<Origin>) -> Result<()> {
    STATE.with_borrow_mut(|state| {
        let progress = match state.organizations.entry(entry.org_id) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(Progress::new(origin)?),
        };
        progress.content.add(entry, origin);
        Ok(())
    })
}

impl Progress {
    fn new(origin: &Rc<Origin>) -> Result<Self> {
        let salt = random::bytes::<SALT>()?;
        Ok(Self { content: Content::new(&salt), salt, origin: Rc::clone(origin) })
    }

    pub fn link(&self, organization: Uuid, transaction: Uuid) -> Link {
        Link {
            org_id: organization,
            id: transaction,
            created_at: began_at(),
            entries: self.content.entries,
            actor_id: self.origin.actor_id,
            request_id: self.origin.request_id.clone(),
            content_hash: self.content.hash().to_vec(),
        }
    }
}

/// All that was noted is gone, by TRUNCATE.
pub fn forget() {
    STATE.with_borrow_mut(|state| {
        state.organizations.clear();
        state.saved.iter_mut().for_each(|(_, organizations)| organizations.clear());
    });
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction_event(event: pg_sys::XactEvent::Type, _argument: *mut std::ffi::c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => before_end(true),
        // Another connection will commit it; until then nobody should have to wait for it.
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => before_end(false),
        pg_sys::XactEvent::XACT_EVENT_COMMIT
        | pg_sys::XactEvent::XACT_EVENT_ABORT
        | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            STATE.with(|state| state.take());
            origin::end_of_transaction();
        }
        _ => (),
    }
}

fn before_end(will_commit: bool) {
    let (id, organizations) = STATE.with_borrow_mut(|state| (state.id, std::mem::take(&mut state.organizations)));
    let Some(id) = id.filter(|_| !organizations.is_empty()) else { return };
    if let Err(error) = place::write(id, &organizations, will_commit) {
        ErrorReport::from(error).report(PgLogLevel::ERROR);
    }
}

/// An error in here would end the whole cluster.
extern "C-unwind" fn savepoint_event(
    event: pg_sys::SubXactEvent::Type,
    _savepoint: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    // SAFETY: reads the transaction's state; the level that ends is still the current one.
    let level = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    STATE.with(|state| {
        if let Ok(mut state) = state.try_borrow_mut() {
            match event {
                pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB => state.roll_back(level),
                pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB => state.release(level),
                _ => {}
            }
        }
    });
}

impl State {
    fn roll_back(&mut self, from: i32) {
        while let Some((level, _)) = self.saved.last()
            && *level >= from
            && let Some((_, organizations)) = self.saved.pop()
        {
            self.organizations = organizations;
        }
    }

    /// The savepoint ends well: what it noted is its parent's now.
    fn release(&mut self, level: i32) {
        let parents = self.saved.len().checked_sub(2).map(|at| self.saved[at].0);
        let Some((saved, _)) = self.saved.last_mut().filter(|(saved, _)| *saved == level) else { return };
        *saved = level - 1;
        if level <= 2 || parents == Some(level - 1) {
            self.saved.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(numbers: &[u128]) -> Organizations {
        let origin = Rc::new(Origin::default());
        numbers.iter().map(|&number| (Uuid::from_u128(number), Progress::new(&origin).unwrap())).collect()
    }

    fn numbers(state: &State) -> Vec<u128> {
        state.organizations.keys().map(Uuid::as_u128).collect()
    }

    fn save(state: &mut State, level: i32, then: u128) {
        state.saved.push((level, state.organizations.clone()));
        state.organizations.extend(noted(&[then]));
    }

    #[test]
    fn ids_grow_within_a_statement_and_from_one_to_the_next() {
        let ids: Vec<_> =
            (0..50).flat_map(|_| (0..50).map(|_| ()).scan(Ids::new(), |ids, ()| Some(ids.next()))).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    }

    /// The time of RFC 9562's example, appendix A.6.
    #[test]
    fn ids_tell_the_time_to_a_4096th_of_a_millisecond() {
        let id = |nanoseconds| at(Duration::from_millis(1_645_557_742_000) + Duration::from_nanos(nanoseconds), 5);
        assert_eq!(id(0).to_string(), "017f22e2-79b0-7000-8000-000000000005");
        assert_eq!(id(500_000).to_string(), "017f22e2-79b0-7800-8000-000000000005");
        assert_eq!(id(999_999).to_string(), "017f22e2-79b0-7fff-8000-000000000005");
        assert_eq!(id(1_000_000).to_string(), "017f22e2-79b1-7000-8000-000000000005");
    }

    #[test]
    fn ids_do_not_go_back_with_the_clock() {
        let later = at(Duration::from_secs(1 << 32), 7);
        assert_eq!(first(later), later);
    }

    /// Each thread is a session here.
    #[test]
    fn ids_grow_from_one_session_to_the_next() {
        let (ask, asked) = std::sync::mpsc::channel();
        let (answer, answers) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || asked.iter().try_for_each(|()| answer.send(Ids::new().next())));
        let ids = (0..500).flat_map(|_| {
            let one = Ids::new().next();
            ask.send(()).unwrap();
            [one, answers.recv().unwrap()]
        });
        assert!(ids.collect::<Vec<_>>().is_sorted_by(|a, b| a < b));
        drop(ask);
        other.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_rolled_back_is_forgotten() {
        let mut state = State { organizations: noted(&[1]), ..State::default() };
        save(&mut state, 2, 2);
        save(&mut state, 4, 3);
        state.roll_back(4);
        assert_eq!(numbers(&state), [1, 2]);
        state.roll_back(3);
        assert_eq!(numbers(&state), [1, 2]);
        state.roll_back(2);
        assert_eq!(numbers(&state), [1]);
        assert!(state.saved.is_empty());
    }

    #[test]
    fn what_a_savepoint_held_goes_with_its_parent() {
        let mut state = State { organizations: noted(&[1]), ..State::default() };
        save(&mut state, 2, 2);
        save(&mut state, 3, 3);
        state.release(3);
        assert_eq!((numbers(&state), state.saved.len()), (vec![1, 2, 3], 1));
        state.roll_back(2);
        assert_eq!(numbers(&state), [1]);
        save(&mut state, 3, 4);
        state.release(3);
        state.roll_back(2);
        assert_eq!(numbers(&state), [1]);
        save(&mut state, 2, 5);
        state.release(2);
        assert_eq!((numbers(&state), state.saved.len()), (vec![1, 5], 0));
    }
}
