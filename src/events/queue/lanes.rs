//! Of an ordered webhook the deliveries of each record go one after the other: a lane.

use std::collections::BTreeSet;

use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::Target;
use crate::db;
use crate::error::Result;
use crate::events::wake;
use crate::identity::principal::{from_pg, to_pg};

/// Of these webhooks' records those that something is to be delivered of.
pub fn busy_lanes(organization: Uuid, lanes: &[(Uuid, Uuid)]) -> Result<BTreeSet<(Uuid, Uuid)>> {
    let (webhooks, records): (Vec<_>, Vec<_>) =
        lanes.iter().map(|(webhook, record)| (to_pg(*webhook), to_pg(*record))).unzip();
    let arguments = [to_pg(organization).into(), webhooks.into(), records.into()];
    db::select_once(
        "select l.webhook, l.record
         from unnest($2, $3) as l (webhook, record)
         where exists (
             select from crm.webhook_deliveries as d
             where d.org_id = $1 and d.webhook_id = l.webhook and d.lane = l.record and d.state <> 'failed'
         )",
        &arguments,
        |rows| {
            let mut busy = BTreeSet::new();
            for row in rows {
                busy.extend(row.get::<pgrx::Uuid>(1)?.map(from_pg).zip(row.get::<pgrx::Uuid>(2)?.map(from_pg)));
            }
            Ok(busy)
        },
    )
}

/// What waited for the one that is done with may go. What is added just now, and does not see that it is done, `settle` finds.
pub fn release_next(target: Target, lane: Option<Uuid>) -> Result<()> {
    let Some(lane) = lane else { return Ok(()) };
    let (organization, webhook) = target;
    let released = db::write_prepared(
        "update crm.webhook_deliveries as d set state = 'pending', run_at = clock_timestamp()
         from (
             select w.id, w.state from crm.webhook_deliveries as w
             where w.org_id = $1 and w.webhook_id = $2 and w.lane = $3 and w.state <> 'failed'
             order by w.id limit 1
         ) as next
         where d.org_id = $1 and d.id = next.id and d.state in ('ordering', 'waiting') returning 1",
        &[PgBuiltInOids::UUIDOID; 3],
        &[to_pg(organization).into(), to_pg(webhook).into(), to_pg(lane).into()],
        |rows| Ok(rows.len()),
    )?;
    if released > 0 {
        wake::wake();
    }
    Ok(())
}

/// What was added just when the one before it was done with, and so waits for nothing, may go. Looked at again for a minute: longer
/// than whoever reports takes to commit.
pub fn settle() -> Result<()> {
    db::write_prepared(
        "update crm.webhook_deliveries as d
         set state = case when w.waits then 'waiting' else 'pending' end,
             run_at = case when w.waits then null else clock_timestamp() end
         from (
             select w.org_id, w.id, exists (
                 select from crm.webhook_deliveries as e
                 where e.org_id = w.org_id and e.webhook_id = w.webhook_id and e.lane = w.lane and e.state <> 'failed' and e.id < w.id
             ) as waits
             from crm.webhook_deliveries as w where w.state = 'ordering'
         ) as w
         where d.org_id = w.org_id and d.id = w.id and d.state = 'ordering'
             and (not w.waits or d.created_at < clock_timestamp() - interval '1 minute')",
        &[],
        &[],
        |_| Ok(()),
    )
}

/// The same for all, in case nobody has called `settle` for as long.
pub fn unblock() -> Result<usize> {
    db::execute(
        "update crm.webhook_deliveries as d set state = 'pending', run_at = clock_timestamp()
         from (
             select distinct on (w.org_id, w.webhook_id, w.lane) w.org_id, w.id, w.state
             from crm.webhook_deliveries as w
             where w.lane is not null and w.state <> 'failed'
             order by w.org_id, w.webhook_id, w.lane, w.id
         ) as first
         where first.state in ('ordering', 'waiting') and d.org_id = first.org_id and d.id = first.id and d.state in ('ordering', 'waiting')
         returning 1",
        &[],
    )
}
