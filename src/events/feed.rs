//! Entries in the order in which their transactions came into the chain. A transaction's place is given when those before it have
//! committed, so nothing comes before what was read already.

use std::collections::HashMap;

use pgrx::PgBuiltInOids;
use pgrx::datum::TimestampWithTimeZone;
use uuid::Uuid;

use super::cursor::Cursor;
use crate::audit::history::entries::{self, Entry, Place};
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};

/// An entry, and where it is.
pub struct Placed {
    pub position: i64,
    pub entry: Entry,
}

pub struct Page {
    pub entries: Vec<Placed>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Whether this was not all.
    pub more: bool,
    /// The hashes of the transactions, by position.
    hashes: HashMap<i64, Vec<u8>>,
}

impl Page {
    /// Where to go on after one of the entries.
    pub fn cursor_after(&self, placed: &Placed) -> Cursor {
        let hash = self.hashes.get(&placed.position).map(Vec::as_slice).unwrap_or_default();
        Cursor::at(placed.position, Some(placed.entry.id), hash)
    }

    /// Bytes, about.
    pub fn size(&self) -> usize {
        self.entries.iter().map(|placed| placed.entry.before.size() + placed.entry.after.size()).sum()
    }
}

/// How many entries are read at a time: few where they turn out to be large, so that what lies in memory stays small.
pub struct Pace(i64);

impl Pace {
    const FIRST: i64 = 64;
    const MOST: i64 = 1000;
    const SMALL: usize = 1 << 20;
    const LARGE: usize = 4 << 20;

    pub fn new() -> Self {
        Self(Self::FIRST)
    }

    pub fn at_most(&self, wanted: i64) -> i64 {
        self.0.min(wanted)
    }

    /// What was read took so many bytes.
    pub fn note(&mut self, bytes: usize) {
        self.0 = match bytes {
            ..Self::SMALL => (self.0 * 2).min(Self::MOST),
            Self::LARGE.. => (self.0 / 2).max(4),
            _ => self.0,
        };
    }
}

struct Transaction {
    id: Uuid,
    position: i64,
    created_at: TimestampWithTimeZone,
    entries: i64,
    hash: Vec<u8>,
}

/// What comes after a cursor, about so many entries; of places up to `until`.
pub fn after(organization: Uuid, cursor: &Cursor, until: Option<i64>, at_most: i64) -> Result<Page> {
    let mut transactions = transactions(organization, cursor, until.unwrap_or(i64::MAX), at_most)?;
    let mut more = transactions.len() as i64 > at_most;
    transactions.truncate(at_most as usize);
    let mut total = 0;
    let enough = transactions.iter().position(|transaction| {
        total += transaction.entries;
        total >= at_most
    });
    if let Some(last) = enough.filter(|last| last + 1 < transactions.len()) {
        transactions.truncate(last + 1);
        more = true;
    }
    let Some(last) = transactions.last() else {
        return Ok(Page { entries: vec![], cursor: cursor.clone(), more: false, hashes: HashMap::new() });
    };
    let found = entries::of_transactions(organization, &places(&transactions, cursor), at_most)?;
    let end = match found.last() {
        // The last one may have more.
        Some(entry) if found.len() as i64 == at_most => {
            more = true;
            transactions
                .iter()
                .find(|transaction| transaction.id == entry.transaction_id)
                .map(|transaction| Cursor::at(transaction.position, Some(entry.id), &transaction.hash))
        }
        _ => None,
    };
    let cursor = end.unwrap_or_else(|| Cursor::at(last.position, None, &last.hash));
    let positions: HashMap<_, _> =
        transactions.iter().map(|transaction| (transaction.id, transaction.position)).collect();
    let place = |entry: Entry| Some(Placed { position: *positions.get(&entry.transaction_id)?, entry });
    let entries = found.into_iter().filter_map(place).collect();
    let hashes = transactions.into_iter().map(|transaction| (transaction.position, transaction.hash)).collect();
    Ok(Page { entries, cursor, more, hashes })
}

fn places(transactions: &[Transaction], cursor: &Cursor) -> Vec<Place> {
    let after = |transaction: &Transaction| {
        if transaction.position == cursor.position { cursor.entry.unwrap_or_default() } else { Uuid::nil() }
    };
    let place = |transaction: &Transaction| Place {
        transaction_id: transaction.id,
        created_at: transaction.created_at,
        after: after(transaction),
    };
    transactions.iter().map(place).collect()
}

/// One more than asked for tells whether there are more.
fn transactions(organization: Uuid, cursor: &Cursor, until: i64, at_most: i64) -> Result<Vec<Transaction>> {
    // The transaction at the cursor itself is read on where not all of it was.
    let first = cursor.position + i64::from(cursor.entry.is_none());
    db::as_definer(|| {
        db::select(
            "select id, position, created_at, entries, hash from crm.audit_transactions
             where org_id = $1 and position >= $2 and position <= $3 order by position limit $4 + 1",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::INT8OID, PgBuiltInOids::INT8OID, PgBuiltInOids::INT8OID],
            &[to_pg(organization).into(), first.into(), until.into(), at_most.into()],
            |rows| rows.map(|row| read(&row)).collect(),
        )
    })
}

fn read(row: &db::Row) -> Result<Transaction> {
    let damaged = || CrmError::internal("a row of the audit log is damaged");
    Ok(Transaction {
        id: row.get::<pgrx::Uuid>(1)?.map(from_pg).ok_or_else(damaged)?,
        position: row.get(2)?.ok_or_else(damaged)?,
        created_at: row.get(3)?.ok_or_else(damaged)?,
        entries: row.get::<i32>(4)?.ok_or_else(damaged)?.into(),
        hash: row.get(5)?.ok_or_else(damaged)?,
    })
}

/// The end of the feed as it is now.
pub fn end(organization: Uuid) -> Result<Cursor> {
    let found = at(
        organization,
        "select position, hash from crm.audit_transactions
         where org_id = $1 and position is not null and position <= $2 order by position desc limit 1",
        i64::MAX,
    )?;
    Ok(found.map_or(Cursor::BEGINNING, |(position, hash)| Cursor::at(position, None, &hash)))
}

/// What a reader has not seen may be gone: it has to be told, and not passed over.
pub fn check(organization: Uuid, cursor: &Cursor) -> Result<()> {
    if cursor.position == 0 {
        return Ok(());
    }
    let gone = |problem: &str| CrmError::Unknown {
        field: "cursor".into(),
        problem: problem.into(),
        hint:
            "Read the records themselves anew, and begin with the cursor that changes_since('now') gives before that."
                .into(),
    };
    let own = at(
        organization,
        "select position, hash from crm.audit_transactions where org_id = $1 and position = $2",
        cursor.position,
    )?;
    if let Some((position, hash)) = own {
        let is_same = Cursor::at(position, None, &hash).mark == cursor.mark;
        return if is_same { Ok(()) } else { Err(gone("this is not the history that it was given for")) };
    }
    let next = at(
        organization,
        "select position, hash from crm.audit_transactions where org_id = $1 and position > $2 order by position limit 1",
        cursor.position,
    )?;
    match next {
        Some((position, _)) if position == cursor.position + 1 && cursor.entry.is_none() => Ok(()),
        Some(_) => Err(gone("what came next is older than history is kept")),
        None => Err(gone("this is not the history that it was given for")),
    }
}

fn at(organization: Uuid, query: &'static str, position: i64) -> Result<Option<(i64, Vec<u8>)>> {
    db::as_definer(|| {
        db::select(
            query,
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::INT8OID],
            &[to_pg(organization).into(), position.into()],
            |rows| {
                let (position, hash) = rows.first().get_two::<i64, Vec<u8>>()?;
                Ok(position.zip(hash))
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_entries_are_read_a_few_at_a_time() {
        let mut pace = Pace::new();
        assert_eq!(pace.at_most(10), 10);
        (0..10).for_each(|_| pace.note(1000));
        assert_eq!(pace.at_most(5000), 1000);
        pace.note(2 << 20);
        assert_eq!(pace.at_most(5000), 1000);
        (0..20).for_each(|_| pace.note(8 << 20));
        assert_eq!(pace.at_most(5000), 4);
    }
}
