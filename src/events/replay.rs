//! Once more: what could not be delivered, what was delivered already, or all since a time; and a test.

use pgrx::datum::{JsonB, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::TEST;
use super::cursor::Cursor;
use super::event::{self, SCHEMA_VERSION};
use super::feed::{self, Placed};
use super::pattern;
use super::picture;
use super::queue::{self, Delivery, Turn};
use super::webhooks::own;
use crate::audit::history::entries;
use crate::audit::history::subject::Subjects;
use crate::audit::transaction::Ids;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer;
use crate::identity::principal::{Principal, to_pg};

#[pg_extern(sql = false)]
fn test_webhook(webhook_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("test_webhook")?;
    let (organization, webhook) = own_enabled(webhook_id)?;
    let event = Ids::new().next();
    let principal = Principal::current();
    let payload = json!({
        "id": event,
        "type": TEST.0,
        "schema_version": SCHEMA_VERSION,
        "created_at": pgrx::datum::datetime_support::now(),
        "org_id": organization,
        "entity": "webhooks",
        "record_id": webhook,
        "actor": {
            "user_id": principal.as_ref().and_then(|principal| principal.user_id),
            "impersonator_id": principal.as_ref().and_then(|principal| principal.actor_id),
            "api_key_id": principal.as_ref().and_then(|principal| principal.api_key.as_ref().map(|key| key.id)),
        },
        "request_id": null,
        "transaction_id": null,
        "data": { "id": webhook },
        "changed": null,
        "previous": null,
    });
    let delivery = Delivery {
        webhook,
        event,
        entry: None,
        kind: TEST.0.to_owned(),
        entity: "webhooks".to_owned(),
        record: webhook,
        ordered: false,
        turn: Turn::Now,
        payload: payload.to_string(),
    };
    queue::enqueue(organization, &[delivery])?;
    Ok(JsonB(json!({ "event_id": event })))
}

fn own_enabled(webhook: Option<pgrx::Uuid>) -> Result<(Uuid, Uuid)> {
    let (organization, webhook) = own(webhook)?;
    let is_on = db::write(
        "select from crm.webhooks where org_id = $1 and id = $2 and enabled",
        &[to_pg(organization).into(), to_pg(webhook).into()],
        |rows| Ok(!rows.is_empty()),
    )?;
    if is_on {
        Ok((organization, webhook))
    } else {
        Err(CrmError::Conflict { message: "the webhook is disabled".into(), hint: "Enable it first.".into() })
    }
}

#[pg_extern(sql = false)]
fn replay_webhook(
    webhook_id: Option<pgrx::Uuid>,
    event_id: Option<pgrx::Uuid>,
    since: Option<TimestampWithTimeZone>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("replay_webhook")?;
    let (organization, webhook) = own_enabled(webhook_id)?;
    let answer = match (event_id, since) {
        (Some(_), Some(_)) => return Err(CrmError::invalid("since", "give event_id or since, not both").into()),
        (Some(event), None) => one(organization, webhook, event)?,
        (None, Some(since)) => all_since(organization, webhook, since)?,
        (None, None) => {
            let kinds = failed(organization, webhook, None)?;
            let fitting = fitting(organization, webhook, kinds)?;
            json!({ "replayed": again(organization, webhook, None, fitting)? })
        }
    };
    Ok(JsonB(answer))
}

/// The types of what was given up.
fn failed(organization: Uuid, webhook: Uuid, event: Option<pgrx::Uuid>) -> Result<Vec<String>> {
    db::write(
        "select array_agg(distinct event_type) from crm.webhook_deliveries
         where org_id = $1 and webhook_id = $2 and state = 'failed' and ($3 is null or event_id = $3)",
        &[to_pg(organization).into(), to_pg(webhook).into(), event.into()],
        |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
    )
}

/// Those of them that the webhook wants by now: its events may have been others, and so may those who could say where it leads.
fn fitting(organization: Uuid, webhook: Uuid, kinds: Vec<String>) -> Result<Vec<String>> {
    let wanted = db::write(
        "select events from crm.webhooks where org_id = $1 and id = $2",
        &[to_pg(organization).into(), to_pg(webhook).into()],
        |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
    )?;
    let wanted = pattern::parse_all(&wanted).map_err(|problem| CrmError::invalid("events", problem))?;
    // A test tells nothing.
    Ok(kinds.into_iter().filter(|kind| kind == TEST.0 || pattern::is_named(&wanted, kind)).collect())
}

/// What had failed for good is tried from the beginning.
fn again(organization: Uuid, webhook: Uuid, event: Option<pgrx::Uuid>, kinds: Vec<String>) -> Result<usize> {
    db::execute(
        "update crm.webhook_deliveries
         set state = 'pending', run_at = clock_timestamp(), attempts = 0, lane = null
         where org_id = $1 and webhook_id = $2 and state = 'failed' and ($3 is null or event_id = $3)
             and event_type = any ($4) returning 1",
        &[to_pg(organization).into(), to_pg(webhook).into(), event.into(), kinds.into()],
    )
}

fn one(organization: Uuid, webhook: Uuid, event: pgrx::Uuid) -> Result<Value> {
    let check = |kind: &str| {
        let is_wanted = !fitting(organization, webhook, vec![kind.to_owned()])?.is_empty();
        let problem = format!("is a {kind}, which is not among the webhook's events");
        if is_wanted { Ok(()) } else { Err(CrmError::invalid("event_id", problem)) }
    };
    let failed = failed(organization, webhook, Some(event))?;
    failed.iter().try_for_each(|kind| check(kind))?;
    if !failed.is_empty() {
        return Ok(json!({ "replayed": again(organization, webhook, Some(event), failed)? }));
    }
    let unknown = || CrmError::invalid("event_id", "there is no such event in the log of this webhook's deliveries");
    let entry = db::write(
        "select entry_id, event_type from crm.webhook_attempts
         where org_id = $1 and webhook_id = $2 and event_id = $3 and entry_id is not null limit 1",
        &[to_pg(organization).into(), to_pg(webhook).into(), event.into()],
        |mut rows| {
            let Some(row) = rows.next() else { return Ok(None) };
            Ok(row.get::<pgrx::Uuid>(1)?.zip(row.get::<String>(2)?))
        },
    )?;
    let (entry, kind) = entry.ok_or_else(unknown)?;
    check(&kind)?;
    queue::hold_reader(organization, "for share")?;
    let found = entries::find(organization, "id = $2", vec![entry.into()])?;
    let gone = || CrmError::invalid("event_id", "history does not have this event any more");
    let entry = found.into_iter().next().ok_or_else(gone)?;
    let name = event::names_of(&entry).into_iter().find(|name| kind.ends_with(&format!(".{name}"))).ok_or_else(gone)?;
    let placed = Placed { position: 0, entry };
    let mut subjects = Subjects::default();
    let subject = subjects.noted(&placed.entry.entity)?.ok_or_else(gone)?;
    let pictures = db::at_latest(|| picture::pictures(organization, &[&placed], &mut subjects))?;
    let entry = &placed.entry;
    let payload = event::payload(entry, organization, name, &subject.told_columns(), pictures.get(&entry.id));
    queue::enqueue(organization, &[Delivery::of(entry, name, webhook, payload)])?;
    Ok(json!({ "replayed": 1 }))
}

/// Whoever hands events over does it, in batches: there may be many.
fn all_since(organization: Uuid, webhook: Uuid, since: TimestampWithTimeZone) -> Result<Value> {
    let first = db::write(
        "select min(position) from crm.audit_transactions where org_id = $1 and created_at >= $2 and position is not null",
        &[to_pg(organization).into(), since.into()],
        |rows| Ok(rows.first().get_one::<i64>()?),
    )?;
    let Cursor { position: until, .. } = feed::end(organization)?;
    let Some(first) = first else { return Ok(json!({ "from": null, "until": null })) };
    db::execute(
        "update crm_private.webhook_states set replay_position = $3, replay_entry_id = null, replay_until = $4
         where org_id = $1 and webhook_id = $2",
        &[to_pg(organization).into(), to_pg(webhook).into(), (first - 1).into(), until.into()],
    )?;
    Ok(json!({ "from": first, "until": until }))
}
