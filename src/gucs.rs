//! Settings. Most carry what was verified through the transaction, and are not to be set by hand.

use std::ffi::{CStr, CString};

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;

const IDENTITY_NAME: &CStr = c"crm.identity";

/// The verified principal as JSON, written by [`set_identity`] only.
///
/// A setting and not backend memory, because PostgreSQL then does what is hard to do by hand: a rolled-back savepoint
/// restores the earlier value, the end of the transaction (also PREPARE TRANSACTION) removes it, and parallel workers
/// receive it. `Suset`: an ordinary role can SET it neither before nor after the library is loaded.
static IDENTITY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

const REQUEST_NAME: &CStr = c"crm.in_request";

/// Whether `crm.pre_request()` began this transaction.
static REQUEST: GucSetting<bool> = GucSetting::<bool>::new(false);

/// Whether every transaction that history tells of wakes those who listen.
static NOTIFIES_ALWAYS: GucSetting<bool> = GucSetting::<bool>::new(false);

pub fn define() {
    GucRegistry::define_bool_guc(
        c"crm.notify_always",
        c"Whether every change is announced by NOTIFY crm_events, and not only those of organizations with webhooks.",
        c"For those who read crm.changes_since() and want to be woken. Transactions that announce something commit one after the other.",
        &NOTIFIES_ALWAYS,
        GucContext::Userset,
        GucFlags::default(),
    );
    let flags = GucFlags::NO_SHOW_ALL
        | GucFlags::NO_RESET_ALL
        | GucFlags::SUPERUSER_ONLY
        | GucFlags::DISALLOW_IN_FILE
        | GucFlags::DISALLOW_IN_AUTO_FILE;
    GucRegistry::define_string_guc(
        IDENTITY_NAME,
        c"The verified identity of the current transaction.",
        c"Set by crm.pre_request() and crm.authenticate() after verifying a token; not to be set by hand.",
        &IDENTITY,
        GucContext::Suset,
        flags,
    );
    GucRegistry::define_bool_guc(
        REQUEST_NAME,
        c"Whether the current transaction is a request of PostgREST.",
        c"Set by crm.pre_request(); not to be set by hand.",
        &REQUEST,
        GucContext::Suset,
        flags,
    );
    // SAFETY: a NUL-terminated name, called once while the library is loaded.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"crm".as_ptr()) };
}

pub fn identity() -> Option<CString> {
    with_identity(CStr::to_owned)
}

/// Looks at the identity without copying it; `None` when there is none.
pub fn with_identity<R>(look: impl FnOnce(&CStr) -> R) -> Option<R> {
    // SAFETY: PostgreSQL keeps a NUL-terminated string there, or null, until the setting is changed, which `look` does not do.
    unsafe {
        let value = (*IDENTITY.as_ptr()).cast_const();
        if value.is_null() || *value == 0 { None } else { Some(look(CStr::from_ptr(value))) }
    }
}

/// Whether there is an identity that no login of ours made: an API key, or a token of another issuer.
pub fn is_known_without_session() -> bool {
    const WITHOUT: &[u8] = br#""session_id":null"#;
    with_identity(|value| value.to_bytes().windows(WITHOUT.len()).any(|part| part == WITHOUT)) == Some(true)
}

/// Sets the identity for the rest of the transaction; the empty string removes it.
pub fn set_identity(value: &CStr) {
    // PGC_SUSET: the right to set it is this code's, not the calling role's.
    set_local(IDENTITY_NAME, value, pg_sys::GucContext::PGC_SUSET);
}

pub fn notifies_always() -> bool {
    NOTIFIES_ALWAYS.get()
}

pub fn in_request() -> bool {
    REQUEST.get()
}

/// Marks the rest of the transaction as a request.
pub fn begin_request() {
    set_local(REQUEST_NAME, c"on", pg_sys::GucContext::PGC_SUSET);
}

/// `SET LOCAL name = value` with the caller's own rights.
pub fn set_local_as_user(name: &CStr, value: &CStr) {
    set_local(name, value, pg_sys::GucContext::PGC_USERSET);
}

fn set_local(name: &CStr, value: &CStr, context: pg_sys::GucContext::Type) {
    // SAFETY: both strings are NUL-terminated and copied by PostgreSQL.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            context,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            pgrx::PgLogLevel::ERROR as i32,
            false,
        );
    }
}

/// Runs queries without workers: to start them takes longer than many a small query.
pub fn without_workers<R>(run: impl FnOnce() -> R) -> R {
    // SAFETY: as the function manager does for a function's own settings; what an error leaves behind, its handler undoes.
    unsafe {
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"max_parallel_workers_per_gather".as_ptr(),
            c"0".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            pgrx::PgLogLevel::ERROR as i32,
            false,
        );
        let answer = run();
        pg_sys::AtEOXact_GUC(true, level);
        answer
    }
}

/// `SET LOCAL ROLE`, by the rules of that: the session's user has to be a member.
pub fn set_role(role: &CStr) {
    set_local_as_user(c"role", role);
}

/// A setting that PostgREST wrote for this transaction (`request.headers`, …): untrusted input. One that is longer than any
/// request's is none: in SQL it could be a gigabyte.
pub fn request_setting(name: &CStr) -> Option<String> {
    const LONGEST: usize = 256 * 1024;
    with_request_setting(name, |value| (value.len() <= LONGEST).then(|| value.to_owned()))?
}

/// Looks at one without copying it; `None` where there is none, or it is no UTF-8.
pub fn with_request_setting<R>(name: &CStr, look: impl FnOnce(&str) -> R) -> Option<R> {
    // SAFETY: NUL-terminated; missing_ok, so an unknown name gives NULL; the setting is not changed while it is looked at.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() || *value == 0 { None } else { CStr::from_ptr(value).to_str().ok().map(look) }
    }
}
