//! `crm.erase_person`: a person's records go, and what history knew of them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use pgrx::datum::{DatumWithOid, JsonB};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::chain::{Content, SALT};
use super::notes::Erasure;
use super::person::{self, Found, Records, Search};
use super::place::Ours;
use super::write::{Event, Writer};
use super::{stored, transaction, trash, verify};
use crate::access::grants::Scope;
use crate::access::permissions::{Holder, Permissions};
use crate::access::{policy, race};
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::events::{inbound, queue};
use crate::identity::answer::{self, given};
use crate::identity::principal::{from_pg, to_pg};
use crate::random;

const PERMISSION: &str = "audit.erase";

thread_local! {
    static ERASING: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is deleted now leaves no content in history.
pub fn goes_on() -> bool {
    ERASING.get()
}

/// Deletes something so that history tells that it went, and not what it was.
pub fn erasing<R>(run: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ERASING.set(self.0);
        }
    }
    let _before = Before(ERASING.replace(true));
    run()
}

#[pg_extern(sql = false)]
fn erase_person(
    entity: Option<&str>,
    id: Option<pgrx::Uuid>,
    also: Option<Vec<Option<String>>>,
    dry_run: Option<bool>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("erase_person")?;
    let (holder, permissions) = policy::require_to_write(PERMISSION)?;
    let organization = holder.organization();
    let (entity, id) = (given("entity", entity)?, from_pg(given("id", id)?));
    let also: BTreeSet<String> = also.unwrap_or_default().into_iter().flatten().collect();
    let is_dry = dry_run.unwrap_or(false);
    if !is_dry {
        alone(organization)?;
        trash::keep_from_return(organization)?;
    }
    let mut found = person::find(&Search { organization, also: &also, holds: !is_dry }, entity, id)?;
    if is_dry {
        return Ok(JsonB(report(&found, &past_of(holder, &permissions, &found)?, 0)));
    }
    // From here on nobody adds to the chain before this does: what they do waits for its place.
    locks::one_after_another(db::relation(c"crm", c"audit_transactions")?, organization);
    let addresses = inbound::addresses(organization, &found.history)?;
    erasing(|| db::as_caller(|| found.delete(organization)))?;
    erasing(|| inbound::forget(organization, &found.history, &addresses))?;
    found.add_deleted(organization)?;
    let past = past_of(holder, &permissions, &found)?;
    let transactions = empty(organization, &found.history, &past.transactions)?;
    queue::forget(organization, &found.history)?;
    let erasure = Erasure { transactions, entries: past.entries, records: found.history.clone() };
    note(organization, entity, id, &erasure)?;
    Ok(JsonB(report(&found, &past, past.transactions.len())))
}

fn note(organization: Uuid, entity: &str, id: Uuid, erasure: &Erasure) -> Result<()> {
    let told = serde_json::to_vec(erasure).map_err(|_| CrmError::internal("what was erased cannot be told"))?;
    let mut writer = Writer::new(entity)?;
    writer.add(Event {
        org_id: organization,
        record_id: id,
        action: "erase",
        changed: None,
        before: None,
        after: Some(&told),
        is_held: false,
    })?;
    writer.finish();
    Ok(())
}

/// What this transaction noted is hashed, and would not be found empty; what it does not see could not be emptied.
fn alone(organization: Uuid) -> Result<()> {
    // SAFETY: reads the isolation level.
    let looks_back = unsafe { pg_sys::XactIsoLevel } >= pg_sys::XACT_REPEATABLE_READ as i32;
    if !looks_back && !transaction::has_entries(organization) {
        return Ok(());
    }
    Err(CrmError::Refused {
        message: "a person is erased in a transaction of its own, in READ COMMITTED".into(),
        hint: "Call it outside of a transaction that has changed something, or that looks at an older state.".into(),
    })
}

fn report(found: &Found, past: &Past, transactions: usize) -> serde_json::Value {
    json!({
        "erased": person::count(&found.records),
        "kept": person::count(&found.kept),
        "history": person::count(&past.records),
        "entries": past.entries,
        "transactions": transactions,
    })
}

/// What history tells of records.
#[derive(Default)]
struct Past {
    entries: i64,
    /// When they began.
    transactions: BTreeMap<Uuid, TimestampWithTimeZone>,
    records: Records,
    /// Which of these were deleted once, and came back or were made anew since.
    deleted: BTreeSet<(String, Uuid)>,
}

impl Past {
    /// Whether the caller may make it forgotten. What is there, their policies let them delete or not; what was deleted may have
    /// been anybody's, also if somebody made another record with its id since.
    fn require(&self, holder: Holder, permissions: &Rc<Permissions>, found: &Found) -> Result<()> {
        for (entity, ids) in &self.records {
            let is_own = |id: &Uuid| found.was_there(entity, *id) && !self.deleted.contains(&(entity.clone(), *id));
            if ids.iter().all(is_own) {
                continue;
            }
            let resource = found.resource_of(entity).ok_or_else(|| CrmError::internal("a table is missing"))?;
            let permission = format!("{resource}.delete");
            if permissions.scope(&permission) != Some(Scope::All) {
                return Err(CrmError::forbidden(format!(
                    "{permission} is not permitted to you for all records, and history has deleted ones that may have been anybody's"
                )));
            }
            race::note(holder, &permission, permissions);
        }
        Ok(())
    }
}

/// Entries with content of the records `$2`, `$3`. Those of this transaction stay as they are hashed: of what is deleted they have
/// none, and otherwise say that something points to the person no more.
const CONTENT: &str = "l.org_id = $1 and l.record_id = r.record_id and l.entity = r.entity and l.transaction_id <> $4
     and (l.before is not null or l.after is not null) and l.erased_at is null and l.action not in ('erase', 'prune')";

fn arguments(organization: Uuid, records: &Records) -> [DatumWithOid<'static>; 4] {
    let pairs = records.iter().flat_map(|(entity, ids)| ids.iter().map(|id| (entity.clone(), to_pg(*id))));
    let (entities, ids): (Vec<_>, Vec<_>) = pairs.unzip();
    [to_pg(organization).into(), entities.into(), ids.into(), to_pg(transaction::id()).into()]
}

/// What the caller may make forgotten.
fn past_of(holder: Holder, permissions: &Rc<Permissions>, found: &Found) -> Result<Past> {
    let query = format!(
        "select l.transaction_id, l.created_at, l.entity, l.record_id, count(*), bool_or(l.action = 'delete')
         from unnest($2, $3) as r (entity, record_id)
         join crm.audit_log as l on {CONTENT}
         group by l.transaction_id, l.created_at, l.entity, l.record_id"
    );
    let mut past = Past::default();
    db::at_latest(|| {
        db::select_once(&query, &arguments(holder.organization(), &found.history), |mut rows| {
            rows.try_for_each(|row| past.add(&row))
        })
    })?;
    past.require(holder, permissions, found)?;
    Ok(past)
}

impl Past {
    fn add(&mut self, row: &db::Row) -> Result<()> {
        let id = |column| -> Result<Option<Uuid>> { Ok(row.get::<pgrx::Uuid>(column)?.map(from_pg)) };
        let (Some(transaction), Some(began_at), Some(entity), Some(record), Some(entries)) =
            (id(1)?, row.get(2)?, row.get::<String>(3)?, id(4)?, row.get::<i64>(5)?)
        else {
            return Err(CrmError::internal("a row of the audit log is damaged"));
        };
        self.entries += entries;
        self.transactions.insert(transaction, began_at);
        if row.get(6)? == Some(true) {
            self.deleted.insert((entity.clone(), record));
        }
        self.records.entry(entity).or_default().insert(record);
        Ok(())
    }
}

/// Empties the entries, and gives the hashes that their transactions' content has from now on. With a new salt each, and without the
/// old one: from the old hash nobody can find out what stood there.
fn empty(
    organization: Uuid,
    records: &Records,
    transactions: &BTreeMap<Uuid, TimestampWithTimeZone>,
) -> Result<HashMap<Uuid, String>> {
    let _ours = Ours::begin();
    let statement = format!(
        "update crm.audit_log as l set before = null, after = null, erased_at = now()
         from unnest($2, $3) as r (entity, record_id)
         where {CONTENT}"
    );
    db::execute(&statement, &arguments(organization, records))?;
    for (entity, ids) in records {
        trash::take_out(organization, entity, ids.iter().copied())?;
    }
    let mut hashes = HashMap::new();
    for (transaction, began_at) in transactions {
        let salt = random::bytes::<SALT>()?;
        let mut content = Content::new(&salt);
        let query = format!(
            "select {} from crm.audit_log where org_id = $1 and created_at = $2 and transaction_id = $3 order by id",
            stored::ENTRY
        );
        let arguments = [to_pg(organization).into(), (*began_at).into(), to_pg(*transaction).into()];
        db::at_latest(|| db::visit(&query, &arguments, |row| stored::add_to(&mut content, row)))?;
        db::execute(
            "update crm.audit_transactions set salt = $3 where org_id = $1 and id = $2",
            &[to_pg(organization).into(), to_pg(*transaction).into(), salt.as_slice().into()],
        )?;
        hashes.insert(*transaction, verify::hex(&content.hash()));
    }
    Ok(hashes)
}
