//! Where the CRM does its work. A dump, and every copy of a database, says which database it is of, and delivers nothing in
//! another one until the DBA binds it there.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::{answer, platform};

/// A copy within the cluster has another database, a restore another table, also over the original, some of whose messages
/// have been delivered since the dump. A copy of the files has all of it.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    system: i64,
    database: pg_sys::Oid,
    table: pg_sys::Oid,
}

fn here() -> Result<Place> {
    let table = db::relation(c"crm_private", c"deployments")?;
    // SAFETY: reads what is fixed as long as the backend lives.
    let (system, database) = unsafe { (pg_sys::GetSystemIdentifier().cast_signed(), pg_sys::MyDatabaseId) };
    Ok(Place { system, database, table })
}

/// Where the data was bound last; `None` where it was released, or never bound. For functions that run as `crm_definer`.
fn bound_to() -> Result<Option<Place>> {
    db::select(
        "select system_identifier, database_oid, table_oid from crm_private.deployments order by number desc limit 1",
        &[],
        &[],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            let (Some(system), Some(database), Some(table)) = (row.get(1)?, row.get(2)?, row.get(3)?) else {
                return Ok(None);
            };
            Ok(Some(Place { system, database, table }))
        },
    )
}

/// Where nothing was ever said of it.
pub fn bind_if_never() -> Result<()> {
    let known = db::select("select exists (select from crm_private.deployments)", &[], &[], |rows| {
        rows.first().get_one::<bool>()
    })?;
    if known == Some(false) { bind_first() } else { Ok(()) }
}

/// Whether this is the database that the data was bound to. For functions that run as `crm_definer`.
pub fn is_bound() -> Result<bool> {
    Ok(bound_to()? == Some(here()?))
}

/// The same for functions that hand something out for delivery, which they note. Says why they hand out nothing.
pub fn may_deliver() -> Result<bool> {
    // SAFETY: reads a flag of the transaction manager.
    if unsafe { pg_sys::XactReadOnly } {
        let message = "nothing is handed out for delivery in a transaction that only reads, nor by a replica".into();
        return Err(CrmError::ReadOnly { message });
    }
    let bound = is_bound()?;
    if !bound {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            "nothing is handed out for delivery: this CRM was restored or copied, or was released",
            "",
        )
        .set_hint("Only where it takes the original's place: select crm.bind_deployment();")
        .report(PgLogLevel::NOTICE);
    }
    Ok(bound)
}

/// Binds a new CRM to the database it was made in.
pub fn bind_first() -> Result<()> {
    record(Some(here()?)).map(|_| ())
}

#[pg_extern(sql = false)]
fn bind_deployment() -> Result<bool, ErrorReport> {
    answer::needs_post("bind_deployment")?;
    platform::require_administrator()?;
    Ok(record(Some(here()?))?)
}

#[pg_extern(sql = false)]
fn unbind_deployment() -> Result<bool, ErrorReport> {
    answer::needs_post("unbind_deployment")?;
    platform::require_administrator()?;
    Ok(record(None)?)
}

/// Whether that is another place than before.
fn record(place: Option<Place>) -> Result<bool> {
    db::run("lock table crm_private.deployments in share row exclusive mode")?;
    if db::at_latest(bound_to)? == place {
        return Ok(false);
    }
    db::execute(
        "insert into crm_private.deployments (number, system_identifier, database_oid, table_oid, bound_by)
         select coalesce(max(number), 0) + 1, $1, $2, $3, session_user from crm_private.deployments",
        &[
            place.map(|place| place.system).into(),
            place.map(|place| place.database).into(),
            place.map(|place| place.table).into(),
        ],
    )?;
    Ok(true)
}
