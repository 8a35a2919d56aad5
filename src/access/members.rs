//! Members of an organization: what role they have, and how they leave.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::permissions::{self, Holder, Permissions};
use super::roles::{OWNER, Receivers, check_grantable};
use super::{policy, race};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::memory;
use crate::identity::principal::{Person, Principal, from_pg, to_pg};
use crate::records::row::{self, Images, Row};

/// A person who administers the members of their organization, and what they may do there, with nobody else changing it.
fn administrator(permission: &str) -> Result<(Holder, std::rc::Rc<Permissions>)> {
    Principal::person()?;
    let (holder, _) = policy::require(permission)?;
    race::one_after_another(holder.organization());
    policy::require_to_write(permission)
}

/// The role of an active member, whose membership is then locked.
fn role_of(organization: Uuid, user: Uuid) -> Result<String> {
    let role = db::execute_returning::<String>(
        "select role from crm.memberships where org_id = $1 and user_id = $2 and status = 'active' for update",
        &[to_pg(organization).into(), to_pg(user).into()],
    )?;
    role.ok_or_else(|| CrmError::invalid("user_id", "is no member of this organization"))
}

/// By their own role, and by those of their groups.
fn check_not_above(mine: &Permissions, organization: Uuid, user: Uuid) -> Result<()> {
    let holder = Holder::Member { user, organization };
    if permissions::of(holder)?.rank > mine.rank {
        return Err(CrmError::forbidden("this member's role is above yours"));
    }
    Ok(())
}

/// Where the member is the caller.
fn step_back_from(organization: Uuid, user: Uuid) -> Result<()> {
    let holder = Holder::Member { user, organization };
    let themselves = Principal::current().and_then(|principal| Holder::of(&principal, organization)) == Some(holder);
    if themselves { race::step_back(holder) } else { Ok(()) }
}

#[pg_extern(sql = false)]
fn set_member_role(user_id: Option<pgrx::Uuid>, role: Option<&str>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_member_role")?;
    let (holder, mine) = administrator("memberships.update")?;
    let (organization, user, role) = (holder.organization(), from_pg(given("user_id", user_id)?), given("role", role)?);
    let before = role_of(organization, user)?;
    check_not_above(&mine, organization, user)?;
    check_grantable(&mine, organization, role, Some(Receivers::Member(user)))?;
    if before == role {
        return Ok(JsonB(json!({ "user_id": user, "role": role })));
    }
    step_back_from(organization, user)?;
    db::execute(
        "update crm.memberships set role = $3 where org_id = $1 and user_id = $2 and role <> $3",
        &[to_pg(organization).into(), to_pg(user).into(), role.into()],
    )?;
    Ok(JsonB(json!({ "user_id": user, "role": role })))
}

#[pg_extern(sql = false)]
fn remove_member(user_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("remove_member")?;
    let (holder, mine) = administrator("memberships.delete")?;
    let (organization, user) = (holder.organization(), from_pg(given("user_id", user_id)?));
    role_of(organization, user)?;
    check_not_above(&mine, organization, user)?;
    step_back_from(organization, user)?;
    Ok(end(organization, user)?)
}

#[pg_extern(sql = false)]
fn leave_organization() -> Result<JsonB, ErrorReport> {
    answer::needs_post("leave_organization")?;
    let Person { user, .. } = Principal::person()?;
    let active = Principal::current().and_then(|principal| principal.org_id());
    let organization =
        active.ok_or_else(|| CrmError::invalid("organization", "none is active: name it with X-Org-ID"))?;
    role_of(organization, user)?;
    race::step_back(Holder::Member { user, organization })?;
    Ok(end(organization, user)?)
}

/// Their groups stay theirs, so that the team goes on seeing what they owned; whoever comes back begins without any.
fn end(organization: Uuid, user: Uuid) -> Result<JsonB> {
    db::execute(
        "update crm.memberships set status = 'ended', ended_at = now() where org_id = $1 and user_id = $2",
        &[to_pg(organization).into(), to_pg(user).into()],
    )?;
    Ok(JsonB(json!({ "user_id": user, "status": "ended" })))
}

/// An organization always has an owner, whatever takes one away: a demotion, a removal, the end of a user.
///
/// After each row, and so after the statement: one that removes two sees both gone.
#[pg_trigger(sql = false)]
fn keep_owner<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(check_owner(trigger).map(|()| None))
}

fn check_owner(trigger: &PgTrigger) -> Result<()> {
    let Images { old, new } = Images::of(trigger)?;
    let owns = |row: &Row| {
        Ok::<_, CrmError>(
            row.get::<String>("role")?.as_deref() == Some(OWNER)
                && row.get::<String>("status")?.as_deref() == Some("active"),
        )
    };
    let Some(old) = old else { return Ok(()) };
    let of = |row: &Row| row.get::<pgrx::Uuid>("org_id");
    let stays = match &new {
        Some(new) => owns(new)? && of(new)? == of(&old)?,
        None => false,
    };
    if !owns(&old)? || stays {
        return Ok(());
    }
    let Some(organization) = of(&old)?.map(from_pg) else { return Ok(()) };
    race::one_after_another(organization);
    let left_alone = memory::latest(|| {
        db::select(
            "select exists (select from crm.organizations where id = $1 and status <> 'cancelled')
                 and not exists (
                     select from crm.memberships as m
                     join crm.users as u on u.id = m.user_id and u.status = 'active'
                     where m.org_id = $1 and m.role = 'owner' and m.status = 'active'
                 )",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into()],
            |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
        )
    })?;
    if left_alone {
        return Err(CrmError::InUse {
            message: "an organization needs an owner, and this is the last".into(),
            hint: "Make somebody else its owner first.".into(),
        });
    }
    Ok(())
}

#[pg_extern(sql = false)]
fn my_permissions() -> Result<TableIterator<'static, (name!(permission, String), name!(scope, String))>, ErrorReport> {
    let principal = Principal::current().ok_or_else(|| CrmError::forbidden("nobody is logged in"))?;
    let Some((_, mine)) = permissions::in_active(&principal)? else { return Ok(TableIterator::new(vec![])) };
    let known: Vec<String> = db::select(
        "select coalesce(array_agg(resource || '.' || action order by resource, action), '{}') from crm.permissions",
        &[],
        &[],
        |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
    )?;
    let granted = known.into_iter().filter_map(|permission| {
        let scope = mine.scope(&permission)?.name().to_owned();
        Some((permission, scope))
    });
    Ok(TableIterator::new(granted.collect::<Vec<_>>()))
}
