//! `crm.erase_person`: a person's records go, and what history knew of them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand;
use pgrx::PgBuiltInOids;
use pgrx::datum::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::chain::{Content, SALT};
use super::notes::Erasure;
use super::person::{self, Found};
use super::place::Ours;
use super::write::{Event, Writer};
use super::{stored, transaction, trash, verify};
use crate::access::policy;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{from_pg, to_pg};

const PERMISSION: &str = "audit.erase";

thread_local! {
    static ERASING: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is deleted now leaves no content in history.
pub fn goes_on() -> bool {
    ERASING.get()
}

fn erasing<R>(run: impl FnOnce() -> R) -> R {
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
    let (holder, _) = policy::require_to_write(PERMISSION)?;
    let organization = holder.organization();
    let (entity, id) = (given("entity", entity)?, from_pg(given("id", id)?));
    let also: BTreeSet<String> = also.unwrap_or_default().into_iter().flatten().collect();
    let found = person::find(organization, entity, id, &also)?;
    if dry_run.unwrap_or(false) {
        return Ok(JsonB(report(&found, history_of(organization, &found)?.0, 0)));
    }
    alone(organization)?;
    // From here on nobody adds to the chain before this does: what they do waits for its place.
    locks::one_after_another(db::relation(c"crm", c"audit_transactions")?, organization);
    erasing(|| db::as_caller(|| found.delete(organization)))?;
    let (entries, transactions) = history_of(organization, &found)?;
    let erasure = Erasure { transactions: empty(organization, &found, &transactions)?, entries };
    let told = serde_json::to_vec(&erasure).map_err(|_| CrmError::internal("what was erased cannot be told"))?;
    let mut writer = Writer::new(entity)?;
    let event =
        Event { org_id: organization, record_id: id, action: "erase", changed: None, before: None, after: Some(&told) };
    writer.add(event)?;
    writer.finish();
    Ok(JsonB(report(&found, entries, transactions.len())))
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

fn report(found: &Found, entries: i64, transactions: usize) -> serde_json::Value {
    json!({
        "erased": found.erased(),
        "kept": found.kept,
        "entries": entries,
        "transactions": transactions,
    })
}

/// When the transactions began that have content of these records, and how many entries that is.
fn history_of(organization: Uuid, found: &Found) -> Result<(i64, BTreeMap<Uuid, TimestampWithTimeZone>)> {
    let ids: Vec<_> = found.history.iter().copied().map(to_pg).collect();
    db::at_latest(|| {
        db::select(
            "select transaction_id, created_at, count(*) from crm.audit_log
             where org_id = $1 and record_id = any ($2) and (before is not null or after is not null) and erased_at is null
                 and action not in ('erase', 'prune')
             group by transaction_id, created_at",
            &[PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDARRAYOID],
            &[to_pg(organization).into(), ids.into()],
            |rows| {
                let (mut entries, mut transactions) = (0, BTreeMap::new());
                for row in rows {
                    if let (Some(transaction), Some(began_at), Some(count)) =
                        (row.get::<pgrx::Uuid>(1)?, row.get(2)?, row.get::<i64>(3)?)
                    {
                        transactions.insert(from_pg(transaction), began_at);
                        entries += count;
                    }
                }
                Ok((entries, transactions))
            },
        )
    })
}

/// Empties the entries, and gives the hashes that their transactions' content has from now on. With a new salt each, and without the
/// old one: from the old hash nobody can find out what stood there.
fn empty(
    organization: Uuid,
    found: &Found,
    transactions: &BTreeMap<Uuid, TimestampWithTimeZone>,
) -> Result<std::collections::HashMap<Uuid, String>> {
    let _ours = Ours::begin();
    let ids: Vec<_> = found.history.iter().copied().map(to_pg).collect();
    db::execute(
        "update crm.audit_log set before = null, after = null, erased_at = now()
         where org_id = $1 and record_id = any ($2) and (before is not null or after is not null) and erased_at is null
             and action not in ('erase', 'prune')",
        &[to_pg(organization).into(), ids.into()],
    )?;
    trash::take_out(organization, &found.history.iter().copied().collect::<Vec<_>>())?;
    let mut hashes = std::collections::HashMap::new();
    for (transaction, began_at) in transactions {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| CrmError::internal("there is no randomness"))?;
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
