//! The queue of deliveries. Who delivers claims some for a while (a lease); what is not reported until then is claimed again, so
//! nothing is lost with whoever dies. Claimed in the order in which they are due, never waiting for anybody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgrx::datum::{DatumWithOid, Interval, IntoDatum, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::{schedule, secrets, signature, webhooks};
use crate::audit::person::Records;
use crate::audit::transaction::Ids;
use crate::db;
use crate::db::append::Appender;
use crate::deployment;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{from_pg, to_pg};
use crate::plans;
use crate::random;

const CLAIM_MAX: i32 = 1000;

/// Bytes of an answer that are kept.
const RESPONSE_MAX: usize = 1024;

/// For how long a webhook may fail before it is switched off.
const FAILING_MAX: &str = "5 days";

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
    /// It has to wait for one before it.
    pub waits: bool,
    pub payload: String,
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
        let state = if delivery.waits { "waiting" } else { "pending" };
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
                (!delivery.waits).then_some(now).into_datum(),
                now.into_datum(),
                delivery.payload.as_str().into_datum(),
            ]
        });
    }
    appender.finish();
    Ok(())
}

/// Of these webhooks' records those that something waits to be delivered of, or is being delivered.
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

type Claimed = (pgrx::Uuid, pgrx::Uuid, i32, pgrx::Uuid, pgrx::Uuid, String, String, JsonB, String);

#[pg_extern(sql = false)]
fn claim_webhook_deliveries(
    count: Option<i32>,
    lease: Option<Interval>,
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
    if !deployment::may_deliver()? {
        return Ok(TableIterator::empty());
    }
    Ok(TableIterator::new(claim(count, lease)?))
}

/// One that is claimed, before it is known where it goes.
struct Leased {
    org_id: Uuid,
    id: Uuid,
    attempt: i32,
    webhook: Uuid,
    event: Uuid,
    kind: String,
    payload: String,
}

impl Leased {
    fn target(&self) -> (Uuid, Uuid) {
        (self.org_id, self.webhook)
    }
}

fn claim(count: i32, lease: Option<Interval>) -> Result<Vec<Claimed>> {
    let mut leased = take(count, lease)?;
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

fn take(count: i32, lease: Option<Interval>) -> Result<Vec<Leased>> {
    db::write_prepared(
        "with due as materialized (
             select w.org_id, w.id from crm.webhook_deliveries as w
             where w.run_at <= $1 and (w.leased_until is null or w.leased_until <= $1)
             order by w.run_at, w.id limit $2
             for update skip locked
         )
         update crm.webhook_deliveries as d
         set leased_until = $1 + least(greatest(coalesce($3, '1 minute'), interval '1 second'), interval '1 hour'),
             attempts = d.attempts + 1
         from due where d.org_id = due.org_id and d.id = due.id
         returning d.org_id, d.id, d.attempts, d.webhook_id, d.event_id, d.event_type, d.payload",
        &[PgBuiltInOids::TIMESTAMPTZOID, PgBuiltInOids::INT4OID, PgBuiltInOids::INTERVALOID],
        &[now().into(), count.into(), lease.into()],
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

/// The server's time, not the transaction's.
fn now() -> TimestampWithTimeZone {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }.try_into().unwrap_or_else(|_| pgrx::datum::datetime_support::now())
}

/// Where a webhook's deliveries go.
struct Target {
    url: String,
    headers: serde_json::Map<String, Value>,
    secrets: Vec<Vec<u8>>,
    goes: bool,
    is_active: bool,
}

struct Targets {
    /// By organization and id: two organizations may have one id, when one was copied from the other.
    known: HashMap<(Uuid, Uuid), Target>,
    /// Deliveries of webhooks that take only so many a minute: when each may go.
    turns: HashMap<(Uuid, Uuid), TimestampWithTimeZone>,
}

enum Goes<'a> {
    There(&'a Target),
    Later(TimestampWithTimeZone),
    Nowhere(&'static str),
}

impl Targets {
    fn of(leased: &[Leased]) -> Result<Self> {
        let wanted: BTreeSet<_> = leased.iter().map(Leased::target).collect();
        let mut secrets = secrets::of(&wanted)?;
        let (organizations, webhooks): (Vec<_>, Vec<_>) =
            wanted.into_iter().map(|(organization, webhook)| (to_pg(organization), to_pg(webhook))).unzip();
        let mut limited = BTreeMap::new();
        let known = db::select(
            "select w.org_id, w.id, w.url, w.enabled, o.status = 'active', s.headers, w.max_per_minute
             from unnest($1, $2) as d (org_id, webhook_id)
             join crm.webhooks as w on w.org_id = d.org_id and w.id = d.webhook_id
             join crm.organizations as o on o.id = w.org_id
             left join crm_private.webhook_states as s on s.org_id = w.org_id and s.webhook_id = w.id",
            &[PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDARRAYOID],
            &[organizations.into(), webhooks.into()],
            |rows| {
                let mut known = HashMap::new();
                for row in rows {
                    let (Some(organization), Some(id), Some(url)) =
                        (row.get::<pgrx::Uuid>(1)?, row.get::<pgrx::Uuid>(2)?, row.get(3)?)
                    else {
                        continue;
                    };
                    let key = (from_pg(organization), from_pg(id));
                    let headers = row.get::<JsonB>(6)?.and_then(|JsonB(headers)| headers.as_object().cloned());
                    if let Some(most) = row.get::<i32>(7)? {
                        limited.insert(key, most);
                    }
                    let target = Target {
                        url,
                        headers: headers.unwrap_or_default(),
                        secrets: secrets.remove(&key).unwrap_or_default(),
                        goes: row.get(4)?.unwrap_or(false),
                        is_active: row.get(5)?.unwrap_or(false),
                    };
                    known.insert(key, target);
                }
                Ok(known)
            },
        )?;
        let turns =
            limited.into_iter().map(|(target, most)| turns(leased, target, most)).collect::<Result<Vec<_>>>()?;
        Ok(Self { known, turns: turns.into_iter().flatten().collect() })
    }

    fn of_delivery(&self, one: &Leased) -> Goes<'_> {
        match self.known.get(&one.target()) {
            Some(target) if !target.goes => Goes::Nowhere("the webhook is disabled"),
            // Until it is resumed, or deleted with all that is its own.
            Some(target) if !target.is_active => Goes::Later(after(now(), 3600.0)),
            Some(_) if let Some(turn) = self.turns.get(&(one.org_id, one.id)) => Goes::Later(*turn),
            Some(target) => Goes::There(target),
            None => Goes::Nowhere("the webhook is gone"),
        }
    }
}

/// The generic cell rate algorithm: a webhook's next turn moves on with each delivery that is given one, so that those which have
/// to wait are given theirs at once and are not claimed before.
fn turns(leased: &[Leased], target: (Uuid, Uuid), most: i32) -> Result<Vec<((Uuid, Uuid), TimestampWithTimeZone)>> {
    let pause = 60.0 / f64::from(most.max(1));
    // In a second's worth of them, or one, they may come together.
    let slack = pause.max(1.0);
    let wanted: Vec<_> = leased.iter().filter(|one| one.target() == target).collect();
    let (organization, webhook) = target;
    let next = db::execute_returning::<TimestampWithTimeZone>(
        "update crm_private.webhook_states
         set next_turn = greatest(next_turn, $4) + make_interval(secs => $3)
         where org_id = $1 and webhook_id = $2 returning next_turn",
        &[to_pg(organization).into(), to_pg(webhook).into(), (pause * wanted.len() as f64).into(), now().into()],
    )?;
    let Some(next) = next else { return Ok(vec![]) };
    let first = after(next, -pause * wanted.len() as f64);
    let soon = after(now(), slack);
    let turns = wanted.iter().enumerate().map(|(at, one)| ((one.org_id, one.id), after(first, pause * at as f64)));
    Ok(turns.filter(|(_, turn)| *turn > soon).collect())
}

fn after(time: TimestampWithTimeZone, seconds: f64) -> TimestampWithTimeZone {
    let microseconds = pg_sys::TimestampTz::from(time) + (seconds * 1_000_000.0) as i64;
    microseconds.try_into().unwrap_or(time)
}

impl Target {
    fn sign(&self, one: Leased) -> Claimed {
        let timestamp = pg_sys::TimestampTz::from(now()) / 1_000_000 + 946_684_800;
        let event = one.event.to_string();
        let mut headers = self.headers.clone();
        let mut set = |name: &str, value: String| drop(headers.insert(name.to_owned(), value.into()));
        set("content-type", "application/json".into());
        set("user-agent", concat!("crm_ext/", env!("CARGO_PKG_VERSION")).into());
        set("webhook-signature", signature::signatures(&self.secrets, &event, timestamp, &one.payload));
        if let Some(newest) = self.secrets.first() {
            set("x-webhook-signature", signature::plain(newest, &one.payload));
        }
        set("webhook-timestamp", timestamp.to_string());
        set("webhook-id", event);
        let [org_id, id, webhook, event] = [one.org_id, one.id, one.webhook, one.event].map(to_pg);
        (org_id, id, one.attempt, webhook, event, one.kind, self.url.clone(), JsonB(headers.into()), one.payload)
    }
}

fn postpone(one: &Leased, until: TimestampWithTimeZone) -> Result<()> {
    db::execute(
        "update crm.webhook_deliveries set run_at = $3, leased_until = null, attempts = attempts - 1 where org_id = $1 and id = $2",
        &[to_pg(one.org_id).into(), to_pg(one.id).into(), until.into()],
    )?;
    Ok(())
}

fn give_up(one: &Leased, reason: &str) -> Result<()> {
    let lane = db::execute_returning::<pgrx::Uuid>(
        "update crm.webhook_deliveries
         set state = 'failed', run_at = null, leased_until = null, last_error = $3, attempts = attempts - 1
         where org_id = $1 and id = $2 returning coalesce(lane, '00000000-0000-0000-0000-000000000000')",
        &[to_pg(one.org_id).into(), to_pg(one.id).into(), reason.into()],
    )?;
    release_next(one.org_id, one.webhook, lane.map(from_pg).filter(|lane| !lane.is_nil()))
}

/// What waited for the one that is done with may go. What is added just now, and does not see that it is done, `unblock` finds.
fn release_next(organization: Uuid, webhook: Uuid, lane: Option<Uuid>) -> Result<()> {
    let Some(lane) = lane else { return Ok(()) };
    db::execute(
        "update crm.webhook_deliveries as d set state = 'pending', run_at = clock_timestamp()
         from (
             select w.id, w.state from crm.webhook_deliveries as w
             where w.org_id = $1 and w.webhook_id = $2 and w.lane = $3 and w.state <> 'failed'
             order by w.id limit 1
         ) as next
         where d.org_id = $1 and d.id = next.id and d.state = 'waiting'",
        &[to_pg(organization).into(), to_pg(webhook).into(), to_pg(lane).into()],
    )?;
    Ok(())
}

/// An attempt, as it is reported.
struct Report<'a> {
    status: Option<i32>,
    duration_ms: Option<i32>,
    response: Option<String>,
    error: Option<&'a str>,
}

/// What a delivery was when it was reported.
struct Reported {
    webhook: Uuid,
    event: Uuid,
    entry: Option<Uuid>,
    kind: String,
    entity: String,
    record: Uuid,
    lane: Option<Uuid>,
    attempts: i32,
}

const REPORTED: &str = "webhook_id, event_id, entry_id, event_type, entity, record_id, lane, attempts";

fn reported(row: &pgrx::spi::SpiHeapTupleData) -> Result<Option<Reported>> {
    let id = |column| -> Result<Option<Uuid>> { Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg)) };
    let (Some(webhook), Some(event), Some(kind), Some(entity), Some(record), Some(attempts)) =
        (id(1)?, id(2)?, row.get(4)?, row.get(5)?, id(6)?, row.get(8)?)
    else {
        return Ok(None);
    };
    Ok(Some(Reported { webhook, event, entry: id(3)?, kind, entity, record, lane: id(7)?, attempts }))
}

fn one_reported(mut rows: pgrx::spi::SpiTupleTable) -> Result<Option<Reported>> {
    match rows.next() {
        Some(row) => reported(&row),
        None => Ok(None),
    }
}

const KEY: [PgBuiltInOids; 2] = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];

#[pg_extern(sql = false)]
fn complete_webhook_delivery(
    org_id: Option<pgrx::Uuid>,
    id: Option<pgrx::Uuid>,
    attempt: Option<i32>,
    status: Option<i32>,
    duration_ms: Option<i32>,
    response: Option<&str>,
) -> Result<bool, ErrorReport> {
    let (organization, delivery) = (from_pg(given("org_id", org_id)?), from_pg(given("id", id)?));
    let report = Report {
        status: Some(checked_status(given("status", status)?)?),
        duration_ms: checked_duration(duration_ms)?,
        response: response.map(shortened),
        error: None,
    };
    let attempt = given("attempt", attempt)?;
    // Also by one whose lease is over: it has arrived.
    let done = db::write_prepared(
        "delete from crm.webhook_deliveries where org_id = $1 and id = $2 and state <> 'failed'
         returning webhook_id, event_id, entry_id, event_type, entity, record_id, lane, attempts",
        &KEY,
        &[to_pg(organization).into(), to_pg(delivery).into()],
        one_reported,
    )?;
    let Some(done) = done else { return Ok(false) };
    note_attempt(organization, delivery, &done, attempt, "delivered", &report)?;
    db::write_prepared(
        "update crm_private.webhook_states set failing_since = null
         where org_id = $1 and webhook_id = $2 and failing_since is not null",
        &KEY,
        &[to_pg(organization).into(), to_pg(done.webhook).into()],
        |_| Ok(()),
    )?;
    release_next(organization, done.webhook, done.lane)?;
    Ok(true)
}

fn checked_status(status: i32) -> Result<i32> {
    if (100..=599).contains(&status) {
        Ok(status)
    } else {
        Err(CrmError::invalid("status", "must be one of HTTP's: 100 to 599"))
    }
}

fn checked_duration(duration: Option<i32>) -> Result<Option<i32>> {
    match duration {
        Some(negative) if negative < 0 => Err(CrmError::invalid("duration_ms", "must not be negative")),
        duration => Ok(duration),
    }
}

/// The first bytes, at the boundary of a character; none that terminals take for orders.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(RESPONSE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let is_harmless = |c: &char| !c.is_control() || *c == '\n' || *c == '\t';
    text[..end].chars().filter(is_harmless).collect()
}

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "those of the SQL function")]
fn fail_webhook_delivery(
    org_id: Option<pgrx::Uuid>,
    id: Option<pgrx::Uuid>,
    attempt: Option<i32>,
    status: Option<i32>,
    duration_ms: Option<i32>,
    response: Option<&str>,
    error: Option<&str>,
    retry_after: Option<i32>,
) -> Result<JsonB, ErrorReport> {
    let (organization, delivery) = (from_pg(given("org_id", org_id)?), from_pg(given("id", id)?));
    let error = error.map(shortened);
    let report = Report {
        status: status.map(checked_status).transpose()?,
        duration_ms: checked_duration(duration_ms)?,
        response: response.map(shortened),
        error: error.as_deref(),
    };
    let attempt = given("attempt", attempt)?;
    Ok(JsonB(failed(organization, delivery, attempt, &report, retry_after)?))
}

const GONE: i32 = 410;

fn failed(
    organization: Uuid,
    delivery: Uuid,
    attempt: i32,
    report: &Report,
    retry_after: Option<i32>,
) -> Result<Value> {
    let chance = f64::from(u32::from_be_bytes(random::bytes::<4>()?)) / f64::from(u32::MAX);
    let pause = schedule::pause(attempt, chance, retry_after.map(i64::from)).filter(|_| report.status != Some(GONE));
    let next = pause.map(|pause| after(now(), pause));
    let told = report.error.map(str::to_owned).or_else(|| report.status.map(|status| format!("HTTP {status}")));
    let arguments: [DatumWithOid; 6] = [
        to_pg(organization).into(),
        to_pg(delivery).into(),
        attempt.into(),
        next.into(),
        report.status.into(),
        told.into(),
    ];
    // Only whoever has it: another one may be at it by now.
    let found = db::write(
        &format!(
            "update crm.webhook_deliveries
             set run_at = $4, state = case when $4 is null then 'failed' else 'pending' end, leased_until = null,
                 last_status = $5, last_error = $6
             where org_id = $1 and id = $2 and attempts = $3 and leased_until is not null
             returning {REPORTED}"
        ),
        &arguments,
        one_reported,
    )?;
    let Some(found) = found else { return Ok(json!({ "outcome": "gone", "next_attempt_at": null })) };
    note_attempt(organization, delivery, &found, attempt, "failed", report)?;
    let is_disabled = note_failure(organization, &found, report)?;
    if next.is_none() {
        release_next(organization, found.webhook, found.lane)?;
    }
    let outcome = match next {
        _ if is_disabled => "disabled",
        Some(_) => "retry",
        None => "failed",
    };
    Ok(json!({ "outcome": outcome, "next_attempt_at": next.filter(|_| !is_disabled) }))
}

/// Whether the webhook was switched off for it.
fn note_failure(organization: Uuid, found: &Reported, report: &Report) -> Result<bool> {
    let key = || [to_pg(organization).into(), to_pg(found.webhook).into()];
    let reason = if report.status == Some(GONE) {
        Some("the receiver says that it is gone for good (HTTP 410)".to_owned())
    } else {
        db::execute(
            "update crm_private.webhook_states set failing_since = clock_timestamp()
             where org_id = $1 and webhook_id = $2 and failing_since is null",
            &key(),
        )?;
        let is_long = db::select(
            "select failing_since < clock_timestamp() - $3::interval from crm_private.webhook_states
             where org_id = $1 and webhook_id = $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
            &[to_pg(organization).into(), to_pg(found.webhook).into(), FAILING_MAX.into()],
            |rows| rows.first().get_one::<bool>(),
        )?;
        (is_long == Some(true)).then(|| format!("every delivery has failed for {FAILING_MAX}"))
    };
    let Some(reason) = reason else { return Ok(false) };
    let is_on = db::write(
        "select from crm.webhooks where org_id = $1 and id = $2 and enabled for no key update",
        &key(),
        |rows| Ok(!rows.is_empty()),
    )?;
    if is_on {
        webhooks::note(organization, found.webhook, "enabled = false, disabled_reason = $3", vec![reason.into()])?;
    }
    Ok(true)
}

#[pg_extern(sql = false)]
fn release_webhook_delivery(
    org_id: Option<pgrx::Uuid>,
    id: Option<pgrx::Uuid>,
    attempt: Option<i32>,
    delay: Option<Interval>,
) -> Result<bool, ErrorReport> {
    let released = db::execute(
        "update crm.webhook_deliveries
         set leased_until = null, attempts = attempts - 1,
             run_at = case when $4 > interval '0' then clock_timestamp() + least($4, interval '1 hour') else run_at end
         where org_id = $1 and id = $2 and attempts = $3 and leased_until is not null returning 1",
        &[given("org_id", org_id)?.into(), given("id", id)?.into(), given("attempt", attempt)?.into(), delay.into()],
    )?;
    Ok(released > 0)
}

const ATTEMPT: [&str; 16] = [
    "org_id",
    "id",
    "created_at",
    "webhook_id",
    "delivery_id",
    "event_id",
    "entry_id",
    "event_type",
    "entity",
    "record_id",
    "attempt",
    "outcome",
    "status",
    "duration_ms",
    "error",
    "response",
];

/// The delivery's row is locked, so neither it nor the webhook is deleted meanwhile.
fn note_attempt(
    organization: Uuid,
    delivery: Uuid,
    of: &Reported,
    attempt: i32,
    outcome: &str,
    report: &Report,
) -> Result<()> {
    let table = db::relation(c"crm", c"webhook_attempts")?;
    // SAFETY: an existing table.
    let relation = unsafe { pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32) };
    let mut appender = Appender::new(relation, &ATTEMPT)?;
    let (kind, entity) = (of.kind.as_str(), of.entity.as_str());
    appender.add(|| {
        [
            to_pg(organization).into_datum(),
            to_pg(Ids::new().next()).into_datum(),
            plans::now().into_datum(),
            to_pg(of.webhook).into_datum(),
            to_pg(delivery).into_datum(),
            to_pg(of.event).into_datum(),
            of.entry.map(to_pg).into_datum(),
            kind.into_datum(),
            entity.into_datum(),
            to_pg(of.record).into_datum(),
            attempt.min(of.attempts).into_datum(),
            outcome.into_datum(),
            report.status.into_datum(),
            report.duration_ms.into_datum(),
            report.error.into_datum(),
            report.response.as_deref().into_datum(),
        ]
    });
    appender.finish();
    Ok(())
}

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

#[pg_extern(sql = false)]
fn maintain_webhooks(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("maintain_webhooks")?;
    let batch = batch.unwrap_or(10_000);
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    let attempts = remove_old("webhook_attempts", "true", batch)?;
    let deliveries = remove_old("webhook_deliveries", "state = 'failed'", batch)?;
    Ok(JsonB(json!({ "attempts_removed": attempts, "deliveries_removed": deliveries, "unblocked": unblock()? })))
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
        &[batch.into(), to_pg(oldest_kept()).into()],
    )
}

/// The least id of that time.
fn oldest_kept() -> Uuid {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Builder::from_unix_timestamp_millis(now.saturating_sub(KEPT).as_millis() as u64, &[0; 10]).into_uuid()
}

/// What waits for nothing: it was added just when the one before it was done with.
fn unblock() -> Result<usize> {
    db::execute(
        "update crm.webhook_deliveries as d set state = 'pending', run_at = clock_timestamp()
         from (
             select distinct on (w.org_id, w.webhook_id, w.lane) w.org_id, w.id, w.state
             from crm.webhook_deliveries as w
             where w.lane is not null and w.state <> 'failed'
             order by w.org_id, w.webhook_id, w.lane, w.id
         ) as first
         where first.state = 'waiting' and d.org_id = first.org_id and d.id = first.id and d.state = 'waiting' returning 1",
        &[],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_in_part() {
        assert_eq!(shortened("a\u{1b}[31mb\r\n\tc\0"), "a[31mb\n\tc");
        assert_eq!(shortened(&"ä".repeat(1000)).len(), RESPONSE_MAX);
        assert_eq!(shortened(&format!("x{}", "ä".repeat(1000))).len(), RESPONSE_MAX - 1);
    }
}
