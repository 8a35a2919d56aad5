//! The row a BEFORE trigger may change: reads columns by name, collects changes, builds the new tuple once.

use std::ffi::{CString, c_int};

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, FromDatum, IntoDatum, PgTupleDesc};

use crate::error::{CrmError, Result};

/// How a trigger function ends. Errors are raised here: an Err that leaves a trigger becomes a panic in pgrx.
pub fn answer<'a>(outcome: Result<Option<Row>>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    match outcome {
        Ok(row) => Ok(row.map(Row::into_tuple)),
        Err(error) => {
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            Ok(None)
        }
    }
}

pub struct Row {
    relation: pg_sys::Relation,
    tuple: *mut pg_sys::HeapTupleData,
    tupdesc: pg_sys::TupleDesc,
    columns: Vec<i32>,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

/// What a BEFORE trigger works with. The lifetime of all of it is the trigger call.
pub struct Rows {
    pub new: Row,
    /// Only for an update.
    pub old: Option<Row>,
}

impl Rows {
    /// The rows of a BEFORE INSERT OR UPDATE FOR EACH ROW trigger.
    pub fn of(trigger: &PgTrigger) -> Result<Self> {
        match Images::of(trigger)? {
            Images { new: Some(new), old } if trigger.event().fired_before() => Ok(Self { new, old }),
            _ => Err(CrmError::internal("this is a trigger for BEFORE INSERT OR UPDATE, FOR EACH ROW")),
        }
    }
}

/// A row before and after, as far as there is one, for any FOR EACH ROW trigger.
pub struct Images {
    pub old: Option<Row>,
    pub new: Option<Row>,
}

impl Images {
    pub fn of(trigger: &PgTrigger) -> Result<Self> {
        let event = trigger.event();
        if !event.fired_for_row() {
            return Err(CrmError::internal("this is a trigger FOR EACH ROW"));
        }
        let data = trigger.trigger_data();
        let relation = data.tg_relation;
        // SAFETY: the trigger manager hands in an open relation.
        let tupdesc = unsafe { (*relation).rd_att };
        let row = |tuple| Some(Row { relation, tuple, tupdesc, columns: vec![], values: vec![], nulls: vec![] });
        Ok(match () {
            () if event.fired_by_insert() => Self { old: None, new: row(data.tg_trigtuple) },
            () if event.fired_by_update() => Self { old: row(data.tg_trigtuple), new: row(data.tg_newtuple) },
            () => Self { old: row(data.tg_trigtuple), new: None },
        })
    }

    /// What a trigger answers that changes nothing.
    pub fn unchanged(self) -> Option<Row> {
        self.new.or(self.old)
    }
}

impl Row {
    /// The column's number, if the table has it.
    fn column(&self, name: &str) -> Option<i32> {
        let name = CString::new(name).ok()?;
        // SAFETY: a valid descriptor and a NUL-terminated name. System columns have negative numbers.
        let number = unsafe { pg_sys::SPI_fnumber(self.tupdesc, name.as_ptr()) };
        (number > 0).then_some(number)
    }

    /// The value of a column of exactly this type; NULL and a missing column are `None`.
    pub fn get<T: FromDatum + IntoDatum>(&self, name: &str) -> Result<Option<T>> {
        let Some(number) = self.column(name) else { return Ok(None) };
        self.expect_type::<T>(name, number)?;
        let (value, is_null) = self.datum(number);
        // SAFETY: the column's type was compared with T's.
        Ok(unsafe { T::from_datum(value, is_null) })
    }

    fn datum(&self, number: i32) -> (pg_sys::Datum, bool) {
        if let Some(changed) = self.columns.iter().position(|&column| column == number) {
            return (self.values[changed], self.nulls[changed]);
        }
        let mut is_null = false;
        // SAFETY: the number came from this descriptor.
        let value = unsafe { pg_sys::SPI_getbinval(self.tuple, self.tupdesc, number, &mut is_null) };
        (value, is_null)
    }

    /// Sets a column, if the table has it.
    pub fn set<T: IntoDatum>(&mut self, name: &str, value: Option<T>) -> Result<()> {
        let Some(number) = self.column(name) else { return Ok(()) };
        self.expect_type::<T>(name, number)?;
        let value = value.and_then(IntoDatum::into_datum);
        self.put(number, value.unwrap_or(pg_sys::Datum::from(0)), value.is_none());
        Ok(())
    }

    /// Takes a column's value from another version of the row.
    pub fn keep(&mut self, name: &str, from: &Row) {
        if let Some(number) = self.column(name) {
            let (value, is_null) = from.datum(number);
            self.put(number, value, is_null);
        }
    }

    /// Whether a column, if the table has it, holds something else than in another version of the row.
    pub fn differs(&self, name: &str, from: &Row) -> bool {
        let Some(number) = self.column(name) else { return false };
        let ((value, is_null), (other, other_is_null)) = (self.datum(number), from.datum(number));
        if is_null || other_is_null {
            return is_null != other_is_null;
        }
        unsafe extern "C-unwind" {
            fn datum_image_eq(one: pg_sys::Datum, other: pg_sys::Datum, by_value: bool, length: c_int) -> bool;
        }
        // SAFETY: two values of one column, which the descriptor describes.
        unsafe {
            let attribute = (*self.tupdesc).attrs.as_slice((*self.tupdesc).natts as usize)[number as usize - 1];
            !datum_image_eq(value, other, attribute.attbyval, attribute.attlen.into())
        }
    }

    /// Gives a column, if the table has it, its default, which is a constant or none.
    pub fn set_default(&mut self, name: &str) -> Result<()> {
        let Some(number) = self.column(name) else { return Ok(()) };
        // SAFETY: an open relation and one of its columns; the nodes live as long as the trigger call.
        let default = unsafe {
            let expression = pg_sys::build_column_default(self.relation, number);
            if expression.is_null() {
                None
            } else {
                let constant = pg_sys::eval_const_expressions(std::ptr::null_mut(), expression);
                if (*constant).type_ != pg_sys::NodeTag::T_Const {
                    return Err(CrmError::internal(format!("the default of column {name} is no constant")));
                }
                let constant = constant.cast::<pg_sys::Const>();
                (!(*constant).constisnull).then_some((*constant).constvalue)
            }
        };
        self.put(number, default.unwrap_or(pg_sys::Datum::from(0)), default.is_none());
        Ok(())
    }

    fn put(&mut self, number: i32, value: pg_sys::Datum, is_null: bool) {
        if let Some(changed) = self.columns.iter().position(|&column| column == number) {
            self.values[changed] = value;
            self.nulls[changed] = is_null;
        } else {
            self.columns.push(number);
            self.values.push(value);
            self.nulls.push(is_null);
        }
    }

    fn expect_type<T: IntoDatum>(&self, name: &str, number: i32) -> Result<()> {
        // SAFETY: the number came from this descriptor.
        let actual = unsafe { pg_sys::SPI_gettypeid(self.tupdesc, number) };
        if T::is_compatible_with(actual) {
            return Ok(());
        }
        Err(CrmError::Refused {
            message: format!("column {name} has a type that crm_ext cannot keep"),
            hint: "crm.enroll tells which columns a table may have, and of what type.".into(),
        })
    }

    /// The tuple for the trigger to return, with the changes.
    pub fn into_tuple<'a>(mut self) -> PgHeapTuple<'a, AllocatedByPostgres> {
        // SAFETY: the three lists have one length and hold what the columns' types demand; heap_modify_tuple_by_cols
        // copies all of it into the current memory context, where the trigger manager expects it.
        unsafe {
            if !self.columns.is_empty() {
                self.tuple = pg_sys::heap_modify_tuple_by_cols(
                    self.tuple,
                    self.tupdesc,
                    self.columns.len() as i32,
                    self.columns.as_mut_ptr(),
                    self.values.as_mut_ptr(),
                    self.nulls.as_mut_ptr(),
                );
            }
            PgHeapTuple::from_heap_tuple(PgTupleDesc::from_pg_unchecked(self.tupdesc), self.tuple)
        }
    }
}
