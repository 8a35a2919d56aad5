//! The trigger `audit`: what a statement changed, noted in one go.

use std::cell::Cell;

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::erase;
use super::image::{self, Shape};
use super::trash::Trash;
use super::write::{Event, Writer};
use super::{place, transaction};
use crate::db::memory::PerRow;
use crate::db::transition::{Transition, value};
use crate::error::{CrmError, Result};
use crate::identity::principal;
use crate::plans;
use crate::records::row;
use crate::schema::is_restore;

thread_local! {
    static PASSED_OVER: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// Notes nothing of an organization while it is removed with all its history.
pub fn passing_over<R>(organization: Uuid, run: impl FnOnce() -> R) -> R {
    struct Before(Option<Uuid>);
    impl Drop for Before {
        fn drop(&mut self) {
            PASSED_OVER.set(self.0);
        }
    }
    let _before = Before(PASSED_OVER.replace(Some(organization)));
    run()
}

#[pg_trigger(sql = false)]
fn audit<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(note(trigger).map(|()| None))
}

fn note(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    let data = trigger.trigger_data();
    let relation = data.tg_relation;
    let shape = image::shape_of(relation, || trigger.extra_args().unwrap_or_default())?;
    // SAFETY: the trigger manager hands in an open relation, and transition tables with rows of it.
    unsafe {
        let columns = (*relation).rd_att;
        let rows =
            |rows: *mut pg_sys::Tuplestorestate| (!rows.is_null()).then(|| Transition::of(rows, columns, shape.width));
        let mut log = Log::of(&shape)?;
        match (rows(data.tg_oldtable), rows(data.tg_newtable)) {
            (None, None) if trigger.event().fired_by_truncate() => log.truncated(relation)?,
            (None, None) => return Err(CrmError::internal("the trigger has no transition tables")),
            (None, Some(mut new)) => {
                while new.next() {
                    log.inserted(new.slot)?;
                }
                new.finish();
            }
            (Some(mut old), None) => {
                while old.next() {
                    log.deleted(old.slot)?;
                }
                old.finish();
            }
            // What was the same row lies in the same place of both.
            (Some(mut old), Some(mut new)) => {
                while old.next() && new.next() {
                    log.updated(old.slot, new.slot)?;
                }
                old.finish();
                new.finish();
            }
        }
        log.finish();
    }
    Ok(())
}

type Slot = *mut pg_sys::TupleTableSlot;

/// The entries of one statement.
struct Log<'a> {
    shape: &'a Shape,
    writer: Writer<'a>,
    trash: Trash,
    /// For values that have to be unpacked to be written.
    memory: PerRow,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Whether the organization last seen has history.
    seen: Option<(Uuid, bool)>,
}

impl<'a> Log<'a> {
    fn of(shape: &'a Shape) -> Result<Self> {
        Ok(Self {
            shape,
            writer: Writer::new(&shape.entity)?,
            trash: Trash::default(),
            memory: PerRow::new(),
            before: vec![],
            after: vec![],
            seen: None,
        })
    }

    /// # Safety
    ///
    /// This and those that follow: slots with rows of the table, all columns taken out.
    unsafe fn inserted(&mut self, new: Slot) -> Result<()> {
        // SAFETY: by the caller.
        unsafe {
            let Some(record) = self.record(new, self.shape.is_bound)? else { return Ok(()) };
            self.memory.run(|| image::whole(self.shape, new, &mut self.after));
            self.add("insert", record, None, false, true).map(|_| ())
        }
    }

    unsafe fn deleted(&mut self, old: Slot) -> Result<()> {
        // SAFETY: by the caller.
        unsafe {
            let Some(record) = self.record(old, false)? else { return Ok(()) };
            if erase::goes_on() {
                return self.add("delete", record, None, false, false).map(|_| ());
            }
            self.memory.run(|| image::whole(self.shape, old, &mut self.before));
            let entry = self.add("delete", record, None, true, false)?;
            if self.shape.is_record {
                let title = self.memory.run(|| self.shape.title(old));
                self.trash.add(self.shape, old, title.as_deref(), &self.writer.deletion(entry))?;
            }
            Ok(())
        }
    }

    unsafe fn updated(&mut self, old: Slot, new: Slot) -> Result<()> {
        let shape = self.shape;
        // SAFETY: by the caller.
        unsafe {
            let key = |slot| (value::<pgrx::Uuid>(slot, shape.org_id), value::<pgrx::Uuid>(slot, shape.key));
            if key(old) != key(new) {
                self.deleted(old)?;
                return self.inserted(new);
            }
            let Some(record) = self.record(new, false)? else { return Ok(()) };
            let changed = self.memory.run(|| image::difference(shape, old, new, &mut self.before, &mut self.after));
            self.add("update", record, Some(changed), true, true).map(|_| ())
        }
    }

    /// Before it happens. Of partitions the table itself has no rows.
    unsafe fn truncated(&mut self, relation: pg_sys::Relation) -> Result<()> {
        // SAFETY: an open relation, locked for this statement alone.
        unsafe {
            if (*(*relation).rd_rel).relkind != pg_sys::RELKIND_RELATION as i8 {
                return Err(CrmError::Refused {
                    message: "the history of a partitioned table cannot follow TRUNCATE".into(),
                    hint: "Use DELETE.".into(),
                });
            }
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
            let scan = pg_sys::table_beginscan(relation, snapshot, 0, std::ptr::null_mut());
            let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
            while pg_sys::table_scan_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
                pgrx::check_for_interrupts!();
                pg_sys::slot_getsomeattrs_int(slot, self.shape.width);
                self.deleted(slot)?;
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::table_endscan(scan);
            pg_sys::UnregisterSnapshot(snapshot);
        }
        Ok(())
    }

    /// The row's organization and record, if they have history; `is_held`: a foreign key sees to it that nobody deletes the
    /// organization meanwhile.
    unsafe fn record(&mut self, slot: Slot, is_held: bool) -> Result<Option<(Uuid, Uuid)>> {
        // SAFETY: by the caller; both columns are of type uuid.
        let [organization, record] = unsafe {
            [self.shape.org_id, self.shape.key].map(|at| value::<pgrx::Uuid>(slot, at).map(principal::from_pg))
        };
        // What is the platform's own is nobody's history.
        let (Some(organization), Some(record)) = (organization, record) else { return Ok(None) };
        Ok(self.has_history(organization, is_held)?.then_some((organization, record)))
    }

    /// Gives the entry's id.
    fn add(
        &mut self,
        action: &'static str,
        (org_id, record_id): (Uuid, Uuid),
        changed: Option<Vec<&'a str>>,
        before: bool,
        after: bool,
    ) -> Result<Uuid> {
        self.writer.add(Event {
            org_id,
            record_id,
            action,
            changed,
            before: before.then_some(self.before.as_slice()),
            after: after.then_some(self.after.as_slice()),
            is_held: true,
        })
    }

    /// Not one that is just being removed, or is gone, by what this transaction itself did before, too.
    fn has_history(&mut self, organization: Uuid, is_held: bool) -> Result<bool> {
        if let Some((seen, has)) = self.seen
            && seen == organization
        {
            return Ok(has);
        }
        let has = PASSED_OVER.get() != Some(organization)
            && plans::terms_of(organization)?.is_some()
            && (is_held || transaction::has_entries(organization) || place::hold(organization)?);
        self.seen = Some((organization, has));
        Ok(has)
    }

    fn finish(self) {
        self.writer.finish();
        self.trash.finish();
        self.memory.finish();
    }
}
