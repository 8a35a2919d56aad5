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

#[pg_extern(sql = false)]
fn clear_expired(batch: Option<i32>) -> Result<JsonB, ErrorReport> {
    let batch = batch.unwrap_or(10_000);
    if !(1..=1_000_000).contains(&batch) {
        return Err(CrmError::invalid("batch", "must be between 1 and 1000000").into());
    }
    // A token that was used answers until then; a session is kept a week, to look at after something went wrong.
    let sessions = clear(
        "delete from crm_private.sessions where id in (
             select id from crm_private.sessions where expires_at < clock_timestamp() - interval '7 days'
             order by expires_at limit $1 for update skip locked
         ) returning 1",
        batch,
    )?;
    let tokens = clear(
        "delete from crm_private.one_time_tokens where hash in (
             select hash from crm_private.one_time_tokens where expires_at < clock_timestamp()
             order by expires_at limit $1 for update skip locked
         ) returning 1",
        batch,
    )?;
    let messages = clear(
        "delete from crm_private.messages where id in (
             select id from crm_private.messages where expires_at < clock_timestamp()
             order by expires_at limit $1 for update skip locked
         ) returning 1",
        batch,
    )?;
    let oauth_flows = clear(
        "delete from crm_private.oauth_flows where state_hash in (
             select state_hash from crm_private.oauth_flows where expires_at < clock_timestamp()
             order by expires_at limit $1 for update skip locked
         ) returning 1",
        batch,
    )?;
    let refresh_tokens = used_refresh_tokens(batch)?;
    let keys =
        db::execute("delete from crm_private.signing_keys where expires_at < clock_timestamp() returning 1", &[])?;
    key_store::forget_retired()?;
    Ok(JsonB(json!({
        "sessions": sessions,
        "refresh_tokens": refresh_tokens,
        "one_time_tokens": tokens,
        "messages": messages,
        "oauth_flows": oauth_flows,
        "signing_keys": keys,
        "login_failures": failures::clear(batch)?,
    })))
}

fn clear(statement: &str, batch: i32) -> Result<usize> {
    db::execute(statement, &[batch.into()])
}

/// Used ones tell a thief from their owner for as long as they could have been used.
fn used_refresh_tokens(batch: i32) -> Result<usize> {
    let life = Settings::current()?.refresh_token_ttl;
    db::execute(
        "delete from crm_private.refresh_tokens where hash in (
             select hash from crm_private.refresh_tokens
             where used_at < clock_timestamp() - make_interval(secs => $2)
             limit $1 for update skip locked
         ) returning 1",
        &[batch.into(), (life as f64).into()],
    )
}
