//! `crm.webhook_queue`: how long the queue is, for who watches it.

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

use crate::db;
use crate::error::Result;
use crate::events::fan_out;

/// Counted up to this: who watches the queue does not read all of it each time.
const COUNTED: i64 = 100_000;

#[pg_extern(sql = false)]
fn webhook_queue() -> Result<JsonB, ErrorReport> {
    let count = |condition: &str| -> Result<i64> {
        let query = format!(
            "select count(*) from (select from crm.webhook_deliveries where {condition} limit {COUNTED}) as counted"
        );
        db::select_once(&query, &[], |rows| Ok(rows.first().get_one::<i64>()?.unwrap_or(0)))
    };
    Ok(JsonB(json!({
        "due": count("run_at <= clock_timestamp()")?,
        "oldest_due_seconds": oldest()?,
        "delayed": count("run_at > clock_timestamp()")?,
        "backlog": count("state = 'backlog'")?,
        "organizations_behind": fan_out::behind()?.len(),
    })))
}

/// What nobody is just delivering, and is due longest.
fn oldest() -> Result<f64> {
    db::select_once(
        "select greatest(extract(epoch from clock_timestamp() - run_at), 0)::float8 from crm.webhook_deliveries
         where run_at <= clock_timestamp() and (leased_until is null or leased_until <= clock_timestamp())
         order by run_at, id limit 1",
        &[],
        |rows| Ok(rows.first().get_one::<f64>()?.unwrap_or(0.0)),
    )
}
