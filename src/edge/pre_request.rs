//! The start of every request, and of a SQL client's transaction. Runs in READ ONLY transactions too.
//!
//! The three functions here are what PostgreSQL calls itself, without pgrx's wrapper, because of what they raise; see
//! [`Prepared::raise`].

use std::ffi::CStr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB, PgLogLevel};

use super::request::{Client, Headers};
use crate::audit;
use crate::db;
use crate::error::{Prepared, Refusal, Result};
use crate::gucs;
use crate::identity::principal::{Principal, describe, outer_role};
use crate::identity::verify::{self, Identity};
use crate::identity::{answer, api_keys, external};
use crate::upgrade::versions::check_tables;

/// Declares a function of PostgreSQL's version 1 calling convention: computes inside pgrx's guard, and raises a refusal
/// outside of it, where nothing is left to be dropped.
macro_rules! raising {
    ($name:ident, $info:ident, $compute:path) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> *const pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }

        /// # Safety
        ///
        /// For the function manager.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: the call comes from the function manager; the verdict holds no memory of its own.
            unsafe {
                let verdict: Result<pg_sys::Datum, Prepared> = pgrx_extern_c_guard(|| match $compute(call) {
                    Ok(verdict) => verdict.map_err(Refusal::prepare),
                    Err(error) => {
                        ErrorReport::from(error).report(PgLogLevel::ERROR);
                        Err(Refusal::TOKEN.prepare())
                    }
                });
                match verdict {
                    Ok(datum) => datum,
                    Err(refusal) => refusal.raise(),
                }
            }
        }
    };
}

raising!(pre_request_wrapper, pg_finfo_pre_request_wrapper, pre_request);
raising!(authenticate_wrapper, pg_finfo_authenticate_wrapper, authenticate);
raising!(authenticate_api_key_wrapper, pg_finfo_authenticate_api_key_wrapper, authenticate_api_key);

type Verdict = Result<Result<pg_sys::Datum, Refusal>>;

fn pre_request(_: pg_sys::FunctionCallInfo) -> Verdict {
    let headers = gucs::request_setting(c"request.headers");
    let headers = Headers::parse(headers.as_deref());
    audit::begin_request(&headers);
    gucs::begin_request();
    if !asks_for_health()
        && let Err(refusal) = check_tables()?
    {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = establish(&headers)? {
        return Ok(Err(refusal));
    }
    let key = Principal::current().and_then(|principal| principal.api_key.as_ref().map(|key| key.id));
    api_keys::note_use(key)?;
    Ok(Ok(pg_sys::Datum::null()))
}

/// Which answers whatever is wrong.
fn asks_for_health() -> bool {
    gucs::with_request_setting(c"request.path", |path| path == "/rpc/health") == Some(true)
}

fn establish(headers: &Headers) -> Result<Result<(), Refusal>> {
    if headers.wants_estimated_count() {
        return Ok(Err(Refusal::COUNT_ESTIMATE));
    }
    let role = outer_role();
    match (role.as_str(), headers.bearer(), headers.api_key()) {
        (_, Some(_), Some(_)) => Ok(Err(Refusal::TWO_CREDENTIALS)),
        ("crm_anon", None, None) => {
            Principal::forget();
            Ok(Ok(()))
        }
        ("crm_anon", None, Some(key)) => with_key(key, headers),
        ("crm_anon", Some(token), None) => with_external_token(token, headers),
        ("crm_app" | "crm_multi", Some(token), None) => with_token(token, &role, headers),
        ("crm_app" | "crm_multi", None, _) => Ok(Err(Refusal::TOKEN_MISSING)),
        _ => Ok(Err(Refusal::ROLE)),
    }
}

/// The role PostgREST switched to, the token it verified and the token that arrived must tell the same story.
fn with_token(token: &str, role: &str, headers: &Headers) -> Result<Result<(), Refusal>> {
    let wanted = match headers.organization() {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let identity = db::as_definer(|| {
        let verified = match verify::signature(token)? {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let checked =
            gucs::with_request_setting(c"request.jwt.claims", |claims| verified.is_what_was_checked(token, claims));
        if checked != Some(true) || verified.claims.role != role {
            return Ok(Err(Refusal::TOKEN));
        }
        verify::token_identity(&verified, wanted)
    })?;
    let identity = match identity {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if role == "crm_multi" && identity.principal.organization.is_some() {
        // One organization: by the policies that compare with one, which are the fast ones.
        go_on_as(c"crm_app", &identity);
    } else {
        gucs::set_identity(&identity.setting);
    }
    Ok(Ok(()))
}

/// The request came without a token, and goes on as what its key stands for.
fn with_key(key: &str, headers: &Headers) -> Result<Result<(), Refusal>> {
    let identity = match db::as_definer(|| verify::key_identity(key))? {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let named = match headers.organization() {
        Ok(named) => named.unwrap_or_default(),
        Err(refusal) => return Ok(Err(refusal)),
    };
    // A key has its organization; a header can only agree.
    let own = identity.principal.org_id();
    let by_id = named.id.is_none_or(|id| own == Some(id));
    let by_slug = match &named.slug {
        Some(slug) => own.is_some() && own == db::as_definer(|| verify::org_of_slug(slug))?,
        None => true,
    };
    match (by_id, by_slug) {
        (true, true) => {}
        _ if named.id.is_some() && named.slug.is_some() && (by_id || by_slug) => {
            return Ok(Err(Refusal::ORGANIZATION_AMBIGUOUS));
        }
        _ => return Ok(Err(Refusal::ORGANIZATION)),
    }
    go_on_as(if own.is_some() { c"crm_app" } else { c"crm_service" }, &identity);
    Ok(Ok(()))
}

/// PostgREST knows the issuer's keys, but found no role of ours in its token.
fn with_external_token(token: &str, headers: &Headers) -> Result<Result<(), Refusal>> {
    let wanted = match headers.organization() {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let claims = gucs::request_setting(c"request.jwt.claims").unwrap_or_default();
    let identity = match db::as_definer(|| external::external_identity(token, &claims, wanted))? {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    go_on_as(if identity.principal.organization.is_some() { c"crm_app" } else { c"crm_multi" }, &identity);
    Ok(Ok(()))
}

fn go_on_as(role: &CStr, identity: &Identity) {
    gucs::set_role(role);
    if let Some(timeout) = &identity.statement_timeout {
        gucs::set_local_as_user(c"statement_timeout", timeout);
    }
    gucs::set_identity(&identity.setting);
}

fn authenticate(call: pg_sys::FunctionCallInfo) -> Verdict {
    not_in_a_url()?;
    warn_outside_of_transactions();
    if !asks_for_health()
        && let Err(refusal) = check_tables()?
    {
        return Ok(Err(refusal));
    }
    // SAFETY: the declared argument.
    let token = unsafe { pgrx::fcinfo::pg_getarg::<&str>(call, 0) }.unwrap_or_default();
    let identity = db::as_definer(|| match verify::signature(token)? {
        Ok(verified) => verify::token_identity(&verified, None),
        Err(refusal) => Ok(Err(refusal)),
    })?;
    Ok(identity.map(|identity| assume(&identity)))
}

fn authenticate_api_key(call: pg_sys::FunctionCallInfo) -> Verdict {
    not_in_a_url()?;
    warn_outside_of_transactions();
    if !asks_for_health()
        && let Err(refusal) = check_tables()?
    {
        return Ok(Err(refusal));
    }
    // SAFETY: the declared argument.
    let key = unsafe { pgrx::fcinfo::pg_getarg::<&str>(call, 0) }.unwrap_or_default();
    let identity = db::as_definer(|| verify::key_identity(key.trim()))?;
    let identity = match identity {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let id = identity.principal.api_key.as_ref().map(|key| key.id);
    api_keys::note_use(id)?;
    Ok(Ok(assume(&identity)))
}

/// A SQL client may read only; a request that does is a GET, with the token in its URL.
fn not_in_a_url() -> Result<()> {
    if gucs::in_request() { answer::needs_post("authenticate") } else { Ok(()) }
}

fn warn_outside_of_transactions() {
    // SAFETY: reads a flag of the transaction manager.
    if !unsafe { pg_sys::IsTransactionBlock() } {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            "this has no effect beyond the statement: the identity ends with the transaction",
            "",
        )
        .set_hint("Call it between BEGIN and COMMIT.")
        .report(PgLogLevel::WARNING);
    }
}

/// Makes it the transaction's identity, and tells which that is.
fn assume(identity: &Identity) -> pg_sys::Datum {
    gucs::set_identity(&identity.setting);
    let told = identity.told.get_or_init(|| flat(tell(identity)));
    // SAFETY: a copy of a whole varlena, in memory that the caller frees.
    unsafe {
        let copy = pg_sys::palloc(told.len()).cast::<u8>();
        copy.copy_from_nonoverlapping(told.as_ptr(), told.len());
        pg_sys::Datum::from(copy)
    }
}

fn tell(identity: &Identity) -> JsonB {
    let mut told = describe(Some(&identity.principal));
    if let Some(told) = told.as_object_mut() {
        told.remove("database_role");
    }
    JsonB(told)
}

/// The bytes of a value of type jsonb.
fn flat(value: JsonB) -> Vec<u8> {
    let datum = value.into_datum().unwrap_or(pg_sys::Datum::null());
    // SAFETY: a varlena that was just made, so neither compressed nor out of line; copied whole.
    unsafe {
        let value = datum.cast_mut_ptr::<pg_sys::varlena>();
        std::slice::from_raw_parts(value.cast::<u8>(), pgrx::varlena::varsize_any(value)).to_vec()
    }
}

/// Who sent this request, behind so many proxies. Of a SQL client nothing is known: its connection may be an
/// application's, for all of its users.
pub fn client(proxies: usize) -> Client {
    match gucs::request_setting(c"request.headers") {
        Some(headers) => Headers::parse(Some(&headers)).sender().client(proxies),
        None => Client::default(),
    }
}
