//! Adds many rows to a table at once, without SQL: what the CRM writes beside each statement must cost less than the statement.
//!
//! No trigger, constraint or policy sees these rows: only for tables that are the CRM's alone to write, of rows that it makes
//! whole. Their indexes are kept, unique ones checked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::pg_sys;

use super::catalog;
use super::memory::context;
use crate::error::{CrmError, Result};

/// So many rows are written together; a page holds fewer.
const BATCH: usize = 256;

/// Or as many as take so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A column's value, made in the memory of the batch; `None` is NULL.
pub type Value = Option<pg_sys::Datum>;

/// An open table. Where an error passes through, the end of the (sub)transaction closes what is open.
pub struct Appender {
    relation: pg_sys::Relation,
    target: Target,
    used: usize,
}

impl Appender {
    /// A table that is open, with the lock for writing; it is closed at the end.
    pub fn new(relation: pg_sys::Relation, columns: &'static [&'static str]) -> Result<Self> {
        // SAFETY: an open relation.
        let table = unsafe { (*relation).rd_id.to_u32() };
        let known = KNOWN.with_borrow_mut(|known| known.remove(&table));
        let mut target = match known {
            Some(target) if target.is_of(columns) => target,
            outdated => {
                outdated.into_iter().for_each(Target::delete);
                Target::of(relation, columns)?
            }
        };
        target.open(relation);
        Ok(Self { relation, target, used: 0 })
    }

    /// Adds the row that `make` gives, in the order of the columns; what it allocates lives as long as it has to.
    pub fn add<const N: usize>(&mut self, make: impl FnOnce() -> [Value; N]) {
        if self.used == BATCH || self.target.batch_size() > BATCH_BYTES {
            self.flush();
        }
        let slot = self.target.slot(self.used);
        // SAFETY: a slot of this table, whose arrays have as many places as it has columns.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.target.batch);
            let values = make();
            pg_sys::MemoryContextSwitchTo(before);
            let width = (*(*slot).tts_tupleDescriptor).natts as usize;
            let nulls = std::slice::from_raw_parts_mut((*slot).tts_isnull, width);
            nulls.fill(true);
            for (&at, value) in self.target.columns.iter().zip(values) {
                if let Some(value) = value {
                    *(*slot).tts_values.add(at) = value;
                    nulls[at] = false;
                }
            }
            pg_sys::ExecStoreVirtualTuple(slot);
        }
        self.used += 1;
    }

    fn flush(&mut self) {
        let slots = &mut self.target.slots[..self.used];
        // SAFETY: filled slots of this table and its open indexes.
        unsafe {
            let command = pg_sys::GetCurrentCommandId(true);
            // What is stored out of line leaves its remains in the current memory.
            let before = pg_sys::MemoryContextSwitchTo(self.target.batch);
            pg_sys::table_multi_insert(
                self.relation,
                slots.as_mut_ptr(),
                slots.len() as i32,
                command,
                0,
                std::ptr::null_mut(),
            );
            pg_sys::MemoryContextSwitchTo(before);
            for &mut slot in slots {
                insert_into_indexes(self.target.result, slot, self.target.state);
                pg_sys::ExecClearTuple(slot);
            }
            let row = (*self.target.state).es_per_tuple_exprcontext;
            if !row.is_null() {
                pg_sys::ReScanExprContext(row);
            }
            pg_sys::MemoryContextReset(self.target.batch);
        }
        self.used = 0;
    }

    /// Writes what is left and closes the table; its lock stays to the end of the transaction.
    pub fn finish(mut self) {
        if self.used > 0 {
            self.flush();
        }
        self.target.close();
        // SAFETY: it is open, and used no more.
        let table = unsafe { (*self.relation).rd_id.to_u32() };
        unsafe { pg_sys::table_close(self.relation, pg_sys::NoLock as i32) };
        KNOWN.with_borrow_mut(|known| known.insert(table, self.target));
    }
}

thread_local! {
    static KNOWN: RefCell<HashMap<u32, Target>> = RefCell::default();
}

/// What writing to a table needs besides the open table: kept from one statement to the next, because to make it costs as much as
/// to write a row. Taken out while it is used; where an error passes through, it does not come back.
struct Target {
    generation: u64,
    names: &'static [&'static str],
    /// Where each of the values goes.
    columns: Vec<usize>,
    indexes: Vec<pg_sys::Oid>,
    result: *mut pg_sys::ResultRelInfo,
    state: *mut pg_sys::EState,
    /// The table's, but nobody's to count.
    descriptor: pg_sys::TupleDesc,
    callbacks: *const pg_sys::TupleTableSlotOps,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    /// In which all of this lies.
    memory: pg_sys::MemoryContext,
    /// Of one batch.
    batch: pg_sys::MemoryContext,
}

impl Target {
    fn of(relation: pg_sys::Relation, names: &'static [&'static str]) -> Result<Self> {
        // Before anything is asked: what is altered meanwhile is looked at again the next time.
        let generation = catalog::generation();
        let columns = places(relation, names)?;
        // SAFETY: an open relation.
        unsafe {
            let memory = context(pg_sys::CurrentMemoryContext, c"crm_ext append");
            let before = pg_sys::MemoryContextSwitchTo(memory);
            let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::InitResultRelInfo(result, relation, 0, std::ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(result, false);
            let mut target = Self {
                generation,
                names,
                columns,
                indexes: vec![],
                result,
                state: pg_sys::CreateExecutorState(),
                descriptor: pg_sys::CreateTupleDescCopy((*relation).rd_att),
                callbacks: pg_sys::table_slot_callbacks(relation),
                slots: vec![],
                memory,
                batch: context(memory, c"crm_ext append, batch"),
            };
            pg_sys::MemoryContextSwitchTo(before);
            target.indexes = target.descriptors().iter().map(|&index| (*index).rd_id).collect();
            target.close();
            pg_sys::MemoryContextSetParent(memory, pg_sys::CacheMemoryContext);
            Ok(target)
        }
    }

    fn is_of(&self, names: &'static [&'static str]) -> bool {
        self.generation == catalog::generation() && std::ptr::eq(self.names, names)
    }

    /// Of the indexes, while they are open.
    fn descriptors(&mut self) -> &mut [pg_sys::Relation] {
        // SAFETY: so many there are.
        unsafe {
            match usize::try_from((*self.result).ri_NumIndices) {
                Ok(count) if count > 0 => std::slice::from_raw_parts_mut((*self.result).ri_IndexRelationDescs, count),
                _ => &mut [],
            }
        }
    }

    fn open(&mut self, relation: pg_sys::Relation) {
        // SAFETY: the table that this is of, locked since before the catalog was asked, so that its indexes are these.
        unsafe {
            (*self.result).ri_RelationDesc = relation;
            let indexes = std::mem::take(&mut self.indexes);
            for (open, &index) in self.descriptors().iter_mut().zip(&indexes) {
                *open = pg_sys::index_open(index, pg_sys::RowExclusiveLock as i32);
            }
            self.indexes = indexes;
        }
    }

    /// As PostgreSQL does it, but that locks stay to the end of the transaction, as the table's does: the next statement mostly needs
    /// them again.
    fn close(&mut self) {
        for at in 0..self.descriptors().len() {
            let index = self.descriptors()[at];
            // SAFETY: it is open, and used no more.
            unsafe {
                self.forget_pages(index, at);
                pg_sys::index_close(index, pg_sys::NoLock as i32);
            }
        }
    }

    /// Some kinds of indexes hold pages for the next row of the statement.
    ///
    /// # Safety
    ///
    /// The open index at this place.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    unsafe fn forget_pages(&mut self, index: pg_sys::Relation, at: usize) {
        // SAFETY: by the caller; each index has a description.
        unsafe {
            let info = *(*self.result).ri_IndexRelationInfo.add(at);
            pg_sys::index_insert_cleanup(index, info);
            (*info).ii_AmCache = std::ptr::null_mut();
        }
    }

    #[cfg(not(any(feature = "pg17", feature = "pg18")))]
    unsafe fn forget_pages(&mut self, _index: pg_sys::Relation, _at: usize) {}

    fn batch_size(&self) -> usize {
        // SAFETY: a living context.
        unsafe { pg_sys::MemoryContextMemAllocated(self.batch, false) }
    }

    fn slot(&mut self, at: usize) -> *mut pg_sys::TupleTableSlot {
        if let Some(&slot) = self.slots.get(at) {
            return slot;
        }
        // SAFETY: a slot for rows of this table, in memory that lives as long as this does.
        let slot = unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let slot = pg_sys::MakeSingleTupleTableSlot(self.descriptor, self.callbacks);
            pg_sys::MemoryContextSwitchTo(before);
            slot
        };
        self.slots.push(slot);
        slot
    }
}

impl Target {
    /// One that is not open.
    fn delete(mut self) {
        // SAFETY: a living context that nobody else knows, and that is not current.
        unsafe { pg_sys::MemoryContextDelete(std::mem::replace(&mut self.memory, std::ptr::null_mut())) };
    }
}

impl Drop for Target {
    /// Not at once: where an error passes through, what is current may lie in it.
    fn drop(&mut self) {
        // SAFETY: a living context that nobody else knows, if it was not deleted.
        unsafe {
            if !self.memory.is_null() && !pg_sys::TopTransactionContext.is_null() {
                pg_sys::MemoryContextSetParent(self.memory, pg_sys::TopTransactionContext);
            }
        }
    }
}

/// # Safety
///
/// A slot that was just written to the table.
unsafe fn insert_into_indexes(
    result: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) {
    let none = std::ptr::null_mut();
    // SAFETY: by the caller.
    unsafe {
        #[cfg(feature = "pg15")]
        pg_sys::ExecInsertIndexTuples(result, slot, state, false, false, std::ptr::null_mut(), none);
        #[cfg(not(feature = "pg15"))]
        pg_sys::ExecInsertIndexTuples(result, slot, state, false, false, std::ptr::null_mut(), none, false);
    }
}

/// Where these columns are in the table's rows.
fn places(relation: pg_sys::Relation, names: &[&str]) -> Result<Vec<usize>> {
    // SAFETY: an open relation.
    let descriptor = unsafe { (*relation).rd_att };
    let place = |name: &&str| {
        let name = CString::new(*name).ok()?;
        // SAFETY: a valid descriptor and a NUL-terminated name.
        let number = unsafe { pg_sys::SPI_fnumber(descriptor, name.as_ptr()) };
        usize::try_from(number).ok().filter(|&number| number > 0).map(|number| number - 1)
    };
    names
        .iter()
        .map(place)
        .collect::<Option<_>>()
        .ok_or_else(|| CrmError::internal("a table of the CRM lacks a column"))
}
