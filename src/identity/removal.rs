//! Deleting an organization with all that is its own, in batches that each are a transaction of their own.
//!
//! Which rows are its own, the foreign keys say: those of every table, in any schema, that point to the organization, and
//! those that point to such rows together with their organization. They are deleted as PostgreSQL's own foreign key
//! actions do it: with the rights of each table's owner, whom forced row level security does not bind there. A trigger that
//! the owner put on a table so runs as that owner, as it would in a cascade, and with no more.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::answer::{self, given};
use super::platform::require;
use super::principal::{from_pg, to_pg};
use super::removal_order::children_first;
use crate::audit;
use crate::db;
use crate::error::{CrmError, Result};

const BATCH: i32 = 10_000;

/// A transaction that began before the organization was stopped may add rows to a table that was just emptied: while the
/// next table waits for it, it commits.
const PASSES: usize = 3;

#[pg_extern(sql = false)]
fn delete_organization(org_id: Option<pgrx::Uuid>, batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("delete_organization")?;
    require("organizations.delete")?;
    let organization = from_pg(given("org_id", org_id)?);
    let batch = batch.unwrap_or(BATCH);
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    if !stop(organization)? {
        return Ok(JsonB(json!({ "deleted": 0, "rows": 0, "done": true })));
    }
    let steps = steps()?;
    refuse_restricted(&steps, organization)?;
    let mut left = i64::from(batch);
    let mut remaining = None;
    for _ in 0..PASSES {
        for step in &steps {
            left -= step.run(organization, left)?;
        }
        if left == 0 {
            return Ok(JsonB(json!({ "deleted": 0, "rows": batch, "done": false })));
        }
        remaining = first_with_rows(&steps, organization)?;
        if remaining.is_none() {
            break;
        }
    }
    if let Some(step) = remaining {
        return Err(step.cannot_be_emptied().into());
    }
    let rows = i64::from(batch) - left;
    // Who still writes is waited for; what they leave, the foreign keys take along.
    let deleted =
        db::execute("delete from crm.organizations where id = $1 returning 1", &[to_pg(organization).into()])?;
    Ok(JsonB(json!({ "deleted": deleted, "rows": rows, "done": true })))
}

/// From here on nobody works in it. False when there is none. Another deletion of it waits here. The lock is one that
/// transactions which still add rows do not wait for: with one of them this one could end up waiting in a circle.
fn stop(organization: Uuid) -> Result<bool> {
    let arguments = [to_pg(organization).into()];
    if db::execute("select from crm.organizations where id = $1 for no key update", &arguments)? == 0 {
        return Ok(false);
    }
    db::execute(
        "update crm.organizations
         set status = 'cancelled', status_reason = 'being deleted', status_changed_at = now()
         where id = $1 and status <> 'cancelled'",
        &arguments,
    )?;
    Ok(true)
}

/// A foreign key of an ordinary table or a partition.
struct Reference {
    table: u32,
    owner: pg_sys::Oid,
    /// Quoted and with its schema.
    name: String,
    columns: Vec<String>,
    target: u32,
    target_columns: Vec<String>,
    /// pg_constraint.confdeltype.
    on_delete: String,
    /// What its SET NULL or SET DEFAULT sets.
    sets: Vec<String>,
}

/// What is done with the rows of one table.
enum Work {
    Delete,
    /// The columns, and `null` or `default`.
    Unlink(Vec<String>, &'static str),
    /// `on delete restrict`: nothing, and so the organization cannot go.
    Keep,
}

struct Step {
    table: u32,
    owner: pg_sys::Oid,
    name: String,
    condition: String,
    work: Work,
}

impl Step {
    fn run(&self, organization: Uuid, at_most: i64) -> Result<i64> {
        if at_most == 0 {
            return Ok(0);
        }
        let Self { name, condition, .. } = self;
        // By the rows' places: a join could as well be planned as a scan of everybody's rows.
        let picked = format!("ctid = any (array(select ctid from only {name} where {condition} limit $2))");
        let statement = match &self.work {
            Work::Delete => format!("delete from only {name} where {picked} returning 1"),
            Work::Unlink(columns, value) => {
                let sets: Vec<_> =
                    columns.iter().map(|column| format!("{} = {value}", quote_identifier(column))).collect();
                format!("update only {name} set {} where {picked} returning 1", sets.join(", "))
            }
            Work::Keep => return Ok(0),
        };
        let touched = db::as_owner(self.owner, || {
            audit::passing_over(organization, || db::execute(&statement, &[to_pg(organization).into(), at_most.into()]))
        })?;
        Ok(touched as i64)
    }

    fn has_rows(&self, organization: Uuid) -> Result<bool> {
        let query = format!("select exists (select from only {} where {})", self.name, self.condition);
        db::as_owner(self.owner, || {
            db::write(&query, &[to_pg(organization).into()], |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true)))
        })
    }

    fn cannot_be_emptied(&self) -> CrmError {
        CrmError::InUse {
            message: format!("rows of table {} stay although they were deleted", self.name),
            hint: "A trigger on that table keeps them, or somebody adds more: try again, or look at its triggers."
                .into(),
        }
    }
}

fn first_with_rows(steps: &[Step], organization: Uuid) -> Result<Option<&Step>> {
    for step in steps {
        if step.has_rows(organization)? {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

fn refuse_restricted(steps: &[Step], organization: Uuid) -> Result<()> {
    for step in steps.iter().filter(|step| matches!(step.work, Work::Keep)) {
        if step.has_rows(organization)? {
            return Err(CrmError::InUse {
                message: format!("table {} keeps rows of this organization", step.name),
                hint: "Its foreign key says ON DELETE RESTRICT: remove those rows first.".into(),
            });
        }
    }
    Ok(())
}

/// Everything there is to do, what refers to other rows before those.
fn steps() -> Result<Vec<Step>> {
    let references = references()?;
    let organizations = organizations_table()?;
    let mut steps: BTreeMap<(u32, String), Step> = BTreeMap::new();
    // The columns that tell whose a row is, of the tables found so far.
    let mut owned = vec![(organizations, "id".to_owned())];
    while let Some((table, column)) = owned.pop() {
        // An organization that is part of another is somebody else all the same: its own key says what becomes of it.
        for reference in references.iter().filter(|one| one.target == table && one.table != organizations) {
            let direct = table == organizations;
            let Some(step) = reference.step(&column, direct) else { continue };
            let key = (reference.table, step.1);
            // What points to the organization itself covers more than what points to it with another row.
            if steps.contains_key(&key) && !direct {
                continue;
            }
            if matches!(step.0.work, Work::Delete) {
                owned.push(key.clone());
            }
            steps.insert(key, step.0);
        }
    }
    let tables: Vec<u32> = steps.keys().map(|(table, _)| *table).collect();
    let pairs: Vec<_> = references.iter().map(|reference| (reference.table, reference.target)).collect();
    let order = children_first(&tables, &pairs);
    let mut steps: Vec<Step> = steps.into_values().collect();
    steps.sort_by_key(|step| order.iter().position(|table| *table == step.table));
    Ok(steps)
}

impl Reference {
    /// What is to be done with its rows, where `column` of the other side tells the organization; and this side's column
    /// that does.
    fn step(&self, column: &str, direct: bool) -> Option<(Step, String)> {
        let at = self.target_columns.iter().position(|target| target == column)?;
        let own = self.columns.get(at)?.clone();
        let work = match self.on_delete.as_str() {
            "c" | "a" => Work::Delete,
            "r" => Work::Keep,
            // Of another row than the organization itself: that one's deletion does it.
            _ if !direct => return None,
            "n" => Work::Unlink(self.sets.clone(), "null"),
            _ => Work::Unlink(self.sets.clone(), "default"),
        };
        let mut condition = format!("{} = $1", quote_identifier(&own));
        for other in self.columns.iter().filter(|other| **other != own) {
            // A row that names the organization and nothing else is not held by this key.
            condition += &format!(" and {} is not null", quote_identifier(other));
        }
        Some((Step { table: self.table, owner: self.owner, name: self.name.clone(), condition, work }, own))
    }
}

fn organizations_table() -> Result<u32> {
    db::select("select 'crm.organizations'::regclass::oid", &[], &[], |rows| {
        Ok(rows.first().get_one::<pg_sys::Oid>()?.map_or(0, pg_sys::Oid::to_u32))
    })
}

fn references() -> Result<Vec<Reference>> {
    db::select(
        "select c.conrelid, t.relowner, format('%I.%I', n.nspname, t.relname), c.confrelid, c.confdeltype::text,
             names.columns, names.targets,
             coalesce(
                 (select array_agg(a.attname::text) from pg_attribute as a
                  where a.attrelid = c.conrelid and a.attnum = any (c.confdelsetcols)),
                 names.columns
             )
         from pg_constraint as c
         join pg_class as t on t.oid = c.conrelid and t.relkind = 'r'
         join pg_namespace as n on n.oid = t.relnamespace
         cross join lateral (
             select array_agg(here.attname::text order by k.at) as columns, array_agg(there.attname::text order by k.at) as targets
             from unnest(c.conkey, c.confkey) with ordinality as k (here, there, at)
             join pg_attribute as here on here.attrelid = c.conrelid and here.attnum = k.here
             join pg_attribute as there on there.attrelid = c.confrelid and there.attnum = k.there
         ) as names
         where c.contype = 'f'
         order by n.nspname, t.relname, c.conname",
        &[] as &[PgBuiltInOids],
        &[],
        |rows| {
            let mut references = vec![];
            for row in rows {
                if let (
                    Some(table),
                    Some(owner),
                    Some(name),
                    Some(target),
                    Some(on_delete),
                    Some(columns),
                    Some(target_columns),
                    Some(sets),
                ) = (
                    row.get::<pg_sys::Oid>(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get::<pg_sys::Oid>(4)?,
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                    row.get(8)?,
                ) {
                    let (table, target) = (table.to_u32(), target.to_u32());
                    references.push(Reference { table, owner, name, columns, target, target_columns, on_delete, sets });
                }
            }
            Ok(references)
        },
    )
}
