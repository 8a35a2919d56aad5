//! Which resources the caller may read, by the scope in which they may: for policies of tables that tell of records of all
//! kinds.

use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::grants::Scope;
use super::permissions::{Holder, Permissions, everywhere};
use crate::db;
use crate::error::Result;
use crate::identity::principal::{Principal, to_pg};

fn resources() -> Result<Vec<String>> {
    db::as_definer(|| {
        db::select(
            "select coalesce(array_agg(resource), '{}') from crm.permissions where action = 'read'",
            &[],
            &[],
            |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
        )
    })
}

/// For each organization where the caller is active, the resources that they may read in just this scope.
fn readable(scope: &str) -> Result<Vec<(Holder, String)>> {
    let (Some(principal), Some(scope)) = (Principal::current(), Scope::parse(scope)) else { return Ok(vec![]) };
    let resources = resources()?;
    let mut readable = vec![];
    for (holder, permissions) in everywhere(&principal)? {
        let found = resources.iter().filter(|resource| permissions.scope(&format!("{resource}.read")) == Some(scope));
        readable.extend(found.map(|resource| (holder, resource.clone())));
    }
    Ok(readable)
}

#[pg_extern(sql = false)]
fn readable_resources(scope: &str) -> Result<Vec<String>, ErrorReport> {
    let is_active = Principal::current().is_some_and(|principal| principal.org_id().is_some());
    let readable = if is_active { readable(scope)? } else { vec![] };
    Ok(readable.into_iter().map(|(_, resource)| resource).collect())
}

#[pg_extern(sql = false)]
fn readable_resource_keys(scope: &str) -> Result<Vec<String>, ErrorReport> {
    Ok(readable(scope)?.into_iter().map(|(holder, resource)| format!("{}/{resource}", holder.organization())).collect())
}

fn wherever() -> Result<Vec<(Holder, Rc<Permissions>)>> {
    Principal::current().map_or(Ok(vec![]), |principal| everywhere(&principal))
}

#[pg_extern(sql = false)]
fn team_user_ids() -> Result<Vec<pgrx::Uuid>, ErrorReport> {
    let is_active = Principal::current().is_some_and(|principal| principal.org_id().is_some());
    let teams = if is_active { wherever()? } else { vec![] };
    Ok(teams.iter().flat_map(|(_, permissions)| permissions.team.iter().copied().map(to_pg)).collect())
}

#[pg_extern(sql = false)]
fn team_keys() -> Result<Vec<String>, ErrorReport> {
    let teams = wherever()?;
    let keys = |(holder, permissions): &(Holder, Rc<Permissions>)| {
        permissions.team.iter().map(|user| format!("{}/{user}", holder.organization())).collect::<Vec<_>>()
    };
    Ok(teams.iter().flat_map(keys).collect())
}
