//! The tables that history tells of, as the catalog has them now.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use pgrx::{JsonB, PgBuiltInOids, pg_sys};
use serde::Deserialize;
use uuid::Uuid;

use super::entries::id_in;
use crate::access::permissions;
use crate::audit::keep::RECORD;
use crate::db;
use crate::error::{CrmError, Result};
use crate::records::custom::object::Object;
use crate::records::rules::{Kind, Rule};

#[derive(Debug, Deserialize)]
pub struct Subject {
    pub entity: String,
    /// Quoted and with its schema.
    pub table: String,
    oid: u32,
    owner: u32,
    /// Of the trigger that notes its changes.
    arguments: Vec<String>,
    /// Otherwise it administers an organization: its changes are shown by audit_log, and by functions of its own.
    is_enrolled: bool,
    /// Whether clients may write it at all; otherwise the database keeps it.
    pub is_writable: bool,
    rules: Vec<String>,
    pub columns: Vec<Column>,
    pub references: Vec<Reference>,
    pub referrers: Vec<Referrer>,
}

#[derive(Debug, Deserialize)]
pub struct Column {
    pub name: String,
    pub number: i16,
    pub is_required: bool,
    pub is_generated: bool,
    /// As SQL.
    pub default: Option<String>,
}

/// A column that points to another table, together with the organization.
#[derive(Debug, Deserialize)]
pub struct Reference {
    pub column: String,
    pub entity: String,
    table: String,
    key: String,
    owner: u32,
    on_delete: String,
}

/// A column of another table that points to this one.
#[derive(Debug, Deserialize)]
pub struct Referrer {
    pub column: String,
    pub entity: String,
    pub table: String,
    owner: u32,
    on_delete: String,
    pub is_writable: bool,
}

#[derive(Default)]
pub struct Subjects(HashMap<String, Option<Rc<Subject>>>);

impl Subjects {
    /// `None` where there is no such enrolled table.
    pub fn find(&mut self, entity: &str) -> Result<Option<Rc<Subject>>> {
        Ok(self.noted(entity)?.filter(|subject| subject.is_enrolled))
    }

    /// `None` where there is no such table, or its changes are not noted.
    pub fn noted(&mut self, entity: &str) -> Result<Option<Rc<Subject>>> {
        if let Some(known) = self.0.get(entity) {
            return Ok(known.clone());
        }
        let found = describe(entity)?.map(Rc::new);
        self.0.insert(entity.to_owned(), found.clone());
        Ok(found)
    }

    pub fn named(&mut self, entity: &str) -> Result<Rc<Subject>> {
        let entity = entity.strip_prefix("crm.").unwrap_or(entity);
        self.find(entity)?.ok_or_else(|| CrmError::invalid("entity", "there is no such entity"))
    }
}

fn describe(entity: &str) -> Result<Option<Subject>> {
    let found = db::as_definer(|| {
        db::select(DESCRIBE, &[PgBuiltInOids::TEXTOID], &[entity.into()], |rows| {
            if rows.is_empty() { Ok(None) } else { rows.first().get_one::<JsonB>() }
        })
    })?;
    let read =
        |JsonB(value)| serde_json::from_value(value).map_err(|_| CrmError::internal("a table cannot be described"));
    found.map(read).transpose()
}

impl Subject {
    pub fn oid(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.oid)
    }

    pub fn owner(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.owner)
    }

    fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// Whose permissions its rows have.
    pub fn resource(&self) -> &str {
        self.argument(0)
    }

    /// The column that names a record.
    pub fn key(&self) -> &str {
        self.argument(1)
    }

    pub fn is_record(&self) -> bool {
        self.argument(2) == RECORD
    }

    /// Whether history tells of a column only that it changed.
    pub fn is_secret(&self, column: &str) -> bool {
        self.arguments.iter().skip(3).any(|secret| secret == column)
    }

    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known.name == column)
    }

    /// The columns whose values history tells.
    pub fn told_columns(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).filter(|name| !self.is_secret(name)).collect()
    }

    /// The permission that an action needs: whatever is done to a part changes the record.
    pub fn permission(&self, action: &str) -> String {
        let action = if self.is_record() { action } else { "update" };
        format!("{}.{action}", self.resource())
    }

    /// Whether the caller may read a row of this owner.
    pub fn shows(&self, organization: Uuid, owner: Option<Uuid>) -> Result<bool> {
        permissions::reach(Some(organization), &format!("{}.read", self.resource()), owner)
    }

    /// Whether a row with this image points to one of these records.
    pub fn points_to(&self, image: &Object, records: &HashSet<Uuid>) -> bool {
        let mut targets = self.references.iter().filter_map(|reference| id_in(image, &reference.column));
        targets.any(|id| records.contains(&id))
    }

    /// Whether a column is set by nobody but the database.
    pub fn keeps(&self, column: &str) -> bool {
        let is_kept =
            |rule: &String| Rule::parse(rule).is_ok_and(|rule| rule.kind == Kind::Kept && rule.column == column);
        self.rules.iter().any(is_kept)
    }

    /// The rule by which a column's text is stored.
    pub fn text_rule(&self, column: &str) -> Option<Rule> {
        let mut rules = self.rules.iter().filter_map(|rule| Rule::parse(rule).ok());
        rules.find(|rule| rule.column == column && rule.is_text())
    }

    /// The column that another one follows: the state since when it tells, the number that it is the normal form of.
    pub fn leader(&self, column: &str) -> Option<String> {
        self.rules.iter().find_map(|rule| match Rule::parse(rule).ok()? {
            Rule { column: follower, kind: Kind::Since(leader, _), .. } if follower == column => Some(leader),
            Rule { column: leader, kind: Kind::Phone(follower), .. } if follower == column => Some(leader),
            _ => None,
        })
    }

    /// Whether a column can be set to what it was: no key, no stamp, and not computed.
    pub fn is_own(&self, column: &str) -> bool {
        const STAMPS: [&str; 6] = ["org_id", "created_at", "created_by", "updated_at", "updated_by", "version"];
        // A part has its record's owner.
        let is_kept = STAMPS.contains(&column)
            || column == self.key()
            || column == "owner_id" && !self.is_record()
            || self.keeps(column);
        !is_kept && self.columns.iter().any(|known| known.name == column && !known.is_generated)
    }
}

impl Reference {
    pub fn becomes_empty(&self) -> bool {
        self.on_delete == "n"
    }

    /// Which of these are not there (any more).
    pub fn missing(&self, organization: Uuid, wanted: &[Uuid]) -> Result<Vec<Uuid>> {
        let query = format!(
            "select coalesce(array_agg(wanted), '{{}}') from unnest($2) as wanted
             where not exists (select from {} as t where t.org_id = $1 and t.{} = wanted)",
            self.table, self.key
        );
        ids(self.owner, &query, organization, wanted)
    }
}

impl Referrer {
    pub fn goes_along(&self) -> bool {
        self.on_delete == "c"
    }

    pub fn becomes_empty(&self) -> bool {
        self.on_delete == "n"
    }

    /// Which of these have rows that point to them, other than they themselves.
    pub fn referred(&self, organization: Uuid, wanted: &[Uuid], key: Option<&str>) -> Result<Vec<Uuid>> {
        let others = key.map_or(String::new(), |key| format!("and t.{} <> all ($2)", pgrx::spi::quote_identifier(key)));
        let query = format!(
            "select coalesce(array_agg(distinct t.{column}), '{{}}') from {} as t
             where t.org_id = $1 and t.{column} = any ($2) {others}",
            self.table,
            column = pgrx::spi::quote_identifier(&self.column)
        );
        ids(self.owner, &query, organization, wanted)
    }
}

fn ids(owner: u32, query: &str, organization: Uuid, wanted: &[Uuid]) -> Result<Vec<Uuid>> {
    use crate::identity::principal::{from_pg, to_pg};
    let wanted: Vec<_> = wanted.iter().copied().map(to_pg).collect();
    db::read_as_owner(pg_sys::Oid::from(owner), || {
        db::select_once(query, &[to_pg(organization).into(), wanted.into()], |rows| {
            let found = rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default();
            Ok(found.into_iter().map(from_pg).collect())
        })
    })
}

const DESCRIBE: &str = "
    with audited as (
        select t.tgrelid, case n.nspname when 'crm' then c.relname::text else n.nspname || '.' || c.relname end as entity,
            format('%I.%I', n.nspname, c.relname) as qualified, c.relowner,
            string_to_array(regexp_replace(encode(t.tgargs, 'escape'), '\\\\000$', ''), '\\000') as arguments,
            has_table_privilege('crm_app', c.oid, 'insert') as is_writable,
            exists (
                select from pg_catalog.pg_trigger as g
                where g.tgrelid = c.oid and g.tgfoid = to_regprocedure('crm_private.guard()')
            ) as is_enrolled
        from pg_catalog.pg_trigger as t
        join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        join pg_catalog.pg_class as c on c.oid = t.tgrelid
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'audit' and t.tgparentid = 0
            and t.tgname = '_700_audit_delete'
    ),
    keys as (
        select k.conrelid, k.confrelid, format('%I', there.attname) as target, here.attname::text as column_name,
            k.confdeltype::text as on_delete
        from pg_catalog.pg_constraint as k
        join pg_catalog.pg_attribute as here on here.attrelid = k.conrelid and here.attnum = k.conkey[2]
        join pg_catalog.pg_attribute as there on there.attrelid = k.confrelid and there.attnum = k.confkey[2]
        join pg_catalog.pg_attribute as org on org.attrelid = k.conrelid and org.attnum = k.conkey[1] and org.attname = 'org_id'
        where k.contype = 'f' and k.conparentid = 0 and cardinality(k.conkey) = 2 and here.atttypid = 'uuid'::regtype
    )
    select jsonb_build_object(
        'entity', a.entity, 'table', a.qualified, 'oid', a.tgrelid::bigint, 'owner', a.relowner::bigint,
        'arguments', a.arguments, 'is_writable', a.is_writable, 'is_enrolled', a.is_enrolled,
        'rules', coalesce((
            select to_jsonb(string_to_array(regexp_replace(encode(t.tgargs, 'escape'), '\\\\000$', ''), '\\000'))
            from pg_catalog.pg_trigger as t
            join pg_catalog.pg_proc as p on p.oid = t.tgfoid
            where t.tgrelid = a.tgrelid and p.pronamespace = to_regnamespace('crm_private') and p.proname = 'normalize'
            limit 1
        ), '[]'),
        'columns', (
            select jsonb_agg(jsonb_build_object(
                'name', c.attname, 'number', c.attnum, 'is_required', c.attnotnull, 'is_generated', c.attgenerated <> '',
                'default', pg_get_expr(d.adbin, d.adrelid)
            ) order by c.attnum)
            from pg_catalog.pg_attribute as c
            left join pg_catalog.pg_attrdef as d on d.adrelid = c.attrelid and d.adnum = c.attnum
            where c.attrelid = a.tgrelid and c.attnum > 0 and not c.attisdropped
        ),
        'references', coalesce((
            select jsonb_agg(jsonb_build_object(
                'column', k.column_name, 'key', k.target, 'on_delete', k.on_delete,
                'entity', case n.nspname when 'crm' then r.relname::text else n.nspname || '.' || r.relname end,
                'table', format('%I.%I', n.nspname, r.relname), 'owner', r.relowner::bigint
            ) order by k.column_name)
            from keys as k
            join pg_catalog.pg_class as r on r.oid = k.confrelid
            join pg_catalog.pg_namespace as n on n.oid = r.relnamespace
            where k.conrelid = a.tgrelid
        ), '[]'),
        'referrers', coalesce((
            select jsonb_agg(jsonb_build_object(
                'column', k.column_name, 'on_delete', k.on_delete, 'entity', r.entity, 'table', r.qualified,
                'owner', r.relowner::bigint, 'is_writable', r.is_writable
            ) order by r.entity, k.column_name)
            from keys as k
            join audited as r on r.tgrelid = k.conrelid and r.is_enrolled
            where k.confrelid = a.tgrelid
        ), '[]')
    )
    from audited as a
    where a.entity = $1
    limit 1";
