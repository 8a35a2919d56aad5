//! Parts of records, like the lines of an invoice: whoever may see the record sees its parts, and whoever may change it
//! changes them. So a part has the record's owner, and the policies of both ask the same.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};

use super::guard;
use super::row::{self, Images, Row};
use crate::db;
use crate::error::{CrmError, Result};
use crate::schema::is_restore;

thread_local! {
    /// The query for a record's owner, by its table. It lives as long as the backend, as its plan does.
    static QUERIES: RefCell<HashMap<String, &'static str>> = RefCell::default();
}

/// Gives a part its record's owner. `record`: the arguments of the trigger, the column that names the record and its table.
///
/// The record is locked against a change of its owner until this transaction ends: what gives a new owner to the parts would
/// not see this one yet.
pub fn inherit(trigger: &PgTrigger, record: &[String], new: &mut Row, old: Option<&Row>) -> Result<()> {
    let [column, table] = record else { return Ok(()) };
    // A dump may bring the record later.
    if is_restore() {
        return Ok(());
    }
    if let Some(old) = old
        && !new.differs(column, old)
    {
        if !guard::by_foreign_key(trigger) {
            new.keep("owner_id", old);
        }
        return Ok(());
    }
    let record = [new.get::<pgrx::Uuid>("org_id")?.into(), new.get::<pgrx::Uuid>(column)?.into()];
    let types = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];
    // A record and its parts belong to one role: crm.enroll sees to that.
    let owner = db::as_owner(table_owner(trigger), || {
        db::write_prepared(query(table), &types, &record, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?) }
        })
    })?;
    new.set("owner_id", owner)
}

fn query(table: &str) -> &'static str {
    QUERIES.with_borrow_mut(|queries| {
        let query = queries.entry(table.to_owned()).or_insert_with(|| {
            format!("select owner_id from only {table} where org_id = $1 and id = $2 for share").leak()
        });
        *query
    })
}

fn table_owner(trigger: &PgTrigger) -> pg_sys::Oid {
    // SAFETY: the trigger manager hands in an open relation.
    unsafe { (*(*trigger.trigger_data().tg_relation).rd_rel).relowner }
}

#[pg_trigger(sql = false)]
fn pass_owner<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(pass_on(trigger))
}

/// The record has a new owner: its parts in one table follow.
fn pass_on(trigger: &PgTrigger) -> Result<Option<Row>> {
    let images = Images::of(trigger)?;
    let arguments = trigger.extra_args().unwrap_or_default();
    let (Some(new), [table, column]) = (&images.new, arguments.as_slice()) else {
        return Err(CrmError::internal("this trigger is for AFTER UPDATE, FOR EACH ROW"));
    };
    let column = quote_identifier(column);
    let statement = format!(
        "update only {table} set owner_id = $3
         where org_id = $1 and {column} = $2 and owner_id is distinct from $3"
    );
    let arguments = [
        new.get::<pgrx::Uuid>("org_id")?.into(),
        new.get::<pgrx::Uuid>("id")?.into(),
        new.get::<pgrx::Uuid>("owner_id")?.into(),
    ];
    // Also those that others committed since this transaction began to look.
    db::as_owner(table_owner(trigger), || db::at_latest(|| db::execute(&statement, &arguments)))?;
    Ok(images.unchanged())
}
