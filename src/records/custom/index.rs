//! Indexes of custom fields, which the DBA makes where an organization's records are too many to look through.
//!
//! One index serves all organizations that have a field of this key. It begins with the organization, and has only the records
//! with a value.

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};

use super::field::{Kind, is_key};
use super::tables;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};

/// The longest name of an index.
const NAME_MAX: usize = 63;

#[pg_extern(sql = false)]
fn index_custom_field(entity: Option<&str>, key: Option<&str>) -> Result<Vec<String>, ErrorReport> {
    answer::needs_post("index_custom_field")?;
    let (entity, key) = (given("entity", entity)?, given("key", key)?);
    let kinds = kinds_of(entity, key)?;
    if kinds.is_empty() {
        return Err(CrmError::invalid("key", "no organization has a custom field of this key here").into());
    }
    let mut operators: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| kind.may_be_indexed())
        .map(|kind| if kind == Kind::Number { "->" } else { "->>" })
        .collect();
    operators.sort_unstable();
    operators.dedup();
    if operators.is_empty() {
        return Err(CrmError::invalid("key", "values of type long_text, multi_select and url are not indexed").into());
    }
    let mut made = vec![];
    for table in tables::of_entity(entity)? {
        for operator in &operators {
            let name = index_name(entity, key, operator)?;
            let value = format!("(custom_fields {operator} {})", quote_literal(key));
            let statement = format!(
                "create index if not exists {} on {} (org_id, {value}, id) where {value} is not null",
                quote_identifier(&name),
                table.name
            );
            db::as_owner(table.owner, || db::run(&statement))?;
            made.push(name);
        }
        // So that the planner knows how many different values there are.
        db::as_owner(table.owner, || db::run(&format!("analyze {}", table.name)))?;
    }
    Ok(made)
}

#[pg_extern(sql = false)]
fn drop_custom_field_index(entity: Option<&str>, key: Option<&str>) -> Result<Vec<String>, ErrorReport> {
    answer::needs_post("drop_custom_field_index")?;
    let (entity, key) = (given("entity", entity)?, given("key", key)?);
    let mut dropped = vec![];
    for table in tables::of_entity(entity)? {
        for operator in ["->", "->>"] {
            let name = index_name(entity, key, operator)?;
            if let Some(index) = index_of(&table.name, &name)? {
                db::as_owner(table.owner, || db::run(&format!("drop index {index}")))?;
                dropped.push(name);
            }
        }
    }
    Ok(dropped)
}

/// The types that this key has in any organization.
fn kinds_of(entity: &str, key: &str) -> Result<Vec<Kind>> {
    db::as_definer(|| {
        db::select(
            "select distinct type from crm.custom_fields where entity = $1 and key = $2",
            &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
            &[entity.into(), key.into()],
            |rows| {
                let mut kinds = vec![];
                for row in rows {
                    kinds.extend(row.get::<String>(1)?.as_deref().and_then(Kind::parse));
                }
                Ok(kinds)
            },
        )
    })
}

fn index_name(entity: &str, key: &str, operator: &str) -> Result<String> {
    if !is_key(key) {
        return Err(CrmError::invalid("key", "is no key of a custom field"));
    }
    let kind = if operator == "->" { "number" } else { "text" };
    let name = format!("{entity}_custom_{key}_{kind}_idx");
    if name.len() <= NAME_MAX {
        return Ok(name);
    }
    let hash = db::select(
        "select left(md5($1), 12)",
        &[PgBuiltInOids::TEXTOID],
        &[format!("{entity}.{key}").into()],
        |rows| Ok(rows.first().get_one::<String>()?.unwrap_or_default()),
    )?;
    let beginning: String = entity.chars().take(20).collect();
    Ok(format!("{beginning}_custom_{hash}_{kind}_idx"))
}

/// Quoted and with its schema, if there is one.
fn index_of(table: &str, name: &str) -> Result<Option<String>> {
    db::select(
        "select format('%I.%I', n.nspname, c.relname)
         from pg_catalog.pg_index as i
         join pg_catalog.pg_class as c on c.oid = i.indexrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where i.indrelid = to_regclass($1) and c.relname = $2",
        &[PgBuiltInOids::TEXTOID, PgBuiltInOids::TEXTOID],
        &[table.into(), name.into()],
        |rows| if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<String>()?) },
    )
}
