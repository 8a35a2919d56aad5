//! What somebody may do in one organization: asked for once, remembered until something changes.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use pgrx::PgBuiltInOids;
use uuid::Uuid;

use super::grants::{Grant, Grants, Scope};
use crate::db;
use crate::error::Result;
use crate::identity::memory;
use crate::identity::principal::{Principal, from_pg, to_pg};

/// About 4 kB each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Who is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Holder {
    Member { user: Uuid, organization: Uuid },
    Key { key: Uuid, organization: Uuid },
}

impl Holder {
    /// The principal in an organization.
    pub fn of(principal: &Principal, organization: Uuid) -> Option<Self> {
        match (&principal.api_key, principal.user_id) {
            (Some(key), _) => Some(Self::Key { key: key.id, organization }),
            (None, Some(user)) => Some(Self::Member { user, organization }),
            (None, None) => None,
        }
    }

    pub fn organization(self) -> Uuid {
        match self {
            Self::Member { organization, .. } | Self::Key { organization, .. } => organization,
        }
    }

    pub fn user(self) -> Option<Uuid> {
        match self {
            Self::Member { user, .. } => Some(user),
            Self::Key { .. } => None,
        }
    }

    /// Whether a row of this owner is within the scope.
    pub fn reaches(self, permissions: &Permissions, scope: Scope, owner: Option<Uuid>) -> bool {
        match scope {
            Scope::All => true,
            Scope::Team => owner.is_some_and(|owner| permissions.team.contains(&owner)),
            Scope::Own => owner.is_some() && owner == self.user(),
        }
    }
}

/// A snapshot; nothing in it changes.
#[derive(Debug, Default)]
pub struct Permissions {
    /// What was announced up to this generation is in it; of what came later, perhaps not.
    pub generation: u64,
    pub grants: Grants,
    /// Of the highest role: nobody sees or touches those above.
    pub rank: i32,
    /// The user and everybody in a group of theirs.
    pub team: BTreeSet<Uuid>,
    scopes: RefCell<HashMap<String, Option<Scope>>>,
}

/// More than there are permissions; what is beyond is worked out anew.
const SCOPES_MAX: usize = 500;

impl Permissions {
    pub fn scope(&self, permission: &str) -> Option<Scope> {
        if let Some(scope) = self.scopes.borrow().get(permission) {
            return *scope;
        }
        let scope = self.grants.scope(permission);
        let mut scopes = self.scopes.borrow_mut();
        if scopes.len() < SCOPES_MAX {
            scopes.insert(permission.to_owned(), scope);
        }
        scope
    }

    /// Whether everything this permission allowed under the other snapshot is allowed under this one.
    pub fn still_allow(&self, permission: &str, before: &Self) -> bool {
        let (now, then) = (self.scope(permission), before.scope(permission));
        now >= then && (now != Some(Scope::Team) || then != now || self.team.is_superset(&before.team))
    }
}

struct Remembered {
    generation: u64,
    /// The organizations of users who look across all of theirs.
    organizations: LruCache<Uuid, Rc<[Uuid]>>,
    known: LruCache<Holder, Rc<Permissions>>,
    /// The one asked for last: most statements ask several times for the same.
    last: Option<(Holder, Rc<Permissions>)>,
}

thread_local! {
    static REMEMBER: RefCell<Remembered> =
        RefCell::new(Remembered {
            generation: 0,
            organizations: LruCache::new(REMEMBERED),
            known: LruCache::new(REMEMBERED),
            last: None,
        });
}

/// Works on what is remembered under this generation.
fn remembered<R>(generation: u64, work: impl FnOnce(&mut Remembered) -> R) -> R {
    REMEMBER.with_borrow_mut(|remember| {
        if remember.generation != generation {
            remember.generation = generation;
            remember.organizations.clear();
            remember.known.clear();
            remember.last = None;
        }
        work(remember)
    })
}

/// What the holder may do, if it is remembered.
pub fn remembered_of(holder: Holder) -> Option<Rc<Permissions>> {
    remembered_under(memory::generation(), holder)
}

fn remembered_under(generation: u64, holder: Holder) -> Option<Rc<Permissions>> {
    remembered(generation, |remember| {
        if let Some((last, permissions)) = &remember.last
            && *last == holder
        {
            return Some(Rc::clone(permissions));
        }
        let found = remember.known.get(&holder).cloned();
        remember.last = found.as_ref().map(|found| (holder, Rc::clone(found)));
        found
    })
}

/// What the holder may do by what is committed now and by what this transaction did itself.
pub fn of(holder: Holder) -> Result<Rc<Permissions>> {
    let asked_under = memory::generation();
    if let Some(permissions) = remembered_under(asked_under, holder) {
        return Ok(permissions);
    }
    let (permissions, keep_under) = db::as_definer(|| memory::ask(|| ask(holder)))?;
    let permissions = Rc::new(Permissions { generation: keep_under.unwrap_or(asked_under), ..permissions });
    if let Some(generation) = keep_under {
        remembered(generation, |remember| remember.known.put(holder, Rc::clone(&permissions)));
    }
    Ok(permissions)
}

fn ask(holder: Holder) -> Result<Permissions> {
    match holder {
        Holder::Member { user, organization } => ask_for_member(user, organization),
        Holder::Key { key, organization } => ask_for_key(key, organization),
    }
}

fn ask_for_member(user: Uuid, organization: Uuid) -> Result<Permissions> {
    let mut permissions = Permissions { team: team(user, organization)?, ..Permissions::default() };
    db::select(
        "with member as (
             select m.role
             from crm.memberships as m
             join crm.organizations as o on o.id = m.org_id and o.status = 'active'
             join crm.users as u on u.id = m.user_id and u.status = 'active'
             where m.org_id = $1 and m.user_id = $2 and m.status = 'active'
         ),
         mine as (
             select g.id, g.name
             from crm.group_members as gm
             join crm.groups as g on g.org_id = gm.org_id and g.id = gm.group_id
             where gm.org_id = $1 and gm.user_id = $2 and exists (select from member)
         ),
         held as (
             -- Each role once, and below each permission: through many groups one can have the same very often.
             select role, coalesce(min(own), min(through)) as via
             from (
                 select role, 'role ' || role as own, null as through from member
                 union all
                 select gr.role, null, 'group ' || mine.name || ', role ' || gr.role
                 from mine
                 join crm.group_roles as gr on gr.org_id = $1 and gr.group_id = mine.id
             ) as roles
             group by role
         )
         select p.permission, p.scope, min(held.via), max(r.rank)
         from held
         join crm.roles as r on r.org_id = $1 and r.name = held.role
         left join lateral (
             select b.permission, b.scope from crm.built_in_permissions as b where r.built_in and b.role = r.name
             union all
             select rp.permission, rp.scope from crm.role_permissions as rp where rp.org_id = $1 and rp.role = r.name
         ) as p on true
         group by p.permission, p.scope
         union all
         select gp.permission, gp.scope, min('group ' || mine.name), 0
         from mine
         join crm.group_permissions as gp on gp.org_id = $1 and gp.group_id = mine.id
         group by gp.permission, gp.scope",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into(), to_pg(user).into()],
        |rows| {
            for row in rows {
                permissions.rank = permissions.rank.max(row.get::<i32>(4)?.unwrap_or(0));
                let scope = row.get::<String>(2)?.as_deref().and_then(Scope::parse);
                if let (Some(permission), Some(scope), Some(via)) = (row.get::<String>(1)?, scope, row.get(3)?) {
                    permissions.grants.0.push(Grant { permission, scope, via });
                }
            }
            Ok(())
        },
    )?;
    Ok(permissions)
}

fn team(user: Uuid, organization: Uuid) -> Result<BTreeSet<Uuid>> {
    let mut team = db::select(
        "select array_agg(distinct theirs.user_id)
         from crm.group_members as mine
         join crm.group_members as theirs on theirs.org_id = mine.org_id and theirs.group_id = mine.group_id
         where mine.org_id = $1 and mine.user_id = $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into(), to_pg(user).into()],
        |rows| {
            let people = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
            Ok(people.into_iter().map(from_pg).collect::<BTreeSet<_>>())
        },
    )?;
    team.insert(user);
    Ok(team)
}

/// A key has its permissions for all rows, and no rank: it looks after no roles.
fn ask_for_key(key: Uuid, organization: Uuid) -> Result<Permissions> {
    let scopes = db::select(
        "select k.scopes
         from crm_private.api_keys as k
         join crm.organizations as o on o.id = k.org_id and o.status = 'active'
         where k.id = $1 and k.org_id = $2 and k.revoked_at is null
             and (k.expires_at is null or k.expires_at > clock_timestamp())",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(key).into(), to_pg(organization).into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<Vec<String>>()?) },
    )?;
    let granted = |permission| Grant { permission, scope: Scope::All, via: "API key".into() };
    let grants = Grants(scopes.unwrap_or_default().into_iter().map(granted).collect());
    Ok(Permissions { grants, ..Permissions::default() })
}

/// Whether the caller has a permission in an organization, for whichever rows there. Where they have not, a policy is going to
/// refuse their row, and a trigger that comes before it may neither tell nor do anything. Who needs no identity may do all.
pub fn had_in(organization: Option<Uuid>, permission: &str) -> Result<bool> {
    let Some(principal) = Principal::current() else { return Ok(true) };
    match organization.and_then(|organization| Holder::of(&principal, organization)) {
        Some(holder) => Ok(of(holder)?.scope(permission).is_some()),
        None => Ok(false),
    }
}

/// Whether a permission of the caller's reaches a row of this owner in an organization, as the policies have it.
pub fn reach(organization: Option<Uuid>, permission: &str, owner: Option<Uuid>) -> Result<bool> {
    let Some(principal) = Principal::current() else { return Ok(true) };
    let Some(holder) = organization.and_then(|organization| Holder::of(&principal, organization)) else {
        return Ok(false);
    };
    let permissions = of(holder)?;
    Ok(permissions.scope(permission).is_some_and(|scope| holder.reaches(&permissions, scope, owner)))
}

/// What a role gives to whoever holds it, and its rank.
pub fn of_role(organization: Uuid, role: &str) -> Result<Option<(Grants, i32)>> {
    memory::latest(|| ask_for_role(organization, role))
}

fn ask_for_role(organization: Uuid, role: &str) -> Result<Option<(Grants, i32)>> {
    db::select(
        "select r.rank, p.permission, p.scope
         from crm.roles as r
         left join lateral (
             select b.permission, b.scope from crm.built_in_permissions as b where r.built_in and b.role = r.name
             union all
             select rp.permission, rp.scope from crm.role_permissions as rp where rp.org_id = r.org_id and rp.role = r.name
         ) as p on true
         where r.org_id = $1 and r.name = $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), role.into()],
        |rows| {
            let mut found = None;
            for row in rows {
                let (grants, _) = found.get_or_insert((Grants::default(), row.get::<i32>(1)?.unwrap_or(i32::MAX)));
                let scope = row.get::<String>(3)?.as_deref().and_then(Scope::parse);
                if let (Some(permission), Some(scope)) = (row.get::<String>(2)?, scope) {
                    grants.0.push(Grant { permission, scope, via: format!("role {role}") });
                }
            }
            Ok(found)
        },
    )
}

/// The organizations in which the principal is active: the active one, or without one all of theirs; each with what is
/// permitted there.
pub fn everywhere(principal: &Principal) -> Result<Vec<(Holder, Rc<Permissions>)>> {
    let organizations = match (principal.org_id(), principal.user_id) {
        (Some(active), _) => Rc::new([active]),
        (None, Some(user)) => all_of(user)?,
        (None, None) => Rc::new([]) as Rc<[Uuid]>,
    };
    let holders = organizations.iter().copied().filter_map(|organization| Holder::of(principal, organization));
    holders.map(|holder| Ok((holder, of(holder)?))).collect()
}

/// The same as `organizations_of`, remembered.
fn all_of(user: Uuid) -> Result<Rc<[Uuid]>> {
    let found = remembered(memory::generation(), |remember| remember.organizations.get(&user).cloned());
    if let Some(organizations) = found {
        return Ok(organizations);
    }
    let (organizations, keep_under) = db::as_definer(|| memory::ask(|| organizations_of(user)))?;
    let organizations: Rc<[Uuid]> = organizations.into();
    if let Some(generation) = keep_under {
        remembered(generation, |remember| remember.organizations.put(user, Rc::clone(&organizations)));
    }
    Ok(organizations)
}

/// The active organizations in which a user is active.
pub fn organizations_of(user: Uuid) -> Result<Vec<Uuid>> {
    db::select(
        "select coalesce(array_agg(m.org_id order by m.org_id), '{}')
         from crm.memberships as m
         join crm.organizations as o on o.id = m.org_id
         where m.user_id = $1 and m.status = 'active' and o.status = 'active'",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(user).into()],
        |rows| {
            let organizations = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
            Ok(organizations.into_iter().map(from_pg).collect())
        },
    )
}

/// Whether the organization, and the user if it is one, are active.
pub fn in_good_standing(holder: Holder) -> Result<bool> {
    db::as_definer(|| {
        memory::latest(|| {
            db::select(
                "select exists (select from crm.organizations where id = $1 and status = 'active')
                     and ($2 is null or exists (select from crm.users where id = $2 and status = 'active'))",
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
                &[to_pg(holder.organization()).into(), holder.user().map(to_pg).into()],
                |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
            )
        })
    })
}

/// The principal in the active organization.
pub fn active_holder(principal: &Principal) -> Option<Holder> {
    principal.org_id().and_then(|organization| Holder::of(principal, organization))
}

/// What the principal may do in the active organization.
pub fn in_active(principal: &Principal) -> Result<Option<(Holder, Rc<Permissions>)>> {
    let Some(holder) = active_holder(principal) else { return Ok(None) };
    Ok(Some((holder, of(holder)?)))
}
