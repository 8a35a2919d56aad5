//! Whether history is as it was written: `crm.verify_audit()`.

use std::collections::HashMap;

use pgrx::PgBuiltInOids;
use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::chain::{BEGINNING, Content, Hash};
use super::notes::{self, Erasures};
use super::stored;
use crate::access::policy;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::platform;
use crate::identity::principal::{from_pg, to_pg};
use crate::records::custom::raw::RawJson;

/// More are not told one by one.
const PROBLEMS_MAX: usize = 20;

/// A place in a chain that somebody wrote down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    org_id: Uuid,
    position: i64,
    hash: String,
    #[serde(rename = "created_at")]
    _created_at: Option<String>,
}

#[pg_extern(sql = false)]
fn audit_checkpoint(org_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    let organization = readable(org_id.map(from_pg))?
        .ok_or_else(|| CrmError::invalid("org_id", "name the organization: none is active"))?;
    let (position, hash, now) = db::select(
        "select head.position, encode(head.hash, 'hex'), to_json(clock_timestamp()) #>> '{}'
         from (values (1)) as one
         left join lateral (
             select position, hash from crm.audit_transactions
             where org_id = $1 and position is not null order by position desc limit 1
         ) as head on true",
        &[PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into()],
        |rows| rows.first().get_three::<i64, String, String>(),
    )?;
    Ok(JsonB(json!({
        "org_id": organization,
        "position": position.unwrap_or(0),
        "hash": hash.unwrap_or_else(|| hex(&BEGINNING)),
        "created_at": now,
    })))
}

#[pg_extern(sql = false)]
fn verify_audit(
    org_id: Option<pgrx::Uuid>,
    checkpoint: Option<RawJson>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(organization, pgrx::Uuid),
            name!(valid, bool),
            name!(transactions, i64),
            name!(entries, i64),
            name!(waiting, i64),
            name!(erased, i64),
            name!(pruned, i64),
            name!(last_position, i64),
            name!(last_hash, String),
            name!(problems, Vec<String>),
        ),
    >,
    ErrorReport,
> {
    let checkpoint = checkpoint
        .map(|checkpoint| checkpoint.parse::<Checkpoint>("checkpoint"))
        .transpose()
        .map_err(|_| CrmError::invalid("checkpoint", "must be what crm.audit_checkpoint() gave"))?;
    let named = org_id.map(from_pg).or(checkpoint.as_ref().map(|checkpoint| checkpoint.org_id));
    let organizations = match readable(named)? {
        Some(organization) => vec![organization],
        None => organizations()?,
    };
    let mut rows = vec![];
    for organization in organizations {
        let checkpoint = checkpoint.as_ref().filter(|checkpoint| checkpoint.org_id == organization);
        let found = Check::run(organization, checkpoint)?;
        rows.push((
            to_pg(organization),
            found.problems.is_empty(),
            found.transactions,
            found.entries,
            found.waiting,
            found.erasures.len() as i64,
            found.pruned,
            found.position,
            hex(&found.hash),
            found.problems,
        ));
    }
    Ok(TableIterator::new(rows))
}

/// The organization that is asked for, which the caller may look at; none: all of them, for the DBA.
fn readable(named: Option<Uuid>) -> Result<Option<Uuid>> {
    if platform::is_administrator() {
        return Ok(named);
    }
    let organization = policy::require(notes::READ)?.0.organization();
    match named {
        Some(named) if named != organization => {
            Err(CrmError::forbidden(format!("{} is not permitted to you there", notes::READ)))
        }
        _ => Ok(Some(organization)),
    }
}

fn organizations() -> Result<Vec<Uuid>> {
    db::select("select id from crm.organizations order by id", &[], &[], |rows| {
        rows.map(|row| row.get::<pgrx::Uuid>(1)?.map(from_pg).ok_or_else(|| CrmError::internal("no id"))).collect()
    })
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a transaction's entries must give.
struct Expected {
    salt: Vec<u8>,
    hash: Vec<u8>,
    entries: i32,
    seen: bool,
}

/// What is read of a transaction's entries.
struct Read {
    content: Content,
    /// Whether some say that they were emptied.
    emptied: bool,
}

struct Check {
    organization: Uuid,
    erasures: Erasures,
    expected: HashMap<Uuid, Expected>,
    transactions: i64,
    entries: i64,
    waiting: i64,
    pruned: i64,
    position: i64,
    hash: Hash,
    problems: Vec<String>,
}

impl Check {
    fn run(organization: Uuid, checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let mut check = Self {
            organization,
            erasures: notes::erasures(organization)?,
            expected: HashMap::new(),
            transactions: 0,
            entries: 0,
            waiting: 0,
            pruned: 0,
            position: 0,
            hash: BEGINNING,
            problems: vec![],
        };
        if let Some(pruned) = notes::last_pruning(organization)? {
            (check.pruned, check.position, check.hash) = (pruned.position, pruned.position, pruned.hash()?);
        }
        check.chain(checkpoint)?;
        check.content()?;
        Ok(check)
    }

    fn problem(&mut self, problem: impl FnOnce() -> String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem());
        }
    }

    fn chain(&mut self, checkpoint: Option<&Checkpoint>) -> Result<()> {
        let mut met = checkpoint.is_none_or(|checkpoint| checkpoint.position <= self.pruned);
        if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.position == self.position)
            && checkpoint.hash != hex(&self.hash)
        {
            self.problem(|| format!("position {}: not the hash of the checkpoint", checkpoint.position));
        }
        let query = format!(
            "select {}, salt, position, hash from crm.audit_transactions where org_id = $1 order by position",
            stored::LINK
        );
        db::visit(&query, &[to_pg(self.organization).into()], |row| {
            let link = stored::link_of(row)?;
            let (salt, position, hash) = (row.get::<Vec<u8>>(8)?, row.get::<i64>(9)?, row.get::<Vec<u8>>(10)?);
            self.transactions += 1;
            match position {
                None => self.waiting += 1,
                Some(position) => {
                    if position != self.position + 1 {
                        let before = self.position;
                        self.problem(|| format!("position {position}: follows position {before}"));
                    }
                    let computed = link.hash(&self.hash, position);
                    if hash.as_deref() != Some(&computed) {
                        self.problem(|| {
                            format!("position {position}: transaction {} was changed, or one before it", link.id)
                        });
                    }
                    self.position = position;
                    // What follows is compared with what is written: one change is told once.
                    self.hash = hash.and_then(|hash| hash.try_into().ok()).unwrap_or(computed);
                    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.position == position) {
                        met = true;
                        if checkpoint.hash != hex(&self.hash) {
                            self.problem(|| format!("position {position}: not the hash of the checkpoint"));
                        }
                    }
                }
            }
            let hash = self.erasures.get(&link.id).cloned().unwrap_or(link.content_hash);
            let expected = Expected { salt: salt.unwrap_or_default(), hash, entries: link.entries, seen: false };
            self.expected.insert(link.id, expected);
            Ok(())
        })?;
        if !met {
            self.problem(|| "the checkpoint's position is missing".into());
        }
        Ok(())
    }

    fn content(&mut self) -> Result<()> {
        let query = format!(
            "select {}, erased_at is not null from crm.audit_log where org_id = $1 order by created_at, id",
            stored::ENTRY
        );
        let mut open: HashMap<Uuid, Read> = HashMap::new();
        let mut time = i64::MIN;
        db::visit(&query, &[to_pg(self.organization).into()], |row| {
            let began_at = stored::began_at(row)?;
            if began_at != time {
                time = began_at;
                open.drain().for_each(|(transaction, read)| self.compare(transaction, &read));
            }
            self.entries += 1;
            let transaction = stored::transaction_of(row)?;
            let read = open.entry(transaction).or_insert_with(|| {
                let salt = self.expected.get(&transaction).map_or(&[][..], |expected| &expected.salt);
                Read { content: Content::new(salt), emptied: false }
            });
            read.emptied |= row.get(stored::ENTRY_WIDTH + 1)? == Some(true);
            stored::add_to(&mut read.content, row)
        })?;
        open.drain().for_each(|(transaction, read)| self.compare(transaction, &read));
        let unseen: Vec<_> = self.expected.iter().filter(|(_, expected)| !expected.seen).map(|(id, _)| *id).collect();
        for transaction in unseen {
            self.problem(|| format!("transaction {transaction}: all entries are missing"));
        }
        Ok(())
    }

    fn compare(&mut self, transaction: Uuid, Read { content, emptied }: &Read) {
        let is_noted = self.erasures.contains_key(&transaction);
        let problem = match self.expected.get_mut(&transaction) {
            None => "is not in the chain".into(),
            Some(expected) => {
                // The same transaction with another time is one that was changed, too.
                let again = std::mem::replace(&mut expected.seen, true);
                if content.entries != expected.entries {
                    format!("has {} entries instead of {}", content.entries, expected.entries)
                } else if *emptied && !is_noted {
                    "has entries that were emptied, and no note of an erasure".into()
                } else if again || content.hash().as_slice() != expected.hash {
                    "has entries that were changed".into()
                } else {
                    return;
                }
            }
        };
        self.problem(|| format!("transaction {transaction}: {problem}"));
    }
}
