//! Nobody grants what they do not have: what stands between a caller who may administer roles and groups, and more rights.
//!
//! A row trigger of every table that permissions come from. Its first argument is the table's resource.

use pgrx::AllocatedByPostgres;
use pgrx::PgBuiltInOids;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;

use super::grants::{Grant, Grants, Scope};
use super::permissions::{self, Holder, Permissions};
use super::policy::not_permitted;
use super::race;
use super::roles::{self, OWNER, Receivers, check_grantable, check_teams, lacks};
use super::scopes::is_scope;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::memory;
use crate::identity::principal::{from_pg, to_pg};
use crate::records::guard::{by_foreign_key, identified, permission};
use crate::records::row::{self, Images, Row};

#[pg_trigger(sql = false)]
fn check_delegation<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger))
}

fn checked(trigger: &PgTrigger) -> Result<Option<Row>> {
    let images = Images::of(trigger)?;
    if !by_foreign_key(trigger) {
        db::as_definer(|| check(trigger, &images))?;
    }
    Ok(images.unchanged())
}

fn check(trigger: &PgTrigger, images: &Images) -> Result<()> {
    let resource = trigger.extra_args().ok().and_then(|arguments| arguments.into_iter().next()).unwrap_or_default();
    if let Some(new) = &images.new
        && matches!(resource.as_str(), "role_permissions" | "group_permissions")
    {
        check_known(new)?;
    }
    if let Some(principal) = identified()? {
        if principal.actor_id.is_some() {
            return Err(CrmError::forbidden("not while acting as somebody else"));
        }
        let row = images.new.as_ref().or(images.old.as_ref());
        let organization = row.map(|row| row.get::<pgrx::Uuid>("org_id")).transpose()?.flatten().map(from_pg);
        let organization = organization.or_else(|| principal.org_id());
        let holder = organization.and_then(|organization| Holder::of(&principal, organization));
        let permission = permission(trigger)?;
        let holder = holder.ok_or_else(|| not_permitted(&principal, &permission))?;
        race::one_after_another(holder.organization());
        let mine = permissions::of(holder)?;
        if mine.scope(&permission) != Some(Scope::All) {
            return Err(not_permitted(&principal, &permission));
        }
        race::note(holder, &permission, &mine);
        Caller { mine: &mine, organization: holder.organization() }.check(&resource, images)?;
    }
    Ok(())
}

/// A permission that nothing asks for would be a surprise to whoever relies on it.
fn check_known(new: &Row) -> Result<()> {
    let permission = new.get::<String>("permission")?.unwrap_or_default();
    if !is_scope(&permission) {
        return Err(CrmError::invalid("permission", "must be like contacts.read, contacts.* or *.*"));
    }
    let (resource, action) = permission.split_once('.').unwrap_or_default();
    let known = db::select(
        "select exists (
             select from crm.permissions
             where ($1 = '*' or resource = $1) and ($2 = '*' or action = $2)
         )",
        &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
        &[resource.into(), action.into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    if known { Ok(()) } else { Err(CrmError::invalid("permission", "there is none like this: see /permissions")) }
}

/// Who administers, where.
struct Caller<'a> {
    mine: &'a Permissions,
    organization: Uuid,
}

impl Caller<'_> {
    fn check(&self, resource: &str, images: &Images) -> Result<()> {
        let (old, new) = (images.old.as_ref(), images.new.as_ref());
        match resource {
            "roles" => self.role(old, new),
            "role_permissions" => {
                [old, new].into_iter().flatten().try_for_each(|row| self.not_above(row))?;
                let Some(new) = new else { return Ok(()) };
                let role = text(new, "role")?;
                self.has(new, Receivers::Role(&role))
            }
            "group_permissions" => {
                let Some(new) = new else { return Ok(()) };
                self.has(new, Receivers::Group(id(new, "group_id")?))
            }
            "group_roles" => {
                [old, new].into_iter().flatten().try_for_each(|row| self.not_above(row))?;
                let Some(new) = new else { return Ok(()) };
                let members = Receivers::Group(id(new, "group_id")?);
                check_grantable(self.mine, self.organization, &text(new, "role")?, Some(members))
            }
            "group_members" => {
                let group = |row: &Row| id(row, "group_id");
                [old, new].into_iter().flatten().try_for_each(|row| self.roles_not_above(group(row)?))?;
                new.map_or(Ok(()), |new| self.member(old, new))
            }
            "groups" => old.map_or(Ok(()), |old| self.roles_not_above(id(old, "id")?)),
            _ => Ok(()),
        }
    }

    fn role(&self, old: Option<&Row>, new: Option<&Row>) -> Result<()> {
        for row in [old, new].into_iter().flatten() {
            if row.get::<bool>("built_in")?.unwrap_or(false) {
                return Err(CrmError::forbidden("the built-in roles cannot be changed: make one of your own"));
            }
            if row.get::<i32>("rank")?.unwrap_or(i32::MAX) > self.mine.rank {
                return Err(CrmError::forbidden("this role is above yours"));
            }
        }
        Ok(())
    }

    /// A group whose members have a higher role through it is left alone.
    fn roles_not_above(&self, group: Uuid) -> Result<()> {
        for role in roles_of_group(self.organization, group)? {
            if roles::rank(self.organization, &role)? > self.mine.rank {
                return Err(CrmError::forbidden("this group's role is above yours"));
            }
        }
        Ok(())
    }

    /// The row is about a role that one may look after.
    fn not_above(&self, row: &Row) -> Result<()> {
        let role = text(row, "role")?;
        if role == OWNER {
            return Err(CrmError::forbidden("owners may do everything: there is nothing to add"));
        }
        if roles::rank(self.organization, &role)? > self.mine.rank {
            return Err(CrmError::forbidden("this role is above yours"));
        }
        Ok(())
    }

    /// The caller has what the row grants.
    fn has(&self, new: &Row, receivers: Receivers) -> Result<()> {
        let (permission, scope) = (text(new, "permission")?, text(new, "scope")?);
        let scope = Scope::parse(&scope).ok_or_else(|| CrmError::invalid("scope", "must be own, team or all"))?;
        if !self.mine.grants.include(&permission, scope) {
            return Err(lacks(&permission, scope));
        }
        let granted = Grants(vec![Grant { permission, scope, via: String::new() }]);
        check_teams(self.mine, self.organization, &granted, receivers)
    }

    /// Who joins a group gets what the group has; and all in it, whose permissions are for their team, get at the rows of
    /// who joins, and the other way round.
    fn member(&self, old: Option<&Row>, new: &Row) -> Result<()> {
        let (group, user) = (id(new, "group_id")?, id(new, "user_id")?);
        if let Some(old) = old
            && (id(old, "group_id")?, id(old, "user_id")?) == (group, user)
        {
            return Ok(());
        }
        for role in roles_of_group(self.organization, group)? {
            check_grantable(self.mine, self.organization, &role, None)?;
        }
        let own = grants_of_group(self.organization, group)?;
        if let Some(lacking) = self.mine.grants.lack(&own) {
            return Err(lacks(&lacking.permission, lacking.scope));
        }
        let shared = team_permissions(self.organization, group, user)?;
        match shared.iter().find(|permission| !self.mine.grants.include(permission, Scope::All)) {
            Some(lacking) => Err(lacks(lacking, Scope::All)),
            None => Ok(()),
        }
    }
}

fn text(row: &Row, column: &str) -> Result<String> {
    Ok(row.get::<String>(column)?.unwrap_or_default())
}

fn id(row: &Row, column: &str) -> Result<Uuid> {
    Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg).unwrap_or_default())
}

fn roles_of_group(organization: Uuid, group: Uuid) -> Result<Vec<String>> {
    memory::latest(|| {
        db::select(
            "select coalesce(array_agg(role), '{}') from crm.group_roles where org_id = $1 and group_id = $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into(), to_pg(group).into()],
            |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
        )
    })
}

fn grants_of_group(organization: Uuid, group: Uuid) -> Result<Grants> {
    memory::latest(|| {
        db::select(
            "select permission, scope from crm.group_permissions where org_id = $1 and group_id = $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into(), to_pg(group).into()],
            |rows| {
                let mut grants = Grants::default();
                for row in rows {
                    let scope = row.get::<String>(2)?.as_deref().and_then(Scope::parse);
                    if let (Some(permission), Some(scope)) = (row.get(1)?, scope) {
                        grants.0.push(Grant { permission, scope, via: String::new() });
                    }
                }
                Ok(grants)
            },
        )
    })
}

/// What somebody in the group, or who joins it, may do with the rows of their teams.
fn team_permissions(organization: Uuid, group: Uuid, joins: Uuid) -> Result<Vec<String>> {
    memory::latest(|| {
        db::select(
            "with people as (
                 select user_id from crm.group_members where org_id = $1 and group_id = $2
                 union select $3
             ),
             their_groups as (
                 select gm.group_id from crm.group_members as gm join people using (user_id) where gm.org_id = $1
                 union select $2
             ),
             held as (
                 select m.role from crm.memberships as m join people using (user_id) where m.org_id = $1
                 union
                 select gr.role from crm.group_roles as gr join their_groups using (group_id) where gr.org_id = $1
             )
             select coalesce(array_agg(distinct permission), '{}')
             from (
                 select b.permission from crm.built_in_permissions as b join held using (role) where b.scope = 'team'
                 union all
                 select rp.permission from crm.role_permissions as rp join held using (role)
                 where rp.org_id = $1 and rp.scope = 'team'
                 union all
                 select gp.permission from crm.group_permissions as gp join their_groups using (group_id)
                 where gp.org_id = $1 and gp.scope = 'team'
             ) as shared",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into(), to_pg(group).into(), to_pg(joins).into()],
            |rows| Ok(rows.first().get_one::<Vec<String>>()?.unwrap_or_default()),
        )
    })
}
