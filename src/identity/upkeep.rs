//! Clearing away what has expired.

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

use super::failures;
use super::key_store;
use super::settings::Settings;
use crate::db;
use crate::error::{CrmError, Result};
use crate::plans::usage;

#[pg_extern(sql = false)]
fn clear_expired(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    let batch = batch.unwrap_or(10_000);
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    let sessions =
        clear("sessions", "id", "coalesce(ended_at, expires_at) < clock_timestamp() - interval '7 days'", batch)?;
    let one_time_tokens = clear("one_time_tokens", "hash", EXPIRED, batch)?;
    let messages = clear("messages", "id", EXPIRED, batch)?;
    let invitations = clear("invitations", "id", EXPIRED, batch)?;
    let oauth_flows = clear("oauth_flows", "state_hash", EXPIRED, batch)?;
    let signing_keys = clear("signing_keys", "kid", EXPIRED, batch)?;
    let life = Settings::current()?.refresh_token_ttl;
    // A used one tells a thief from the owner for as long as it could have been used.
    let used = format!("used_at < clock_timestamp() - make_interval(secs => {life})");
    let refresh_tokens = clear("refresh_tokens", "hash", &used, batch)?;
    key_store::forget_retired()?;
    Ok(JsonB(json!({
        "sessions": sessions,
        "refresh_tokens": refresh_tokens,
        "one_time_tokens": one_time_tokens,
        "messages": messages,
        "oauth_flows": oauth_flows,
        "invitations": invitations,
        "signing_keys": signing_keys,
        "login_failures": failures::clear(batch)?,
        "usage_deltas": usage::add_up(batch)?,
    })))
}

const EXPIRED: &str = "expires_at < clock_timestamp()";

/// Deletes up to `batch` rows. All three texts are this file's own. The picked rows are materialized: as the inner side of a
/// nested loop the LIMIT would begin anew for every row.
fn clear(table: &str, key: &str, condition: &str, batch: i32) -> Result<usize> {
    db::execute(
        &format!(
            "with picked as materialized (
                 select {key} from crm_private.{table} where {condition} limit $1 for update skip locked
             )
             delete from crm_private.{table} as t using picked where t.{key} = picked.{key} returning 1"
        ),
        &[batch.into()],
    )
}
