//! What lies before a webhook that takes less than it gets. A claim passes over its deliveries, so there must not be too many of
//! them at the queue's head: those beyond some are set aside, and taken up again, the oldest first, as it works them off.

use pgrx::PgBuiltInOids;

use super::{KEY, Target};
use crate::db;
use crate::error::Result;
use crate::identity::principal::{from_pg, to_pg};

/// As many of one webhook may be due.
const WINDOW: i64 = 256;

/// As many are set aside by one claim.
const SET_ASIDE_MAX: i64 = 5000;

/// Of a webhook that takes no more just now.
pub fn set_aside(target: Target) -> Result<()> {
    let arguments = || [to_pg(target.0).into(), to_pg(target.1).into(), WINDOW.into(), SET_ASIDE_MAX.into()];
    let types = [KEY[0], KEY[1], PgBuiltInOids::INT8OID, PgBuiltInOids::INT8OID];
    let is_long = db::select_by_key(
        "select exists (
             select from crm.webhook_deliveries
             where org_id = $1 and webhook_id = $2 and run_at <= clock_timestamp() order by run_at offset $3
         )",
        &types[..3],
        &arguments()[..3],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    if !is_long {
        return Ok(());
    }
    db::write_prepared(
        "with beyond as materialized (
             select org_id, id from crm.webhook_deliveries
             where org_id = $1 and webhook_id = $2 and run_at <= clock_timestamp()
                 and (leased_until is null or leased_until <= clock_timestamp())
             order by run_at offset $3 limit $4
             for update skip locked
         )
         update crm.webhook_deliveries as d set state = 'backlog', run_at = null, leased_until = null
         from beyond where d.org_id = beyond.org_id and d.id = beyond.id",
        &types,
        &arguments(),
        |_| Ok(()),
    )
}

/// Those that few are due of get what was set aside, as long as there is some.
pub fn take_up() -> Result<()> {
    let short = db::select_by_key(
        "with recursive webhooks as (
             (select org_id, webhook_id from crm.webhook_deliveries where state = 'backlog' order by org_id, webhook_id limit 1)
             union all
             select next.org_id, next.webhook_id
             from webhooks as w
             cross join lateral (
                 select d.org_id, d.webhook_id from crm.webhook_deliveries as d
                 where d.state = 'backlog' and (d.org_id, d.webhook_id) > (w.org_id, w.webhook_id)
                 order by d.org_id, d.webhook_id limit 1
             ) as next
         )
         select w.org_id, w.webhook_id
         from webhooks as w
         where not exists (
             select from crm.webhook_deliveries as d
             where d.org_id = w.org_id and d.webhook_id = w.webhook_id and d.run_at <= clock_timestamp()
             order by d.run_at offset $1 / 2
         )",
        &[PgBuiltInOids::INT8OID],
        &[WINDOW.into()],
        |rows| {
            let mut short = vec![];
            for row in rows {
                short.extend(row.get::<pgrx::Uuid>(1)?.map(from_pg).zip(row.get::<pgrx::Uuid>(2)?.map(from_pg)));
            }
            Ok(short)
        },
    )?;
    short.into_iter().try_for_each(take_up_of)
}

fn take_up_of((organization, webhook): Target) -> Result<()> {
    db::write_prepared(
        "with oldest as materialized (
             select org_id, id from crm.webhook_deliveries
             where org_id = $1 and webhook_id = $2 and state = 'backlog' order by id limit $3
             for update skip locked
         )
         update crm.webhook_deliveries as d set state = 'pending', run_at = clock_timestamp()
         from oldest where d.org_id = oldest.org_id and d.id = oldest.id",
        &[KEY[0], KEY[1], PgBuiltInOids::INT8OID],
        &[to_pg(organization).into(), to_pg(webhook).into(), (WINDOW / 2).into()],
        |_| Ok(()),
    )
}
