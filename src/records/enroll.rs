//! `crm.enroll`: one call gives a table what every table of the CRM has. `crm.unenroll` takes it away again.
//!
//! What is already on the table is found in the catalog and not by name: a table may have been renamed since.

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal, quote_qualified_identifier};

use super::guard::UNOWNED;
use super::rules::Rule;
use crate::access::template::Template;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::given;
use crate::plans::recount;

/// The commands a policy is made for, with the action of the permission each needs.
const COMMANDS: [(&str, &str); 4] =
    [("select", "read"), ("insert", "create"), ("update", "update"), ("delete", "delete")];

/// Columns a table may have for stamping, and the type each must then be of.
const STAMPS: [(&str, &str); 10] = [
    ("org_id", "uuid"),
    ("id", "uuid"),
    ("owner_id", "uuid"),
    ("external_id", "text"),
    ("created_at", "timestamp with time zone"),
    ("created_by", "uuid"),
    ("updated_at", "timestamp with time zone"),
    ("updated_by", "uuid"),
    ("version", "integer"),
    ("phone_normalized", "text"),
];

/// Policy names are `<table>_<command>_multi`, 63 bytes at most.
const NAME_MAX: usize = 63 - "_select_multi".len();

#[pg_extern(sql = false)]
fn enroll(
    target: Option<pg_sys::Oid>,
    rules: Option<Vec<Option<String>>>,
    access: Option<Vec<Option<String>>>,
) -> Result<(), ErrorReport> {
    let table = Table::find(given("target", target)?)?;
    let rules: Vec<String> = rules.unwrap_or_default().into_iter().flatten().collect();
    table.check(&rules)?;
    let template = access.map(|access| Template::parse(access.into_iter().flatten())).transpose();
    let template = template.map_err(|problem| CrmError::invalid("access", problem))?;
    table.follow_name()?;
    table.remove()?;
    table.check_isolation()?;
    db::run(&table.attachment(&rules, table.column_type("owner_id")?.is_some()))?;
    table.seal()?;
    table.catalogue(template)?;
    recount::restart(&[table.name])?;
    Ok(())
}

#[pg_extern(sql = false)]
fn unenroll(target: Option<pg_sys::Oid>) -> Result<(), ErrorReport> {
    let table = Table::find(given("target", target)?)?;
    table.follow_name()?;
    table.remove()?;
    table.forget()?;
    Ok(())
}

struct Table {
    oid: pg_sys::Oid,
    name: String,
    /// Quoted and with its schema.
    qualified: String,
}

impl Table {
    fn find(oid: pg_sys::Oid) -> Result<Self> {
        let found = db::select(
            "select n.nspname::text, c.relname::text
             from pg_catalog.pg_class as c
             join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
             where c.oid = $1 and c.relkind in ('r', 'p') and c.relpersistence = 'p'
                 and n.nspname not in ('crm_private', 'pg_catalog', 'information_schema')
                 -- Who may write here could make themselves an owner.
                 and c.oid is distinct from to_regclass('crm.memberships')",
            &[PgBuiltInOids::OIDOID],
            &[oid.into()],
            |rows| if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_two::<String, String>()?)) },
        )?;
        let Some((Some(schema), Some(name))) = found else {
            return Err(CrmError::invalid(
                "target",
                "must be a permanent table outside crm_private, and not crm.memberships",
            ));
        };
        if name.len() > NAME_MAX {
            return Err(CrmError::invalid("target", format!("the table's name is longer than {NAME_MAX} bytes")));
        }
        let qualified = quote_qualified_identifier(&schema, &name);
        Ok(Self { oid, name, qualified })
    }

    fn check(&self, rules: &[String]) -> Result<()> {
        if !self.has_organization_key()? {
            return Err(CrmError::invalid("target", "the primary key must be (org_id, id)"));
        }
        for (column, wanted) in STAMPS {
            if let Some(actual) = self.column_type(column)?
                && actual != wanted
            {
                return Err(CrmError::invalid("target", format!("column {column} must be of type {wanted}")));
            }
        }
        for rule in rules {
            let parsed =
                Rule::parse(rule).map_err(|problem| CrmError::invalid("rules", format!("\"{rule}\": {problem}")))?;
            for column in parsed.columns() {
                if self.column_type(column)?.as_deref() != Some("text") {
                    return Err(CrmError::invalid("rules", format!("\"{rule}\": there is no text column {column}")));
                }
            }
        }
        Ok(())
    }

    /// Without the organization first in the key, rows could be told apart across tenants.
    fn has_organization_key(&self) -> Result<bool> {
        let found = self.find_one(
            "select 'yes'
             from pg_catalog.pg_constraint as c
             where c.conrelid = $1 and c.contype = 'p' and (
                 select array_agg(a.attname::text order by k.position)
                 from unnest(c.conkey) with ordinality as k (attnum, position)
                 join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
             ) = array['org_id', 'id']",
        )?;
        Ok(found.is_some())
    }

    /// What the table brings along must not open what the policies close.
    fn check_isolation(&self) -> Result<()> {
        if let Some(policy) = self.find_one(
            "select polname::text
             from pg_catalog.pg_policy
             where polrelid = $1 and polpermissive
                 and polroles && array[0, to_regrole('crm_anon'), to_regrole('crm_app'), to_regrole('crm_multi')]::oid[]
             order by 1 limit 1",
        )? {
            return Err(CrmError::invalid(
                "target",
                format!("policy {policy} would let in more than the table's own: drop it, or make it restrictive"),
            ));
        }
        if let Some(index) = self.find_one(
            "select i.indexrelid::regclass::text
             from pg_catalog.pg_index as i
             left join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
             where i.indrelid = $1 and (i.indisunique or i.indisexclusion) and a.attname is distinct from 'org_id'
             order by 1 limit 1",
        )? {
            return Err(CrmError::invalid(
                "target",
                format!("{index} is unique across organizations and would tell what others have: begin it with org_id"),
            ));
        }
        if let Some(key) = self.find_one(
            "select c.conname::text
             from pg_catalog.pg_constraint as c
             join pg_catalog.pg_attribute as here on here.attrelid = c.conrelid and here.attnum = c.conkey[1]
             join pg_catalog.pg_attribute as there on there.attrelid = c.confrelid and there.attnum = c.confkey[1]
             where c.conrelid = $1 and c.contype = 'f' and case
                 when c.confrelid = 'crm.organizations'::regclass then here.attname <> 'org_id'
                 when c.confrelid = 'crm.users'::regclass then true
                 else (here.attname <> 'org_id' or there.attname <> 'org_id') and exists (
                     select from pg_catalog.pg_attribute as o
                     where o.attrelid = c.confrelid and o.attname = 'org_id' and not o.attisdropped
                 )
             end
             order by 1 limit 1",
        )? {
            return Err(CrmError::invalid(
                "target",
                format!(
                    "foreign key {key} could point into another organization: begin both sides with org_id; \
                     people are referred to by crm.memberships (org_id, user_id)"
                ),
            ));
        }
        Ok(())
    }

    /// The one text a catalog query about this table gives, if any.
    fn find_one(&self, query: &'static str) -> Result<Option<String>> {
        db::select(query, &[PgBuiltInOids::OIDOID], &[self.oid.into()], |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) }
        })
    }

    fn column_type(&self, column: &str) -> Result<Option<String>> {
        db::select(
            "select pg_catalog.format_type(atttypid, null)
             from pg_catalog.pg_attribute
             where attrelid = $1 and attname = $2 and attnum > 0 and not attisdropped",
            &[PgBuiltInOids::OIDOID, PgBuiltInOids::TEXTOID],
            &[self.oid.into(), column.into()],
            |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
        )
    }

    fn policy(&self, command: &str, who: &str) -> String {
        quote_identifier(format!("{}_{command}_{who}", self.name))
    }

    fn attachment(&self, rules: &[String], owned: bool) -> String {
        let table = &self.qualified;
        let mut sql = format!(
            "alter table {table} enable row level security, force row level security;
             revoke all on table {table} from public, crm_anon;
             grant select, insert, update, delete on table {table} to crm_app, crm_multi;
             grant select on table {table} to crm_backup;\n"
        );
        for (command, action) in COMMANDS {
            for who in ["app", "multi"] {
                let rows = |action| conditions(who, &self.name, action, owned);
                let allowed = rows(action).within(action);
                // What may be seen is let through to be changed or deleted, and _400_scope refuses it where it is out of
                // reach: a row that a policy passes over is passed over in silence.
                let touched = match (owned, who) {
                    (false, _) => allowed.clone(),
                    (true, "app") => rows("read").within(action),
                    // Of several organizations, the action may be permitted in one and not in the other.
                    (true, _) => rows("read").within("read"),
                };
                let clause = match command {
                    "insert" => format!("with check ({allowed})"),
                    "update" => format!("using ({touched}) with check ({allowed})"),
                    _ => format!("using ({touched})"),
                };
                let policy = self.policy(command, who);
                sql += &format!("create policy {policy} on {table} for {command} to crm_{who} {clause};\n");
            }
        }
        let resource = quote_literal(&self.name);
        let kind = if owned { String::new() } else { format!(", {}", quote_literal(UNOWNED)) };
        sql += &format!(
            "create trigger _300_guard before insert or update or delete on {table}
             for each statement execute function crm_private.guard({resource}{kind});\n"
        );
        if owned {
            sql += &format!(
                "create trigger _400_scope before update or delete on {table}
                 for each row execute function crm_private.check_scope({resource});\n"
            );
        }
        if !rules.is_empty() {
            let rules = rules.iter().map(quote_literal).collect::<Vec<_>>().join(", ");
            sql += &format!(
                "create trigger _100_normalize before insert or update on {table}
                 for each row execute function crm_private.normalize({rules});\n"
            );
        }
        sql + &format!(
            "create trigger _500_stamp before insert or update on {table}
             for each row execute function crm_private.stamp();\n"
        ) + &count_triggers(table, &resource)
    }

    /// Makes the table's permissions known, and gives them to the built-in roles: as told, or as they were, or as usual.
    fn catalogue(&self, template: Option<Template>) -> Result<()> {
        let title = self.name.replace('_', " ");
        let mut known = false;
        for (action, description) in [
            ("read", format!("See {title}.")),
            ("create", format!("Add {title}.")),
            ("update", format!("Change {title}.")),
            ("delete", format!("Delete {title}.")),
        ] {
            let made = db::execute(
                "insert into crm.permissions (resource, action, description) values ($1, $2, $3)
                 on conflict (resource, action) do nothing returning 1",
                &[self.name.as_str().into(), action.into(), description.into()],
            )?;
            known = known || made == 0;
        }
        let template = match template {
            None if known => return Ok(()),
            None => Template::usual(),
            Some(told) => told,
        };
        self.forget_built_in()?;
        for (role, action, scope) in template.grants() {
            db::execute(
                "insert into crm.built_in_permissions (role, permission, scope) values ($1, $2, $3)",
                &[role.into(), format!("{}.{action}", self.name).into(), scope.name().into()],
            )?;
        }
        Ok(())
    }

    /// Where the table was renamed since it was enrolled, its permissions are too. What organizations granted keeps the name
    /// of before.
    fn follow_name(&self) -> Result<()> {
        let before = self.find_one(
            "select split_part(encode(t.tgargs, 'escape'), '\\000', 1)
             from pg_catalog.pg_trigger as t
             join pg_catalog.pg_proc as p on p.oid = t.tgfoid
             where t.tgrelid = $1 and p.pronamespace = to_regnamespace('crm_private') and p.proname = 'guard'
             limit 1",
        )?;
        let Some(before) = before.filter(|before| *before != self.name) else { return Ok(()) };
        for statement in [
            "update crm.built_in_permissions set permission = $2 || '.' || split_part(permission, '.', 2)
             where split_part(permission, '.', 1) = $1",
            "update crm.permissions set resource = $2 where resource = $1",
        ] {
            db::execute(statement, &[before.as_str().into(), self.name.as_str().into()])?;
        }
        Ok(())
    }

    /// Notes on each policy what it says, so that `crm.check_enrollment` sees when it says something else.
    fn seal(&self) -> Result<()> {
        let comments = self.find_one(
            "select string_agg(format(
                 'comment on policy %I on %s is %L', polname, polrelid::regclass, 'crm_ext ' || md5(concat_ws(
                     ' with check ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
                 ))
             ), '; ')
             from pg_catalog.pg_policy
             where polrelid = $1 and polpermissive
                 and polroles in (array[to_regrole('crm_app')]::oid[], array[to_regrole('crm_multi')]::oid[])",
        )?;
        db::run(&comments.unwrap_or_default())
    }

    fn forget_built_in(&self) -> Result<()> {
        db::execute(
            "delete from crm.built_in_permissions where permission in ($1, $2, $3, $4)",
            &COMMANDS.map(|(_, action)| format!("{}.{action}", self.name).into()),
        )?;
        Ok(())
    }

    /// Its permissions are known no more. What organizations granted of them stays: the table may come back.
    fn forget(&self) -> Result<()> {
        self.forget_built_in()?;
        db::execute("delete from crm.permissions where resource = $1", &[self.name.as_str().into()])?;
        Ok(())
    }

    /// Row level security stays on: a table that is not enrolled shows nothing to the API.
    fn remove(&self) -> Result<()> {
        let table = &self.qualified;
        let counted = recount::resources_of(self.oid)?;
        let attached = self.find_one(
            "select string_agg(format('drop %s %I on %s', kind, name, $1::regclass), '; ')
             from (
                 select 'policy' as kind, polname as name
                 from pg_catalog.pg_policy
                 where polrelid = $1 and polpermissive
                     and polroles in (array[to_regrole('crm_app')]::oid[], array[to_regrole('crm_multi')]::oid[])
                     and polname ~ '_(select|insert|update|delete)_(app|multi)$'
                 union all
                 select 'trigger', t.tgname
                 from pg_catalog.pg_trigger as t
                 join pg_catalog.pg_proc as p on p.oid = t.tgfoid
                 where t.tgrelid = $1 and not t.tgisinternal
                     and p.pronamespace = to_regnamespace('crm_private')
                     and p.proname in ('guard', 'check_scope', 'normalize', 'stamp', 'count_usage')
             ) as attached",
        )?;
        if let Some(statements) = attached {
            db::run(&statements)?;
        }
        db::run(&format!("revoke all on table {table} from crm_app, crm_multi"))?;
        recount::restart(&counted)
    }
}

/// Whose rows: the parts of a policy's condition.
struct Conditions<'a> {
    who: &'a str,
    table: &'a str,
    scope: String,
}

/// The rows of a table that a permission reaches.
///
/// Every function stands in a sub-select, so that it runs once per statement, and the organization comes first, as a scalar:
/// that is what index scans and parallel plans need. Only those who look across several organizations pay for arrays.
fn conditions<'a>(who: &'a str, table: &'a str, action: &str, owned: bool) -> Conditions<'a> {
    let permission = quote_literal(format!("{table}.{action}"));
    let scope = match (who, owned) {
        ("app", true) => format!(
            "owner_id = any ((select crm.scope_user_ids({permission}))::uuid[])
             or org_id = (select crm.all_scope_org_id({permission}))"
        ),
        ("app", false) => format!("org_id = (select crm.all_scope_org_id({permission}))"),
        (_, true) => format!(
            "owner_id = (select crm.current_user_id())
             or org_id = any ((select crm.all_scope_org_ids({permission}))::uuid[])
             or org_id::text || '/' || owner_id::text = any ((select crm.team_scope_keys({permission}))::text[])"
        ),
        (_, false) => format!("org_id = any ((select crm.all_scope_org_ids({permission}))::uuid[])"),
    };
    Conditions { who, table, scope }
}

impl Conditions<'_> {
    /// And only where this action is permitted at all.
    fn within(&self, action: &str) -> String {
        let permission = quote_literal(format!("{}.{action}", self.table));
        let scope = &self.scope;
        match self.who {
            "app" => format!("org_id = (select crm.permitted_org_id({permission})) and ({scope})"),
            _ => format!("org_id = any ((select crm.permitted_org_ids({permission}))::uuid[]) and ({scope})"),
        }
    }
}

/// What counts the rows of a resource, both quoted. With transition tables each event needs a trigger of its own.
fn count_triggers(table: &str, resource: &str) -> String {
    let trigger = |event: &str, rows: &str| {
        format!(
            "create trigger _800_count_{event} after {event} on {table} {rows}
             for each statement execute function crm_private.count_usage({resource});\n"
        )
    };
    trigger("insert", "referencing new table as added")
        + &trigger("delete", "referencing old table as removed")
        + &trigger("truncate", "")
}
