//! What is done to a tag is done to the records that have it: renamed, merged, deleted.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::{forget_held, names};
use crate::access::policy;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{given, needs_post};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::row::{self, Images, Row, Rows};

#[pg_trigger(sql = false)]
fn name_tag<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let Some(given) = new.get::<String>("name")? else { return Ok(new) };
    let name = name_of("name", &given)?;
    let key = names::key(&name);
    if let Some(old) = &old
        && old.get::<String>("name_key")?.as_ref() != Some(&key)
    {
        refuse_taken(old, &key)?;
    }
    new.set("name", Some(name))?;
    new.set("name_key", Some(key))?;
    Ok(new)
}

fn name_of(argument: &str, value: &str) -> Result<String> {
    let name = names::name(value).map_err(|problem| CrmError::invalid(argument, problem))?;
    if name.is_empty() { Err(CrmError::invalid(argument, "must not be empty")) } else { Ok(name) }
}

/// The unique key would refuse it too, but not say what to do instead.
fn refuse_taken(old: &Row, key: &str) -> Result<()> {
    let taken = db::as_owner_of(c"crm", c"tags", || {
        db::select(
            "select name from crm.tags where org_id = $1 and name_key = $2",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
            &[old.get::<pgrx::Uuid>("org_id")?.into(), key.into()],
            |rows| rows.first().get_one::<String>(),
        )
    })?;
    match taken {
        None => Ok(()),
        Some(name) => Err(CrmError::Conflict {
            message: format!("there is a tag \"{name}\" already"),
            hint: "To make one of two tags, call /rpc/merge_tags.".into(),
        }),
    }
}

#[pg_trigger(sql = false)]
fn follow_tag<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(followed(trigger).map(|()| None))
}

fn followed(trigger: &PgTrigger) -> Result<()> {
    let Images { old: Some(old), new } = Images::of(trigger)? else { return Ok(()) };
    let (Some(organization), Some(before)) = (old.get::<pgrx::Uuid>("org_id")?, old.get::<String>("name")?) else {
        return Ok(());
    };
    forget_held();
    let organization = from_pg(organization);
    if !is_going(organization)? {
        let now = new.map_or(Ok(None), |new| new.get::<String>("name"))?;
        rewrite(organization, &[before], now)?;
    }
    Ok(())
}

/// Whether the organization is being deleted, and its records with it.
fn is_going(organization: Uuid) -> Result<bool> {
    db::as_owner_of(c"crm", c"organizations", || {
        db::select(
            "select not exists (select from crm.organizations where id = $1 and status <> 'cancelled')",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into()],
            |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)),
        )
    })
}

/// A table whose records have tags.
struct Tagged {
    entity: String,
    /// Quoted and with its schema.
    name: String,
    owner: pg_sys::Oid,
    may_be_read: bool,
}

fn tagged_tables() -> Result<Vec<Tagged>> {
    db::select(
        "select c.relname::text, format('%I.%I', n.nspname, c.relname), c.relowner,
             has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_proc as p on p.oid = t.tgfoid
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'tag_record' and t.tgparentid = 0
         order by n.nspname, c.relname",
        &[],
        &[],
        |rows| {
            let mut tables = vec![];
            for row in rows {
                if let (Some(entity), Some(name), Some(owner), Some(may_be_read)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)
                {
                    tables.push(Tagged { entity, name, owner, may_be_read });
                }
            }
            Ok(tables)
        },
    )
}

/// Replaces tags by another one, or by nothing, in all records of the organization; gives in how many.
fn rewrite(organization: Uuid, from: &[String], into: Option<String>) -> Result<usize> {
    // SAFETY: reads the transaction's state.
    if unsafe { pg_sys::XactIsoLevel } >= pg_sys::XACT_REPEATABLE_READ as i32 {
        return Err(CrmError::Refused {
            message: "records that were tagged meanwhile could not be seen by the state of a while ago".into(),
            hint: "Use the isolation level READ COMMITTED.".into(),
        });
    }
    let into: Vec<String> = into.into_iter().collect();
    let mut records = 0;
    for table in tagged_tables()? {
        // The table's own trigger puts the tags in order.
        let statement = format!(
            "update {} set tags = array(select kept from unnest(tags) as kept where kept <> all ($2)) || $3
             where org_id = $1 and tags && $2
             returning 1",
            table.name
        );
        let arguments = [to_pg(organization).into(), from.to_vec().into(), into.clone().into()];
        records += db::as_owner(table.owner, || db::execute(&statement, &arguments))?;
    }
    Ok(records)
}

#[pg_extern(sql = false)]
fn rename_tag(old: Option<&str>, new: Option<&str>) -> Result<JsonB, ErrorReport> {
    needs_post("rename_tag")?;
    let (old, new) = (given("old", old)?, name_of("new", given("new", new)?)?);
    let organization = policy::require_to_write("tags.update")?.0.organization();
    let renamed = db::as_owner_of(c"crm", c"tags", || {
        db::execute_returning::<JsonB>(
            "update crm.tags set name = $3 where org_id = $1 and name_key = $2
             returning jsonb_build_object('id', id, 'name', name)",
            &[to_pg(organization).into(), key_of("old", old)?.into(), new.into()],
        )
    })?;
    Ok(renamed.ok_or_else(|| no_such("old", old))?)
}

#[pg_extern(sql = false)]
fn merge_tags(from: Option<Vec<Option<String>>>, into: Option<&str>) -> Result<JsonB, ErrorReport> {
    needs_post("merge_tags")?;
    let (from, into) = (given("from", from)?, given("into", into)?);
    policy::require_to_write("tags.delete")?;
    let organization = policy::require_to_write("tags.update")?.0.organization();
    let into_key = key_of("into", into)?;
    let mut keys = vec![into_key.clone()];
    for name in from.into_iter().flatten() {
        keys.push(key_of("from", &name)?);
    }
    let mut tags = db::as_owner_of(c"crm", c"tags", || locked(organization, &keys))?;
    if let Some(missing) = keys.iter().find(|key| !tags.iter().any(|(found, _)| found == *key)) {
        return Err(no_such(if *missing == into_key { "into" } else { "from" }, missing).into());
    }
    let into = tags.iter().position(|(key, _)| *key == into_key).map(|at| tags.remove(at).1);
    let (keys, from): (Vec<_>, Vec<_>) = tags.into_iter().unzip();
    forget_held();
    let records = rewrite(organization, &from, into.clone())?;
    let merged = db::as_owner_of(c"crm", c"tags", || {
        db::execute(
            "delete from crm.tags where org_id = $1 and name_key = any ($2) returning 1",
            &[to_pg(organization).into(), keys.into()],
        )
    })?;
    Ok(JsonB(json!({ "name": into, "merged": merged, "records": records })))
}

fn key_of(argument: &str, name: &str) -> Result<String> {
    Ok(names::key(&name_of(argument, name)?))
}

fn no_such(argument: &str, name: &str) -> CrmError {
    CrmError::invalid(argument, format!("there is no tag \"{name}\""))
}

/// Key and name of these tags, which nobody can give to a record until the end of the transaction.
fn locked(organization: Uuid, keys: &[String]) -> Result<Vec<(String, String)>> {
    db::write(
        "select name_key, name from crm.tags where org_id = $1 and name_key = any ($2) order by name_key for update",
        &[to_pg(organization).into(), keys.to_vec().into()],
        |rows| {
            let mut tags = vec![];
            for row in rows {
                if let (Some(key), Some(name)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
                    tags.push((key, name));
                }
            }
            Ok(tags)
        },
    )
}

type Counts = TableIterator<
    'static,
    (name!(name, String), name!(color, Option<String>), name!(entity, String), name!(count, i64)),
>;

#[pg_extern(sql = false)]
fn tag_counts() -> Result<
    TableIterator<
        'static,
        (name!(name, String), name!(color, Option<String>), name!(entity, String), name!(count, i64)),
    >,
    ErrorReport,
> {
    Ok(counted()?)
}

/// As the caller, and so of what the policies let them see.
fn counted() -> Result<Counts> {
    let tables: Vec<_> = tagged_tables()?.into_iter().filter(|table| table.may_be_read).collect();
    let counts = tables.iter().map(|Tagged { entity, name, .. }| {
        let entity = quote_literal(entity);
        format!(
            "select tag, {entity} as entity, count(*) as records
             from {name}, unnest(tags) as tag
             where tags <> '{{}}'
             group by tag"
        )
    });
    let counts = counts.collect::<Vec<_>>().join("\nunion all\n");
    if counts.is_empty() {
        return Ok(TableIterator::new(vec![]));
    }
    let query = format!(
        "select c.tag, t.color, c.entity::text, c.records
         from ({counts}) as c
         left join crm.tags as t on t.name = c.tag
         order by lower(c.tag), c.tag, c.entity"
    );
    let rows = db::select_once(&query, &[], |rows| {
        let mut counts = vec![];
        for row in rows {
            if let (Some(name), color, Some(entity), Some(count)) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)
            {
                counts.push((name, color, entity, count));
            }
        }
        Ok(counts)
    })?;
    Ok(TableIterator::new(rows))
}
