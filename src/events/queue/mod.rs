//! The queue of deliveries. Who delivers claims some for a while (a lease); what is not reported until then is claimed again, so
//! nothing is lost with whoever dies. Claimed in the order in which they are due, never waiting for anybody.

mod backlog;
mod claim;
mod lanes;
mod report;
mod status;
mod target;
mod upkeep;

use pgrx::PgBuiltInOids;
use pgrx::datum::{IntoDatum, TimestampWithTimeZone};
use pgrx::pg_sys;
use uuid::Uuid;

use super::event;
use crate::audit::history::entries::Entry;
use crate::audit::transaction::Ids;
use crate::db;
use crate::db::append::Appender;
use crate::error::Result;
use crate::identity::principal::to_pg;
use crate::plans;

pub use backlog::take_up;
pub use lanes::{busy_lanes, settle};
pub use upkeep::{forget, hold_reader};

/// Organization and webhook: two organizations may have webhooks of one id, when one was copied from the other.
type Target = (Uuid, Uuid);

/// When something may be delivered.
#[derive(Clone, Copy, PartialEq)]
pub enum Turn {
    Now,
    /// After one that is added with it.
    Waits,
    /// After those that were there before, which may all be done with until this one is seen: see `settle`.
    MayWait,
}

/// What is to be delivered.
pub struct Delivery {
    pub webhook: Uuid,
    pub event: Uuid,
    /// Of history; a test has none.
    pub entry: Option<Uuid>,
    pub kind: String,
    pub entity: String,
    pub record: Uuid,
    /// Whether it comes after what else is to be delivered of this record.
    pub ordered: bool,
    pub turn: Turn,
    pub payload: String,
}

impl Delivery {
    /// Of an event that an entry of history means.
    pub fn of(entry: &Entry, name: &str, webhook: Uuid, payload: String) -> Self {
        Self {
            webhook,
            event: event::id_of(entry.id, name),
            entry: Some(entry.id),
            kind: event::type_of(entry, name),
            entity: entry.entity.clone(),
            record: entry.record_id,
            ordered: false,
            turn: Turn::Now,
            payload,
        }
    }
}

const COLUMNS: [&str; 14] = [
    "org_id",
    "id",
    "webhook_id",
    "event_id",
    "entry_id",
    "event_type",
    "entity",
    "record_id",
    "lane",
    "state",
    "attempts",
    "run_at",
    "created_at",
    "payload",
];

/// Adds deliveries of one organization, in their order. Somebody has seen to it that the webhooks are not deleted meanwhile.
pub fn enqueue(organization: Uuid, deliveries: &[Delivery]) -> Result<()> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let table = db::relation(c"crm", c"webhook_deliveries")?;
    // SAFETY: an existing table.
    let relation = unsafe { pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32) };
    let mut appender = Appender::new(relation, &COLUMNS)?;
    let mut ids = Ids::new();
    let now = plans::now();
    for delivery in deliveries {
        let state = match delivery.turn {
            Turn::Now => "pending",
            Turn::MayWait => "ordering",
            Turn::Waits => "waiting",
        };
        appender.add(|| {
            [
                to_pg(organization).into_datum(),
                to_pg(ids.next()).into_datum(),
                to_pg(delivery.webhook).into_datum(),
                to_pg(delivery.event).into_datum(),
                delivery.entry.map(to_pg).into_datum(),
                delivery.kind.as_str().into_datum(),
                delivery.entity.as_str().into_datum(),
                to_pg(delivery.record).into_datum(),
                delivery.ordered.then(|| to_pg(delivery.record)).into_datum(),
                state.into_datum(),
                0_i32.into_datum(),
                (delivery.turn == Turn::Now).then_some(now).into_datum(),
                now.into_datum(),
                delivery.payload.as_str().into_datum(),
            ]
        });
    }
    appender.finish();
    Ok(())
}

/// The server's time, not the transaction's.
fn now() -> TimestampWithTimeZone {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }.try_into().unwrap_or_else(|_| pgrx::datum::datetime_support::now())
}

fn after(time: TimestampWithTimeZone, seconds: f64) -> TimestampWithTimeZone {
    let microseconds = pg_sys::TimestampTz::from(time) + (seconds * 1_000_000.0) as i64;
    microseconds.try_into().unwrap_or(time)
}

const KEY: [PgBuiltInOids; 2] = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];
