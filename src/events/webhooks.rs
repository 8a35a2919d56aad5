//! Webhooks: who is told of which events. Made, tried and given new secrets by functions; changed and deleted like other records.

use std::collections::{BTreeMap, BTreeSet};

use pgrx::AllocatedByPostgres;
use pgrx::JsonB;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use url::{Origin, Url};
use uuid::Uuid;

use super::catalogue::{self, Source};
use super::feed;
use super::jsonpath;
use super::pattern::Pattern;
use super::permitted;
use super::secrets;
use crate::access::policy;
use crate::audit::image::STAMPS;
use crate::db::{self, savepoint};
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::raw::RawJson;
use crate::records::row::{self, Images, Row, Rows};
use crate::schema::is_restore;

const URL_MAX: usize = 2000;
const CONDITION_MAX: usize = 1000;
const PER_MINUTE_MAX: i32 = 60_000;

/// So long secrets of before sign along, unless something else is asked for; in seconds.
const OVERLAP: i32 = 86_400;
const OVERLAP_MAX: i32 = 7 * 86_400;

#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "those of the SQL function")]
fn create_webhook(
    name: Option<&str>,
    url: Option<&str>,
    events: Option<Vec<Option<String>>>,
    fields: Option<Vec<Option<String>>>,
    condition: Option<&str>,
    headers: Option<RawJson>,
    ordered: Option<bool>,
    max_per_minute: Option<i32>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_webhook")?;
    let (holder, _) = policy::require_to_write("webhooks.create")?;
    let headers = headers.map(|headers| headers_of(&headers)).transpose()?.unwrap_or_default();
    let organization = holder.organization();
    let made = db::as_owner_of(c"crm", c"webhooks", || {
        db::execute_returning::<JsonB>(
            "insert into crm.webhooks as w (org_id, name, url, events, fields, condition, header_names, ordered, max_per_minute)
             values ($1, $2, $3, $4, $5, $6, $7, coalesce($8, false), $9)
             returning to_jsonb(w)",
            &[
                to_pg(organization).into(),
                given("name", name)?.into(),
                given("url", url)?.into(),
                events.unwrap_or_else(|| vec![Some("*".to_owned())]).into(),
                fields.unwrap_or_default().into(),
                condition.into(),
                headers.keys().cloned().collect::<Vec<_>>().into(),
                ordered.into(),
                max_per_minute.into(),
            ],
        )
    })?;
    let Some(JsonB(mut webhook)) = made else { return Err(CrmError::internal("the webhook was not stored").into()) };
    let id = id_in(&webhook)?;
    secrets::store_headers(organization, id, &headers)?;
    webhook["secret"] = secrets::renew(organization, id, 0.0)?.into();
    answer::no_store();
    Ok(JsonB(webhook))
}

fn headers_of(headers: &RawJson) -> Result<BTreeMap<String, String>> {
    secrets::checked_headers(&headers.parse("headers")?)
}

fn id_in(webhook: &Value) -> Result<Uuid> {
    let id = webhook["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| CrmError::internal("a webhook has no id"))
}

/// The caller's organization, if it has this webhook and they may change it.
pub fn own(webhook: Option<pgrx::Uuid>) -> Result<(Uuid, Uuid)> {
    let (holder, _) = policy::require_to_write("webhooks.update")?;
    let webhook = given("webhook_id", webhook)?;
    let organization = holder.organization();
    // Locked, so that it is not deleted meanwhile.
    let found = db::write(
        "select from crm.webhooks where org_id = $1 and id = $2 for no key update",
        &[to_pg(organization).into(), webhook.into()],
        |rows| Ok(!rows.is_empty()),
    )?;
    if found {
        Ok((organization, from_pg(webhook)))
    } else {
        Err(CrmError::invalid("webhook_id", "there is no such webhook"))
    }
}

#[pg_extern(sql = false)]
fn rotate_webhook_secret(webhook_id: Option<pgrx::Uuid>, overlap_seconds: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("rotate_webhook_secret")?;
    let overlap = overlap_seconds.unwrap_or(OVERLAP);
    if !(0..=OVERLAP_MAX).contains(&overlap) {
        return Err(CrmError::invalid("overlap_seconds", format!("must be between 0 and {OVERLAP_MAX}")).into());
    }
    let (organization, webhook) = own(webhook_id)?;
    let secret = secrets::renew(organization, webhook, f64::from(overlap))?;
    note(organization, webhook, "secret_changed_at = now()", vec![])?;
    answer::no_store();
    Ok(JsonB(json!({ "id": webhook, "secret": secret, "previous_expires_in": overlap })))
}

#[pg_extern(sql = false)]
fn set_webhook_headers(webhook_id: Option<pgrx::Uuid>, headers: Option<RawJson>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_webhook_headers")?;
    let headers = headers_of(&given("headers", headers)?)?;
    let (organization, webhook) = own(webhook_id)?;
    secrets::store_headers(organization, webhook, &headers)?;
    let names: Vec<_> = headers.keys().cloned().collect();
    note(organization, webhook, "header_names = $3", vec![names.clone().into()])?;
    Ok(JsonB(json!({ "id": webhook, "header_names": names })))
}

/// Sets what only the CRM sets.
pub fn note(organization: Uuid, webhook: Uuid, set: &str, arguments: Vec<pgrx::datum::DatumWithOid>) -> Result<()> {
    let key = [to_pg(organization).into(), to_pg(webhook).into()];
    let arguments: Vec<_> = key.into_iter().chain(arguments).collect();
    db::as_owner_of(c"crm", c"webhooks", || {
        db::execute(&format!("update crm.webhooks set {set} where org_id = $1 and id = $2 returning 1"), &arguments)
    })?;
    Ok(())
}

/// Switches one off, and says why; not while somebody has it under their hands, in a transaction that may last. Gives whether it is off.
pub fn disable(organization: Uuid, webhook: Uuid, reason: &str) -> Result<bool> {
    let key = || [to_pg(organization).into(), to_pg(webhook).into()];
    let is_held = db::write(
        "select from crm.webhooks where org_id = $1 and id = $2 and enabled for no key update skip locked",
        &key(),
        |rows| Ok(!rows.is_empty()),
    )?;
    if is_held {
        note(organization, webhook, "enabled = false, disabled_reason = $3", vec![reason.into()])?;
    }
    db::write("select from crm.webhooks where org_id = $1 and id = $2 and enabled", &key(), |rows| Ok(rows.is_empty()))
}

#[pg_trigger(sql = false)]
fn check_webhook<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    if is_restore() {
        return Ok(new);
    }
    let has_changed = |column: &str| old.as_ref().is_none_or(|old| new.differs(column, old));
    if has_changed("url") {
        check_url(&new.get::<String>("url")?.unwrap_or_default())?;
    }
    if has_changed("condition")
        && let Some(condition) = new.get::<String>("condition")?
    {
        check_condition(&condition)?;
    }
    if has_changed("max_per_minute") {
        check_pace(new.get::<i32>("max_per_minute")?)?;
    }
    // Whoever says where events go, or which, could have them come to themselves.
    if ["events", "url", "fields", "condition"].iter().any(|column| has_changed(column))
        || has_changed("enabled") && new.get::<bool>("enabled")? == Some(true)
    {
        let sources = catalogue::sources()?;
        let patterns = catalogue::named("events", list(&new, "events")?, &sources)?;
        if has_changed("fields") || has_changed("events") {
            check_fields(list(&new, "fields")?, &patterns, &sources)?;
        }
        permitted::check(&new, old.as_ref(), &patterns, &sources)?;
    }
    if let Some(old) = &old
        && origin(&new)? != origin(old)?
    {
        forget_headers(&mut new)?;
    }
    if let Some(old) = &old
        && new.differs("enabled", old)
    {
        settle(&mut new)?;
    }
    Ok(new)
}

/// Who switches it on again begins anew.
fn settle(new: &mut Row) -> Result<()> {
    if new.get::<bool>("enabled")? == Some(true) {
        new.set::<TimestampWithTimeZone>("disabled_at", None)?;
        return new.set::<String>("disabled_reason", None);
    }
    new.set("disabled_at", Some(pgrx::datum::datetime_support::now()))?;
    if new.get::<String>("disabled_reason")?.is_none() {
        new.set("disabled_reason", Some("by hand".to_owned()))?;
    }
    Ok(())
}

/// Where it leads, who delivers finds out when delivering: what a name stands for may change at any time.
fn check_url(text: &str) -> Result<()> {
    let problem = |problem: &str| Err(CrmError::invalid("url", problem));
    if text.len() > URL_MAX {
        return problem("must have at most 2000 characters");
    }
    let Ok(url) = Url::parse(text) else { return problem("is no URL like https://example.com/hook") };
    if !["https", "http"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return problem("must begin with https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem("must not hold a user name or password: use headers for what the receiver wants to know");
    }
    if url.fragment().is_some() {
        return problem("must not have a part after #: no receiver would see it");
    }
    Ok(())
}

fn check_condition(condition: &str) -> Result<()> {
    let problem = |problem: String| Err(CrmError::invalid("condition", problem));
    if condition.len() > CONDITION_MAX {
        return problem(format!("must have at most {CONDITION_MAX} characters"));
    }
    let parsed = match jsonpath::parsed(condition) {
        Ok(parsed) => parsed,
        Err(reason) => return problem(reason),
    };
    // One who delivers for all evaluates it for each event.
    if jsonpath::uses(&parsed, "like_regex") {
        return problem("like_regex is not available here".into());
    }
    let is_predicate = savepoint::probe(|| {
        db::select_once("select jsonb_path_match('{}', $1::jsonpath)", &[condition.into()], |_| Ok(()))
    });
    match is_predicate {
        Ok(()) => Ok(()),
        Err(_) => problem("must be an SQL/JSON path that is true or false, like $.data.amount > 1000".into()),
    }
}

/// Also what a client can put into a list, and nobody else can do anything with.
pub fn list(row: &Row, column: &str) -> Result<Vec<Option<String>>> {
    Ok(row.get::<Vec<Option<String>>>(column)?.unwrap_or_default())
}

fn check_pace(per_minute: Option<i32>) -> Result<()> {
    match per_minute {
        Some(pace) if !(1..=PER_MINUTE_MAX).contains(&pace) => {
            Err(CrmError::invalid("max_per_minute", format!("must be between 1 and {PER_MINUTE_MAX}")))
        }
        _ => Ok(()),
    }
}

/// An update of what the events are of has to be able to change each of these.
fn check_fields(fields: Vec<Option<String>>, patterns: &[Pattern], sources: &[Source]) -> Result<()> {
    let problem = |problem: String| Err(CrmError::invalid("fields", problem));
    let Some(fields) = fields.into_iter().collect::<Option<Vec<_>>>() else {
        return problem("must not hold null".into());
    };
    let of_events = sources.iter().filter(|source| source.is_of(patterns));
    let columns: BTreeSet<_> = of_events.flat_map(|source| &source.columns).map(String::as_str).collect();
    let is_told = |field: &str| columns.contains(field) && !STAMPS.contains(&field);
    match fields.iter().find(|field| !is_told(field)) {
        Some(field) => {
            let shown: String = field.chars().filter(|c| !c.is_control()).take(63).collect();
            problem(format!(
                "no update of what these events are of changes a column \"{shown}\" (custom fields are all in custom_fields)"
            ))
        }
        None => Ok(()),
    }
}

/// Where it leads: scheme, host and port.
fn origin(row: &Row) -> Result<Option<Origin>> {
    Ok(row.get::<String>("url")?.and_then(|url| Url::parse(&url).ok()).map(|url| url.origin()))
}

/// They were told for the receiver of before; who leads the webhook elsewhere need not know them.
fn forget_headers(webhook: &mut Row) -> Result<()> {
    if let (Some(organization), Some(id)) = (webhook.get::<pgrx::Uuid>("org_id")?, webhook.get::<pgrx::Uuid>("id")?) {
        secrets::store_headers(from_pg(organization), from_pg(id), &BTreeMap::new())?;
    }
    webhook.set("header_names", Some(Vec::<String>::new()))
}

#[pg_trigger(sql = false)]
fn begin_webhook<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(begin(trigger).map(|()| None))
}

/// From here on it gets events.
fn begin(trigger: &PgTrigger) -> Result<()> {
    let Images { old, new: Some(new) } = Images::of(trigger)? else { return Ok(()) };
    let is_on = |row: &Row| Ok::<_, CrmError>(row.get::<bool>("enabled")? == Some(true));
    let was_on = old.as_ref().map(is_on).transpose()?.unwrap_or(false);
    if is_restore() || (old.is_some() && was_on) || (old.is_some() && !is_on(&new)?) {
        return Ok(());
    }
    let (Some(organization), Some(webhook)) = (new.get::<pgrx::Uuid>("org_id")?, new.get::<pgrx::Uuid>("id")?) else {
        return Ok(());
    };
    let since = feed::end(from_pg(organization))?.position;
    db::execute(
        "insert into crm_private.webhook_states as s (org_id, webhook_id, since) values ($1, $2, $3)
         on conflict (org_id, webhook_id) do update set since = excluded.since, failing_since = null",
        &[organization.into(), webhook.into(), since.into()],
    )?;
    db::execute(
        "insert into crm_private.event_readers (org_id, position) values ($1, $2) on conflict (org_id) do nothing",
        &[organization.into(), since.into()],
    )?;
    Ok(())
}
