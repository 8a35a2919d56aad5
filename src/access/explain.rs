//! `crm.explain_access`: why somebody may or may not do something.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::grants::Scope;
use super::permissions::{self, Holder, Permissions};
use super::policy;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::given;
use crate::identity::principal::{from_pg, to_pg};
use crate::plans;

const ACTIONS: [&str; 4] = ["read", "create", "update", "delete"];

#[pg_extern(sql = false)]
fn explain_access(
    user_id: Option<pgrx::Uuid>,
    resource: Option<&str>,
    row_id: Option<pgrx::Uuid>,
) -> Result<JsonB, ErrorReport> {
    let (caller, _) = policy::require("access.read")?;
    let organization = caller.organization();
    let user = from_pg(given("user_id", user_id)?);
    let resource = given("resource", resource)?;
    let resource = resource.strip_prefix("crm.").unwrap_or(resource);
    let table = Table::of(resource)?;
    let standing = standing(user, organization)?;
    let holder = Holder::Member { user, organization };
    let mine = permissions::of(holder)?;
    let row = match row_id {
        Some(id) => Some(table.row(organization, from_pg(id))?),
        None => None,
    };
    let plan = Plan::of(organization, resource)?;
    let question =
        Question { holder, permissions: &mine, standing: &standing, plan: &plan, table: &table, row: row.as_ref() };
    let may: Map<_, _> = ACTIONS.iter().map(|&action| (action.into(), question.answer(resource, action))).collect();
    Ok(JsonB(json!({
        "user_id": user,
        "resource": resource,
        "row_id": row_id.map(from_pg),
        "row": row.as_ref().map(|row| row.describe(holder, &mine)),
        "standing": standing,
        "plan": plan.describe(),
        "may": may,
    })))
}

/// Everything about the user and the organization that has to be so before any permission counts.
fn standing(user: Uuid, organization: Uuid) -> Result<Value> {
    db::select(
        "select jsonb_build_object(
             'organization', jsonb_build_object('status', o.status, 'reason', o.status_reason),
             'user', case when m.user_id is not null then jsonb_build_object('status', u.status) end,
             'membership', case when m.user_id is not null
                 then jsonb_build_object('status', m.status, 'role', m.role, 'ended_at', m.ended_at) end,
             'groups', coalesce((
                 select jsonb_agg(jsonb_build_object('name', g.name, 'is_lead', gm.is_lead) order by g.name)
                 from crm.group_members as gm
                 join crm.groups as g on g.org_id = gm.org_id and g.id = gm.group_id
                 where gm.org_id = $1 and gm.user_id = $2
             ), '[]')
         )
         from crm.organizations as o
         left join (crm.memberships as m join crm.users as u on u.id = m.user_id) on m.org_id = o.id and m.user_id = $2
         where o.id = $1",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into(), to_pg(user).into()],
        |rows| Ok(rows.first().get_one::<JsonB>()?.map_or(Value::Null, |JsonB(value)| value)),
    )
}

/// What the organization's plan allows of the resource.
struct Plan {
    name: String,
    current: i64,
    /// None: no limit.
    maximum: Option<i64>,
}

impl Plan {
    fn of(organization: Uuid, resource: &str) -> Result<Self> {
        let terms = plans::terms_of(organization)?;
        let terms = terms.ok_or_else(|| CrmError::internal("the organization has no plan"))?;
        Ok(Self {
            name: terms.plan.clone(),
            current: plans::usage::current(organization)?.remove(resource).unwrap_or(0),
            maximum: terms.limit(resource, plans::now()).maximum,
        })
    }

    fn describe(&self) -> Value {
        json!({ "name": self.name, "current": self.current, "maximum": self.maximum })
    }

    fn is_used_up(&self) -> bool {
        self.maximum.is_some_and(|maximum| self.current >= maximum)
    }
}

/// An enrolled table.
struct Table {
    /// Quoted and with its schema.
    name: String,
    owned: bool,
}

impl Table {
    fn of(resource: &str) -> Result<Self> {
        let found = db::select(
            "select format('%I.%I', n.nspname, c.relname), exists (
                 select from pg_attribute as a
                 where a.attrelid = c.oid and a.attname = 'owner_id' and not a.attisdropped
             )
             from pg_trigger as t
             join pg_class as c on c.oid = t.tgrelid
             join pg_namespace as n on n.oid = c.relnamespace
             join pg_proc as p on p.oid = t.tgfoid
             where p.pronamespace = 'crm_private'::regnamespace and p.proname = 'guard'
                 and split_part(encode(t.tgargs, 'escape'), '\\000', 1) = $1
                 -- Parts of records go by the same name.
                 and split_part(encode(t.tgargs, 'escape'), '\\000', 2) <> 'part'
             limit 1",
            &[PgBuiltInOids::TEXTOID],
            &[resource.into()],
            |rows| if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_two::<String, bool>()?)) },
        )?;
        match found {
            Some((Some(name), Some(owned))) => Ok(Self { name, owned }),
            _ => Err(CrmError::invalid("resource", "there is no enrolled table of this name")),
        }
    }

    /// Looked up under the caller's own policies: what they may not see is not told.
    fn row(&self, organization: Uuid, id: Uuid) -> Result<Row> {
        let owner = if self.owned { "owner_id" } else { "null::uuid" };
        let query = format!("select {owner} from {} where org_id = $1 and id = $2", self.name);
        db::as_caller(|| {
            db::select_once(&query, &[to_pg(organization).into(), to_pg(id).into()], |rows| {
                if rows.is_empty() {
                    return Ok(Row::Missing);
                }
                let owner = rows.first().get_one::<pgrx::Uuid>()?.map(from_pg);
                Ok(if self.owned { Row::Owned(owner) } else { Row::Unowned })
            })
        })
    }
}

enum Row {
    Missing,
    Owned(Option<Uuid>),
    /// The table's rows have no owners.
    Unowned,
}

impl Row {
    fn describe(&self, holder: Holder, permissions: &Permissions) -> Value {
        let Self::Owned(owner) = self else { return json!({ "exists": !matches!(self, Self::Missing) }) };
        let whose = match owner {
            None => "nobody's",
            Some(_) if holder.reaches(permissions, Scope::Own, *owner) => "own",
            Some(_) if holder.reaches(permissions, Scope::Team, *owner) => "team's",
            Some(_) => "another's",
        };
        json!({ "exists": true, "owner_id": owner, "whose": whose })
    }
}

struct Question<'a> {
    holder: Holder,
    permissions: &'a Permissions,
    standing: &'a Value,
    plan: &'a Plan,
    table: &'a Table,
    row: Option<&'a Row>,
}

impl Question<'_> {
    fn answer(&self, resource: &str, action: &str) -> Value {
        let permission = format!("{resource}.{action}");
        let scope = self.permissions.scope(&permission);
        let via: Vec<_> = self.permissions.grants.behind(&permission).collect();
        let can_see = self.permissions.scope(&format!("{resource}.read"));
        let refusal = self.refusal(&permission, scope, can_see);
        json!({
            "permitted": refusal.is_none(),
            "because": refusal.unwrap_or_else(|| self.reason(&permission, scope)),
            "scope": scope,
            "via": via,
        })
    }

    fn reason(&self, permission: &str, scope: Option<Scope>) -> String {
        format!("{permission} is granted with scope {}", scope.map_or("", Scope::name))
    }

    /// The first thing that stands in the way.
    fn refusal(&self, permission: &str, scope: Option<Scope>, can_see: Option<Scope>) -> Option<String> {
        let at = |path| self.standing.pointer(path).and_then(Value::as_str);
        match (at("/organization/status"), at("/membership/status"), at("/user/status")) {
            (Some("active"), Some("active"), Some("active")) => (),
            (Some(status), ..) if status != "active" => return Some(format!("the organization is {status}")),
            (_, None, _) => return Some("the user is no member of the organization".into()),
            (_, Some(status), _) if status != "active" => return Some(format!("the membership is {status}")),
            (_, _, status) => return Some(format!("the user is {}", status.unwrap_or("unknown"))),
        }
        let Some(scope) = scope else {
            return Some(format!("no role or group of the user's grants {permission}"));
        };
        if !self.table.owned && scope != Scope::All {
            return Some(format!("{permission} is granted with scope {}, but these rows have no owner", scope.name()));
        }
        if permission.ends_with(".create") {
            let reached = || format!("the limit of plan {} is reached: {}", self.plan.name, self.plan.current);
            return self.plan.is_used_up().then(reached);
        }
        self.row.and_then(|row| self.row_refusal(row, permission, scope, can_see))
    }

    fn row_refusal(&self, row: &Row, permission: &str, scope: Scope, can_see: Option<Scope>) -> Option<String> {
        let reaches = |scope, owner| self.holder.reaches(self.permissions, scope, owner);
        match row {
            Row::Missing => Some("there is no such row in the organization".into()),
            Row::Owned(owner) if !reaches(scope, *owner) => {
                Some(format!("{permission} is granted with scope {}, and this row is out of it", scope.name()))
            }
            Row::Owned(owner) if !can_see.is_some_and(|scope| reaches(scope, *owner)) => {
                Some("the user cannot see this row".into())
            }
            _ => None,
        }
    }
}
