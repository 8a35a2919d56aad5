//! How much there is, kept up to date by the trigger `count_usage`.
//!
//! Where a plan limits a resource, the organization's row in `crm_private.usage` is changed, and its lock held to the end of
//! the transaction: whoever adds next sees what was added before, or that it was undone. Elsewhere each statement adds a
//! row to `crm_private.usage_deltas`, and nobody waits.

use std::collections::HashMap;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use super::tally::{Condition, changes};
use super::{now, recount, terms_of};
use crate::access::grants::Scope;
use crate::access::permissions::everywhere;
use crate::access::policy;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::platform;
use crate::identity::principal::{Principal, from_pg, has_rights_of, outer_user, to_pg};
use crate::records::row;
use crate::schema::is_restore;

#[pg_trigger(sql = false)]
fn count_usage<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(count(trigger).map(|()| None))
}

fn count(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    let mut arguments = trigger.extra_args().unwrap_or_default().into_iter();
    let resource = arguments.next().ok_or_else(|| CrmError::internal("the trigger does not name its resource"))?;
    if trigger.event().fired_by_truncate() {
        return forget(&resource);
    }
    let condition = arguments.next().zip(arguments.next()).map(|(column, value)| Condition { column, value });
    for (organization, difference) in changes(trigger, condition.as_ref())? {
        if difference != 0 {
            change(organization, &resource, difference)?;
        }
    }
    Ok(())
}

fn change(organization: Uuid, resource: &str, difference: i64) -> Result<()> {
    // The organization itself is being deleted.
    let Some(terms) = terms_of(organization)? else { return Ok(()) };
    // Who removes never waits for those who add.
    let Some(maximum) = terms.limit(resource, now()).maximum.filter(|_| difference > 0) else {
        return note(organization, resource, difference);
    };
    let total = raise(organization, resource, difference)?;
    if total <= maximum || is_exempt() {
        return Ok(());
    }
    let current = (total - difference).max(0);
    Err(CrmError::LimitReached { limit: resource.to_owned(), current, maximum, plan: terms.plan.clone() })
}

/// The DBA at work with the tables: what they load is counted, and not refused.
fn is_exempt() -> bool {
    has_rights_of(outer_user(), c"crm_owner")
}

const ARGUMENTS: [PgBuiltInOids; 3] = [PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::INT8OID];

fn note(organization: Uuid, resource: &str, difference: i64) -> Result<()> {
    db::write_prepared(
        // It may have been deleted by this very statement.
        "insert into crm_private.usage_deltas (org_id, resource, delta)
         select $1, $2, $3 where exists (select from crm.organizations where id = $1)",
        &ARGUMENTS,
        &[to_pg(organization).into(), resource.into(), difference.into()],
        |_| Ok(()),
    )
}

const NOTES_AT_A_TIME: i32 = 10_000;

/// Adds, and gives how much there is then. Waits for others who add to the same.
fn raise(organization: Uuid, resource: &str, difference: i64) -> Result<i64> {
    let (kept, noted) = db::write_prepared(
        "insert into crm_private.usage as u (org_id, resource, current) values ($1, $2, $3)
         on conflict (org_id, resource) do update set current = u.current + excluded.current
         returning u.current, (
             select sum(d.delta)::bigint from crm_private.usage_deltas as d where d.org_id = $1 and d.resource = $2
         )",
        &ARGUMENTS,
        &[to_pg(organization).into(), resource.into(), difference.into()],
        |rows| rows.first().get_two::<i64, i64>(),
    )?;
    if noted.is_none() {
        return kept.ok_or_else(|| CrmError::internal("the usage was not counted"));
    }
    // Removed since, or noted before there was a limit: the next will find less to add up. The sum above is as old as the statement; while
    // that waited for others, they may have added up the same.
    add_up_where(
        "org_id = $2 and resource = $3",
        &[NOTES_AT_A_TIME.into(), to_pg(organization).into(), resource.into()],
    )?;
    total(organization, resource)
}

fn total(organization: Uuid, resource: &str) -> Result<i64> {
    db::write_prepared(
        "select (
             (select coalesce(sum(current), 0) from crm_private.usage where org_id = $1 and resource = $2)
             + (select coalesce(sum(delta), 0) from crm_private.usage_deltas where org_id = $1 and resource = $2)
         )::bigint",
        &ARGUMENTS[..2],
        &[to_pg(organization).into(), resource.into()],
        |rows| rows.first().get_one::<i64>()?.ok_or_else(|| CrmError::internal("the usage has no sum")),
    )
}

/// There is nothing left of a resource, or nobody counts it any more.
pub fn forget(resource: &str) -> Result<()> {
    db::execute("delete from crm_private.usage where resource = $1", &[resource.into()])?;
    db::execute("delete from crm_private.usage_deltas where resource = $1", &[resource.into()])?;
    Ok(())
}

/// Adds up so many of the notes; gives how many. Those that somebody else adds up are left to them.
pub fn add_up(batch: i32) -> Result<usize> {
    add_up_where("true", &[batch.into()])
}

/// All notes of an organization.
pub fn add_up_all_of(organization: Uuid) -> Result<()> {
    add_up_where("org_id = $2", &[i32::MAX.into(), to_pg(organization).into()])?;
    Ok(())
}

/// The condition is this file's own.
fn add_up_where(condition: &str, arguments: &[pgrx::datum::DatumWithOid]) -> Result<usize> {
    let statement = format!(
        "with picked as materialized (
             select org_id, resource, id from crm_private.usage_deltas where {condition} limit $1 for update skip locked
         ),
         gone as (
             delete from crm_private.usage_deltas as d using picked as p
             where d.org_id = p.org_id and d.resource = p.resource and d.id = p.id
             returning d.org_id, d.resource, d.delta
         ),
         added as (
             insert into crm_private.usage as u (org_id, resource, current)
             select org_id, resource, sum(delta) from gone group by org_id, resource order by org_id, resource
             on conflict (org_id, resource) do update set current = u.current + excluded.current
         )
         select count(*) from gone"
    );
    let gone = db::write(&statement, arguments, |rows| Ok(rows.first().get_one::<i64>()?))?;
    Ok(gone.unwrap_or_default().unsigned_abs() as usize)
}

#[pg_extern(sql = false)]
fn usage(
    org_id: Option<pgrx::Uuid>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(limit_name, String),
            name!(current, i64),
            name!(maximum, Option<i64>),
            name!(plan, String),
            name!(override_ends_at, Option<TimestampWithTimeZone>),
        ),
    >,
    ErrorReport,
> {
    let organization = readable(org_id.map(from_pg))?;
    let terms = terms_of(organization)?.ok_or_else(|| CrmError::invalid("org_id", "there is no such organization"))?;
    let current = current(organization)?;
    let mut names = terms.limited();
    names.extend(recount::resources()?);
    let now = now();
    let rows: Vec<_> = names
        .into_iter()
        .map(|name| {
            let limit = terms.limit(&name, now);
            let count = current.get(&name).copied().unwrap_or(0).max(0);
            let ends_at = limit.ends_at.and_then(|end| TimestampWithTimeZone::try_from(end).ok());
            (name, count, limit.maximum, terms.plan.clone(), ends_at)
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// The organization whose usage the caller asks for and may see.
fn readable(named: Option<Uuid>) -> Result<Uuid> {
    const PERMISSION: &str = "organizations.read";
    if let Some(named) = named
        && platform::permitted(PERMISSION)
    {
        return Ok(named);
    }
    let Some(named) = named else { return Ok(policy::require(PERMISSION)?.0.organization()) };
    let principal = Principal::current().ok_or_else(|| CrmError::forbidden("no identity: authenticate first"))?;
    let found = everywhere(&principal)?.into_iter().find(|(holder, permissions)| {
        holder.organization() == named && permissions.scope(PERMISSION) == Some(Scope::All)
    });
    found.map(|_| named).ok_or_else(|| CrmError::forbidden(format!("{PERMISSION} is not permitted to you there")))
}

/// How much the organization has, by resource.
pub fn current(organization: Uuid) -> Result<HashMap<String, i64>> {
    db::select(
        "select resource, sum(n)::bigint
         from (
             select resource, current as n from crm_private.usage where org_id = $1
             union all
             select resource, delta from crm_private.usage_deltas where org_id = $1
         ) as counted
         group by resource",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| {
            let mut current = HashMap::new();
            for row in rows {
                if let (Some(resource), Some(count)) = (row.get::<String>(1)?, row.get::<i64>(2)?) {
                    current.insert(resource, count);
                }
            }
            Ok(current)
        },
    )
}
