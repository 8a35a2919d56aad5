//! What came of an attempt, as who delivers reports it.

use pgrx::datum::{DatumWithOid, Interval, IntoDatum, JsonB, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgBuiltInOids, pg_sys};
use serde_json::{Value, json};
use uuid::Uuid;

use super::lanes::release_next;
use super::{KEY, after, now};
use crate::audit::transaction::Ids;
use crate::db;
use crate::db::append::Appender;
use crate::error::{CrmError, Result};
use crate::events::{schedule, webhooks};
use crate::identity::answer::given;
use crate::identity::principal::{from_pg, to_pg};
use crate::plans;
use crate::random;

/// Bytes of an answer that are kept.
const RESPONSE_MAX: usize = 1024;

/// For how long a webhook may fail before it is switched off.
const FAILING_MAX: &str = "5 days";

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
    /// Whether its webhook has been failing for some time; false where nobody looked.
    is_failing: bool,
}

/// Of webhook_id, event_id, entry_id, event_type, entity, record_id, lane, attempts, whether the webhook is failing.
fn reported(row: &db::Row) -> Result<Option<Reported>> {
    let id = |column| -> Result<Option<Uuid>> { Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg)) };
    let (Some(webhook), Some(event), Some(kind), Some(entity), Some(record), Some(attempts)) =
        (id(1)?, id(2)?, row.get(4)?, row.get(5)?, id(6)?, row.get(8)?)
    else {
        return Ok(None);
    };
    let (entry, lane, is_failing) = (id(3)?, id(7)?, row.get(9)?.unwrap_or(false));
    Ok(Some(Reported { webhook, event, entry, kind, entity, record, lane, attempts, is_failing }))
}

fn one_reported(mut rows: db::Rows) -> Result<Option<Reported>> {
    match rows.next() {
        Some(row) => reported(&row),
        None => Ok(None),
    }
}

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
        status: Some(arrived(given("status", status)?)?),
        duration_ms: checked_duration(duration_ms)?,
        response: response.map(shortened),
        error: None,
    };
    let attempt = checked_attempt(attempt)?;
    // Also by one whose lease is over: it has arrived.
    let done = db::write_prepared(
        "delete from crm.webhook_deliveries as d where d.org_id = $1 and d.id = $2 and d.state <> 'failed'
         returning d.webhook_id, d.event_id, d.entry_id, d.event_type, d.entity, d.record_id, d.lane, d.attempts, (
             select s.failing_since is not null from crm_private.webhook_states as s
             where s.org_id = d.org_id and s.webhook_id = d.webhook_id
         )",
        &KEY,
        &[to_pg(organization).into(), to_pg(delivery).into()],
        one_reported,
    )?;
    let Some(done) = done else { return Ok(false) };
    note_attempt(organization, delivery, &done, attempt, "delivered", &report)?;
    if done.is_failing {
        note_success(organization, done.webhook)?;
    }
    release_next((organization, done.webhook), done.lane)?;
    Ok(true)
}

/// What a tenant's open transaction holds is left: see `note_failure`.
fn note_success(organization: Uuid, webhook: Uuid) -> Result<()> {
    db::write_prepared(
        "update crm_private.webhook_states set failing_since = null
         where (org_id, webhook_id) in (
             select org_id, webhook_id from crm_private.webhook_states
             where org_id = $1 and webhook_id = $2 and failing_since is not null for no key update skip locked
         )",
        &KEY,
        &[to_pg(organization).into(), to_pg(webhook).into()],
        |_| Ok(()),
    )
}

fn checked_status(status: i32) -> Result<i32> {
    if (100..=599).contains(&status) {
        Ok(status)
    } else {
        Err(CrmError::invalid("status", "must be one of HTTP's: 100 to 599"))
    }
}

fn arrived(status: i32) -> Result<i32> {
    if (200..=299).contains(&status) {
        Ok(status)
    } else {
        Err(CrmError::invalid("status", "must be 200 to 299: report any other with crm.fail_webhook_delivery"))
    }
}

fn checked_attempt(attempt: Option<i32>) -> Result<i32> {
    match given("attempt", attempt)? {
        ..1 => Err(CrmError::invalid("attempt", "must be the one that was claimed, 1 or more")),
        attempt => Ok(attempt),
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
    let attempt = checked_attempt(attempt)?;
    if retry_after.is_some_and(|seconds| seconds < 0) {
        return Err(CrmError::invalid("retry_after", "must not be negative").into());
    }
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
    let found = db::write_prepared(
        "update crm.webhook_deliveries
         set run_at = $4, state = case when $4 is null then 'failed' else 'pending' end, leased_until = null,
             last_status = $5, last_error = $6
         where org_id = $1 and id = $2 and attempts = $3 and leased_until is not null
         returning webhook_id, event_id, entry_id, event_type, entity, record_id, lane, attempts, false",
        &[
            PgBuiltInOids::UUIDOID,
            PgBuiltInOids::UUIDOID,
            PgBuiltInOids::INT4OID,
            PgBuiltInOids::TIMESTAMPTZOID,
            PgBuiltInOids::INT4OID,
            PgBuiltInOids::TEXTOID,
        ],
        &arguments,
        one_reported,
    )?;
    let Some(found) = found else { return Ok(json!({ "outcome": "gone", "next_attempt_at": null })) };
    note_attempt(organization, delivery, &found, attempt, "failed", report)?;
    let is_disabled = note_failure(organization, &found, report)?;
    if next.is_none() {
        release_next((organization, found.webhook), found.lane)?;
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
        db::write_prepared(
            "update crm_private.webhook_states set failing_since = clock_timestamp()
             where (org_id, webhook_id) in (
                 select org_id, webhook_id from crm_private.webhook_states
                 where org_id = $1 and webhook_id = $2 and failing_since is null for no key update skip locked
             )",
            &KEY,
            &key(),
            |_| Ok(()),
        )?;
        (has_failed_for_long(organization, found.webhook)? && !has_arrived_meanwhile(organization, found.webhook)?)
            .then(|| format!("every delivery has failed for {FAILING_MAX}"))
    };
    let Some(reason) = reason else { return Ok(false) };
    webhooks::disable(organization, found.webhook, &reason)
}

fn has_failed_for_long(organization: Uuid, webhook: Uuid) -> Result<bool> {
    db::select_by_key(
        "select failing_since < clock_timestamp() - $3::interval from crm_private.webhook_states
         where org_id = $1 and webhook_id = $2",
        &[KEY[0], KEY[1], PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), to_pg(webhook).into(), FAILING_MAX.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// When one arrived while a tenant's transaction held the state, `note_success` has left it: it is noted now.
fn has_arrived_meanwhile(organization: Uuid, webhook: Uuid) -> Result<bool> {
    let key = || [to_pg(organization).into(), to_pg(webhook).into()];
    let last = db::select_by_key(
        "select max(a.created_at) from crm.webhook_attempts as a
         where a.org_id = $1 and a.webhook_id = $2 and a.outcome = 'delivered' and a.created_at > (
             select s.failing_since from crm_private.webhook_states as s where s.org_id = $1 and s.webhook_id = $2
         )",
        &KEY,
        &key(),
        |rows| rows.first().get_one::<TimestampWithTimeZone>(),
    )?;
    let Some(last) = last else { return Ok(false) };
    db::write_prepared(
        "update crm_private.webhook_states set failing_since = $3
         where (org_id, webhook_id) in (
             select org_id, webhook_id from crm_private.webhook_states
             where org_id = $1 and webhook_id = $2 for no key update skip locked
         )",
        &[KEY[0], KEY[1], PgBuiltInOids::TIMESTAMPTZOID],
        &[to_pg(organization).into(), to_pg(webhook).into(), last.into()],
        |_| Ok(()),
    )?;
    Ok(true)
}

#[pg_extern(sql = false)]
fn release_webhook_delivery(
    org_id: Option<pgrx::Uuid>,
    id: Option<pgrx::Uuid>,
    attempt: Option<i32>,
    delay: Option<Interval>,
) -> Result<bool, ErrorReport> {
    let released = db::write_prepared(
        "update crm.webhook_deliveries
         set leased_until = null, attempts = attempts - 1,
             run_at = case when $4 > interval '0' then clock_timestamp() + least($4, interval '1 hour') else run_at end
         where org_id = $1 and id = $2 and attempts = $3 and leased_until is not null returning 1",
        &[KEY[0], KEY[1], PgBuiltInOids::INT4OID, PgBuiltInOids::INTERVALOID],
        &[given("org_id", org_id)?.into(), given("id", id)?.into(), checked_attempt(attempt)?.into(), delay.into()],
        |rows| Ok(rows.len()),
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
