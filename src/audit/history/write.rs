//! Writes what was, as whoever called: under their permissions and policies, by every trigger.

use std::collections::{BTreeSet, HashMap, HashSet};

use pgrx::datum::DatumWithOid;
use pgrx::spi::quote_identifier;
use uuid::Uuid;

use super::past::version;
use super::subject::{Column, Subject};
use crate::db::restoring::restoring;
use crate::db::{self, savepoint};
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::object::Object;

/// A row, and what it is to be, or to get.
#[derive(Clone)]
pub struct Wanted {
    pub id: Uuid,
    pub image: Object,
    /// That the row has now, so that what somebody else changes meanwhile stays.
    pub version: Option<i32>,
}

/// Adds rows as they were. With a record that they are parts of, `with_record`; what only the database writes, it writes.
pub fn insert(subject: &Subject, organization: Uuid, rows: &[Wanted], with_record: bool) -> Result<()> {
    let last = |row: &Wanted| row.image.0.keys().filter_map(|name| number(subject, name)).max().unwrap_or(0);
    let newer = rows.iter().map(last).max().unwrap_or(0);
    let columns: Vec<_> = subject.columns.iter().filter(|column| !column.is_generated).collect();
    let names: Vec<_> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let values: Vec<_> = columns.iter().map(|column| value(column, newer)).collect();
    let statement = format!(
        "insert into {table} ({}) overriding system value
         select {}
         from unnest($2) with ordinality as i (image, at)
         cross join lateral json_populate_record(null::{table}, i.image::json) as r
         order by i.at",
        names.join(", "),
        values.join(", "),
        table = subject.table
    );
    let images: Vec<_> = rows.iter().map(|row| row.image.to_text()).collect();
    let arguments: [DatumWithOid; 2] = [to_pg(organization).into(), images.into()];
    let run = || restoring(subject.oid(), with_record, || db::execute(&statement, &arguments).map(|_| ()));
    if subject.is_writable || !with_record { db::as_caller(run) } else { db::as_owner(subject.owner(), run) }
}

pub fn insert_alone(subject: &Subject, organization: Uuid, rows: &[Wanted]) -> Result<Vec<Uuid>> {
    insert(subject, organization, rows, false)?;
    Ok(rows.iter().map(|row| row.id).collect())
}

pub fn insert_with_record(subject: &Subject, organization: Uuid, rows: &[Wanted]) -> Result<Vec<Uuid>> {
    insert(subject, organization, rows, true)?;
    Ok(rows.iter().map(|row| row.id).collect())
}

fn number(subject: &Subject, name: &str) -> Option<i16> {
    subject.columns.iter().find(|column| column.name == name).map(|column| column.number)
}

/// What a column gets: what the image says, where it says nothing, nothing; or the default, where the column came after it.
fn value(column: &Column, newest: i16) -> String {
    let name = quote_identifier(&column.name);
    match (column.name.as_str(), &column.default) {
        ("org_id", _) => "$1".into(),
        ("version", _) => "coalesce(r.version, 0) + 1".into(),
        (_, Some(default)) if column.is_required || column.number > newest => {
            format!("case when i.image::json -> {} is null then {default} else r.{name} end", literal(&column.name))
        }
        _ => format!("r.{name}"),
    }
}

fn literal(name: &str) -> String {
    pgrx::spi::quote_literal(name)
}

/// Sets the columns that the images name; gives the rows that were changed. None is where the caller does not reach it, or
/// somebody changed it meanwhile.
pub fn update(subject: &Subject, organization: Uuid, rows: &[Wanted]) -> Result<Vec<Uuid>> {
    let columns: BTreeSet<_> = rows.iter().flat_map(|row| row.image.0.keys()).collect();
    let set = |column: &&String| {
        let (name, key) = (quote_identifier(column), literal(column));
        format!("{name} = case when i.image::json -> {key} is null then t.{name} else r.{name} end")
    };
    let sets: Vec<_> = columns.iter().map(set).collect();
    let statement = format!(
        "update {table} as t set {}
         from unnest($2, $3, $4) as i (id, version, image)
         cross join lateral json_populate_record(null::{table}, i.image::json) as r
         where {} returning t.{}",
        sets.join(", "),
        same_row(subject),
        quote_identifier(subject.key()),
        table = subject.table
    );
    let images: Vec<_> = rows.iter().map(|row| row.image.to_text()).collect();
    let [id, versions] = keys(rows);
    let arguments = [to_pg(organization).into(), id, versions, images.into()];
    db::as_caller(|| restoring(subject.oid(), false, || written(&statement, &arguments)))
}

/// Deletes rows; gives those that were.
pub fn delete(subject: &Subject, organization: Uuid, rows: &[Wanted]) -> Result<Vec<Uuid>> {
    let statement = format!(
        "delete from {} as t using unnest($2, $3) as i (id, version) where {} returning t.{}",
        subject.table,
        same_row(subject),
        quote_identifier(subject.key())
    );
    let [ids, versions] = keys(rows);
    db::as_caller(|| written(&statement, &[to_pg(organization).into(), ids, versions]))
}

/// Lets rows point to records again, where they point nowhere by now; gives those that do.
pub fn relink(subject: &Subject, organization: Uuid, column: &str, rows: &[(Uuid, Uuid)]) -> Result<Vec<Uuid>> {
    let statement = format!(
        "update {} as t set {column} = i.target
         from unnest($2, $3) as i (id, target)
         where t.org_id = $1 and t.{key} = i.id and t.{column} is null returning t.{key}",
        subject.table,
        column = quote_identifier(column),
        key = quote_identifier(subject.key())
    );
    let (ids, targets): (Vec<_>, Vec<_>) = rows.iter().map(|&(id, target)| (to_pg(id), to_pg(target))).unzip();
    let arguments = [to_pg(organization).into(), ids.into(), targets.into()];
    db::as_caller(|| restoring(subject.oid(), false, || written(&statement, &arguments)))
}

fn same_row(subject: &Subject) -> String {
    let key = quote_identifier(subject.key());
    let version = if subject.has("version") { " and t.version is not distinct from i.version" } else { "" };
    format!("t.org_id = $1 and t.{key} = i.id{version}")
}

fn keys<'a>(rows: &[Wanted]) -> [DatumWithOid<'a>; 2] {
    let ids: Vec<_> = rows.iter().map(|row| to_pg(row.id)).collect();
    let versions: Vec<_> = rows.iter().map(|row| row.version).collect();
    [ids.into(), versions.into()]
}

fn written(statement: &str, arguments: &[DatumWithOid]) -> Result<Vec<Uuid>> {
    db::write(statement, arguments, |rows| {
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            ids.extend(row.get::<pgrx::Uuid>(1)?.map(from_pg));
        }
        Ok(ids)
    })
}

/// Runs something for all items at once; where that fails, for halves of them, down to those that fail: `failed` gets them and why.
pub fn each<T>(items: &[T], run: &mut dyn FnMut(&[T]) -> Result<()>, failed: &mut dyn FnMut(&T, String)) -> Result<()> {
    pgrx::check_for_interrupts!();
    match items {
        [] => Ok(()),
        _ => match (savepoint::attempt(|| run(items)), items) {
            (Ok(()), _) => Ok(()),
            (Err(reason), [item]) => {
                failed(item, reason);
                Ok(())
            }
            (Err(_), _) => {
                let (one, other) = items.split_at(items.len() / 2);
                each(one, run, failed)?;
                each(other, run, failed)
            }
        },
    }
}

/// Runs a statement on the rows; gives those it wrote, and why it failed for others.
pub fn tried(
    subject: &Subject,
    organization: Uuid,
    rows: &[Wanted],
    run: fn(&Subject, Uuid, &[Wanted]) -> Result<Vec<Uuid>>,
) -> Result<HashMap<Uuid, Option<String>>> {
    let mut written = HashMap::new();
    let mut failures = vec![];
    each(
        rows,
        &mut |rows| {
            written.extend(run(subject, organization, rows)?.into_iter().map(|id| (id, None)));
            Ok(())
        },
        &mut |row, reason| failures.push((row.id, Some(reason))),
    )?;
    written.extend(failures);
    Ok(written)
}

/// What a row points to and that is gone.
pub struct Gone {
    pub column: String,
    pub entity: String,
    pub id: Uuid,
}

impl Gone {
    pub fn reason(&self) -> String {
        format!("{}: {} {} is gone", self.column, self.entity, self.id)
    }

    pub fn refusal(&self) -> CrmError {
        CrmError::InUse {
            message: format!("{} {} is deleted: restore it first", self.entity, self.id),
            hint: format!("The record needs it as its {}.", self.column),
        }
    }
}

/// Takes from the images what points to records that are gone, where their deletion would have left it empty. Gives that for
/// each row, and what else is gone that a row cannot be without.
pub fn without_the_gone(
    subject: &Subject,
    organization: Uuid,
    rows: &mut [Wanted],
) -> Result<Vec<(Vec<Gone>, Option<Gone>)>> {
    let mut found: Vec<(Vec<Gone>, Option<Gone>)> = rows.iter().map(|_| (vec![], None)).collect();
    for reference in &subject.references {
        let target = |row: &Wanted| super::entries::id_in(&row.image, &reference.column);
        let own: HashSet<_> = rows.iter().map(|row| row.id).collect();
        let wanted: BTreeSet<_> = rows.iter().filter_map(target).filter(|id| !own.contains(id)).collect();
        if wanted.is_empty() {
            continue;
        }
        let missing = reference.missing(organization, &wanted.into_iter().collect::<Vec<_>>())?;
        let missing: HashSet<_> = missing.into_iter().collect();
        for (row, (emptied, needed)) in rows.iter_mut().zip(&mut found) {
            let Some(id) = target(row).filter(|id| missing.contains(id)) else { continue };
            let gone = Gone { column: reference.column.clone(), entity: reference.entity.clone(), id };
            if reference.becomes_empty() {
                row.image.0.remove(&reference.column);
                emptied.push(gone);
            } else {
                *needed = Some(gone);
            }
        }
    }
    Ok(found)
}

/// As it is to be again, with the version that it had last.
pub fn wanted(id: Uuid, image: Object) -> Wanted {
    let version = version(&image);
    Wanted { id, image, version }
}
