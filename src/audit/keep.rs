//! Which tables have history: `crm.enroll` gives it to its tables, `crm_private.keep_history` to those that administer an organization.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

use crate::db;
use crate::error::CrmError;

/// Kinds of tables: one whose rows stand for themselves, and are brought back one by one,
pub const RECORD: &str = "record";

/// and one whose rows come back with those that they are parts of.
pub const PART: &str = "part";

/// What notes the changes of a table (quoted) in the history of a resource. With transition tables each event needs a trigger
/// of its own.
pub fn audit_triggers(table: &str, resource: &str, key: &str, kind: &str, secrets: &[String]) -> String {
    let arguments = [resource, key, kind].into_iter().chain(secrets.iter().map(String::as_str));
    let arguments = arguments.map(quote_literal).collect::<Vec<_>>().join(", ");
    let trigger = |when: &str, event: &str, rows: &str| {
        format!(
            "create trigger _700_audit_{event} {when} {event} on {table} {rows}
             for each statement execute function crm_private.audit({arguments});\n"
        )
    };
    trigger("after", "insert", "referencing new table as added")
        + &trigger("after", "update", "referencing old table as removed new table as added")
        + &trigger("after", "delete", "referencing old table as removed")
        + &trigger("before", "truncate", "")
}

#[pg_extern(sql = false)]
fn keep_history(target: pg_sys::Oid, resource: &str, secrets: Vec<String>) -> Result<(), ErrorReport> {
    let table = db::select(
        "select format('%I.%I', n.nspname, c.relname)
         from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace where c.oid = $1",
        &[pgrx::PgBuiltInOids::OIDOID],
        &[target.into()],
        |rows| rows.first().get_one::<String>(),
    )?;
    let table = table.ok_or_else(|| CrmError::invalid("target", "there is no such table"))?;
    Ok(db::run(&audit_triggers(&table, resource, "id", PART, &secrets))?)
}
