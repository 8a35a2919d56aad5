//! Entries about history itself: what was pruned, and whose content was erased. They are links of the chain like all others.

use std::collections::HashMap;

use pgrx::PgBuiltInOids;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::Hash;
use super::person::Records;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::to_pg;

/// The permission to look at history.
pub const READ: &str = "audit.read";

/// What `after` of an entry with the action `prune` says.
#[derive(Deserialize, Serialize)]
pub struct Pruning {
    /// The last transaction that was removed with all before it,
    pub position: i64,
    /// its hash, in hexadecimal digits,
    pub hash: String,
    /// and how many transactions and entries were removed this time.
    pub transactions: i64,
    pub entries: i64,
}

impl Pruning {
    pub fn hash(&self) -> Result<Hash> {
        unhex(&self.hash).and_then(|hash| hash.try_into().ok()).ok_or_else(damaged)
    }
}

/// What `after` of an entry with the action `erase` says.
#[derive(Deserialize, Serialize)]
pub struct Erasure {
    /// The content hashes of transactions, in hexadecimal digits, since some of their entries are empty,
    pub transactions: HashMap<Uuid, String>,
    /// how many entries those are,
    pub entries: i64,
    /// and the records that are erased; early notes do not say it.
    #[serde(default)]
    pub records: Records,
}

/// The content hashes by now of transactions with erased entries.
pub type Erasures = HashMap<Uuid, Vec<u8>>;

pub fn last_pruning(organization: Uuid) -> Result<Option<Pruning>> {
    let told = db::select(
        "select after::text from crm.audit_log
         where org_id = $1 and action = 'prune' order by created_at desc, id desc limit 1",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| rows.first().get_one::<String>(),
    )?;
    told.map(|told| serde_json::from_str(&told).map_err(|_| damaged())).transpose()
}

pub fn erasures(organization: Uuid) -> Result<Erasures> {
    let mut erasures = Erasures::new();
    db::visit(
        "select after::text from crm.audit_log
         where org_id = $1 and action = 'erase' order by created_at, id",
        &[to_pg(organization).into()],
        |row| {
            let told = row.get::<String>(1)?.ok_or_else(damaged)?;
            let erasure: Erasure = serde_json::from_str(&told).map_err(|_| damaged())?;
            for (transaction, hash) in erasure.transactions {
                erasures.insert(transaction, unhex(&hash).ok_or_else(damaged)?);
            }
            Ok(())
        },
    )?;
    Ok(erasures)
}

fn damaged() -> CrmError {
    CrmError::internal("an entry of the audit log about the log is damaged")
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_names_no_records_is_read() {
        let told = r#"{"transactions": {"019ab000-0000-7000-8000-000000000000": "00ff"}, "entries": 3}"#;
        let erasure: Erasure = serde_json::from_str(told).unwrap();
        assert_eq!((erasure.transactions.len(), erasure.entries, erasure.records), (1, 3, Records::new()));
    }

    #[test]
    fn hexadecimal_digits_are_read() {
        assert_eq!(unhex("00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(unhex("zz"), None);
    }
}
