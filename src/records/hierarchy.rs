//! Records that belong to others of their table: none is among its own ancestors.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_qualified_identifier};
use pgrx::{AllocatedByPostgres, PgBuiltInOids};

use super::row::{self, Images};
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::principal::from_pg;
use crate::schema::is_restore;

thread_local! {
    /// The question by table and column, for the backend's life: it is prepared under its text.
    static QUESTIONS: RefCell<HashMap<(pg_sys::Oid, String), &'static str>> = RefCell::default();
}

#[pg_trigger(sql = false)]
fn check_hierarchy<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check(trigger).map(|()| None))
}

fn check(trigger: &PgTrigger) -> Result<()> {
    let incomplete = || CrmError::internal("the trigger does not name its column, or the row has no key");
    let column = trigger.extra_args().ok().and_then(|arguments| arguments.into_iter().next()).ok_or_else(incomplete)?;
    let Some(new) = Images::of(trigger)?.new.filter(|_| !is_restore()) else { return Ok(()) };
    let Some(parent) = new.get::<pgrx::Uuid>(&column)? else { return Ok(()) };
    let org_id = new.get::<pgrx::Uuid>("org_id")?.ok_or_else(incomplete)?;
    let id = new.get::<pgrx::Uuid>("id")?.ok_or_else(incomplete)?;
    // SAFETY: the trigger manager hands in an open relation.
    let (table, owner) = unsafe {
        let relation = trigger.trigger_data().tg_relation;
        ((*relation).rd_id, (*(*relation).rd_rel).relowner)
    };
    // Of two transactions that each make one half of a circle neither sees the other's: so whoever changes a table's order waits
    // for those of the organization who did, and looks when they have ended.
    locks::one_after_another(table, from_pg(org_id));
    let question = question(table, &column)?;
    let ask = || {
        db::select(question, &[PgBuiltInOids::UUIDOID; 3], &[org_id.into(), parent.into(), id.into()], |rows| {
            Ok(rows.first().get_one::<bool>()?.unwrap_or(false))
        })
    };
    // Rows the caller does not see count too, and what others have committed since this transaction began.
    if db::at_latest(|| db::read_as_owner(owner, ask))? {
        return Err(CrmError::invalid(&column, "would make a circle: the record would belong to itself"));
    }
    Ok(())
}

/// Whether the record is its parent or one of its parent's ancestors. $1 organization, $2 parent, $3 record.
fn question(table: pg_sys::Oid, column: &str) -> Result<&'static str> {
    if let Some(known) = QUESTIONS.with_borrow(|questions| questions.get(&(table, column.to_owned())).copied()) {
        return Ok(known);
    }
    let found = db::select(
        "select n.nspname::text, c.relname::text
         from pg_catalog.pg_class as c
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where c.oid = $1",
        &[PgBuiltInOids::OIDOID],
        &[table.into()],
        |rows| rows.first().get_two::<String, String>(),
    )?;
    let (Some(schema), Some(name)) = found else { return Err(CrmError::internal("the trigger's table is missing")) };
    let (target, column_name) = (quote_qualified_identifier(&schema, &name), quote_identifier(column));
    let text = format!(
        "with recursive ancestors (id) as (
             values ($2)
             union
             select t.{column_name} from ancestors as a join {target} as t on t.org_id = $1 and t.id = a.id
         )
         select exists (select from ancestors where id = $3)"
    );
    // As long as the plan that is kept under it.
    let text: &'static str = Box::leak(text.into_boxed_str());
    QUESTIONS.with_borrow_mut(|questions| questions.insert((table, column.to_owned()), text));
    Ok(text)
}
