//! `crm.enroll`: one call gives a table what every table of the CRM has. `crm.unenroll` takes it away again.
//!
//! What is already on the table is found in the catalog and not by name: a table may have been renamed since.

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_qualified_identifier;

use super::attachment::Attachment;
use super::custom;
use super::rules::Rule;
use super::tags;
use crate::access::template::Template;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::given;
use crate::plans::recount;

/// The commands a policy is made for, with the action of the permission each needs.
pub const COMMANDS: [(&str, &str); 4] =
    [("select", "read"), ("insert", "create"), ("update", "update"), ("delete", "delete")];

/// Columns a table may have for stamping, and the type each must then be of.
const STAMPS: [(&str, &str); 11] = [
    ("org_id", "uuid"),
    ("id", "uuid"),
    ("tags", "text[]"),
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
    part_of: Option<&str>,
    read_only: Option<bool>,
) -> Result<(), ErrorReport> {
    let table = Table::find(given("target", target)?)?;
    let rules: Vec<String> = rules.unwrap_or_default().into_iter().flatten().collect();
    table.check(&rules)?;
    let template = access.map(|access| Template::parse(access.into_iter().flatten())).transpose();
    let template = template.map_err(|problem| CrmError::invalid("access", problem))?;
    let record = part_of.map(|column| table.record(column)).transpose()?;
    if record.is_some() && template.is_some() {
        return Err(CrmError::invalid("access", "a part of a record has the record's permissions").into());
    }
    let read_only = read_only.unwrap_or(false);
    table.follow_name()?;
    table.remove()?;
    table.check_isolation()?;
    let is_part = record.is_some();
    db::run(
        &Attachment {
            table: &table.qualified,
            name: &table.name,
            rules: &rules,
            owned: table.column_type("owner_id")?.is_some(),
            record,
            read_only,
            custom_fields: table.column_type(custom::COLUMN)?.as_deref() == Some("jsonb"),
        }
        .statements(),
    )?;
    if table.column_type(tags::COLUMN)?.is_some() {
        db::run(&tags::attachment(&table.qualified))?;
    }
    table.seal()?;
    table.describe()?;
    if is_part {
        return Ok(());
    }
    table.catalogue(template, read_only)?;
    if !read_only {
        recount::restart(&[table.name])?;
    }
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

/// The record whose parts a table holds.
pub struct Record {
    pub name: String,
    /// Quoted and with its schema.
    pub qualified: String,
    /// The column of the part that names it.
    pub column: String,
}

pub struct Table {
    pub oid: pg_sys::Oid,
    pub name: String,
    /// Quoted and with its schema.
    pub(super) qualified: String,
}

impl Table {
    pub(super) fn find(oid: pg_sys::Oid) -> Result<Self> {
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
                let actual = self.column_type(column)?;
                if actual.is_none() || parsed.column_type().is_some_and(|wanted| actual.as_deref() != Some(wanted)) {
                    let wanted =
                        parsed.column_type().unwrap_or_default().replace("timestamp with time zone", "timestamptz");
                    return Err(CrmError::invalid(
                        "rules",
                        format!("\"{rule}\": there is no {wanted} column {column}"),
                    ));
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

    /// The record that a column of this table points to.
    pub(super) fn record(&self, column: &str) -> Result<Record> {
        let found = db::select(
            "select r.relname::text, format('%I.%I', n.nspname, r.relname)
             from pg_catalog.pg_constraint as k
             join pg_catalog.pg_class as r on r.oid = k.confrelid
             join pg_catalog.pg_namespace as n on n.oid = r.relnamespace
             join pg_catalog.pg_class as part on part.oid = k.conrelid
             where k.conrelid = $1 and k.contype = 'f' and k.confdeltype = 'c' and r.relowner = part.relowner
                 and (
                     select array_agg(here.attname || ' ' || there.attname order by key.at)
                     from unnest(k.conkey, k.confkey) with ordinality as key (here, there, at)
                     join pg_catalog.pg_attribute as here on here.attrelid = k.conrelid and here.attnum = key.here
                     join pg_catalog.pg_attribute as there on there.attrelid = k.confrelid and there.attnum = key.there
                 ) = array['org_id org_id', $2 || ' id']
                 and 2 = (
                     select count(*) from pg_catalog.pg_attribute as o
                     where o.attrelid in (k.conrelid, k.confrelid) and o.attname = 'owner_id' and not o.attisdropped
                 )",
            &[PgBuiltInOids::OIDOID, PgBuiltInOids::TEXTOID],
            &[self.oid.into(), column.into()],
            |rows| rows.first().get_two::<String, String>(),
        )?;
        match found {
            (Some(name), Some(qualified)) => Ok(Record { name, qualified, column: column.into() }),
            _ => Err(CrmError::invalid(
                "part_of",
                "must be a column of a foreign key (org_id, …) to a record (org_id, id) with on delete cascade; \
                 both tables have an owner_id and the same owner",
            )),
        }
    }

    /// The one text a catalog query about this table gives, if any.
    pub(super) fn find_one(&self, query: &'static str) -> Result<Option<String>> {
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

    /// Where the table was renamed since it was enrolled, its permissions are too. What organizations granted keeps the name
    /// of before.
    fn follow_name(&self) -> Result<()> {
        let before = self.find_one(
            "select split_part(encode(t.tgargs, 'escape'), '\\000', 1)
             from pg_catalog.pg_trigger as t
             join pg_catalog.pg_proc as p on p.oid = t.tgfoid
             where t.tgrelid = $1 and p.pronamespace = to_regnamespace('crm_private') and p.proname = 'guard'
                 -- Parts go by the name of their record.
                 and split_part(encode(t.tgargs, 'escape'), '\\000', 2) <> 'part'
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
    pub(super) fn seal(&self) -> Result<()> {
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

    /// Row level security stays on: a table that is not enrolled shows nothing to the API.
    fn remove(&self) -> Result<()> {
        let counted = recount::resources_of(self.oid)?;
        self.detach()?;
        db::run(&format!("revoke all on table {} from crm_app, crm_multi", self.qualified))?;
        recount::restart(&counted)
    }

    /// Drops the triggers and policies of an enrolment.
    pub(super) fn detach(&self) -> Result<()> {
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
                     and p.proname in (
                         'guard', 'check_scope', 'normalize', 'stamp', 'audit', 'count_usage', 'tag_record', 'check_custom_fields', 'keep_custom_values'
                     )
             ) as attached",
        )?;
        let followed = self.find_one(
            "select string_agg(format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass), '; ')
             from pg_catalog.pg_trigger as t
             join pg_catalog.pg_proc as p on p.oid = t.tgfoid
             where case when p.pronamespace = to_regnamespace('crm_private') and p.proname = 'pass_owner'
                 then to_regclass(split_part(encode(t.tgargs, 'escape'), '\\000', 1)) = $1 end",
        )?;
        db::run(&followed.unwrap_or_default())?;
        db::run(&attached.unwrap_or_default())
    }
}
