//! The rows a statement added and removed, counted per organization, straight from the trigger's transition tables.

use std::collections::BTreeMap;
use std::ffi::CString;

use pgrx::prelude::*;
use uuid::Uuid;

use crate::db::transition::{self, Transition};
use crate::error::{CrmError, Result};

/// A column whose value says which rows count.
pub struct Condition {
    pub column: String,
    pub value: String,
}

/// In the order of the organizations: two statements that touch several then lock them in the same order.
pub type Changes = BTreeMap<Uuid, i64>;

/// How many rows of each organization there are more, or less, than before the statement.
pub fn changes(trigger: &PgTrigger, condition: Option<&Condition>) -> Result<Changes> {
    let data = trigger.trigger_data();
    if data.tg_newtable.is_null() && data.tg_oldtable.is_null() {
        return Err(CrmError::internal("the trigger has no transition tables"));
    }
    // SAFETY: the trigger manager hands in an open relation.
    let tupdesc = unsafe { (*data.tg_relation).rd_att };
    let columns = Columns {
        org_id: column(tupdesc, "org_id", pg_sys::UUIDOID)?,
        condition: match condition {
            Some(condition) => Some((column(tupdesc, &condition.column, pg_sys::TEXTOID)?, condition.value.as_str())),
            None => None,
        },
    };
    let mut changes = Changes::new();
    for (rows, sign) in [(data.tg_newtable, 1), (data.tg_oldtable, -1)] {
        if !rows.is_null() {
            // SAFETY: a transition table of this call, whose rows have the relation's columns.
            unsafe { columns.add_up(rows, tupdesc, sign, &mut changes) };
        }
    }
    Ok(changes)
}

fn column(tupdesc: pg_sys::TupleDesc, name: &str, of_type: pg_sys::Oid) -> Result<i32> {
    let unfit = || CrmError::internal(format!("the counted table has no column {name} of the type that is needed"));
    let text = CString::new(name).map_err(|_| unfit())?;
    // SAFETY: a valid descriptor, a NUL-terminated name, a number that came from the descriptor.
    unsafe {
        let number = pg_sys::SPI_fnumber(tupdesc, text.as_ptr());
        if number > 0 && pg_sys::SPI_gettypeid(tupdesc, number) == of_type { Ok(number) } else { Err(unfit()) }
    }
}

struct Columns<'a> {
    org_id: i32,
    condition: Option<(i32, &'a str)>,
}

impl Columns<'_> {
    /// # Safety
    ///
    /// A tuplestore of rows that have these columns.
    unsafe fn add_up(
        &self,
        rows: *mut pg_sys::Tuplestorestate,
        tupdesc: pg_sys::TupleDesc,
        sign: i64,
        changes: &mut Changes,
    ) {
        let last = self.condition.map_or(self.org_id, |(column, _)| column.max(self.org_id));
        // One statement's rows mostly belong to one organization.
        let (mut organization, mut count) = (Uuid::nil(), 0);
        // SAFETY: by the caller; the width covers both columns.
        unsafe {
            let mut rows = Transition::of(rows, tupdesc, last);
            while rows.next() {
                if !self.counts(rows.slot) {
                    continue;
                }
                let Some(of) = transition::value::<pgrx::Uuid>(rows.slot, self.org_id as usize - 1) else { continue };
                if organization.as_bytes() != of.as_bytes() {
                    *changes.entry(organization).or_default() += sign * count;
                    (organization, count) = (Uuid::from_bytes(*of.as_bytes()), 0);
                }
                count += 1;
            }
            rows.finish();
        }
        *changes.entry(organization).or_default() += sign * count;
    }

    /// # Safety
    ///
    /// A slot with the columns taken out.
    unsafe fn counts(&self, slot: *mut pg_sys::TupleTableSlot) -> bool {
        // SAFETY: the column is a text; what it points to lives as long as the slot's row.
        self.condition.is_none_or(|(column, wanted)| unsafe {
            transition::value::<&str>(slot, column as usize - 1) == Some(wanted)
        })
    }
}
