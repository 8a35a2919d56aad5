//! Puts transactions into their organizations' chains.

use std::cell::Cell;
use std::collections::BTreeSet;

use pgrx::datum::{DatumWithOid, IntoDatum};
use pgrx::{PgBuiltInOids, pg_sys};
use uuid::Uuid;

use super::chain::{BEGINNING, Hash, Link, SALT};
use super::stored;
use super::transaction::{Organizations, began_at};
use crate::db::append::Appender;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::events::wake;
use crate::identity::principal::to_pg;
use crate::plans;

const COLUMNS: [&str; 10] =
    ["org_id", "id", "created_at", "entries", "actor_id", "request_id", "salt", "content_hash", "position", "hash"];

/// Each is a place in the server's lock table: what one transaction did in more organizations is put into their chains later.
const FEW: usize = 16;

/// So many of those that wait are given a place at a time.
pub const WAITING_MAX: i64 = 1000;

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// As long as this lives, history is changed by those who may: see `append_only`.
pub struct Ours(bool);

impl Ours {
    pub fn begin() -> Self {
        Self(OURS.replace(true))
    }

    pub fn goes_on() -> bool {
        OURS.get()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        OURS.set(self.0);
    }
}

/// Nobody deletes the organization until the transaction ends: as the foreign key would see to it, which appended rows do not pass.
/// Before a transaction's first entry of it, not as it commits: who deletes waits for who writes, then, and takes what was written
/// along; later, they would wait for each other.
///
/// False where it is gone.
pub fn hold(organization: Uuid) -> Result<bool> {
    db::as_definer(|| {
        db::write_prepared(
            "select from crm.organizations where id = $1 for key share",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into()],
            |rows| Ok(!rows.is_empty()),
        )
    })
}

/// Writes the transaction's rows, one for each organization that still is.
pub fn write(id: Uuid, organizations: &Organizations, will_commit: bool) -> Result<()> {
    // SAFETY: reads the isolation level. Others could not be seen, or would be in each other's way.
    let sees_others = unsafe { pg_sys::XactIsoLevel } < pg_sys::XACT_REPEATABLE_READ as i32;
    let in_chain = will_commit && sees_others && organizations.len() <= FEW;
    db::as_definer(|| {
        let table = db::relation(c"crm", c"audit_transactions")?;
        let is_alone = |organization: &&Uuid| locks::try_one_after_another(table, **organization);
        let alone: BTreeSet<Uuid> =
            if in_chain { organizations.keys().filter(is_alone).copied().collect() } else { BTreeSet::new() };
        // Only now: who was alone before has committed, and is seen.
        db::at_latest(|| append(table, rows(id, organizations, &alone)?))?;
        // A prepared transaction cannot notify; what it did, others find by themselves.
        if will_commit { wake::before_commit(organizations.keys()) } else { Ok(()) }
    })
}

type Row = (Link, [u8; SALT], Option<(i64, Hash)>);

fn rows(id: Uuid, organizations: &Organizations, alone: &BTreeSet<Uuid>) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for (organization, progress) in organizations {
        if plans::terms_of(*organization)?.is_none() {
            continue;
        }
        let link = progress.link(*organization, id);
        let place = if alone.contains(organization) {
            let head = place_waiting(*organization)?;
            Some((head.position + 1, link.hash(&head.hash, head.position + 1)))
        } else {
            None
        };
        rows.push((link, progress.salt, place));
    }
    Ok(rows)
}

fn append(table: pg_sys::Oid, rows: Vec<Row>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // SAFETY: an existing table.
    let relation = unsafe { pg_sys::table_open(table, pg_sys::RowExclusiveLock as i32) };
    let mut appender = Appender::new(relation, &COLUMNS)?;
    for (link, salt, place) in rows {
        appender.add(|| {
            [
                to_pg(link.org_id).into_datum(),
                to_pg(link.id).into_datum(),
                began_at().into_datum(),
                link.entries.into_datum(),
                link.actor_id.map(to_pg).into_datum(),
                link.request_id.as_deref().into_datum(),
                salt.as_slice().into_datum(),
                link.content_hash.as_slice().into_datum(),
                place.map(|(position, _)| position).into_datum(),
                place.as_ref().map(|(_, hash)| hash.as_slice()).into_datum(),
            ]
        });
    }
    appender.finish();
    Ok(())
}

/// The end of a chain.
pub struct Head {
    pub position: i64,
    pub hash: Hash,
    /// How many were just put before it.
    pub placed: i64,
}

/// Gives places to the transactions that have none. Under the organization's lock.
pub fn place_waiting(organization: Uuid) -> Result<Head> {
    // Who waits comes first here, so that mostly one look is enough.
    if let Some(head) = last(organization, LAST)? {
        return Ok(head);
    }
    let mut head = last(organization, LAST_PLACED)?.unwrap_or(Head { position: 0, hash: BEGINNING, placed: 0 });
    for link in waiting(organization)? {
        head.position += 1;
        head.placed += 1;
        head.hash = link.hash(&head.hash, head.position);
        let _ours = Ours::begin();
        db::execute(
            "update crm.audit_transactions set position = $3, hash = $4 where org_id = $1 and id = $2 returning 1",
            &[to_pg(organization).into(), to_pg(link.id).into(), head.position.into(), head.hash.as_slice().into()],
        )?;
    }
    Ok(head)
}

/// Whether a transaction of the organization has no place yet.
pub fn waits(organization: Uuid) -> Result<bool> {
    db::select(
        "select exists (select from crm.audit_transactions where org_id = $1 and position is null)",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

const LAST: &str = "select position, hash from crm.audit_transactions where org_id = $1 order by position desc limit 1";
const LAST_PLACED: &str = "select position, hash from crm.audit_transactions
     where org_id = $1 and position is not null order by position desc limit 1";

/// None where there is none, or it has no place.
fn last(organization: Uuid, query: &'static str) -> Result<Option<Head>> {
    db::select(query, &[PgBuiltInOids::UUIDOID], &[to_pg(organization).into()], |rows| {
        let (Some(position), Some(hash)) = rows.first().get_two::<i64, &[u8]>()? else { return Ok(None) };
        let hash = hash.try_into().map_err(|_| CrmError::internal("a hash of the audit log is damaged"))?;
        Ok(Some(Head { position, hash, placed: 0 }))
    })
}

fn waiting(organization: Uuid) -> Result<Vec<Link>> {
    let arguments: [DatumWithOid; 2] = [to_pg(organization).into(), WAITING_MAX.into()];
    db::select(
        "select org_id, id, created_at, entries, actor_id, request_id, content_hash
         from crm.audit_transactions where org_id = $1 and position is null order by created_at, id limit $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::INT8OID],
        &arguments,
        |rows| rows.map(|row| stored::link_of(&row)).collect(),
    )
}
