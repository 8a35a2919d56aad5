//! What is forgotten, and what is old.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::{Builder, Uuid};

use super::lanes::unblock;
use crate::audit::person::Records;
use crate::db;
use crate::error::{CrmError, Result};
use crate::events::inbound;
use crate::identity::answer;
use crate::identity::principal::to_pg;

/// Records are erased: what is on its way goes, and what receivers answered, which may repeat it. Who is just handing over what stood
/// in history is waited for, and nobody does so until the transaction ends.
pub fn forget(organization: Uuid, records: &Records) -> Result<()> {
    hold_reader(organization, "for update")?;
    let pairs = records.iter().flat_map(|(entity, ids)| ids.iter().map(|id| (entity.clone(), to_pg(*id))));
    let (entities, ids): (Vec<_>, Vec<_>) = pairs.unzip();
    for statement in [
        "delete from crm.webhook_deliveries as d using unnest($2, $3) as r (entity, record_id)
         where d.org_id = $1 and d.entity = r.entity and d.record_id = r.record_id",
        "update crm.webhook_attempts as a set response = null from unnest($2, $3) as r (entity, record_id)
         where a.org_id = $1 and a.entity = r.entity and a.record_id = r.record_id and a.response is not null",
    ] {
        db::execute(statement, &[to_pg(organization).into(), entities.clone().into(), ids.clone().into()])?;
    }
    Ok(())
}

/// Against those who hand over, or erase.
pub fn hold_reader(organization: Uuid, lock: &str) -> Result<()> {
    let query = format!("select from crm_private.event_readers where org_id = $1 {lock}");
    db::write(&query, &[to_pg(organization).into()], |_| Ok(()))
}

/// For how long attempts are kept, and what could not be delivered.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// For how long what other systems sent is.
const INBOUND_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

#[pg_extern(sql = false)]
fn maintain_webhooks(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("maintain_webhooks")?;
    let batch = batch.unwrap_or(10_000);
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    let attempts = remove_old("webhook_attempts", "true", batch)?;
    let deliveries = remove_old("webhook_deliveries", "state = 'failed'", batch)?;
    let integration_events = inbound::remove_old(least_id(INBOUND_KEPT), batch)?;
    Ok(JsonB(json!({
        "attempts_removed": attempts,
        "deliveries_removed": deliveries,
        "integration_events_removed": integration_events,
        "unblocked": unblock()?,
    })))
}

/// An id begins with the time: what is old enough is found by the key, organization by organization.
fn remove_old(table: &str, condition: &str, batch: i32) -> Result<usize> {
    db::execute(
        &format!(
            "delete from crm.{table} as d using (
                 select t.org_id, t.id
                 from (select distinct org_id from crm.webhooks) as w
                 cross join lateral (
                     select a.org_id, a.id from crm.{table} as a
                     where a.org_id = w.org_id and a.id < $2 and {condition} order by a.id limit $1
                 ) as t
                 limit $1
             ) as old
             where d.org_id = old.org_id and d.id = old.id returning 1"
        ),
        &[batch.into(), to_pg(least_id(KEPT)).into()],
    )
}

/// The least id of what is as old as that.
fn least_id(age: Duration) -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Builder::from_unix_timestamp_millis(now.saturating_sub(age).as_millis() as u64, &[0; 10]).into_uuid()
}
