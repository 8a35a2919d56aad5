//! A trigger's transition table, row by row, straight from where the server keeps it.

use pgrx::FromDatum;
use pgrx::pg_sys;

/// Where one is in it. The slot's columns are taken out of the row up to the width.
pub struct Transition {
    rows: *mut pg_sys::Tuplestorestate,
    pointer: i32,
    pub slot: *mut pg_sys::TupleTableSlot,
    width: i32,
}

impl Transition {
    /// From its first row on, with a read pointer of our own, which leaves those of others where they are.
    ///
    /// # Safety
    ///
    /// A transition table of the trigger call that goes on, and the columns of its rows.
    pub unsafe fn of(rows: *mut pg_sys::Tuplestorestate, columns: pg_sys::TupleDesc, width: i32) -> Self {
        // SAFETY: by the caller.
        unsafe {
            let pointer = pg_sys::tuplestore_alloc_read_pointer(rows, pg_sys::EXEC_FLAG_REWIND as i32);
            pg_sys::tuplestore_select_read_pointer(rows, pointer);
            pg_sys::tuplestore_rescan(rows);
            let slot = pg_sys::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsMinimalTuple);
            Self { rows, pointer, slot, width }
        }
    }

    /// Goes to the next row; false where there is none.
    pub fn next(&mut self) -> bool {
        pgrx::check_for_interrupts!();
        // SAFETY: by the caller of `of`.
        unsafe {
            pg_sys::tuplestore_select_read_pointer(self.rows, self.pointer);
            if !pg_sys::tuplestore_gettupleslot(self.rows, true, false, self.slot) {
                return false;
            }
            pg_sys::slot_getsomeattrs_int(self.slot, self.width);
        }
        true
    }

    pub fn finish(self) {
        // SAFETY: made in `of`, and used no more.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
    }
}

/// A column's value, from 0; `None` is NULL.
///
/// # Safety
///
/// A slot with so many columns taken out of its row.
pub unsafe fn datum(slot: *mut pg_sys::TupleTableSlot, at: usize) -> Option<pg_sys::Datum> {
    // SAFETY: by the caller.
    unsafe { (!*(*slot).tts_isnull.add(at)).then(|| *(*slot).tts_values.add(at)) }
}

/// # Safety
///
/// As above; the column is of this type.
pub unsafe fn value<T: FromDatum>(slot: *mut pg_sys::TupleTableSlot, at: usize) -> Option<T> {
    // SAFETY: by the caller.
    unsafe { datum(slot, at).and_then(|value| T::from_datum(value, false)) }
}
