//! Tags: every record table with a column `tags text[]` holds their names, and `crm.tags` what an organization's tags are.
//!
//! Whoever names a tag that is not there makes it. Whoever adds a tag to a record holds the tag's row until the end of the
//! transaction, as a foreign key would: a tag is renamed or deleted after that, and so finds the record, or before it.

mod administer;
pub mod names;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, PgBuiltInOids};
use uuid::Uuid;

use super::guard::{by_foreign_key, identified};
use super::row::{self, Row, Rows};
use crate::access::permissions::everywhere;
use crate::db::{self, locks};
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg, to_pg};
use crate::schema::is_restore;

pub const COLUMN: &str = "tags";

/// What `crm.enroll` attaches to a table with such a column; its name is quoted and with its schema.
pub fn attachment(table: &str) -> String {
    format!(
        "create trigger _140_tags before insert or update on {table}
         for each row execute function crm_private.tag_record();\n"
    )
}

#[pg_trigger(sql = false)]
fn tag_record<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(tagged(trigger).map(Some))
}

fn tagged(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    let Some(given) = tags_of(&new)? else {
        // A list of rows of which some do not tell their tags has NULL for them.
        new.set(COLUMN, Some(Vec::<String>::new()))?;
        return Ok(new);
    };
    let before = old.as_ref().map_or(Ok(None), tags_of)?.unwrap_or_default();
    if given == before || is_restore() {
        return Ok(new);
    }
    let wanted = names::of_record(given).map_err(|problem| CrmError::invalid(COLUMN, problem))?;
    let wanted = match organization_of(trigger, &new)? {
        Some(organization) => settled(organization, wanted, before)?,
        None => wanted,
    };
    new.set(COLUMN, Some(wanted.into_values().collect::<Vec<_>>()))?;
    Ok(new)
}

fn tags_of(row: &Row) -> Result<Option<Vec<Option<String>>>> {
    row.get(COLUMN)
}

/// The organization whose tags are meant. None of those the caller does not work in: the row is refused later, and until
/// then must tell nothing of them.
fn organization_of(trigger: &PgTrigger, row: &Row) -> Result<Option<Uuid>> {
    let named = row.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    if by_foreign_key(trigger) {
        return Ok(named);
    }
    let Some(principal) = identified()? else { return Ok(named) };
    let active = principal.org_id();
    match named {
        Some(named) if active != Some(named) && !works_in(&principal, named)? => Ok(None),
        _ => Ok(named.or(active)),
    }
}

fn works_in(principal: &Principal, organization: Uuid) -> Result<bool> {
    Ok(everywhere(principal)?.into_iter().any(|(holder, _)| holder.organization() == organization))
}

/// The tags as the organization spells them. What the row had before is taken from there: who renames or deletes one of
/// those comes across this row, and waits for it.
fn settled(
    organization: Uuid,
    wanted: BTreeMap<String, String>,
    before: Vec<Option<String>>,
) -> Result<BTreeMap<String, String>> {
    let had: HashSet<String> = before.into_iter().flatten().collect();
    let (mut settled, added): (BTreeMap<_, _>, _) = wanted.into_iter().partition(|(_, name)| had.contains(name));
    for name in held(organization, added)? {
        settled.insert(names::key(&name), name);
    }
    Ok(settled)
}

/// Tags whose rows this transaction holds: names by organization and key. A savepoint that is rolled back lets go of those
/// taken since, so they count for the (sub)transaction alone in which they were taken.
#[derive(Default)]
struct Held {
    within: (u64, pg_sys::SubTransactionId),
    names: HashMap<(Uuid, String), String>,
}

/// More than an organization has at hand; what is forgotten is looked up again.
const REMEMBERED: usize = 10_000;

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// Takes hold of these tags, given by key, and makes those that are missing; gives their names as they are now.
fn held(organization: Uuid, wanted: BTreeMap<String, String>) -> Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    // SAFETY: reads the transaction's state; what is about to be written needs a transaction id anyway.
    let within = unsafe { (pg_sys::GetTopFullTransactionId().value, pg_sys::GetCurrentSubTransactionId()) };
    let mut names = Vec::with_capacity(wanted.len());
    let mut unknown = BTreeMap::new();
    HELD.with_borrow_mut(|held| {
        if held.within != within || held.names.len() > REMEMBERED {
            *held = Held { within, names: HashMap::new() };
        }
        for (key, name) in wanted {
            match held.names.get(&(organization, key.clone())) {
                Some(name) => names.push(name.clone()),
                None => drop(unknown.insert(key, name)),
            }
        }
    });
    if !unknown.is_empty() {
        let found = db::as_owner_of(c"crm", c"tags", || found_or_made(organization, unknown))?;
        names.extend(found.values().cloned());
        HELD.with_borrow_mut(|held| {
            held.names.extend(found.into_iter().map(|(key, name)| ((organization, key), name)));
        });
    }
    Ok(names)
}

/// After a tag was renamed or deleted by this transaction itself.
fn forget_held() {
    HELD.with_borrow_mut(|held| held.names.clear());
}

/// Names by key.
type Names = HashMap<String, String>;

/// Somebody else may make a tag between looking for it and making it; and delete it again.
const ATTEMPTS: usize = 5;

fn found_or_made(organization: Uuid, mut missing: BTreeMap<String, String>) -> Result<Names> {
    let mut found = Names::new();
    for _ in 0..ATTEMPTS {
        found.extend(find(organization, missing.keys().cloned().collect())?);
        missing.retain(|key, _| !found.contains_key(key));
        if missing.is_empty() {
            return Ok(found);
        }
        // Two imports with the same new tags in another order would wait for each other in a circle. So who makes new tags in an
        // organization is alone with that until the end of the transaction.
        locks::one_after_another(db::relation(c"crm", c"tags")?, organization);
        found.extend(make(organization, missing.values().cloned().collect())?);
        missing.retain(|key, _| !found.contains_key(key));
        if missing.is_empty() {
            return Ok(found);
        }
    }
    Err(CrmError::Conflict {
        message: "these tags are being changed by somebody else".into(),
        hint: "Try again.".into(),
    })
}

/// By id, once they are held: one that is being renamed is waited for, and then has its new name.
fn find(organization: Uuid, keys: Vec<String>) -> Result<Names> {
    db::write_prepared(
        "with found as materialized (select id, name_key from crm.tags where org_id = $1 and name_key = any ($2))
         select found.name_key, t.name
         from found
         join crm.tags as t on t.org_id = $1 and t.id = found.id
         order by found.name_key
         for key share of t",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTARRAYOID],
        &[to_pg(organization).into(), keys.into()],
        named,
    )
}

fn make(organization: Uuid, names: Vec<String>) -> Result<Names> {
    db::write_prepared(
        "insert into crm.tags (org_id, name) select $1, name from unnest($2) as name
         on conflict (org_id, name_key) do nothing
         returning name_key, name",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTARRAYOID],
        &[to_pg(organization).into(), names.into()],
        named,
    )
}

fn named(rows: db::Rows) -> Result<Names> {
    let mut names = Names::new();
    for row in rows {
        if let (Some(key), Some(name)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
            names.insert(key, name);
        }
    }
    Ok(names)
}
