//! What PostgREST is told by the database.

use std::ffi::CString;

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::{CrmError, Result};
use crate::gucs;
use crate::identity::settings::Settings;
use crate::identity::{key_store, providers};

/// Every name is set each time, also to its default: what is left out could be given by the owner of the database with
/// ALTER DATABASE … SET pgrst.…
pub const FIXED: [(&str, &str); 17] = [
    ("jwt_secret_is_base64", "false"),
    ("jwt_role_claim_key", ".role"),
    ("jwt_cache_max_lifetime", "3600"),
    ("db_schemas", "crm"),
    // Not "public": a request's search path is crm alone, with temporary objects last.
    ("db_extra_search_path", "pg_temp"),
    ("db_anon_role", "crm_anon"),
    ("db_pre_request", "crm.pre_request"),
    ("db_root_spec", ""),
    ("db_max_rows", ""),
    ("db_tx_end", "commit"),
    ("db_plan_enabled", "false"),
    ("db_aggregates_enabled", "false"),
    ("db_prepared_statements", "true"),
    ("openapi_mode", "follow-privileges"),
    ("openapi_security_active", "true"),
    ("openapi_server_proxy_uri", ""),
    ("server_timing_enabled", "false"),
];

#[pg_extern(sql = false)]
fn postgrest_config() -> Result<(), ErrorReport> {
    for (name, value) in FIXED {
        set(name, value)?;
    }
    let JsonB(mut keys) = key_store::public_keys()?;
    let foreign = providers::foreign_keys()?;
    // Other issuers' tokens are made for another audience; which, the database looks at.
    let audience = if foreign.is_empty() { Settings::current()?.audience.clone() } else { String::new() };
    if let Some(keys) = keys.get_mut("keys").and_then(|keys| keys.as_array_mut()) {
        keys.extend(foreign);
    }
    set("jwt_secret", &keys.to_string())?;
    set("jwt_aud", &audience)?;
    Ok(())
}

fn set(name: &str, value: &str) -> Result<()> {
    let text = |text: String| CString::new(text).map_err(|_| CrmError::internal("a setting of PostgREST contains NUL"));
    gucs::set_local_as_user(&text(format!("pgrst.{name}"))?, &text(value.to_owned())?);
    Ok(())
}
