//! Which plan an organization is on, and what was agreed with it beside the plan: the platform says.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::limits::{Kind, is_built_in_limit, is_feature_name};
use super::{now, recount, terms_of, usage};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::platform::require;
use crate::identity::principal::{from_pg, to_pg};
use crate::text;

const PERMISSION: &str = "organizations.update";

const MAXIMUM: i64 = 999_999_999_999_999;

#[pg_extern(sql = false)]
fn set_plan(org_id: Option<pgrx::Uuid>, plan: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_plan")?;
    require(PERMISSION)?;
    let organization = existing(given("org_id", org_id)?)?;
    let plan = given("plan", plan)?;
    let changed = db::execute(
        "update crm.organizations as o set plan = p.name, updated_at = now()
         from crm.plans as p where o.id = $1 and p.name = $2 returning 1",
        &[to_pg(organization).into(), plan.into()],
    )?;
    if changed == 0 {
        return Err(CrmError::invalid("plan", "there is no such plan").into());
    }
    // So that who adds under a limit has little to add up.
    usage::add_up_all_of(organization)?;
    Ok(JsonB(json!({ "org_id": organization, "plan": plan })))
}

#[pg_extern(sql = false)]
fn set_plan_override(
    org_id: Option<pgrx::Uuid>,
    name: Option<&str>,
    maximum: Option<i64>,
    enabled: Option<bool>,
    unlimited: Option<bool>,
    ends_at: Option<TimestampWithTimeZone>,
    reason: Option<&str>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_plan_override")?;
    require(PERMISSION)?;
    let organization = existing(given("org_id", org_id)?)?;
    let name = given("name", name)?;
    let kind = match (maximum, enabled, unlimited.unwrap_or(false)) {
        (Some(_), None, false) | (None, None, true) => Kind::Limit,
        (None, Some(_), false) => Kind::Feature,
        _ => return Err(CrmError::invalid("maximum", "give one of maximum, unlimited and enabled").into()),
    };
    check_name(kind, name)?;
    if maximum.is_some_and(|maximum| !(0..=MAXIMUM).contains(&maximum)) {
        return Err(CrmError::invalid("maximum", format!("must be between 0 and {MAXIMUM}")).into());
    }
    check_end(ends_at)?;
    let reason = text::line(given("reason", reason)?, 500).map_err(|problem| CrmError::invalid("reason", problem))?;
    if reason.is_empty() {
        return Err(CrmError::invalid("reason", "must not be empty").into());
    }
    let made = db::execute_returning::<JsonB>(
        "insert into crm_private.plan_overrides as a (org_id, name, kind, enabled, maximum, starts_at, ends_at, reason)
         values ($1, $2, $3, $4, $5, clock_timestamp(), $6, $7)
         on conflict (org_id, name, kind) do update
         set enabled = excluded.enabled, maximum = excluded.maximum, starts_at = excluded.starts_at,
             ends_at = excluded.ends_at, reason = excluded.reason, created_at = now()
         returning jsonb_build_object(
             'org_id', a.org_id, 'name', a.name, 'kind', a.kind, 'enabled', a.enabled, 'maximum', a.maximum,
             'starts_at', a.starts_at, 'ends_at', a.ends_at, 'reason', a.reason
         )",
        &[
            to_pg(organization).into(),
            name.into(),
            kind.name().into(),
            enabled.into(),
            maximum.into(),
            ends_at.into(),
            reason.as_str().into(),
        ],
    )?;
    Ok(made.ok_or_else(|| CrmError::internal("the override was not stored"))?)
}

#[pg_extern(sql = false)]
fn remove_plan_override(org_id: Option<pgrx::Uuid>, name: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("remove_plan_override")?;
    require(PERMISSION)?;
    let removed = db::execute(
        "delete from crm_private.plan_overrides where org_id = $1 and name = $2 returning 1",
        &[given("org_id", org_id)?.into(), given("name", name)?.into()],
    )?;
    Ok(JsonB(json!({ "removed": removed })))
}

fn existing(organization: pgrx::Uuid) -> Result<Uuid> {
    let organization = from_pg(organization);
    match terms_of(organization)? {
        Some(_) => Ok(organization),
        None => Err(CrmError::invalid("org_id", "there is no such organization")),
    }
}

/// A limit that nothing is counted for would be a slip of the pen, and nobody would notice.
fn check_name(kind: Kind, name: &str) -> Result<()> {
    match kind {
        Kind::Feature if is_feature_name(name) => Ok(()),
        Kind::Feature => Err(CrmError::invalid("name", "must be lower case letters, digits and _")),
        Kind::Limit if is_built_in_limit(name) || recount::resources()?.contains(name) => Ok(()),
        Kind::Limit if is_limited_by_a_plan(name)? => Ok(()),
        Kind::Limit => Err(CrmError::invalid("name", "there is no such limit: users, webhooks, records, or a table's")),
    }
}

fn is_limited_by_a_plan(name: &str) -> Result<bool> {
    db::select(
        "select exists (select from crm.plans where limits ? $1)",
        &[PgBuiltInOids::TEXTOID],
        &[name.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

fn check_end(ends_at: Option<TimestampWithTimeZone>) -> Result<()> {
    let Some(end) = ends_at.and_then(IntoDatum::into_datum) else { return Ok(()) };
    let end = end.value() as i64;
    if end == i64::MAX || end == i64::MIN {
        return Err(CrmError::invalid("ends_at", "leave it out for an override without an end"));
    }
    if end <= now() { Err(CrmError::invalid("ends_at", "must be in the future")) } else { Ok(()) }
}
