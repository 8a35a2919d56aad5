//! Keeping history in order: partitions, places in the chains, and the end of what is old enough.

use std::collections::BTreeSet;

use pgrx::PgBuiltInOids;
use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::notes::Pruning;
use super::place::{self, Ours, WAITING_MAX};
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
    let mut postponed = BTreeSet::new();
    let placed = place_all(&mut postponed)?;
    let pruned = prune_all(batch, &mut postponed)?;
    let partitions = partitions::keep_up()?;
    Ok(JsonB(json!({
        "partitions_made": partitions.made,
        "partitions_dropped": partitions.dropped,
        "partitions_postponed": partitions.postponed,
        "organizations_postponed": postponed.len(),
        "transactions_chained": placed,
        "transactions_pruned": pruned.transactions,
        "entries_pruned": pruned.entries,
    })))
}

/// Of so many organizations one call chains what waits, and of so many it prunes: each is a place in the server's lock table until
/// the call ends, and this is what the server has places for on account of two connections each.
fn share() -> usize {
    // SAFETY: reads a setting that only a restart changes.
    2 * usize::try_from(unsafe { pg_sys::max_locks_per_xact }).unwrap_or(0)
}

/// Where the organization's chain is not just being added to; who has waited longest comes first.
fn place_all(postponed: &mut BTreeSet<Uuid>) -> Result<i64> {
    let table = db::relation(c"crm", c"audit_transactions")?;
    let organizations = db::select(
        "select org_id from crm.audit_transactions where position is null group by org_id order by min(created_at), org_id",
        &[],
        &[],
        |rows| rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg))).collect::<Result<Vec<_>>>(),
    )?;
    let (mut locked, mut placed) = (0, 0);
    for organization in organizations.into_iter().flatten() {
        if locked < share() && locks::try_one_after_another(table, organization) {
            locked += 1;
            let now = db::at_latest(|| place::place_waiting(organization))?.placed;
            placed += now;
            if now < WAITING_MAX {
                continue;
            }
        }
        postponed.insert(organization);
    }
    Ok(placed)
}

/// Who is most overdue comes first: so everybody's turn comes, however much others write.
fn prune_all(batch: i64, postponed: &mut BTreeSet<Uuid>) -> Result<Done> {
    let table = db::relation(c"crm", c"audit_transactions")?;
    let (mut locked, mut done) = (0, Done::default());
    for Due { organization, days, .. } in due()? {
        let is_left = || Ok::<_, CrmError>(db::at_latest(|| old_enough(organization, days, 1))?.is_some());
        if !is_left()? {
            continue;
        }
        if done.entries < batch && locked < share() && locks::try_one_after_another(table, organization) {
            locked += 1;
            let pruned = prune(organization, days, batch - done.entries)?;
            done.transactions += pruned.transactions;
            done.entries += pruned.entries;
            if !is_left()? {
                continue;
            }
        }
        postponed.insert(organization);
    }
    Ok(done)
}

/// What was pruned.
#[derive(Default)]
struct Done {
    transactions: i64,
    entries: i64,
}

/// An organization whose chain begins with what is older than its plan keeps.
struct Due {
    /// Microseconds since 2000-01-01.
    since: i64,
    organization: Uuid,
    days: i32,
}

/// Those that have waited longest first.
fn due() -> Result<Vec<Due>> {
    const DAY: i64 = 86_400_000_000;
    let first = db::select(
        "select o.id, (extract(epoch from first.created_at - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint
         from crm.organizations as o
         cross join lateral (
             select t.created_at from crm.audit_transactions as t
             where t.org_id = o.id and t.position is not null order by t.position limit 1
         ) as first",
        &[],
        &[],
        |rows| {
            rows.map(|row| Ok(row.get::<pgrx::Uuid>(1)?.map(from_pg).zip(row.get::<i64>(2)?)))
                .collect::<Result<Vec<_>>>()
        },
    )?;
    let mut due = vec![];
    for (organization, began) in first.into_iter().flatten() {
        let days = plans::terms_of(organization)?.and_then(|terms| terms.days_of_history(plans::now()));
        let Some(days) = days.map(|days| i32::try_from(days).unwrap_or(i32::MAX).min(1_000_000)) else { continue };
        due.push(Due { since: began + i64::from(days) * DAY, organization, days });
    }
    due.retain(|one| one.since <= plans::now());
    due.sort_by_key(|one| (one.since, one.organization));
    Ok(due)
}

/// Removes the oldest transactions: from where they end, the rest can be verified. Under the organization's lock, and so not what
/// somebody else has pruned meanwhile.
fn prune(organization: Uuid, days: i32, at_most: i64) -> Result<Done> {
    let Some(mut found) = db::at_latest(|| old_enough(organization, days, at_most))? else {
        return Ok(Done::default());
    };
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
    (found.transactions, found.entries) = (transactions as i64, entries as i64);
    let told = serde_json::to_vec(&found).map_err(|_| CrmError::internal("what was pruned cannot be told"))?;
    let mut writer = Writer::new(ENTITY)?;
    writer.add(Event {
        org_id: organization,
        record_id: organization,
        action: "prune",
        changed: None,
        before: None,
        after: Some(&told),
        is_held: false,
    })?;
    writer.finish();
    Ok(Done { transactions: found.transactions, entries: found.entries })
}

/// The last of the transactions that are to go, as the chain has them; of about so many entries. The last of the chain never goes.
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
