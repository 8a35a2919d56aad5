//! The partition of `crm.audit_log` that an entry goes to.

use std::cell::Cell;

use pgrx::pg_sys;

use crate::db::{self, catalog};
use crate::error::{CrmError, Result};

#[derive(Clone, Copy)]
struct Known {
    generation: u64,
    /// Microseconds: the first that it holds, and the first that it holds no more.
    from: i64,
    to: i64,
    table: pg_sys::Oid,
}

thread_local! {
    static KNOWN: Cell<Option<Known>> = const { Cell::new(None) };
}

/// While it is locked, partitions may be made and dropped: then one looks again.
const ATTEMPTS: usize = 10;

/// Opens it for writing.
pub fn open(time: i64) -> Result<pg_sys::Relation> {
    for _ in 0..ATTEMPTS {
        let known = match KNOWN.get() {
            Some(known) if known.generation == catalog::generation() && (known.from..known.to).contains(&time) => known,
            _ => find(time)?,
        };
        // SAFETY: gives null for a table that is gone. Whoever has locked it, knows what was done to it before.
        let relation = unsafe { pg_sys::try_table_open(known.table, pg_sys::RowExclusiveLock as i32) };
        if known.generation == catalog::generation() && !relation.is_null() {
            KNOWN.set(Some(known));
            return Ok(relation);
        }
        KNOWN.set(None);
        if !relation.is_null() {
            // SAFETY: opened above; the lock stays.
            unsafe { pg_sys::table_close(relation, pg_sys::NoLock as i32) };
        }
    }
    Err(CrmError::internal("the audit log's partitions change too often"))
}

fn find(time: i64) -> Result<Known> {
    let log = db::relation(c"crm", c"audit_log")?;
    // SAFETY: an existing table; its descriptor lives as long as it is open.
    unsafe {
        let relation = pg_sys::table_open(log, pg_sys::AccessShareLock as i32);
        let generation = catalog::generation();
        let found = if (*relation)
            .rd_rel
            .as_ref()
            .is_some_and(|class| class.relkind == pg_sys::RELKIND_PARTITIONED_TABLE as i8)
        {
            search(&*pg_sys::RelationGetPartitionDesc(relation, true), time)
        } else {
            None
        };
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
        let (from, to, table) = found.ok_or_else(missing)?;
        Ok(Known { generation, from, to, table })
    }
}

/// # Safety
///
/// The descriptor of an open table that is partitioned by range of one timestamptz.
unsafe fn search(partitions: &pg_sys::PartitionDescData, time: i64) -> Option<(i64, i64, pg_sys::Oid)> {
    // SAFETY: by the caller; of so many bounds each has one value and one kind.
    unsafe {
        let bounds = partitions.boundinfo.as_ref()?;
        let bound = |at: usize| match *(*bounds.kind.add(at)) {
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
            pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MAXVALUE => i64::MAX,
            _ => (*(*bounds.datums.add(at))).value() as i64,
        };
        let count = bounds.ndatums as usize;
        let above = (0..count).find(|&at| bound(at) > time)?;
        let from = bound(above.checked_sub(1)?);
        // Partition n lies below bound n.
        let partition = usize::try_from(*bounds.indexes.add(above)).ok()?;
        Some((from, bound(above), *partitions.oids.add(partition)))
    }
}

fn missing() -> CrmError {
    CrmError::Refused {
        message: "the audit log has no partition for this time: nothing was saved".into(),
        hint: "An administrator can make it: select crm.maintain_audit().".into(),
    }
}
