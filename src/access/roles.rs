//! Roles: the built-in ones that every organization has, and who may give one to somebody.

use std::collections::BTreeSet;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use super::grants::{Grant, Grants, Scope};
use super::permissions::{self, Permissions};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::memory;
use crate::identity::principal::{from_pg, to_pg};
use crate::records::row::{self, Images};
use crate::schema::is_restore;

/// The role of whoever makes an organization; there is always somebody who has it.
pub const OWNER: &str = "owner";

/// Refuses to let somebody with these permissions give this role to anybody: nobody grants what they lack, nor what is above
/// them. `to`: who has it as soon as it is given.
pub fn check_grantable(mine: &Permissions, organization: Uuid, role: &str, to: Option<Receivers>) -> Result<()> {
    let Some((grants, rank)) = permissions::of_role(organization, role)? else {
        return Err(CrmError::invalid("role", "this organization has no such role"));
    };
    if rank > mine.rank {
        return Err(CrmError::forbidden("nobody can grant more than they have: this role is above yours"));
    }
    match mine.grants.lack(&grants) {
        Some(lacking) => Err(lacks(&lacking.permission, lacking.scope)),
        None => to.map_or(Ok(()), |receivers| check_teams(mine, organization, &grants, receivers)),
    }
}

pub fn lacks(permission: &str, scope: Scope) -> CrmError {
    let scope = scope.name();
    CrmError::forbidden(format!("nobody can grant more than they have: you lack {permission} with scope {scope}"))
}

/// Who is to get a permission.
#[derive(Clone, Copy)]
pub enum Receivers<'a> {
    Member(Uuid),
    /// Everybody in it.
    Group(Uuid),
    /// Everybody who has it, by themselves or through a group.
    Role(&'a str),
}

/// Refuses to let somebody whose own permission is for their team give it to others whose teams have people that are in none
/// of theirs: the others would reach rows that they do not.
pub fn check_teams(mine: &Permissions, organization: Uuid, granted: &Grants, receivers: Receivers) -> Result<()> {
    let for_team = |grant: &&Grant| grant.scope == Scope::Team && !mine.grants.include(&grant.permission, Scope::All);
    let Some(grant) = granted.0.iter().find(for_team) else { return Ok(()) };
    if teammates(organization, receivers)?.is_subset(&mine.team) {
        return Ok(());
    }
    Err(lacks(&grant.permission, Scope::All))
}

/// The others in the receivers' groups.
fn teammates(organization: Uuid, receivers: Receivers) -> Result<BTreeSet<Uuid>> {
    let (member, group, role) = match receivers {
        Receivers::Member(member) => (Some(member), None, None),
        Receivers::Group(group) => (None, Some(group), None),
        Receivers::Role(role) => (None, None, Some(role)),
    };
    memory::latest(|| {
        db::select(
            "with receivers as (
                 select $2 as user_id where $2 is not null
                 union select user_id from crm.group_members where org_id = $1 and group_id = $3
                 union select user_id from crm.memberships where org_id = $1 and role = $4
                 union select gm.user_id
                 from crm.group_roles as gr
                 join crm.group_members as gm on gm.org_id = gr.org_id and gm.group_id = gr.group_id
                 where gr.org_id = $1 and gr.role = $4
             )
             select array_agg(distinct other.user_id)
             from receivers
             join crm.group_members as theirs on theirs.org_id = $1 and theirs.user_id = receivers.user_id
             join crm.group_members as other on other.org_id = $1 and other.group_id = theirs.group_id
             where other.user_id <> receivers.user_id",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
            &[to_pg(organization).into(), member.map(to_pg).into(), group.map(to_pg).into(), role.into()],
            |rows| {
                let others = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
                Ok(others.into_iter().map(from_pg).collect())
            },
        )
    })
}

/// The rank of a role that is there.
pub fn rank(organization: Uuid, role: &str) -> Result<i32> {
    Ok(permissions::of_role(organization, role)?.map_or(i32::MAX, |(_, rank)| rank))
}

/// Every organization has the built-in roles, however it came to be.
#[pg_trigger(sql = false)]
fn make_built_in_roles<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(make(trigger).map(|()| None))
}

fn make(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    let new = Images::of(trigger)?.new.ok_or_else(|| CrmError::internal("this is a trigger for AFTER INSERT"))?;
    let organization = new.get::<pgrx::Uuid>("id")?;
    // As a foreign key's action would: nobody's permissions are asked.
    db::as_owner_of(c"crm", c"roles", || {
        db::execute(
            "insert into crm.roles (org_id, name, title, description, rank, built_in)
             select $1, name, title, description, rank, true from crm.built_in_roles",
            &[organization.into()],
        )
    })?;
    Ok(())
}
