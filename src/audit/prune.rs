//! Keeping history in order: partitions, places in the chains, and the end of what is old enough.

use pgrx::PgBuiltInOids;
use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::notes::Pruning;
use super::place::{self, Ours};
use super::write::{Event, Writer};
use super::{partitions, verify};
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::answer;
use crate::identity::principal::{from_pg, to_pg};
use crate::plans;

/// The entity of entries about history itself.
pub const ENTITY: &str = "audit_log";

#[pg_extern(sql = false)]
fn maintain_audit(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("maintain_audit")?;
    let batch = i64::from(batch.unwrap_or(10_000));
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    let placed = place_all()?;
    let (transactions, entries) = prune_all(batch)?;
    let partitions = partitions::keep_up()?;
    Ok(JsonB(json!({
        "partitions_made": partitions.made,
        "partitions_dropped": partitions.dropped,
        "partitions_postponed": partitions.postponed,
        "transactions_chained": placed,
        "transactions_pruned": transactions,
        "entries_pruned": entries,
    })))
}

/// Where the organization's chain is not just being added to.
fn place_all() -> Result<i64> {
    let table = db::relation(c"crm", c"audit_transactions")?;
    let organizations = db::select(
        "select distinct org_id from crm.audit_transactions where position is null order by org_id",
        &[],
        &[],
        |rows| rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg))).collect::<Result<Vec<_>>>(),
    )?;
    let mut placed = 0;
    for organization in organizations.into_iter().flatten() {
        if locks::try_one_after_another(table, organization) {
            placed += db::at_latest(|| place::place_waiting(organization))?.placed;
        }
    }
    Ok(placed)
}

/// Gives how many transactions and entries.
fn prune_all(batch: i64) -> Result<(i64, i64)> {
    let organizations = db::select("select id from crm.organizations order by id", &[], &[], |rows| {
        rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg))).collect::<Result<Vec<_>>>()
    })?;
    let (mut transactions, mut entries) = (0, 0);
    for organization in organizations.into_iter().flatten() {
        if entries >= batch {
            break;
        }
        let Some(terms) = plans::terms_of(organization)? else { continue };
        if let Some(days) = terms.days_of_history(plans::now())
            && let Some(pruning) = prune(organization, days, batch - entries)?
        {
            transactions += pruning.transactions;
            entries += pruning.entries;
        }
    }
    Ok((transactions, entries))
}

/// Removes the oldest transactions, the last of the chain never: from where they end, the rest can be verified.
fn prune(organization: Uuid, days: i64, at_most: i64) -> Result<Option<Pruning>> {
    let days = i32::try_from(days).unwrap_or(i32::MAX).min(1_000_000);
    let Some(found) = old_enough(organization, days, at_most)? else { return Ok(None) };
    if !locks::try_one_after_another(db::relation(c"crm", c"audit_transactions")?, organization) {
        return Ok(None);
    }
    let _ours = Ours::begin();
    let arguments = [to_pg(organization).into(), found.position.into()];
    let entries = db::execute(
        "delete from crm.audit_log as l using crm.audit_transactions as t
         where t.org_id = $1 and t.position <= $2 and l.org_id = t.org_id and l.created_at = t.created_at and l.transaction_id = t.id
         returning 1",
        &arguments,
    )?;
    db::execute(
        "delete from crm.deleted_records as d using crm.audit_transactions as t
         where t.org_id = $1 and t.position <= $2 and d.org_id = t.org_id and d.created_at = t.created_at and d.transaction_id = t.id",
        &arguments,
    )?;
    let transactions =
        db::execute("delete from crm.audit_transactions where org_id = $1 and position <= $2 returning 1", &arguments)?;
    let pruning = Pruning { transactions: transactions as i64, entries: entries as i64, ..found };
    let told = serde_json::to_vec(&pruning).map_err(|_| CrmError::internal("what was pruned cannot be told"))?;
    let mut writer = Writer::new(ENTITY)?;
    writer.add(Event {
        org_id: organization,
        record_id: organization,
        action: "prune",
        changed: None,
        before: None,
        after: Some(&told),
    })?;
    writer.finish();
    Ok(Some(pruning))
}

/// The last of the transactions that are to go, as the chain has them; of about so many entries.
fn old_enough(organization: Uuid, days: i32, at_most: i64) -> Result<Option<Pruning>> {
    let found = db::select(
        "with kept as (
             select min(t.position) as position
             from crm.audit_transactions as t
             where t.org_id = $1 and t.position is not null and t.created_at >= now() - make_interval(days => $2)
         ),
         old as (
             select t.position, t.hash, sum(t.entries) over (order by t.position) - t.entries as before
             from crm.audit_transactions as t
             where t.org_id = $1
                 and t.position < (select max(l.position) from crm.audit_transactions as l where l.org_id = $1)
                 and t.position < coalesce((select position from kept), 9223372036854775807)
             order by t.position limit $3
         )
         select position, hash from old where before < $3 order by position desc limit 1",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::INT4OID, PgBuiltInOids::INT8OID],
        &[to_pg(organization).into(), days.into(), at_most.into()],
        |rows| rows.first().get_two::<i64, Vec<u8>>(),
    )?;
    let (Some(position), Some(hash)) = found else { return Ok(None) };
    Ok(Some(Pruning { position, hash: verify::hex(&hash), transactions: 0, entries: 0 }))
}
