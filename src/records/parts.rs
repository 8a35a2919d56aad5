//! Parts of records, like the lines of an invoice: whoever may see the record sees its parts, and whoever may change it
//! changes them. So a part has the record's owner, and the policies of both ask the same.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::datum::DatumWithOid;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};

use super::guard;
use super::row::{self, Images, Row};
use crate::access::permissions;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::from_pg;
use crate::schema::is_restore;

thread_local! {
    /// The queries for a record's owner, by its table, without and with a lock. They live as long as the backend, as their plans
    /// do.
    static QUERIES: RefCell<HashMap<String, [&'static str; 2]>> = RefCell::default();
}

/// Gives a part its record's owner. `record`: the arguments of the trigger, the column that names the record, its table and its
/// resource.
///
/// The record is locked against a change of its owner until this transaction ends: what gives a new owner to the parts would
/// not see this one yet. But only where the caller may change it: others are refused after this, and until then must not
/// learn by waiting that there is such a record.
pub fn inherit(trigger: &PgTrigger, record: &[String], new: &mut Row, old: Option<&Row>) -> Result<()> {
    let [column, table, resource] = record else { return Ok(()) };
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
    let organization = new.get::<pgrx::Uuid>("org_id")?;
    let key = [organization.into(), new.get::<pgrx::Uuid>(column)?.into()];
    let (organization, permission) = (organization.map(from_pg), format!("{resource}.update"));
    let internal = guard::by_foreign_key(trigger);
    if !internal && !permissions::had_in(organization, &permission)? {
        return new.set::<pgrx::Uuid>("owner_id", None);
    }
    let [look, lock] = queries(table);
    let mut owner = owner_of(trigger, look, &key)?;
    if internal || permissions::reach(organization, &permission, owner.map(from_pg))? {
        owner = owner_of(trigger, lock, &key)?;
    }
    new.set("owner_id", owner)
}

/// A record and its parts belong to one role: crm.enroll sees to that.
fn owner_of(trigger: &PgTrigger, query: &'static str, key: &[DatumWithOid]) -> Result<Option<pgrx::Uuid>> {
    let types = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];
    db::as_owner(table_owner(trigger), || {
        db::write_prepared(query, &types, key, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<pgrx::Uuid>()?) }
        })
    })
}

fn queries(table: &str) -> [&'static str; 2] {
    QUERIES.with_borrow_mut(|queries| {
        let queries = queries.entry(table.to_owned()).or_insert_with(|| {
            let query = format!("select owner_id from only {table} where org_id = $1 and id = $2");
            [query.clone().leak(), (query + " for share").leak()].map(|query| &*query)
        });
        *queries
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
