//! Events that other systems send: kept as they came, and made into records by rules.

mod event;
mod forget;
mod lead;
mod mapping;
mod rule;
mod target;
mod write;

use std::collections::BTreeSet;

use pgrx::JsonB;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::policy;
use crate::db::savepoint::{self, Refused};
use crate::edge::request::Headers;
use crate::error::{CrmError, Result};
use crate::gucs;
use crate::identity::answer::{self, given};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::records::custom::raw::RawJson;
use crate::text;
use event::{Event, Outcome};
pub use forget::{addresses, forget, remove_old};
use rule::Rule;
use target::Target;
use write::Sender;

/// The state of an event that became no record.
const FAILED: &str = "failed";
/// The SQLSTATE.
const CHECK_FAILED: &str = "23514";
const NAME_MAX: usize = 100;
const KEY_MAX: usize = 255;
/// Of the payload, in bytes, as PostgreSQL writes it.
const PAYLOAD_MAX: usize = 256 * 1024;
/// How many events one call works on again.
const RETRIED_MAX: i64 = 100;

#[pg_extern(sql = false)]
fn ingest_event(
    event_name: Option<&str>,
    payload: Option<RawJson>,
    event_id: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("ingest_event")?;
    Ok(JsonB(ingest(event_name.unwrap_or_default(), payload, event_id)?))
}

/// The same where the whole body is the payload: who sends it can say the event's name in the path alone.
#[pg_extern(sql = false)]
fn receive_event(payload: Option<RawJson>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("receive_event")?;
    let name = header(|headers| headers.event_name().map(str::to_owned)).unwrap_or_default();
    Ok(JsonB(ingest(&name, payload, None)?))
}

fn ingest(event_name: &str, payload: Option<RawJson>, event_id: Option<&str>) -> Result<Value> {
    let (holder, permissions) = policy::require_to_write("integration_events.create")?;
    let sender = Sender { holder, permissions: &permissions };
    let name = checked_name(event_name)?;
    let payload = checked_payload(payload)?;
    take(&sender, name, &payload, event_id)
}

fn take(sender: &Sender, name: &str, payload: &RawJson, event_id: Option<&str>) -> Result<Value> {
    let organization = sender.organization();
    let rule = rule::rule_for(organization, name)?;
    let key = key(event_id, rule.as_ref(), payload)?;
    let api_key = Principal::current().and_then(|principal| principal.api_key.as_ref().map(|key| key.id));
    match (event::keep(organization, name, key.as_deref(), payload, api_key)?, key) {
        (Some(id), _) => {
            let outcome = work_on(sender, id, payload, rule.as_ref())?;
            Ok(event::tell(id, name, &outcome))
        }
        (None, Some(key)) => again(sender, name, &key, payload),
        (None, None) => Err(CrmError::internal("an event without a key was there already")),
    }
}

/// The event was sent before. One that failed is tried again: who sends it until it is taken would think that it was.
fn again(sender: &Sender, name: &str, key: &str, payload: &RawJson) -> Result<Value> {
    let organization = sender.organization();
    match event::with_key(organization, name, key, payload)? {
        Some((event, true)) if event.status == FAILED => {
            // Others who send it again come one after the other.
            match event::locked(organization, event.id)? {
                Some(event) if event.status == FAILED => {
                    let outcome = retry(sender, &event)?;
                    Ok(event::tell(event.id, &event.name, &outcome))
                }
                now => Ok(event::tell_again(&now.unwrap_or(event), true)),
            }
        }
        Some((event, true)) => Ok(event::tell_again(&event, true)),
        Some((_, false)) => Err(CrmError::Unprocessable {
            field: "payload".into(),
            problem: "another one was sent under the same event id".into(),
            hint: "Another event needs an id of its own, in event_id or Idempotency-Key.".into(),
        }),
        // Who sees an older state does not see what it met.
        None => Err(CrmError::Conflict {
            message: "somebody else is sending this event".into(),
            hint: "Send it again.".into(),
        }),
    }
}

fn checked_name(name: &str) -> Result<&str> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let is_name = name.contains('.') && name.split('.').all(is_word);
    if is_name && name.len() <= NAME_MAX {
        return Ok(name);
    }
    Err(CrmError::Unprocessable {
        field: "event_name".into(),
        problem: format!(
            "must be like lead.captured, of lower case letters, digits and _, at most {NAME_MAX} characters"
        ),
        hint: "It says what happened: words with dots between.".into(),
    })
}

fn checked_payload(payload: Option<RawJson>) -> Result<RawJson> {
    match payload {
        Some(RawJson(json)) if json.len() > PAYLOAD_MAX => Err(CrmError::TooLarge {
            message: format!("the payload is larger than {} kB", PAYLOAD_MAX / 1024),
            hint: "Send what is needed of it.".into(),
        }),
        Some(payload) if payload.0.starts_with('{') => Ok(payload),
        _ => Err(CrmError::Unprocessable {
            field: "payload".into(),
            problem: "must be a JSON object".into(),
            hint: "Send several things as several events.".into(),
        }),
    }
}

/// By which the event is known when it is sent again.
fn key(event_id: Option<&str>, rule: Option<&Rule>, payload: &RawJson) -> Result<Option<String>> {
    let key = match event_id {
        Some(key) => Some(key.to_owned()),
        None => match header(|headers| headers.idempotency_key().map(str::to_owned)) {
            Some(key) => Some(key),
            None => rule.map_or(Ok(None), |rule| rule.event_id(payload))?,
        },
    };
    let Some(key) = key else { return Ok(None) };
    let unfit = |problem: String| CrmError::Unprocessable {
        field: "event_id".into(),
        problem,
        hint: format!("It is a line of 1 to {KEY_MAX} characters, and may come in the header Idempotency-Key."),
    };
    match text::line(&key, KEY_MAX) {
        Ok(key) if key.is_empty() => Err(unfit("must not be empty".into())),
        Ok(key) => Ok(Some(key)),
        Err(problem) => Err(unfit(problem.into_owned())),
    }
}

/// What a request's headers say of the event.
fn header(look: impl FnOnce(&Headers) -> Option<String>) -> Option<String> {
    let headers = gucs::in_request().then(|| gucs::request_setting(c"request.headers"))??;
    look(&Headers::parse(Some(&headers)))
}

/// To make an event a record: how far it came.
#[derive(Default)]
struct Attempt {
    target: Option<Target>,
    columns: BTreeSet<String>,
}

impl Attempt {
    fn write(&mut self, sender: &Sender, rule: &Rule, payload: &RawJson) -> Result<Uuid> {
        let target = self.target.insert(Target::named(&rule.entity)?);
        let wanted = rule.wanted(payload, target)?;
        self.columns = wanted.values.keys().cloned().collect();
        write::write(sender, target, wanted)
    }

    /// PostgreSQL names a check that fails; who sent the event knows columns.
    fn in_words(&self, mut reason: Refused) -> Result<Refused> {
        if reason.code == CHECK_FAILED
            && reason.detail.is_none()
            && let Some(target) = &self.target
            && let Some(checked) = target.checked_by(&reason.message)?
        {
            reason.message = mapping::unfit(&checked, &self.columns);
        }
        Ok(reason)
    }
}

/// Makes it a record, or says why not.
fn work_on(sender: &Sender, id: Uuid, payload: &RawJson, rule: Option<&Rule>) -> Result<Outcome> {
    let outcome = match rule {
        None => Outcome::Ignored,
        Some(rule) => {
            let entity = rule.entity.clone();
            let mut attempt = Attempt::default();
            match savepoint::answered(|| attempt.write(sender, rule, payload))? {
                Ok(record) => Outcome::Processed { entity, record },
                Err(reason) => Outcome::Failed { entity, reason: attempt.in_words(reason)? },
            }
        }
    };
    event::note(sender.organization(), id, &outcome)?;
    Ok(outcome)
}

#[pg_extern(sql = false)]
fn retry_event(id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("retry_event")?;
    let (holder, permissions) = policy::require_to_write("integration_events.update")?;
    let sender = Sender { holder, permissions: &permissions };
    let event = event::locked(sender.organization(), from_pg(given("id", id)?))?;
    let event = event.ok_or_else(|| CrmError::invalid("id", "there is no such event"))?;
    if event.status == "processed" {
        return Ok(JsonB(event::tell_again(&event, false)));
    }
    let outcome = retry(&sender, &event)?;
    Ok(JsonB(event::tell(event.id, &event.name, &outcome)))
}

fn retry(sender: &Sender, event: &Event) -> Result<Outcome> {
    let rule = rule::rule_for(sender.organization(), &event.name)?;
    work_on(sender, event.id, &event.payload, rule.as_ref())
}

#[pg_extern(sql = false)]
fn retry_events(
    event_name: Option<&str>,
    status: Option<&str>,
    since: Option<TimestampWithTimeZone>,
    after: Option<pgrx::Uuid>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("retry_events")?;
    let (holder, permissions) = policy::require_to_write("integration_events.update")?;
    let sender = Sender { holder, permissions: &permissions };
    let status = given("status", status)?;
    if !["failed", "ignored"].contains(&status) {
        return Err(CrmError::invalid("status", "must be failed or ignored").into());
    }
    let events = event::locked_where(
        "org_id = $1 and status = $2 and ($3 is null or event_name = $3) and ($4 is null or created_at >= $4)
             and ($5 is null or id > $5)
         order by id limit $6 for update skip locked",
        &[
            to_pg(sender.organization()).into(),
            status.into(),
            event_name.into(),
            since.into(),
            after.into(),
            RETRIED_MAX.into(),
        ],
    )?;
    let mut counts = [("processed", 0), ("failed", 0), ("ignored", 0)];
    for event in &events {
        let now = retry(&sender, event)?.status();
        counts.iter_mut().filter(|(status, _)| *status == now).for_each(|(_, count)| *count += 1);
    }
    let [(_, processed), (_, failed), (_, ignored)] = counts;
    let last = events.last().map(|event| event.id);
    Ok(JsonB(json!({ "processed": processed, "failed": failed, "ignored": ignored, "last": last })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_name_is_words_with_dots_between() {
        for fine in ["lead.captured", "a.b", "shop_1.order.paid"] {
            assert!(checked_name(fine).is_ok(), "{fine}");
        }
        let long = format!("a.{}", "b".repeat(99));
        for bad in [
            "",
            "lead",
            "lead.",
            ".lead",
            "a..b",
            "1.a",
            "a.1",
            "_a.b",
            "a._b",
            "Lead.captured",
            "a.b c",
            "a.b\n",
            "a.é",
            &long,
        ] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}
