//! API keys: making, listing and ending them. What one stands for in a request is looked up in `verify`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use super::answer::{self, given};
use super::platform;
use super::principal::{Person, Principal, from_pg, to_pg};
use super::secret;
use super::session::new_secret;
use crate::access::grants::Scope;
use crate::access::policy;
use crate::access::roles::lacks;
use crate::access::scopes::is_scope;
use crate::db;
use crate::error::{CrmError, Result};
use crate::text;

/// `crmo_` or `crmp_`, eight characters that tell keys apart, `_`, and the secret.
const PREFIX_LENGTH: usize = 13;

/// The part of a key that is stored readably, if it has a key's form.
pub fn prefix_of(key: &str) -> Option<&str> {
    let (prefix, secret) = (key.get(..PREFIX_LENGTH)?, key.get(PREFIX_LENGTH..)?.strip_prefix('_')?);
    let of_ours = prefix.starts_with("crmo_") || prefix.starts_with("crmp_");
    (of_ours && secret.len() == secret::LENGTH).then_some(prefix)
}

#[pg_extern(sql = false)]
fn create_api_key(
    name: Option<&str>,
    scopes: Option<Vec<Option<String>>>,
    expires_at: Option<TimestampWithTimeZone>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_api_key")?;
    let Person { user, .. } = Principal::person()?;
    let (holder, mine) = policy::require("api_keys.create")?;
    let scopes = checked(scopes)?;
    // A key has what it has for all rows.
    if let Some(lacking) = scopes.iter().find(|scope| !mine.grants.include(scope, Scope::All)) {
        return Err(lacks(lacking, Scope::All.name()).into());
    }
    Ok(create(Some(holder.organization()), Some(user), name, scopes, expires_at)?)
}

#[pg_extern(sql = false)]
fn create_platform_key(
    name: Option<&str>,
    scopes: Option<Vec<Option<String>>>,
    expires_at: Option<TimestampWithTimeZone>,
) -> Result<JsonB, ErrorReport> {
    answer::needs_post("create_platform_key")?;
    platform::require_administrator()?;
    let scopes = checked(scopes)?;
    Ok(create(None, None, name, scopes, expires_at)?)
}

fn checked(scopes: Option<Vec<Option<String>>>) -> Result<Vec<String>> {
    let scopes = given("scopes", scopes)?.into_iter().collect::<Option<BTreeSet<_>>>();
    let scopes = scopes.ok_or_else(|| CrmError::invalid("scopes", "must not contain null"))?;
    if let Some(bad) = scopes.iter().find(|scope| !is_scope(scope)) {
        let bad: String = bad.chars().take(50).collect();
        return Err(CrmError::invalid(
            "scopes",
            format!("\"{bad}\" is no permission like contacts.read or contacts.*"),
        ));
    }
    if scopes.is_empty() || scopes.len() > 100 {
        return Err(CrmError::invalid("scopes", "must be 1 to 100 permissions"));
    }
    Ok(scopes.into_iter().collect())
}

fn create(
    organization: Option<Uuid>,
    by: Option<Uuid>,
    name: Option<&str>,
    scopes: Vec<String>,
    expires_at: Option<TimestampWithTimeZone>,
) -> Result<JsonB> {
    let name = text::line(given("name", name)?, 100).map_err(|problem| CrmError::invalid("name", problem))?;
    if name.is_empty() {
        return Err(CrmError::invalid("name", "must not be empty"));
    }
    if expires_at.is_some_and(|at| at <= pgrx::datum::datetime_support::now()) {
        return Err(CrmError::invalid("expires_at", "must lie in the future"));
    }
    let expires_at = expires_at.filter(|at| !at.is_infinity());
    let kind = if organization.is_some() { "crmo" } else { "crmp" };
    let prefix = format!("{kind}_{}", &Uuid::new_v4().simple().to_string()[..8]);
    let key = format!("{prefix}_{}", new_secret()?);
    let id = db::execute_returning::<pgrx::Uuid>(
        "insert into crm_private.api_keys (org_id, name, prefix, hash, scopes, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7) returning id",
        &[
            organization.map(to_pg).into(),
            name.as_str().into(),
            prefix.as_str().into(),
            secret::hash(&key).into(),
            scopes.clone().into(),
            by.map(to_pg).into(),
            expires_at.into(),
        ],
    )?;
    db::execute("insert into crm_private.api_key_uses (api_key_id) values ($1)", &[id.into()])?;
    answer::no_store();
    Ok(JsonB(json!({
        "id": id.map(from_pg), "key": key, "prefix": prefix, "name": name, "scopes": scopes, "expires_at": expires_at,
    })))
}

/// Whose keys the caller may look after: those of the active organization, or the platform's.
fn looked_after(permission: &str) -> Result<Option<Uuid>> {
    match Principal::current() {
        Some(current) if current.actor_id.is_some() => Err(CrmError::forbidden("not while acting as somebody else")),
        Some(_) => Ok(Some(policy::require(permission)?.0.organization())),
        None if platform::is_administrator() => Ok(None),
        None => Err(CrmError::forbidden("nobody is logged in")),
    }
}

type KeyRow = (
    pgrx::Uuid,
    String,
    String,
    Vec<String>,
    Option<pgrx::Uuid>,
    TimestampWithTimeZone,
    Option<TimestampWithTimeZone>,
    Option<TimestampWithTimeZone>,
);

#[pg_extern(sql = false)]
fn list_api_keys() -> Result<
    TableIterator<
        'static,
        (
            name!(id, pgrx::Uuid),
            name!(name, String),
            name!(prefix, String),
            name!(scopes, Vec<String>),
            name!(created_by, Option<pgrx::Uuid>),
            name!(created_at, TimestampWithTimeZone),
            name!(expires_at, Option<TimestampWithTimeZone>),
            name!(last_used_at, Option<TimestampWithTimeZone>),
        ),
    >,
    ErrorReport,
> {
    let organization = looked_after("api_keys.read")?;
    let keys: Vec<KeyRow> = db::select(
        "select k.id, k.name, k.prefix, k.scopes, k.created_by, k.created_at, k.expires_at, u.last_used_at
         from crm_private.api_keys as k
         left join crm_private.api_key_uses as u on u.api_key_id = k.id
         where k.org_id is not distinct from $1 and k.revoked_at is null
             and (k.expires_at is null or k.expires_at > clock_timestamp())
         order by k.created_at desc, k.id desc",
        &[PgBuiltInOids::UUIDOID],
        &[organization.map(to_pg).into()],
        |rows| {
            let mut keys = vec![];
            for row in rows {
                if let (Some(id), Some(name), Some(prefix), Some(scopes), Some(created)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(6)?)
                {
                    keys.push((id, name, prefix, scopes, row.get(5)?, created, row.get(7)?, row.get(8)?));
                }
            }
            Ok(keys)
        },
    )?;
    Ok(TableIterator::new(keys))
}

#[pg_extern(sql = false)]
fn revoke_api_key(api_key_id: Option<pgrx::Uuid>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("revoke_api_key")?;
    let organization = looked_after("api_keys.delete")?;
    let revoked = db::execute(
        "update crm_private.api_keys set revoked_at = clock_timestamp()
         where id = $1 and org_id is not distinct from $2 and revoked_at is null returning 1",
        &[given("api_key_id", api_key_id)?.into(), organization.map(to_pg).into()],
    )?;
    Ok(JsonB(json!({ "revoked": revoked })))
}

thread_local! {
    /// Keys that were used in requests which may not write.
    static USED: RefCell<BTreeSet<Uuid>> = const { RefCell::new(BTreeSet::new()) };
}

/// More than a backend meets; whoever is beyond is noted with the next use.
const USED_MAX: usize = 1000;

/// Notes that a key was used, and those before it, if this transaction may write; else the next one does that may. Never
/// waits for somebody who notes the same.
pub fn note_use(key: Option<Uuid>) -> Result<()> {
    // SAFETY: reads a flag of the transaction manager.
    let read_only = unsafe { pg_sys::XactReadOnly };
    let used = USED.with_borrow_mut(|used| {
        if let Some(key) = key
            && used.len() < USED_MAX
        {
            used.insert(key);
        }
        if read_only { BTreeSet::new() } else { std::mem::take(used) }
    });
    if used.is_empty() {
        return Ok(());
    }
    db::as_definer(|| write_uses(used.into_iter().map(to_pg).collect()))
}

fn write_uses(used: Vec<pgrx::Uuid>) -> Result<()> {
    // Looked at before it is written: most uses are within a minute of the last, and those take no transaction id.
    let stale = db::select(
        "select exists (
             select from crm_private.api_key_uses
             where api_key_id = any ($1) and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
         )",
        &[PgBuiltInOids::UUIDARRAYOID],
        &[used.clone().into()],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )?;
    if stale {
        db::execute(
            "update crm_private.api_key_uses set last_used_at = clock_timestamp()
             where api_key_id in (
                 select api_key_id from crm_private.api_key_uses
                 where api_key_id = any ($1)
                     and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
                 for update skip locked
             )",
            &[used.into()],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_key_begins_with_what_tells_it_apart() {
        let secret = "A".repeat(secret::LENGTH);
        assert_eq!(prefix_of(&format!("crmo_1234abcd_{secret}")), Some("crmo_1234abcd"));
        assert_eq!(prefix_of(&format!("crmp_1234abcd_{secret}")), Some("crmp_1234abcd"));
        for bad in [
            "",
            "crmo_1234abcd",
            &format!("crmx_1234abcd_{secret}"),
            &format!("crmo_1234abcd_{secret}A"),
            "crmo_ééééé_",
        ] {
            assert_eq!(prefix_of(bad), None, "{bad}");
        }
    }
}
