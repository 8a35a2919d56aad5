//! Rows that were read, and the plans that read them.
//!
//! pgrx's own select counts as writing as soon as the transaction has a transaction id: then it looks with the transaction's
//! snapshot instead of one that was asked for, and fails while parallel workers run. So these call SPI themselves.

use std::ffi::{CStr, CString, c_char, c_int};

use pgrx::datum::DatumWithOid;
use pgrx::{FromDatum, IntoDatum, PgBuiltInOids, PgMemoryContexts, pg_sys};

use crate::error::{CrmError, Result};

/// How a prepared query comes to its plan.
#[derive(Clone, Copy, PartialEq)]
pub enum Planned {
    /// The first time, whatever the arguments: what finds rows by their keys has one good plan, and planning takes longer than it.
    /// It goes by indexes, also where a table has few rows: it may have many before it is planned again.
    Once,
    /// As PostgreSQL sees fit.
    ForItsArguments,
}

/// A prepared query that lives as long as the backend.
#[derive(Clone, Copy)]
pub struct Plan {
    plan: pg_sys::SPIPlanPtr,
    planned: Planned,
}

impl Plan {
    /// Inside of `Spi::connect`, as everything here.
    pub fn prepare(query: &str, types: &[PgBuiltInOids], planned: Planned) -> Result<Self> {
        let query = text(query)?;
        let mut types: Vec<pg_sys::Oid> = types.iter().map(|&oid| oid.value()).collect();
        let options = match planned {
            Planned::Once => pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int,
            Planned::ForItsArguments => 0,
        };
        // SAFETY: a NUL-terminated text and as many types as counted; a mistake in the query is an error of PostgreSQL's.
        let plan =
            unsafe { pg_sys::SPI_prepare_cursor(query.as_ptr(), types.len() as c_int, types.as_mut_ptr(), options) };
        // SAFETY: a plan that was just made, or null.
        if plan.is_null() || unsafe { pg_sys::SPI_keepplan(plan) } != 0 {
            return Err(CrmError::internal("a query of crm_ext could not be prepared"));
        }
        let prepared = Self { plan, planned };
        if planned == Planned::Once {
            prepared.plan_by_indexes();
        }
        Ok(prepared)
    }

    fn plan_by_indexes(self) {
        let _settings = ByIndexes::enter();
        // SAFETY: a kept plan of one statement; what it gives is the session's, this reference to it the current owner's.
        unsafe {
            let cached = pg_sys::SPI_plan_get_cached_plan(self.plan);
            if !cached.is_null() {
                pg_sys::ReleaseCachedPlan(cached, pg_sys::CurrentResourceOwner);
            }
        }
    }

    pub fn run(self, arguments: &[DatumWithOid], read_only: bool) -> Result<Rows> {
        // SAFETY: a kept plan.
        if self.planned == Planned::Once && !unsafe { pg_sys::SPI_plan_is_valid(self.plan) } {
            self.plan_by_indexes();
        }
        let (mut values, nulls) = passed(arguments);
        // SAFETY: a kept plan, with as many values as it was prepared for.
        Rows::of(unsafe { pg_sys::SPI_execute_plan(self.plan, values.as_mut_ptr(), nulls.as_ptr(), read_only, 0) })
    }
}

/// While a statement is planned, and not while it runs: what its triggers do is planned as ever. As if set, without the work of setting.
struct ByIndexes {
    seqscan: bool,
    bitmapscan: bool,
    jit: bool,
}

impl ByIndexes {
    fn enter() -> Self {
        // SAFETY: settings of the planner, in the backend's own memory, which nothing derives anything from.
        unsafe {
            let before = Self {
                seqscan: pg_sys::enable_seqscan,
                bitmapscan: pg_sys::enable_bitmapscan,
                jit: pg_sys::jit_enabled,
            };
            pg_sys::enable_seqscan = false;
            pg_sys::enable_bitmapscan = false;
            pg_sys::jit_enabled = false;
            before
        }
    }
}

impl Drop for ByIndexes {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            pg_sys::enable_seqscan = self.seqscan;
            pg_sys::enable_bitmapscan = self.bitmapscan;
            pg_sys::jit_enabled = self.jit;
        }
    }
}

/// Runs a query once.
pub fn select_once(query: &str, arguments: &[DatumWithOid], read_only: bool) -> Result<Rows> {
    let query = text(query)?;
    let (mut values, nulls) = passed(arguments);
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    // SAFETY: a NUL-terminated text and arrays of one length.
    Rows::of(unsafe {
        pg_sys::SPI_execute_with_args(
            query.as_ptr(),
            types.len() as c_int,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            read_only,
            0,
        )
    })
}

fn text(query: &str) -> Result<CString> {
    CString::new(query).map_err(|_| CrmError::internal("a query of crm_ext contains NUL"))
}

fn passed(arguments: &[DatumWithOid]) -> (Vec<pg_sys::Datum>, Vec<c_char>) {
    let pass = |argument: &DatumWithOid| match argument.datum() {
        Some(value) => (value.sans_lifetime(), b' ' as c_char),
        None => (pg_sys::Datum::null(), b'n' as c_char),
    };
    arguments.iter().map(pass).unzip()
}

/// What a query gave.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
    at: usize,
}

impl Rows {
    fn of(status: c_int) -> Result<Self> {
        if status < 0 {
            return Err(CrmError::internal("a query of crm_ext failed"));
        }
        // SAFETY: SPI's own variables, set by the call before.
        unsafe { Ok(Self { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize, at: 0 }) }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn first(mut self) -> Self {
        self.at = 0;
        self
    }

    /// The value of a column, from 1, of the row one is at; NULL where there is no row.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Result<Option<T>> {
        self.row(self.at).map_or(Ok(None), |row| row.get(column))
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get_one<A: FromDatum + IntoDatum>(&self) -> Result<Option<A>> {
        self.get(1)
    }

    pub fn get_two<A: FromDatum + IntoDatum, B: FromDatum + IntoDatum>(&self) -> Result<(Option<A>, Option<B>)> {
        Ok((self.get(1)?, self.get(2)?))
    }

    pub fn get_three<A: FromDatum + IntoDatum, B: FromDatum + IntoDatum, C: FromDatum + IntoDatum>(
        &self,
    ) -> Result<(Option<A>, Option<B>, Option<C>)> {
        Ok((self.get(1)?, self.get(2)?, self.get(3)?))
    }

    fn row(&self, at: usize) -> Option<Row> {
        if at >= self.count || self.table.is_null() {
            return None;
        }
        // SAFETY: a table of as many rows as counted.
        unsafe { Some(Row { tuple: *(*self.table).vals.add(at), columns: (*self.table).tupdesc }) }
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.row(self.at);
        self.at += 1;
        row
    }
}

pub struct Row {
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
}

impl Row {
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Result<Option<T>> {
        let number = column as c_int;
        let mut is_null = false;
        // SAFETY: a row with its columns; a number that is none of them gives type 0.
        unsafe {
            let actual = pg_sys::SPI_gettypeid(self.columns, number);
            if !T::is_compatible_with(actual) {
                let name = CStr::from_ptr(pg_sys::format_type_be(actual)).to_string_lossy();
                return Err(CrmError::internal(format!("column {column} of a query of crm_ext is of type {name}")));
            }
            let value = pg_sys::SPI_getbinval(self.tuple, self.columns, number, &mut is_null);
            Ok(T::from_datum(value, is_null))
        }
    }
}

/// So many rows lie in memory at a time.
const FETCHED: i64 = 100;

/// Runs a query once and visits its rows as they come, however many.
pub fn visit_once(query: &str, arguments: &[DatumWithOid], mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let query = text(query)?;
    let (mut values, nulls) = passed(arguments);
    let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
    let mut memory = PgMemoryContexts::new("crm_ext visit");
    // SAFETY: a NUL-terminated text and arrays of one length; the cursor is closed when it is done, or by the end of the
    // (sub)transaction.
    let cursor = unsafe {
        pg_sys::SPI_cursor_open_with_args(
            std::ptr::null(),
            query.as_ptr(),
            types.len() as c_int,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            true,
            0,
        )
    };
    loop {
        // SAFETY: an open cursor; the rows are SPI's until they are freed.
        let rows = unsafe {
            pg_sys::SPI_cursor_fetch(cursor, true, FETCHED);
            Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize, at: 0 }
        };
        if rows.is_empty() {
            break;
        }
        let table = rows.table;
        // SAFETY: what visiting allocates is not used afterwards.
        unsafe {
            memory.switch_to(|_| rows.into_iter().try_for_each(|row| visit(&row)))?;
            memory.reset();
            pg_sys::SPI_freetuptable(table);
        }
        pgrx::check_for_interrupts!();
    }
    // SAFETY: opened above.
    unsafe { pg_sys::SPI_cursor_close(cursor) };
    Ok(())
}
