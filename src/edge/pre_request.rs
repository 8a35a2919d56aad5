//! The start of every request. Runs in READ ONLY transactions too, so nothing is written here.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgLogLevel};

use super::request::Headers;
use crate::error::{CrmError, Refusal, Result};
use crate::gucs;
use crate::identity::principal::{Principal, outer_role};
use crate::identity::verify;

/// What becomes of a call that establishes an identity: NULL is good, else the refusal to raise.
fn answer(outcome: Result<(), Refusal>) -> Result<Option<JsonB>, ErrorReport> {
    let Err(refusal) = outcome else { return Ok(None) };
    let refusal = serde_json::to_value(refusal).map_err(|_| CrmError::internal("the refusal has no JSON form"))?;
    Ok(Some(JsonB(refusal)))
}

#[pg_extern(sql = false)]
fn begin_request() -> Result<Option<JsonB>, ErrorReport> {
    gucs::begin_request();
    Principal::forget();
    answer(establish()?)
}

/// The role PostgREST switched to, the token it verified and the token that arrived must tell the same story.
fn establish() -> Result<Result<(), Refusal>> {
    let headers = Headers::parse(gucs::request_setting(c"request.headers").as_deref());
    if headers.wants_estimated_count() {
        return Ok(Err(Refusal::COUNT_ESTIMATE));
    }
    let role = outer_role();
    let token = match (role.as_str(), headers.bearer()) {
        ("crm_anon", None) => return Ok(Ok(())),
        ("crm_anon", Some(_)) => return Ok(Err(Refusal::TOKEN)),
        ("crm_app" | "crm_multi", None) => return Ok(Err(Refusal::TOKEN_MISSING)),
        ("crm_app" | "crm_multi", Some(token)) => token,
        _ => return Ok(Err(Refusal::ROLE)),
    };
    let wanted = match headers.organization() {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let verified = match verify::signature(token)? {
        Ok(verified) => verified,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // With two Authorization headers PostgREST checks the first and hands on the last.
    let checked_by_postgrest = gucs::request_setting(c"request.jwt.claims")
        .and_then(|claims| serde_json::from_str::<serde_json::Value>(&claims).ok());
    if checked_by_postgrest.as_ref() != Some(&verified.payload) || verified.claims.role != role {
        return Ok(Err(Refusal::TOKEN));
    }
    assume(&verified, wanted)
}

#[pg_extern(sql = false)]
fn begin_with_token(token: &str) -> Result<Option<JsonB>, ErrorReport> {
    Principal::forget();
    // SAFETY: reads a flag of the transaction manager.
    if !unsafe { pg_sys::IsTransactionBlock() } {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            "crm.authenticate has no effect beyond this statement: the identity ends with the transaction",
            "",
        )
        .set_hint("Call it between BEGIN and COMMIT.")
        .report(PgLogLevel::WARNING);
    }
    let outcome = match verify::signature(token)? {
        Ok(verified) => assume(&verified, None)?,
        Err(refusal) => Err(refusal),
    };
    answer(outcome)
}

/// The last step, after every check: nothing is set for a caller who is refused.
fn assume(verified: &verify::Verified, wanted: Option<verify::OrganizationRef>) -> Result<Result<(), Refusal>> {
    match verify::principal(verified, wanted)? {
        Ok(principal) => Ok(Ok(principal.assume()?)),
        Err(refusal) => Ok(Err(refusal)),
    }
}
