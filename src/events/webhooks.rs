//! Webhooks: who is told of which events. Made, tried and given new secrets by functions; changed and deleted like other records.

use std::collections::BTreeSet;

use pgrx::AllocatedByPostgres;
use pgrx::JsonB;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::catalogue;
use super::feed;
use super::jsonpath;
use super::pattern::{self, Pattern};
use super::secrets;
use crate::access::grants::Scope;
use crate::access::permissions::{Holder, Permissions, of};
use crate::access::policy;
use crate::audit::history::sight;
use crate::db::{self, savepoint};
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::records::row::{self, Images, Row, Rows};
use crate::schema::is_restore;

const URL_MAX: usize = 2000;
const CONDITION_MAX: usize = 1000;
const EVENTS_MAX: usize = 50;

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
    headers: Option<JsonB>,
    ordered: Option<bool>,
    max_per_minute: Option<i32>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_webhook")?;
    let (holder, _) = policy::require_to_write("webhooks.create")?;
    let headers = headers.map(|JsonB(headers)| secrets::checked_headers(&headers)).transpose()?.unwrap_or_default();
    let list = |list: Option<Vec<Option<String>>>| list.unwrap_or_default().into_iter().flatten().collect::<Vec<_>>();
    let events = events.map_or_else(|| vec!["*".to_owned()], |events| list(Some(events)));
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
                events.into(),
                list(fields).into(),
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
fn set_webhook_headers(webhook_id: Option<pgrx::Uuid>, headers: Option<JsonB>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_webhook_headers")?;
    let headers = secrets::checked_headers(&given("headers", headers)?.0)?;
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
    if has_changed("fields") {
        check_fields(&new.get::<Vec<String>>("fields")?.unwrap_or_default())?;
    }
    // Whoever says where events go, or which, could have them come to themselves.
    if ["events", "url", "fields", "condition"].iter().any(|column| has_changed(column))
        || has_changed("enabled") && new.get::<bool>("enabled")? == Some(true)
    {
        check_events(&new.get::<Vec<String>>("events")?.unwrap_or_default(), new.get::<pgrx::Uuid>("org_id")?)?;
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

fn check_fields(fields: &[String]) -> Result<()> {
    match fields.iter().find(|field| field.len() > 63 || field.is_empty()) {
        Some(_) => Err(CrmError::invalid("fields", "must be names of columns")),
        None => Ok(()),
    }
}

fn check_events(events: &[String], organization: Option<pgrx::Uuid>) -> Result<()> {
    if events.is_empty() || events.len() > EVENTS_MAX {
        return Err(CrmError::invalid("events", format!("must be 1 to {EVENTS_MAX} patterns like deal.won")));
    }
    let patterns = pattern::parse_all(events).map_err(|problem| CrmError::invalid("events", problem))?;
    let needed = needed(&patterns)?;
    // Who needs no identity may all; of others the policies see to it that it is their organization.
    let holder = Principal::current()
        .zip(organization)
        .and_then(|(principal, organization)| Holder::of(&principal, from_pg(organization)));
    holder.map_or(Ok(()), |holder| check_permitted(&needed, &*of(holder)?))
}

/// The permissions to read all that the events tell: who gets them need not have any.
fn needed(patterns: &[Pattern]) -> Result<BTreeSet<String>> {
    let sources = catalogue::sources()?;
    let mut needed = BTreeSet::new();
    for pattern in patterns {
        let wanted: Vec<_> =
            sources.iter().filter(|source| pattern.noun().is_none_or(|noun| source.noun() == noun)).collect();
        if wanted.is_empty() {
            let noun = pattern.noun().unwrap_or_default();
            return Err(CrmError::Unknown {
                field: "events".into(),
                problem: format!("there are no events of {noun}"),
                hint: "crm.event_types() tells which there are.".into(),
            });
        }
        needed.extend(wanted.into_iter().map(|source| {
            if source.is_enrolled && source.entity != PERSONAL {
                format!("{}.read", source.resource)
            } else {
                HISTORY.to_owned()
            }
        }));
    }
    Ok(needed)
}

/// Everybody sees their own alone; all of them are seen in history only.
const PERSONAL: &str = "notifications";
const HISTORY: &str = "audit.read";

fn check_permitted(needed: &BTreeSet<String>, permissions: &Permissions) -> Result<()> {
    if sight::reads_all_history(permissions) {
        return Ok(());
    }
    match needed.iter().find(|permission| permissions.scope(permission) != Some(Scope::All)) {
        Some(permission) => Err(CrmError::forbidden(format!(
            "you lack {permission} for all records, which these events tell of: name only events that you may know"
        ))),
        None => Ok(()),
    }
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
