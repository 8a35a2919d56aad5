//! What a backend remembers of identities, and when it forgets.
//!
//! A trigger on every table that identities depend on touches the relation cache entry of `crm_private.identity_changes`.
//! PostgreSQL tells all backends of that when the transaction commits and before its client hears of it, as it does for
//! a change of the catalog, and they listen at the start of every transaction. So what is remembered is what a query would
//! find; it costs no query.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, heap_tuple::PgHeapTuple};

use super::principal::from_pg;
use crate::access::race;
use crate::db;
use crate::error::Result;
use crate::records::row::{self, Images};

/// Grows whenever something was changed.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The transaction of this backend that announced a change last.
static ANNOUNCER: AtomicU32 = AtomicU32::new(0);

/// `crm_private.identity_changes`, once it is known.
static SIGNAL: AtomicU32 = AtomicU32::new(0);

/// The tables with the trigger.
static WATCHED: [AtomicU32; TRIGGERS] = [const { AtomicU32::new(0) }; TRIGGERS];

/// How many triggers there have to be.
const TRIGGERS: usize = 44;

/// Whether all of them are in place; looked at again whenever one of the tables was altered.
static TRIGGERS_SEEN: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const IN_PLACE: u8 = 1;
const MISSING: u8 = 2;

/// Called once, while the library is loaded.
pub fn listen() {
    // SAFETY: registers a function that lives as long as the backend.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::null()) };
}

/// Runs at arbitrary moments, so it only takes notes. No relation means all of them.
extern "C-unwind" fn relation_changed(_: pg_sys::Datum, relation: pg_sys::Oid) {
    let relation = relation.to_u32();
    let any = relation == pg_sys::InvalidOid.to_u32();
    if any || WATCHED.iter().any(|table| table.load(Relaxed) == relation) {
        TRIGGERS_SEEN.store(UNKNOWN, Relaxed);
        GENERATION.fetch_add(1, Relaxed);
    }
    if relation == SIGNAL.load(Relaxed) {
        GENERATION.fetch_add(1, Relaxed);
    }
}

/// What was remembered under another generation is to be forgotten. Looks for messages first: a transaction that has begun
/// long ago would else hear of nothing.
pub fn generation() -> u64 {
    // SAFETY: PostgreSQL does the same whenever it locks a relation.
    unsafe {
        if !pg_sys::IsInParallelMode() {
            pg_sys::AcceptInvalidationMessages();
        }
    }
    GENERATION.load(Relaxed)
}

/// Asks the database for what is committed now, also in a transaction that looks at an older state. Gives what it was
/// told, and the generation it may be remembered under, if it may.
pub fn ask<T>(query: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    // What this transaction wrote itself may yet be undone.
    ask_unless(transaction() != pg_sys::InvalidTransactionId, query)
}

/// The same for what is asked while something else is written: the answer may be remembered unless this transaction has
/// announced a change itself.
pub fn ask_while_writing<T>(query: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    let transaction = transaction();
    let has_written = transaction != pg_sys::InvalidTransactionId;
    // SAFETY: reads the isolation level. What writes reads with the transaction's snapshot, which may be an old one.
    let looks_back = unsafe { pg_sys::XactIsoLevel } >= pg_sys::XACT_REPEATABLE_READ as i32;
    let announced = ANNOUNCER.load(Relaxed) == transaction.into_inner();
    ask_unless(has_written && (looks_back || announced), query)
}

/// A change is about to be announced: what is asked from here on may be undone with it.
pub fn note_announcement() {
    // SAFETY: what is about to write takes a transaction id anyway.
    ANNOUNCER.store(unsafe { pg_sys::GetTopTransactionId() }.into_inner(), Relaxed);
}

/// Invalid as long as it has written nothing.
fn transaction() -> pg_sys::TransactionId {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::GetTopTransactionIdIfAny() }
}

fn ask_unless<T>(may_be_undone: bool, query: impl FnOnce() -> Result<T>) -> Result<(T, Option<u64>)> {
    let generation = generation();
    // SAFETY: reads the transaction's state. While workers run, all of them keep to the snapshot they began with.
    if unsafe { pg_sys::IsInParallelMode() } {
        return Ok((query()?, None));
    }
    let may_remember = !may_be_undone && triggers_in_place()?;
    let answer = db::at_latest(query)?;
    // A change that arrived while the query ran may not be in its answer.
    Ok((answer, (may_remember && self::generation() == generation).then_some(generation)))
}

/// The same, for what is not to be remembered.
pub fn latest<T>(query: impl FnOnce() -> Result<T>) -> Result<T> {
    ask(query).map(|(answer, _)| answer)
}

/// A table's owner could have dropped or disabled them; then nothing is remembered.
fn triggers_in_place() -> Result<bool> {
    let signal = signal();
    if TRIGGERS_SEEN.load(Relaxed) == UNKNOWN || SIGNAL.load(Relaxed) != signal {
        // Set first: what changes while the catalog is read makes it unknown again.
        TRIGGERS_SEEN.store(IN_PLACE, Relaxed);
        // With a snapshot of its own: at commit, where this may be asked too, there is none any more.
        let found = db::at_latest(watched_tables)?;
        // Those of before are watched on where some are missing: they may come back.
        if found.len() == TRIGGERS {
            WATCHED.iter().zip(&found).for_each(|(slot, table)| slot.store(*table, Relaxed));
        }
        SIGNAL.store(signal, Relaxed);
        if found.len() != TRIGGERS || signal == 0 {
            TRIGGERS_SEEN.store(MISSING, Relaxed);
        }
    }
    Ok(TRIGGERS_SEEN.load(Relaxed) == IN_PLACE)
}

fn watched_tables() -> Result<Vec<u32>> {
    db::select(
        "select array_agg(t.tgrelid)
         from pg_trigger as t
         join pg_proc as p on p.oid = t.tgfoid
         where p.pronamespace = 'crm_private'::regnamespace and p.proname = 'announce'
             and t.tgenabled = 'A' and t.tgname like '\\_900\\_announce%'",
        &[],
        &[],
        |rows| {
            let tables = rows.first().get_one::<Vec<pg_sys::Oid>>()?.unwrap_or_default();
            Ok(tables.into_iter().map(pg_sys::Oid::to_u32).collect())
        },
    )
}

/// The table's OID; 0 where there is none.
pub fn signal() -> u32 {
    // SAFETY: catalog look-ups with NUL-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"crm_private".as_ptr(), true);
        pg_sys::get_relname_relid(c"identity_changes".as_ptr(), schema).to_u32()
    }
}

#[pg_trigger(sql = false)]
fn announce<'a>(
    trigger: &'a PgTrigger<'a>,
) -> std::result::Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(announced(trigger).map(|()| None))
}

/// The trigger's arguments: `permissions` where what somebody may do depends on the table; of a row also the column that
/// says in which organization.
fn announced(trigger: &PgTrigger) -> Result<()> {
    let mut arguments = trigger.extra_args().unwrap_or_default().into_iter();
    if arguments.next().is_some_and(|word| word == "permissions") {
        note_change(trigger, arguments.next().filter(|_| trigger.event().fired_for_row()))?;
    }
    ANNOUNCER.store(transaction().into_inner(), Relaxed);
    let signal = signal();
    if signal != 0 {
        // SAFETY: an existing relation.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(pg_sys::Oid::from(signal)) };
    }
    Ok(())
}

/// The trigger comes after the row: what it sees was written.
fn note_change(trigger: &PgTrigger, column: Option<String>) -> Result<()> {
    let Some(column) = column else {
        race::note_change(None);
        return Ok(());
    };
    let Images { old, new } = Images::of(trigger)?;
    for row in [old, new].iter().flatten() {
        race::note_change(row.get::<pgrx::Uuid>(&column)?.map(from_pg));
    }
    Ok(())
}
