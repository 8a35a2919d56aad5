//! Entries and transactions as they are stored, read back.

use std::net::IpAddr;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use uuid::Uuid;

use super::chain::{Content, Link};
use super::entry::Entry;
use super::origin::Origin;
use crate::db::Row;
use crate::error::{CrmError, Result};
use crate::identity::principal::from_pg;

/// The columns that [`add_to`] reads, in its order.
pub const ENTRY: &str = "transaction_id, org_id, id, created_at, action, entity, record_id, changed, before::text, after::text, \
    actor_id, impersonator_id, api_key_id, database_role, login_role, request_id, host(address), user_agent, application";

/// How many these are.
pub const ENTRY_WIDTH: usize = 19;

/// Those that [`link_of`] reads.
pub const LINK: &str = "org_id, id, created_at, entries, actor_id, request_id, content_hash";

fn damaged() -> CrmError {
    CrmError::internal("a row of the audit log is damaged")
}

fn id(row: &Row, column: usize) -> Result<Option<Uuid>> {
    Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg))
}

fn microseconds(row: &Row, column: usize) -> Result<i64> {
    row.get::<TimestampWithTimeZone>(column)?.map(pg_sys::TimestampTz::from).ok_or_else(damaged)
}

/// The transaction of an entry.
pub fn transaction_of(row: &Row) -> Result<Uuid> {
    id(row, 1)?.ok_or_else(damaged)
}

/// When the transaction of an entry began.
pub fn began_at(row: &Row) -> Result<i64> {
    microseconds(row, 4)
}

/// Adds the entry to what is hashed.
pub fn add_to(content: &mut Content, row: &Row) -> Result<()> {
    let (action, entity, before, after) =
        (row.get::<String>(5)?, row.get::<String>(6)?, row.get::<String>(9)?, row.get::<String>(10)?);
    let changed: Option<Vec<String>> = row.get(8)?;
    let entry = Entry {
        org_id: id(row, 2)?.ok_or_else(damaged)?,
        id: id(row, 3)?.ok_or_else(damaged)?,
        created_at: began_at(row)?,
        action: action.as_deref().ok_or_else(damaged)?,
        entity: entity.as_deref().ok_or_else(damaged)?,
        record_id: id(row, 7)?.ok_or_else(damaged)?,
        changed: changed.as_ref().map(|changed| changed.iter().map(String::as_str).collect()),
        before: before.as_deref().map(str::as_bytes),
        after: after.as_deref().map(str::as_bytes),
        transaction_id: transaction_of(row)?,
    };
    let address: Option<String> = row.get(17)?;
    let origin = Origin {
        actor_id: id(row, 11)?,
        impersonator_id: id(row, 12)?,
        api_key_id: id(row, 13)?,
        database_role: row.get(14)?.ok_or_else(damaged)?,
        login_role: row.get(15)?.ok_or_else(damaged)?,
        request_id: row.get(16)?,
        address: address.map(|address| address.parse::<IpAddr>().map_or(address, |address| address.to_string())),
        user_agent: row.get(18)?,
        application: row.get(19)?,
    };
    content.add(&entry, &origin);
    Ok(())
}

pub fn link_of(row: &Row) -> Result<Link> {
    Ok(Link {
        org_id: id(row, 1)?.ok_or_else(damaged)?,
        id: id(row, 2)?.ok_or_else(damaged)?,
        created_at: microseconds(row, 3)?,
        entries: row.get(4)?.ok_or_else(damaged)?,
        actor_id: id(row, 5)?,
        request_id: row.get(6)?,
        content_hash: row.get(7)?.ok_or_else(damaged)?,
    })
}
