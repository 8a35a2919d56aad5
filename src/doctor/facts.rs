//! What a check of the doctor's is told, as its argument `$1`: what the library knows, and what no query may read.

use std::collections::HashMap;
use std::ffi::CStr;

use pgrx::FromDatum;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

use super::declared::{Declared, History};
use super::{policy, version};
use crate::audit::keep;
use crate::db::{self, savepoint};
use crate::deployment;
use crate::edge::config;
use crate::error::Result;
use crate::schema;
use crate::upgrade::versions::versions;

pub fn collect() -> Result<Value> {
    let declared = Declared::of(schema::table_statements());
    let triggers = [declared.triggers, history_triggers(&declared.histories)].concat();
    let versions = versions()?;
    let server = pg_sys::PG_VERSION_NUM as i32;
    let server = db::select("select pg_catalog.current_setting('server_version_num')::integer", &[], &[], |rows| {
        Ok(rows.first().get_one::<i32>()?.unwrap_or(server))
    })?;
    Ok(json!({
        "library": versions.library,
        "advice": versions.advice(),
        "bound": savepoint::probe(deployment::is_bound).unwrap_or(false),
        "catalog": versions.extension,
        "catalog_state": version::of_catalog(&versions),
        "schema": versions.tables,
        "schema_state": version::of_tables(&versions),
        "server_version": server,
        "server_version_min": version::oldest_server(server / 10_000),
        "encoding": encoding(),
        "settings": settings()?,
        "postgrest": HashMap::from(config::FIXED),
        "password": password(c"crm_authenticator"),
        "tables": declared.tables,
        "triggers": triggers,
        "policies": policies(declared.policies),
        "indexes": declared.indexes,
        "enrollments": declared.enrollments,
    }))
}

/// The declarations alone, which is all that tables are compared with.
pub fn declared() -> Value {
    json!({ "enrollments": Declared::of(schema::table_statements()).enrollments })
}

/// What `crm_private.keep_history` makes.
fn history_triggers(histories: &[History]) -> Vec<Value> {
    let statements: Vec<_> = histories
        .iter()
        .map(|history| keep::audit_triggers(&history.table, &history.resource, "id", keep::PART, &history.secrets))
        .collect();
    Declared::of(statements.iter().map(String::as_str)).triggers
}

/// With what they say; of one whose table or function is not there, nothing.
fn policies(declared: Vec<Value>) -> Vec<Value> {
    let with_words = |mut policy: Value| {
        let says = policy["statement"].as_str().map(|statement| savepoint::probe(|| policy::says(statement)));
        policy["says"] = says.and_then(Result::ok).unwrap_or(Value::Null);
        policy
    };
    declared.into_iter().map(with_words).collect()
}

fn encoding() -> String {
    // SAFETY: a static, NUL-terminated name.
    unsafe { CStr::from_ptr(pg_sys::GetDatabaseEncodingName()) }.to_string_lossy().into_owned()
}

/// Settings as connections begin with them, whatever this one has set since, and without those of whoever asks. Which libraries
/// are loaded is for superusers to see; that the CRM is among them, its administrator may know.
fn settings() -> Result<Value> {
    let JsonB(mut settings) = db::select(
        "select pg_catalog.jsonb_object_agg(name, reset_val) from pg_catalog.pg_settings
         where source not in ('user', 'database user', 'client')",
        &[],
        &[],
        |rows| Ok(rows.first().get_one::<JsonB>()?.unwrap_or(JsonB(json!({})))),
    )?;
    for name in [c"shared_preload_libraries", c"session_preload_libraries"] {
        // SAFETY: NUL-terminated, and the value is copied at once.
        let value = unsafe {
            let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
            if value.is_null() { String::new() } else { CStr::from_ptr(value).to_string_lossy().into_owned() }
        };
        settings[name.to_string_lossy().as_ref()] = value.into();
    }
    Ok(settings)
}

/// How a role's password is kept: `none`, `md5`, `scram`; no more of it is told.
fn password(role: &CStr) -> Option<&'static str> {
    // SAFETY: look-ups of the catalog with a NUL-terminated name; the row is released after its value was copied.
    let stored = unsafe {
        let id = pg_sys::SysCacheIdentifier::AUTHNAME as i32;
        let row = pg_sys::SearchSysCache1(id, pg_sys::Datum::from(role.as_ptr()));
        if row.is_null() {
            return None;
        }
        let mut is_null = false;
        let column = pg_sys::Anum_pg_authid_rolpassword as pg_sys::AttrNumber;
        let value = pg_sys::SysCacheGetAttr(id, row, column, &mut is_null);
        let stored = String::from_datum(value, is_null);
        pg_sys::ReleaseSysCache(row);
        stored
    };
    Some(match stored {
        None => "none",
        Some(stored) if stored.starts_with("SCRAM-SHA-256$") => "scram",
        Some(_) => "md5",
    })
}
