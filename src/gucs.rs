//! Settings. None is a knob: they carry what was verified through the transaction.

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

pub fn define() {
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
    IDENTITY.get().filter(|value| !value.is_empty())
}

/// Sets the identity for the rest of the transaction; the empty string removes it.
pub fn set_identity(value: &CStr) {
    // PGC_SUSET: the right to set it is this code's, not the calling role's.
    set_local(IDENTITY_NAME, value, pg_sys::GucContext::PGC_SUSET);
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

/// A setting that PostgREST wrote for this transaction (`request.headers`, …): untrusted input.
pub fn request_setting(name: &CStr) -> Option<String> {
    // SAFETY: NUL-terminated; missing_ok, so an unknown name gives NULL; the result is copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
    .filter(|value| !value.is_empty())
}
