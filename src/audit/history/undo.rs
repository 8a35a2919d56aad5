//! `crm.undo`: the entries of a transaction, or of all of a request, taken back from the last to the first.

use std::collections::HashSet;

use pgrx::PgBuiltInOids;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entries::{self, Entry};
use super::images;
use super::outcome::{Outcome, What};
use super::reverse::Reverse;
use super::sight;
use super::subject::{Subject, Subjects};
use crate::audit::transaction;
use crate::db::{self, savepoint};
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};

/// So many entries are looked at at a time.
const PAGE: i64 = 1000;

/// So many are told of.
const TOLD: usize = 1000;

pub fn undo(transaction: Option<Uuid>, request: Option<&str>, dry_run: bool) -> Result<Value> {
    let by = match (transaction, request) {
        (Some(transaction), None) => By::Transaction(transaction),
        (None, Some(request)) => By::Request(request),
        _ => return Err(CrmError::invalid("transaction_id", "name either a transaction or a request")),
    };
    let undo = Undo::find(&by)?;
    let outcomes = if dry_run { savepoint::rehearse(|| undo.run()) } else { undo.run() }?;
    if outcomes.is_empty() {
        return Err(by.unknown());
    }
    Ok(told(outcomes))
}

enum By<'a> {
    Transaction(Uuid),
    Request(&'a str),
}

impl By<'_> {
    /// The same answer for what is not there and what is somebody else's.
    fn unknown(&self) -> CrmError {
        match self {
            Self::Transaction(_) => CrmError::invalid("transaction_id", "there is no such transaction"),
            Self::Request(_) => CrmError::invalid("request_id", "there is no such request"),
        }
    }
}

struct Undo {
    organization: Uuid,
    user: Option<Uuid>,
    key: Option<Uuid>,
    reads_all: bool,
    /// The latest first.
    transactions: Vec<(Uuid, TimestampWithTimeZone)>,
}

impl Undo {
    fn find(by: &By) -> Result<Self> {
        let (principal, holder, permissions) = sight::active()?;
        let organization = to_pg(holder.organization());
        let read = |rows: db::Rows| {
            let mut found = vec![];
            for row in rows {
                if let (Some(id), Some(time)) = (row.get::<pgrx::Uuid>(1)?, row.get::<TimestampWithTimeZone>(2)?) {
                    found.push((from_pg(id), time));
                }
            }
            Ok(found)
        };
        let transactions = match by {
            By::Transaction(id) => db::select(
                "select id, created_at from crm.audit_transactions where org_id = $1 and id = $2",
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
                &[organization.into(), to_pg(*id).into()],
                read,
            ),
            By::Request(id) => db::select(
                "select id, created_at from crm.audit_transactions where org_id = $1 and request_id = $2
                 order by created_at desc, id desc",
                &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
                &[organization.into(), (*id).into()],
                read,
            ),
        }?;
        if transactions.is_empty() {
            return Err(by.unknown());
        }
        Ok(Self {
            organization: holder.organization(),
            user: principal.user_id.filter(|_| principal.api_key.is_none()),
            key: principal.api_key.as_ref().map(|key| key.id),
            reads_all: sight::reads_all_history(&permissions),
            transactions,
        })
    }

    fn run(&self) -> Result<Vec<Outcome>> {
        let mut undone: Vec<_> = self.transactions.iter().map(|(id, _)| *id).collect();
        undone.push(transaction::id());
        let mut subjects = Subjects::default();
        let mut reverse = Reverse::new(self.organization, undone);
        for (transaction, time) in &self.transactions {
            let mut before = None;
            loop {
                let page = self.page(*transaction, *time, before)?;
                before = page.last().map(|entry| entry.id);
                if before.is_none() {
                    break;
                }
                for (subject, run) in self.runs(&mut subjects, page)? {
                    reverse.run(&subject, &run)?;
                }
            }
        }
        reverse.finish()
    }

    fn page(&self, transaction: Uuid, time: TimestampWithTimeZone, before: Option<Uuid>) -> Result<Vec<Entry>> {
        let arguments: Vec<DatumWithOid> =
            vec![time.into(), to_pg(transaction).into(), before.map(to_pg).into(), PAGE.into()];
        let condition = "created_at = $2 and transaction_id = $3 and ($4 is null or id < $4) order by id desc limit $5";
        entries::find(self.organization, condition, arguments)
    }

    /// Entries of one kind that follow each other, each of another record, as far as the caller may know of them.
    fn runs(&self, subjects: &mut Subjects, page: Vec<Entry>) -> Result<Vec<(std::rc::Rc<Subject>, Vec<Entry>)>> {
        let mut runs: Vec<Vec<Entry>> = vec![];
        let mut records = HashSet::new();
        for entry in page {
            let last = runs.last().and_then(|run| run.last());
            let goes_on = last.is_some_and(|last| last.entity == entry.entity && last.action == entry.action)
                && !records.contains(&entry.record_id);
            if !goes_on {
                runs.push(vec![]);
                records.clear();
            }
            records.insert(entry.record_id);
            runs.last_mut().into_iter().for_each(|run| run.push(entry.clone()));
        }
        let mut known = vec![];
        for run in runs {
            let Some(subject) = run.first().map(|entry| subjects.find(&entry.entity)).transpose()?.flatten() else {
                continue;
            };
            let run = self.known(&subject, run)?;
            if !run.is_empty() {
                known.push((subject, run));
            }
        }
        Ok(known)
    }

    fn known(&self, subject: &Subject, run: Vec<Entry>) -> Result<Vec<Entry>> {
        let is_own = |entry: &Entry| match self.key {
            Some(key) => entry.api_key_id == Some(key),
            None => entry.actor_id.is_some() && entry.actor_id == self.user,
        };
        if self.reads_all || run.iter().all(is_own) {
            return Ok(run);
        }
        let ids: Vec<_> = run.iter().map(|entry| entry.record_id).collect();
        let mut visible: HashSet<_> = images::visible(subject, self.organization, &ids)?.into_iter().collect();
        visible.extend(sight::in_trash(subject, self.organization, &ids)?);
        let floors = sight::floors(subject, self.organization, &ids)?;
        let is_of_it = |entry: &Entry| floors.get(&entry.record_id).is_none_or(|floor| entry.id > *floor);
        let mut known = vec![];
        for entry in run {
            if is_own(&entry)
                || visible.contains(&entry.record_id) && is_of_it(&entry)
                || entry.action == entries::Action::Delete && sight::could_read(subject, self.organization, &entry)?
            {
                known.push(entry);
            }
        }
        Ok(known)
    }
}

fn told(mut outcomes: Vec<Outcome>) -> Value {
    let count = |what| outcomes.iter().filter(|outcome| outcome.what == what).count();
    let [reversed, partly, kept, failed] = [What::Reversed, What::Partly, What::Kept, What::Failed].map(count);
    // What needs somebody's attention comes first.
    outcomes.sort_by_key(|outcome| outcome.what);
    let entries: Vec<_> = outcomes.iter().take(TOLD).map(Outcome::describe).collect();
    json!({ "reversed": reversed, "partly": partly, "kept": kept, "failed": failed, "entries": entries })
}
