//! Adds many rows to a table at once, without SQL: what the CRM writes beside each statement must cost less than the statement.
//!
//! No trigger, constraint or policy sees these rows: only for tables that are the CRM's alone to write, of rows that it makes
//! whole. Their indexes are kept, unique ones checked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::rc::Rc;

use pgrx::pg_sys;

use super::catalog;
use crate::error::{CrmError, Result};

/// So many rows are written together; a page holds fewer.
const BATCH: usize = 256;

/// Or as many as take so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A column's value, made in the memory of [`Appender::in_memory`]; `None` is NULL.
pub type Value = Option<pg_sys::Datum>;

/// An open table. Where an error passes through, the end of the (sub)transaction closes what is open.
pub struct Appender {
    relation: pg_sys::Relation,
    result: *mut pg_sys::ResultRelInfo,
    state: *mut pg_sys::EState,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    used: usize,
    /// Where each of the values goes.
    columns: Rc<[usize]>,
    /// Of one batch.
    memory: pg_sys::MemoryContext,
}

impl Appender {
    /// A table that is open, with the lock for writing; it is closed at the end.
    pub fn new(relation: pg_sys::Relation, columns: &'static [&'static str]) -> Result<Self> {
        let columns = places(relation, columns)?;
        // SAFETY: an open relation; all of this lives in the current memory context, until `finish` at the latest.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::InitResultRelInfo(result, relation, 0, std::ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(result, false);
            let memory = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"crm_ext append".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            Ok(Self { relation, result, state, slots: vec![], used: 0, columns, memory })
        }
    }

    /// Adds the row that `make` gives, in the order of the columns; what it allocates lives as long as it has to.
    pub fn add<const N: usize>(&mut self, make: impl FnOnce() -> [Value; N]) {
        // SAFETY: a living context.
        let is_full =
            self.used == BATCH || unsafe { pg_sys::MemoryContextMemAllocated(self.memory, false) } > BATCH_BYTES;
        if is_full {
            self.flush();
        }
        let slot = self.next_slot();
        // SAFETY: a slot of this table, whose arrays have as many places as it has columns.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.memory);
            let values = make();
            pg_sys::MemoryContextSwitchTo(before);
            let width = (*(*slot).tts_tupleDescriptor).natts as usize;
            let nulls = std::slice::from_raw_parts_mut((*slot).tts_isnull, width);
            nulls.fill(true);
            for (&at, value) in self.columns.iter().zip(values) {
                if let Some(value) = value {
                    *(*slot).tts_values.add(at) = value;
                    nulls[at] = false;
                }
            }
            pg_sys::ExecStoreVirtualTuple(slot);
        }
        self.used += 1;
    }

    fn next_slot(&mut self) -> *mut pg_sys::TupleTableSlot {
        if let Some(&slot) = self.slots.get(self.used) {
            return slot;
        }
        // SAFETY: an open relation. The slot lives beside the executor's state and not in it.
        let slot = unsafe { pg_sys::table_slot_create(self.relation, std::ptr::null_mut()) };
        self.slots.push(slot);
        slot
    }

    fn flush(&mut self) {
        let slots = &mut self.slots[..self.used];
        // SAFETY: filled slots of this table and its open indexes.
        unsafe {
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::table_multi_insert(
                self.relation,
                slots.as_mut_ptr(),
                slots.len() as i32,
                command,
                0,
                std::ptr::null_mut(),
            );
            for &mut slot in slots {
                insert_into_indexes(self.result, slot, self.state);
                pg_sys::ExecClearTuple(slot);
            }
            if !(*self.state).es_per_tuple_exprcontext.is_null() {
                pg_sys::ReScanExprContext((*self.state).es_per_tuple_exprcontext);
            }
            pg_sys::MemoryContextReset(self.memory);
        }
        self.used = 0;
    }

    /// Writes what is left and closes the table; its lock stays to the end of the transaction.
    pub fn finish(mut self) {
        if self.used > 0 {
            self.flush();
        }
        // SAFETY: each was made in `new`, and is used no more.
        unsafe {
            for slot in self.slots {
                pg_sys::ExecDropSingleTupleTableSlot(slot);
            }
            close_indexes(self.result);
            pg_sys::FreeExecutorState(self.state);
            pg_sys::MemoryContextDelete(self.memory);
            pg_sys::table_close(self.relation, pg_sys::NoLock as i32);
        }
    }
}

/// As PostgreSQL does it, but that locks stay to the end of the transaction, as the table's does: the next statement mostly needs them
/// again.
///
/// # Safety
///
/// A table whose indexes were opened, and are used no more.
unsafe fn close_indexes(result: *mut pg_sys::ResultRelInfo) {
    // SAFETY: by the caller; so many indexes are open.
    unsafe {
        for at in 0..(*result).ri_NumIndices as usize {
            let index = *(*result).ri_IndexRelationDescs.add(at);
            if !index.is_null() {
                pg_sys::index_close(index, pg_sys::NoLock as i32);
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

/// Where the columns of a table are.
struct Places {
    generation: u64,
    names: &'static [&'static str],
    places: Rc<[usize]>,
}

thread_local! {
    static KNOWN: RefCell<HashMap<u32, Places>> = RefCell::default();
}

fn places(relation: pg_sys::Relation, names: &'static [&'static str]) -> Result<Rc<[usize]>> {
    // SAFETY: an open relation.
    let table = unsafe { (*relation).rd_id.to_u32() };
    let generation = catalog::generation();
    let is_known = |known: &&Places| known.generation == generation && std::ptr::eq(known.names, names);
    let known = KNOWN.with_borrow(|known| known.get(&table).filter(is_known).map(|known| Rc::clone(&known.places)));
    if let Some(places) = known {
        return Ok(places);
    }
    let places = look_up(relation, names)?;
    KNOWN.with_borrow_mut(|known| known.insert(table, Places { generation, names, places: Rc::clone(&places) }));
    Ok(places)
}

fn look_up(relation: pg_sys::Relation, names: &[&str]) -> Result<Rc<[usize]>> {
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
