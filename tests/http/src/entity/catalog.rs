//! What the database says of a table, so that no column is forgotten.

use serde::Deserialize;

use crate::admin;

/// Columns that every record has; what they do is told by `behaviour`.
pub const STANDARD: [&str; 11] = [
    "org_id",
    "id",
    "tags",
    "custom_fields",
    "owner_id",
    "external_id",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "version",
];

#[derive(Deserialize)]
pub struct Column {
    pub name: String,
    /// As `format_type` calls it, without length and precision.
    pub kind: String,
    pub not_null: bool,
    /// The table that a foreign key of this column points to.
    pub refers_to: Option<String>,
    /// What follows the column's name in its rule.
    pub rule: Option<String>,
}

impl Column {
    pub fn is_array(&self) -> bool {
        self.kind.ends_with("[]")
    }

    pub fn is_scalar(&self) -> bool {
        !self.is_array() && !self.kind.starts_with("json")
    }

    pub fn is_text(&self) -> bool {
        self.kind == "text"
    }
}

/// In the order of the table.
pub fn columns(table: &str) -> Vec<Column> {
    let columns: serde_json::Value = admin::value(
        r"with rules as (
             select substring(rule from '^\S+') as name, substring(rule from '^\S+ (.*)$') as rule
             from pg_trigger as t
             cross join unnest(string_to_array(encode(t.tgargs, 'escape'), '\000')) as rule
             where t.tgrelid = $1::text::regclass and t.tgname = '_100_normalize' and rule <> ''
         )
         select jsonb_agg(jsonb_build_object(
             'name', a.attname, 'kind', format_type(a.atttypid, null), 'not_null', a.attnotnull,
             'refers_to', (
                 select f.relname from pg_constraint as c join pg_class as f on f.oid = c.confrelid
                 cross join unnest(c.conkey, c.confkey) as pair (from_column, to_column)
                 join pg_attribute as t on t.attrelid = c.confrelid and t.attnum = pair.to_column
                 where c.conrelid = a.attrelid and c.contype = 'f' and pair.from_column = a.attnum and a.attname <> 'org_id'
                     and t.attname in ('id', 'user_id')
                 limit 1
             ),
             'rule', (select r.rule from rules as r where r.name = a.attname limit 1)
         ) order by a.attnum)
         from pg_attribute as a
         where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped",
        &[&format!("crm.{table}")],
    );
    serde_json::from_value(columns).unwrap()
}

#[derive(Deserialize)]
pub struct ForeignKey {
    pub column: String,
    pub table: String,
    /// How many such keys there are between the two tables, in either direction.
    pub between: i64,
}

/// The keys that name a row of another entity.
pub fn foreign_keys(table: &str) -> Vec<ForeignKey> {
    let keys: serde_json::Value = admin::value(
        "select coalesce(jsonb_agg(jsonb_build_object(
             'column', a.attname, 'table', f.relname,
             'between', (
                 select count(*) from pg_constraint as o
                 where o.contype = 'f'
                     and (o.conrelid, o.confrelid) in ((c.conrelid, c.confrelid), (c.confrelid, c.conrelid))
             )
         ) order by a.attnum), '[]')
         from pg_constraint as c
         join pg_class as f on f.oid = c.confrelid
         cross join unnest(c.conkey, c.confkey) as pair (from_column, to_column)
         join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = pair.from_column
         join pg_attribute as t on t.attrelid = c.confrelid and t.attnum = pair.to_column
         where c.conrelid = $1::text::regclass and c.contype = 'f' and a.attname <> 'org_id' and t.attname = 'id'",
        &[&format!("crm.{table}")],
    );
    serde_json::from_value(keys).unwrap()
}

/// The columns of each unique constraint beside the primary key, without org_id, sorted.
pub fn unique_keys(table: &str) -> Vec<Vec<String>> {
    let keys: serde_json::Value = admin::value(
        "select coalesce(jsonb_agg((
             select jsonb_agg(a.attname order by a.attname) from pg_attribute as a
             where a.attrelid = c.conrelid and a.attnum = any (c.conkey) and a.attname <> 'org_id'
         ) order by c.conname), '[]')
         from pg_constraint as c
         where c.conrelid = $1::text::regclass and c.contype = 'u'",
        &[&format!("crm.{table}")],
    );
    serde_json::from_value(keys).unwrap()
}

/// The tables with rows of organizations.
pub fn tables() -> Vec<String> {
    admin::value(
        "select array_agg(c.relname::text order by c.relname)
         from pg_class as c
         join pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id'
         where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition",
        &[],
    )
}
