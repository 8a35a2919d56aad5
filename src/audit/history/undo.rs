//! `crm.undo`: the entries of a transaction, or of all of a request, taken back from the last to the first.

use std::collections::HashSet;

use pgrx::PgBuiltInOids;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::entries::{self, Entry};
use super::images;
use super::outcome::{Outcome, What};
use super::returned::Withheld;
use super::reverse::Reverse;
use super::sight;
use super::subject::{Subject, Subjects};
use crate::audit::{transaction, trash};
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
    trash::keep_from_erasure(undo.organization)?;
    let Undone { outcomes, transactions, .. } = if dry_run { savepoint::rehearse(|| undo.run()) } else { undo.run() }?;
    if outcomes.is_empty() && undo.others.is_none_or(|others| others == 0) {
        return Err(by.unknown());
    }
    let mut answer = told(outcomes);
    answer["transactions"] = transactions.into();
    if let Some(others) = undo.others {
        answer["others"] = others.into();
    }
    Ok(answer)
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
    /// How many transactions of the request are somebody else's: for whoever may know of all.
    others: Option<i64>,
}

#[derive(Default)]
struct Undone {
    outcomes: Vec<Outcome>,
    /// Those that the caller may know of.
    transactions: Vec<Value>,
    /// Records that must not come back as they did, and why.
    incomplete: Withheld,
}

/// Clients choose the names of their requests, and somebody may have chosen the same. Whose a transaction is, all of its entries
/// say.
const OF_REQUEST: &str = "
    select t.id, t.created_at, not exists (
        select from crm.audit_log as a
        where a.org_id = t.org_id and a.created_at = t.created_at and a.transaction_id = t.id
            and (a.actor_id, a.api_key_id) is distinct from ($3, $4)
    ) as is_own
    from crm.audit_transactions as t
    where t.org_id = $1 and t.request_id = $2
    order by t.created_at desc, t.id desc";

impl Undo {
    fn find(by: &By) -> Result<Self> {
        let (principal, holder, permissions) = sight::active()?;
        let user = principal.user_id.filter(|_| principal.api_key.is_none());
        let key = principal.api_key.as_ref().map(|key| key.id);
        let found = match by {
            By::Transaction(id) => named(holder.organization(), *id),
            By::Request(id) => of_request(holder.organization(), id, user, key),
        }?;
        if found.is_empty() {
            return Err(by.unknown());
        }
        let reads_all = sight::reads_all_history(&permissions);
        let (own, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_own);
        let others = i64::try_from(others.len()).ok().filter(|_| reads_all && matches!(by, By::Request(_)));
        Ok(Self {
            organization: holder.organization(),
            user,
            key,
            reads_all,
            transactions: own.into_iter().map(|found| (found.id, found.created_at)).collect(),
            others,
        })
    }

    /// Anew without what came back incomplete, until nothing does.
    fn run(&self) -> Result<Undone> {
        let mut withheld = Withheld::new();
        loop {
            let undone = savepoint::kept_if(|| self.attempt(&withheld), |undone| undone.incomplete.is_empty())?;
            if undone.incomplete.is_empty() {
                return Ok(undone);
            }
            withheld.extend(undone.incomplete);
        }
    }

    fn attempt(&self, withheld: &Withheld) -> Result<Undone> {
        let mut undone: Vec<_> = self.transactions.iter().map(|(id, _)| *id).collect();
        undone.push(transaction::id());
        let mut subjects = Subjects::default();
        let mut reverse = Reverse::new(self.organization, undone, withheld.clone());
        let mut transactions = vec![];
        for (transaction, time) in &self.transactions {
            let mut before = None;
            let mut first_known: Option<Entry> = None;
            loop {
                let page = self.page(*transaction, *time, before)?;
                before = page.last().map(|entry| entry.id);
                if before.is_none() {
                    break;
                }
                for (subject, run) in self.runs(&mut subjects, page)? {
                    reverse.run(&subject, &run)?;
                    first_known = first_known.or_else(|| run.into_iter().next());
                }
            }
            transactions.extend(first_known.map(|entry| describe(&entry)));
        }
        let (outcomes, incomplete) = reverse.finish()?;
        transactions.truncate(TOLD);
        Ok(Undone { outcomes, transactions, incomplete })
    }

    fn page(&self, transaction: Uuid, time: TimestampWithTimeZone, before: Option<Uuid>) -> Result<Vec<Entry>> {
        let arguments: Vec<DatumWithOid> =
            vec![time.into(), to_pg(transaction).into(), before.map(to_pg).into(), PAGE.into()];
        let condition = "created_at = $2 and transaction_id = $3 and ($4 is null or id < $4) order by id desc limit $5";
        // As they are once nobody erases any more.
        db::at_latest(|| entries::find(self.organization, condition, arguments))
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

struct Found {
    id: Uuid,
    created_at: TimestampWithTimeZone,
    is_own: bool,
}

fn named(organization: Uuid, id: Uuid) -> Result<Vec<Found>> {
    db::select(
        "select id, created_at, true from crm.audit_transactions where org_id = $1 and id = $2",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID],
        &[to_pg(organization).into(), to_pg(id).into()],
        found,
    )
}

fn of_request(organization: Uuid, request: &str, user: Option<Uuid>, key: Option<Uuid>) -> Result<Vec<Found>> {
    const TYPES: [PgBuiltInOids; 4] =
        [PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID, PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];
    let arguments = [to_pg(organization).into(), request.into(), user.map(to_pg).into(), key.map(to_pg).into()];
    db::select(OF_REQUEST, &TYPES, &arguments, found)
}

fn found(rows: db::Rows) -> Result<Vec<Found>> {
    let mut found = vec![];
    for row in rows {
        if let (Some(id), Some(created_at), Some(is_own)) =
            (row.get::<pgrx::Uuid>(1)?, row.get::<TimestampWithTimeZone>(2)?, row.get::<bool>(3)?)
        {
            found.push(Found { id: from_pg(id), created_at, is_own });
        }
    }
    Ok(found)
}

fn describe(entry: &Entry) -> Value {
    json!({ "id": entry.transaction_id, "created_at": entry.created_at, "actor_id": entry.actor_id })
}

fn told(mut outcomes: Vec<Outcome>) -> Value {
    let count = |what| outcomes.iter().filter(|outcome| outcome.what == what).count();
    let [reversed, partly, kept, failed] = [What::Reversed, What::Partly, What::Kept, What::Failed].map(count);
    // What needs somebody's attention comes first.
    outcomes.sort_by_key(|outcome| outcome.what);
    let entries: Vec<_> = outcomes.iter().take(TOLD).map(Outcome::describe).collect();
    json!({ "reversed": reversed, "partly": partly, "kept": kept, "failed": failed, "entries": entries })
}
