//! `crm.claim_webhook_deliveries`: what is due is leased to who delivers it, signed for now.

use pgrx::PgBuiltInOids;
use pgrx::datum::{Interval, JsonB, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::lanes::release_next;
use super::target::{Goes, Targets};
use super::{KEY, Target, backlog, now};
use crate::db;
use crate::deployment;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};

const CLAIM_MAX: i32 = 1000;

pub type Claimed = (pgrx::Uuid, pgrx::Uuid, i32, pgrx::Uuid, pgrx::Uuid, String, String, JsonB, String);

#[pg_extern(sql = false)]
fn claim_webhook_deliveries(
    count: Option<i32>,
    lease: Option<Interval>,
    full_org_ids: Option<Vec<Option<pgrx::Uuid>>>,
    full_webhook_ids: Option<Vec<Option<pgrx::Uuid>>>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(org_id, pgrx::Uuid),
            name!(id, pgrx::Uuid),
            name!(attempt, i32),
            name!(webhook_id, pgrx::Uuid),
            name!(event_id, pgrx::Uuid),
            name!(event_type, String),
            name!(url, String),
            name!(headers, JsonB),
            name!(body, String),
        ),
    >,
    ErrorReport,
> {
    let count = count.unwrap_or(10);
    if !(1..=CLAIM_MAX).contains(&count) {
        return Err(CrmError::invalid("count", format!("must be between 1 and {CLAIM_MAX}")).into());
    }
    let full = Full::of(full_org_ids.unwrap_or_default(), full_webhook_ids.unwrap_or_default())?;
    if !deployment::may_deliver()? {
        return Ok(TableIterator::empty());
    }
    Ok(TableIterator::new(claim(count, lease, full)?))
}

/// What is passed over: webhooks, and organizations with all of theirs.
struct Full {
    organizations: Vec<Option<pgrx::Uuid>>,
    webhooks: Vec<Option<pgrx::Uuid>>,
}

impl Full {
    fn of(organizations: Vec<Option<pgrx::Uuid>>, webhooks: Vec<Option<pgrx::Uuid>>) -> Result<Self> {
        const MOST: usize = 10_000;
        if organizations.len() != webhooks.len() || organizations.len() > MOST {
            let problem = format!("must be as many as full_org_ids, at most {MOST}");
            return Err(CrmError::invalid("full_webhook_ids", problem));
        }
        if organizations.contains(&None) {
            return Err(CrmError::invalid("full_org_ids", "must not contain null"));
        }
        Ok(Self { organizations, webhooks })
    }

    fn webhooks(&self) -> impl Iterator<Item = Target> {
        let pairs = self.organizations.iter().zip(&self.webhooks);
        pairs.filter_map(|(organization, webhook)| organization.map(from_pg).zip(webhook.map(from_pg)))
    }
}

/// One that is claimed, before it is known where it goes.
pub struct Leased {
    pub org_id: Uuid,
    pub id: Uuid,
    pub attempt: i32,
    pub webhook: Uuid,
    pub event: Uuid,
    pub kind: String,
    pub payload: String,
}

impl Leased {
    pub fn target(&self) -> Target {
        (self.org_id, self.webhook)
    }
}

fn claim(count: i32, lease: Option<Interval>, full: Full) -> Result<Vec<Claimed>> {
    for target in full.webhooks() {
        backlog::set_aside(target)?;
    }
    let mut leased = take(count, lease, full)?;
    if leased.is_empty() {
        return Ok(vec![]);
    }
    // In the order in which they were claimed, which an update does not tell.
    leased.sort_by_key(|one| one.id);
    let targets = Targets::of(&leased)?;
    let mut claimed = vec![];
    for one in leased {
        match targets.of_delivery(&one) {
            Goes::There(target) => claimed.push(target.sign(one)),
            Goes::Later(at) => postpone(&one, at)?,
            Goes::Nowhere(reason) => give_up(&one, reason)?,
        }
    }
    Ok(claimed)
}

fn take(count: i32, lease: Option<Interval>, full: Full) -> Result<Vec<Leased>> {
    let is_any_full = !full.organizations.is_empty();
    db::write_prepared(
        "update crm.webhook_deliveries as d
         set leased_until = $1 + least(greatest(coalesce($3, '1 minute'), interval '1 second'), interval '1 hour'),
             attempts = d.attempts + 1
         where d.ctid = any (array(
             select w.ctid from crm.webhook_deliveries as w
             where w.run_at <= $1 and (w.leased_until is null or w.leased_until <= $1)
                 and (not $4 or not exists (
                     select from unnest($5, $6) as f (org_id, webhook_id)
                     where f.org_id = w.org_id and (f.webhook_id is null or f.webhook_id = w.webhook_id)
                 ))
             order by w.run_at, w.id limit $2
             for update skip locked
         ))
         returning d.org_id, d.id, d.attempts, d.webhook_id, d.event_id, d.event_type, d.payload",
        &[
            PgBuiltInOids::TIMESTAMPTZOID,
            PgBuiltInOids::INT4OID,
            PgBuiltInOids::INTERVALOID,
            PgBuiltInOids::BOOLOID,
            PgBuiltInOids::UUIDARRAYOID,
            PgBuiltInOids::UUIDARRAYOID,
        ],
        &[
            now().into(),
            count.into(),
            lease.into(),
            is_any_full.into(),
            full.organizations.into(),
            full.webhooks.into(),
        ],
        |rows| {
            let mut leased = vec![];
            for row in rows {
                if let (Some(org_id), Some(id), Some(attempt), Some(webhook), Some(event), Some(kind), Some(payload)) = (
                    row.get::<pgrx::Uuid>(1)?,
                    row.get::<pgrx::Uuid>(2)?,
                    row.get(3)?,
                    row.get::<pgrx::Uuid>(4)?,
                    row.get::<pgrx::Uuid>(5)?,
                    row.get(6)?,
                    row.get(7)?,
                ) {
                    let [org_id, id, webhook, event] = [org_id, id, webhook, event].map(from_pg);
                    leased.push(Leased { org_id, id, attempt, webhook, event, kind, payload });
                }
            }
            Ok(leased)
        },
    )
}

fn postpone(one: &Leased, until: TimestampWithTimeZone) -> Result<()> {
    db::write_prepared(
        "update crm.webhook_deliveries set run_at = $3, leased_until = null, attempts = attempts - 1 where org_id = $1 and id = $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TIMESTAMPTZOID],
        &[to_pg(one.org_id).into(), to_pg(one.id).into(), until.into()],
        |_| Ok(()),
    )
}

fn give_up(one: &Leased, reason: &str) -> Result<()> {
    let lane = db::write_prepared(
        "update crm.webhook_deliveries
         set state = 'failed', run_at = null, leased_until = null, last_error = $3, attempts = attempts - 1
         where org_id = $1 and id = $2 returning lane",
        &[KEY[0], KEY[1], PgBuiltInOids::TEXTOID],
        &[to_pg(one.org_id).into(), to_pg(one.id).into(), reason.into()],
        |rows| rows.first().get_one::<pgrx::Uuid>(),
    )?;
    release_next(one.target(), lane.map(from_pg))
}
