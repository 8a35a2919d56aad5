//! Entries of the audit log, read back.

use std::collections::HashSet;

use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use uuid::Uuid;

use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::object::Object;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Insert,
    Update,
    Delete,
}

impl Action {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "insert" => Some(Self::Insert),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Uuid,
    pub created_at: TimestampWithTimeZone,
    pub action: Action,
    pub entity: String,
    pub record_id: Uuid,
    /// Of an update, without the stamps.
    pub changed: Vec<String>,
    pub before: Object,
    pub after: Object,
    pub transaction_id: Uuid,
    pub actor_id: Option<Uuid>,
    pub impersonator_id: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub request_id: Option<String>,
    /// What it told of was removed from it; or it never told, as the deletion of a record that is erased.
    pub is_erased: bool,
}

impl Entry {
    /// A record that goes is noted before what goes because of it.
    pub fn went_along_with(&self, record: &Self) -> bool {
        self.transaction_id == record.transaction_id && self.id > record.id
    }
}

/// What [`read`] reads, in its order.
const COLUMNS: &str = "id, created_at, action, entity, record_id, changed, before::text, after::text, transaction_id, actor_id, \
     api_key_id, erased_at is not null or action = 'delete' and before is null, impersonator_id, request_id";

/// The entries of the organization `$1` with this condition, in its order.
pub fn find(organization: Uuid, condition: &str, arguments: Vec<DatumWithOid>) -> Result<Vec<Entry>> {
    let (query, arguments) = of(organization, condition, arguments);
    db::as_definer(|| db::select_once(&query, &arguments, |rows| rows.map(|row| read(&row)).collect()))
}

/// The same one after the other, where they may be more than should lie in memory.
pub fn visit(
    organization: Uuid,
    condition: &str,
    arguments: Vec<DatumWithOid>,
    mut visit: impl FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let (query, arguments) = of(organization, condition, arguments);
    db::as_definer(|| db::visit(&query, &arguments, |row| visit(read(row)?)))
}

fn of<'a>(organization: Uuid, condition: &str, arguments: Vec<DatumWithOid<'a>>) -> (String, Vec<DatumWithOid<'a>>) {
    let query = format!(
        "select {COLUMNS} from crm.audit_log
         where org_id = $1 and action in ('insert', 'update', 'delete') and {condition}"
    );
    (query, std::iter::once(to_pg(organization).into()).chain(arguments).collect())
}

/// Where the entries of a transaction are.
pub struct Place {
    pub transaction_id: Uuid,
    pub created_at: TimestampWithTimeZone,
    /// Only those after this one.
    pub after: Uuid,
}

/// The entries of these transactions, one transaction after the other, each in the order of what happened; at most so many.
pub fn of_transactions(organization: Uuid, places: &[Place], at_most: i64) -> Result<Vec<Entry>> {
    let transactions: Vec<_> = places.iter().map(|place| to_pg(place.transaction_id)).collect();
    let times: Vec<_> = places.iter().map(|place| place.created_at).collect();
    let after: Vec<_> = places.iter().map(|place| to_pg(place.after)).collect();
    let query = format!(
        "select {COLUMNS}
         from unnest($2, $3, $4) with ordinality as t (wanted, began, last_read, place)
         cross join lateral (
             select l.* from crm.audit_log as l
             where l.org_id = $1 and l.created_at = t.began and l.id > t.last_read and l.transaction_id = t.wanted
                 and l.action in ('insert', 'update', 'delete')
             order by l.id limit $5
         ) as l
         order by t.place, l.id limit $5"
    );
    let arguments = [to_pg(organization).into(), transactions.into(), times.into(), after.into(), at_most.into()];
    db::as_definer(|| db::select_once(&query, &arguments, |rows| rows.map(|row| read(&row)).collect()))
}

fn read(row: &db::Row) -> Result<Entry> {
    let damaged = || CrmError::internal("an entry of the audit log is damaged");
    let id = |column| -> Result<Option<Uuid>> { Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg)) };
    let image = |column| -> Result<Object> {
        let mut image = row.get::<String>(column)?.and_then(|text| Object::parse(&text)).unwrap_or_default();
        image.0.retain(|_, value| value != "null");
        Ok(image)
    };
    Ok(Entry {
        id: id(1)?.ok_or_else(damaged)?,
        created_at: row.get(2)?.ok_or_else(damaged)?,
        action: row.get::<String>(3)?.as_deref().and_then(Action::parse).ok_or_else(damaged)?,
        entity: row.get(4)?.ok_or_else(damaged)?,
        record_id: id(5)?.ok_or_else(damaged)?,
        changed: row.get(6)?.unwrap_or_default(),
        before: image(7)?,
        after: image(8)?,
        transaction_id: id(9)?.ok_or_else(damaged)?,
        actor_id: id(10)?,
        api_key_id: id(11)?,
        is_erased: row.get(12)?.unwrap_or(false),
        impersonator_id: id(13)?,
        request_id: row.get(14)?,
    })
}

/// What was deleted last of a record, if nothing came after that.
pub fn deletion(organization: Uuid, entity: &str, id: Uuid) -> Result<Option<Entry>> {
    let last = find(
        organization,
        "record_id = $2 and entity = $3 order by id desc limit 1",
        vec![to_pg(id).into(), entity.into()],
    )?;
    Ok(last.into_iter().next().filter(|entry| entry.action == Action::Delete))
}

/// What these records began and ended with, record by record, the latest first.
pub fn beginnings_and_ends(organization: Uuid, entity: &str, ids: &[Uuid]) -> Result<Vec<Entry>> {
    let ids: Vec<_> = ids.iter().copied().map(to_pg).collect();
    let condition = "record_id = any ($2) and entity = $3 and action <> 'update' order by record_id, id desc";
    find(organization, condition, vec![ids.into(), entity.into()])
}

/// Of the records of these entries those with later ones, of other transactions than these.
pub fn changed_since(organization: Uuid, entity: &str, run: &[Entry], own: &[Uuid]) -> Result<HashSet<Uuid>> {
    let (records, ids): (Vec<_>, Vec<_>) = run.iter().map(|entry| (to_pg(entry.record_id), to_pg(entry.id))).unzip();
    let own: Vec<_> = own.iter().copied().map(to_pg).collect();
    let arguments = [to_pg(organization).into(), records.into(), ids.into(), entity.into(), own.into()];
    let found = db::as_definer(|| {
        db::select_once(
            "select coalesce(array_agg(i.record), '{}')
             from unnest($2, $3) as i (record, entry)
             where exists (
                 select from crm.audit_log as a
                 where a.org_id = $1 and a.record_id = i.record and a.id > i.entry and a.entity = $4
                     and a.transaction_id <> all ($5)
             )",
            &arguments,
            |rows| Ok(rows.first().get_one::<Vec<pgrx::Uuid>>()?.unwrap_or_default()),
        )
    })?;
    Ok(found.into_iter().map(from_pg).collect())
}

/// An id in an image.
pub fn id_in(image: &Object, column: &str) -> Option<Uuid> {
    image.get(column).and_then(|json| Uuid::parse_str(json.trim_matches('"')).ok())
}
