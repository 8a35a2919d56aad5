//! Roles: the built-in ones that every organization has, and who may give one to somebody.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::permissions::{self, Permissions};
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::row::{self, Images};

/// The role of whoever makes an organization; there is always somebody who has it.
pub const OWNER: &str = "owner";

/// Refuses to let somebody with these permissions give this role to anybody: nobody grants what they lack, nor what is above
/// them.
pub fn check_grantable(mine: &Permissions, organization: Uuid, role: &str) -> Result<()> {
    let Some((grants, rank)) = permissions::of_role(organization, role)? else {
        return Err(CrmError::invalid("role", "this organization has no such role"));
    };
    if rank > mine.rank {
        return Err(CrmError::forbidden("nobody can grant more than they have: this role is above yours"));
    }
    match mine.grants.lack(&grants) {
        Some(lacking) => Err(lacks(&lacking.permission, lacking.scope.name())),
        None => Ok(()),
    }
}

pub fn lacks(permission: &str, scope: &str) -> CrmError {
    CrmError::forbidden(format!("nobody can grant more than they have: you lack {permission} with scope {scope}"))
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
