//! `crm.health`: for machines that ask every few seconds, and for anybody. It tells nothing of the data, and always answers.

use std::ffi::CStr;

use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::json;

use super::version;
use crate::db::{self, savepoint};
use crate::deployment;
use crate::error::Result;
use crate::identity::answer;
use crate::schema::VERSION;
use crate::upgrade::versions::versions;

#[pg_extern(sql = false)]
fn health() -> JsonB {
    let versions = savepoint::probe(versions).ok();
    let schema = versions.as_ref().map_or("missing", version::of_tables);
    let signs = exists(c"signing_keys") && savepoint::probe(has_signing_key) == Ok(true);
    let writable = is_writable();
    let status = match (schema, signs) {
        ("ok", true) if writable => "ok",
        ("ok", true) => "degraded",
        _ => "failing",
    };
    if status == "failing" {
        answer::status(503);
    }
    answer::header("Cache-Control", "no-store");
    JsonB(json!({
        "status": status,
        "version": VERSION,
        "schema_version": versions.and_then(|versions| versions.tables),
        "checks": {
            "schema": schema,
            "keys": if signs { "ok" } else { "missing" },
            "writable": writable,
            "delivery": if is_bound() { "ok" } else { "not bound" },
            "shared_memory": if is_preloaded() { "ok" } else { "not preloaded" },
        },
        "time": now(),
    }))
}

/// Whether there is this table of crm_private.
fn exists(table: &CStr) -> bool {
    // SAFETY: look-ups of the catalog with NUL-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"crm_private".as_ptr(), true);
        schema != pg_sys::InvalidOid && pg_sys::get_relname_relid(table.as_ptr(), schema) != pg_sys::InvalidOid
    }
}

/// A copy delivers nothing: see `crm.bind_deployment`.
fn is_bound() -> bool {
    exists(c"deployments") && savepoint::probe(deployment::is_bound) == Ok(true)
}

fn has_signing_key() -> Result<bool> {
    db::select(
        "select exists (
             select from crm_private.signing_keys
             where active_from <= clock_timestamp() and (retired_at is null or retired_at > clock_timestamp()) and private_key is not null
         )",
        &[],
        &[],
        |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(false)),
    )
}

/// Of the server: a GET is READ ONLY everywhere.
fn is_writable() -> bool {
    // SAFETY: reads the server's state.
    unsafe { !pg_sys::RecoveryInProgress() && !pg_sys::DefaultXactReadOnly }
}

fn is_preloaded() -> bool {
    // SAFETY: NUL-terminated, and looked at before anything can change it.
    unsafe {
        let libraries = pg_sys::GetConfigOption(c"shared_preload_libraries".as_ptr(), true, false);
        !libraries.is_null()
            && CStr::from_ptr(libraries)
                .to_string_lossy()
                .split(',')
                .any(|name| name.trim().trim_matches('"').ends_with("crm_ext"))
    }
}

fn now() -> Option<String> {
    db::select("select to_jsonb(clock_timestamp()) #>> '{}'", &[], &[], |rows| rows.first().get_one()).ok().flatten()
}
