//! Every error a client can meet: one enum, each variant with its SQLSTATE.

use std::borrow::Cow;
use std::ffi::{CString, c_char, c_int};

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::SpiError;
use serde_json::{Value, json};

use crate::gucs;
use crate::random::NoRandomness;

/// An error that is raised. PostgREST turns the SQLSTATE into the HTTP status named here.
#[derive(Debug)]
pub enum CrmError {
    /// 400: an argument or a column has a bad value.
    InvalidInput { field: String, problem: String },
    /// 400, and what there is instead.
    Unknown { field: String, problem: String, hint: String },
    /// 403: the caller may not do this.
    Forbidden { message: String },
    /// 403, with the reason.
    Stopped { message: String, detail: String, hint: String },
    /// 409: it exists already.
    Conflict { message: String, hint: String },
    /// 409: something else depends on it.
    InUse { message: String, hint: String },
    /// 402: the organization's plan allows no more. `current` is what there was before.
    LimitReached { limit: String, current: i64, maximum: i64, plan: String },
    /// 422: a state machine has no such step. Without `from` the row is new.
    State { column: String, from: Option<String>, to: String, allowed: Vec<String> },
    /// 422: the state the record is in allows no such change.
    Frozen { column: String, state: String, message: String, hint: String },
    /// 422: an argument cannot be worked on.
    Unprocessable { field: String, problem: String, hint: String },
    /// 413: it is more than is taken, or than PostgreSQL could hold.
    TooLarge { message: String, hint: String },
    /// 405: it writes, and the transaction (a GET request) may not.
    ReadOnly { message: String },
    /// 500: something an administrator has to put right first.
    Refused { message: String, hint: String },
    /// 500: a defect or a damaged installation. The message says nothing of the data.
    Internal { message: String },
}

pub type Result<T, E = CrmError> = std::result::Result<T, E>;

impl CrmError {
    pub fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::InvalidInput { field: field.into(), problem: problem.into() }
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::Forbidden { message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into() }
    }
}

impl From<SpiError> for CrmError {
    fn from(error: SpiError) -> Self {
        Self::internal(format!("a query of crm_ext failed: {error}"))
    }
}

impl From<NoRandomness> for CrmError {
    fn from(_: NoRandomness) -> Self {
        Self::internal("the operating system gives no random numbers")
    }
}

impl From<CrmError> for ErrorReport {
    #[track_caller]
    fn from(error: CrmError) -> Self {
        let report = |code, message: String| ErrorReport::new(code, message, "");
        match error {
            CrmError::InvalidInput { field, problem } => {
                report(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, format!("{field}: {problem}"))
            }
            CrmError::Unknown { field, problem, hint } => {
                report(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, format!("{field}: {problem}")).set_hint(hint)
            }
            CrmError::Forbidden { message } => report(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message),
            CrmError::Stopped { message, detail, hint } => {
                report(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message).set_detail(detail).set_hint(hint)
            }
            CrmError::Conflict { message, hint } => {
                report(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message).set_hint(hint)
            }
            CrmError::InUse { message, hint } => {
                report(PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION, message).set_hint(hint)
            }
            CrmError::Refused { message, hint } => {
                report(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message).set_hint(hint)
            }
            CrmError::LimitReached { limit, current, maximum, plan } => {
                let limit = Value::from(limit);
                let detail = format!(
                    r#"{LIMIT_DETAIL}{limit},"current":{current},"maximum":{maximum},"plan":{}}}"#,
                    Value::from(plan)
                );
                ErrorReport::new(
                    PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
                    format!("the plan's limit is reached: {}", limit.as_str().unwrap_or_default()),
                    "",
                )
                .set_detail(detail)
                .set_hint("Remove some, or move to a larger plan.")
            }
            CrmError::State { column, from, to, allowed } => {
                let steps = if allowed.is_empty() { "none".into() } else { allowed.join(", ") };
                let shown = in_status_line(&to);
                let (message, hint) = match &from {
                    Some(from) => (
                        format!("{column}: there is no step from {from} to {shown}"),
                        format!("Allowed from {from}: {steps}."),
                    ),
                    None => {
                        (format!("{column}: a new one cannot be {shown}"), format!("Allowed to begin with: {steps}."))
                    }
                };
                let [from, to] = [Value::from(from), Value::from(to)];
                let detail = format!(
                    r#"{STATE_DETAIL}{},"from":{from},"to":{to},"allowed":{}}}"#,
                    Value::from(column),
                    Value::from(allowed)
                );
                report(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION, message).set_detail(detail).set_hint(hint)
            }
            CrmError::Frozen { column, state, message, hint } => {
                let detail = format!(r#"{STATE_DETAIL}{},"from":{}}}"#, Value::from(column), Value::from(state));
                report(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION, message).set_detail(detail).set_hint(hint)
            }
            CrmError::Unprocessable { field, problem, hint } => {
                let detail = format!("{STATE_DETAIL}{}}}", Value::from(field.as_str()));
                report(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION, format!("{field}: {problem}"))
                    .set_detail(detail)
                    .set_hint(hint)
            }
            CrmError::TooLarge { message, hint } => {
                report(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message).set_hint(hint)
            }
            CrmError::ReadOnly { message } => report(PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION, message),
            CrmError::Internal { message } => report(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message),
        }
    }
}

/// What a client sent, as far as it can stand in the message of an error with a status of its own: PostgREST puts that into
/// the first line of the answer, which a line break would end.
fn in_status_line(sent: &str) -> &str {
    let is_harmless = sent.len() <= 63 && sent.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_harmless { sent } else { "what was sent" }
}

/// How the detail of `LimitReached` begins: by this our 53400 is told from PostgreSQL's own.
pub const LIMIT_DETAIL: &str = r#"{"limit":"#;

/// How the detail of `State`, `Frozen` and `Unprocessable` begins: by this our 23514 is told from PostgreSQL's own.
pub const STATE_DETAIL: &str = r#"{"column":"#;

/// A refusal with an SQLSTATE that only PostgREST knows (`PT401` is HTTP 401).
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: Cow<'static, str>,
    pub detail: Option<Cow<'static, str>>,
    pub hint: Cow<'static, str>,
}

/// After how many seconds whom `Refusal::UPDATING` met may ask again.
const RETRY_AFTER: u32 = 30;

const fn refusal(code: &'static str, message: &'static str, hint: &'static str) -> Refusal {
    Refusal { code, message: Cow::Borrowed(message), detail: None, hint: Cow::Borrowed(hint) }
}

impl Refusal {
    /// One answer for everything that is wrong with a token: which check failed is nobody's business.
    pub const TOKEN: Self = refusal("PT401", "the access token is not valid", "Log in again with /rpc/login.");
    pub const KEY: Self = refusal("PT401", "the API key is not valid", "It is unknown, was revoked, or has expired.");
    pub const UNKNOWN_SUBJECT: Self = refusal(
        "PT403",
        "nobody here has this identity",
        "Sign in once with /rpc/login_with_id_token, or ask an administrator to link it to a user.",
    );
    pub const TWO_CREDENTIALS: Self =
        refusal("PT400", "a token and an API key were sent", "Send either Authorization or x-api-key.");
    pub const TOKEN_MISSING: Self = refusal(
        "PT401",
        "an access token is needed",
        "Send the token that /rpc/login returned as \"Authorization: Bearer …\".",
    );
    pub const ORGANIZATION: Self = refusal(
        "PT403",
        "no access to this organization",
        "What the token, X-Org-ID, X-Tenant-ID or the host name names must be one you are an active member of.",
    );
    pub const ORGANIZATION_AMBIGUOUS: Self = refusal(
        "PT400",
        "X-Org-ID, X-Tenant-ID and the host name (X-Org-Subdomain) name different organizations",
        "Send one of them.",
    );
    pub const ROLE: Self =
        refusal("PT403", "this database role cannot make requests", "Requests run as crm_anon, crm_app or crm_multi.");
    /// The planner's estimates come from statistics over every tenant's rows.
    pub const COUNT_ESTIMATE: Self =
        refusal("PT400", "Prefer: count=planned and count=estimated are not available", "Use count=exact.");

    /// Of an update that is not complete: what is missing is the operator's business, and stands in the server's log.
    pub const UPDATING: Self = refusal("PT503", "the service is being updated", "Try again in a few minutes.");

    /// For those who belong to an organization that was suspended or cancelled, and for its keys.
    pub fn stopped(status: &str, reason: Option<&str>, since: Option<&str>) -> Self {
        let (message, hint) = match status {
            "suspended" => (
                "this organization is suspended",
                "Ask those who run this service to resume it. In another organization you can go on: /rpc/switch_org.",
            ),
            _ => (
                "this organization was cancelled",
                "It does not come back. In another organization you can go on: /rpc/switch_org.",
            ),
        };
        let since = since.map(|since| format!("Since {since}."));
        let reason = reason.map(|reason| format!("Reason: {reason}"));
        let detail: Vec<_> = since.into_iter().chain(reason).collect();
        let detail = (!detail.is_empty()).then(|| detail.join(" ").into());
        Self { code: "PT403", message: message.into(), detail, hint: hint.into() }
    }

    /// The same as PostgREST takes it where the answer is to say when to ask again: status and headers in the detail.
    fn with_retry_after(self) -> Self {
        let message = json!({"code": self.code, "message": self.message, "details": self.detail, "hint": self.hint});
        let detail = json!({"status": 503, "headers": {"Retry-After": RETRY_AFTER.to_string()}});
        Self { code: "PGRST", message: message.to_string().into(), detail: Some(detail.to_string().into()), ..self }
    }

    /// Copied into PostgreSQL's memory, which the error's end frees: Rust's own would be lost when it is raised.
    pub fn prepare(self) -> Prepared {
        if self.code == Self::UPDATING.code && gucs::in_request() {
            return self.with_retry_after().prepare();
        }
        let copy = |text: &str| {
            let text = CString::new(text.replace('\0', "")).unwrap_or_default();
            // SAFETY: copies a NUL-terminated string.
            unsafe { pg_sys::pstrdup(text.as_ptr()) }.cast_const()
        };
        Prepared {
            code: sqlstate(self.code),
            message: copy(&self.message),
            detail: self.detail.as_deref().map_or(std::ptr::null(), copy),
            hint: copy(&self.hint),
        }
    }
}

/// The same refusal as an error of functions that raise with a standard SQLSTATE.
impl From<Refusal> for CrmError {
    fn from(refusal: Refusal) -> Self {
        match refusal.detail {
            Some(detail) => Self::Stopped {
                message: refusal.message.into_owned(),
                detail: detail.into_owned(),
                hint: refusal.hint.into_owned(),
            },
            None => Self::forbidden(refusal.message),
        }
    }
}

/// A refusal that is ready to be raised: it owns nothing.
#[derive(Clone, Copy)]
pub struct Prepared {
    code: c_int,
    message: *const c_char,
    /// Null where there is none.
    detail: *const c_char,
    hint: *const c_char,
}

impl Prepared {
    /// Raises it. pgrx can raise the standard SQLSTATEs alone, so this calls PostgreSQL itself: the error leaves as a longjmp,
    /// over the frames of the caller.
    ///
    /// # Safety
    ///
    /// Only from the outermost function that PostgreSQL called, outside of pgrx's guard, with nothing there to be dropped.
    pub unsafe fn raise(self) -> ! {
        unsafe extern "C-unwind" {
            fn errstart(level: c_int, domain: *const c_char) -> bool;
            fn errcode(sqlstate: c_int) -> c_int;
            fn errmsg_internal(format: *const c_char, ...) -> c_int;
            fn errdetail_internal(format: *const c_char, ...) -> c_int;
            fn errhint(format: *const c_char, ...) -> c_int;
            fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
        }
        let text = c"%s".as_ptr();
        // SAFETY: PostgreSQL's own protocol for errors; it copies the texts. At level ERROR errfinish does not return.
        unsafe {
            errstart(pgrx::PgLogLevel::ERROR as c_int, std::ptr::null());
            errcode(self.code);
            errmsg_internal(text, self.message);
            if !self.detail.is_null() {
                errdetail_internal(text, self.detail);
            }
            errhint(text, self.hint);
            errfinish(c"crm_ext".as_ptr(), 0, std::ptr::null());
        }
        std::process::abort()
    }
}

/// PostgreSQL's MAKE_SQLSTATE: six bits for each character.
pub const fn sqlstate(code: &str) -> c_int {
    let code = code.as_bytes();
    let (mut packed, mut at) = (0, 0);
    while at < code.len() {
        packed |= (code[at].wrapping_sub(b'0') as c_int & 0x3f) << (6 * at);
        at += 1;
    }
    packed
}

/// With RUST_BACKTRACE in the server's environment, pgrx would put build paths into the DETAIL of errors.
pub fn keep_backtraces_out_of_errors() {
    // SAFETY: a backend is single-threaded, and the value is read only after this.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_status_line_is_one_line() {
        assert_eq!(in_status_line("on hold"), "on hold");
        for sent in ["a\r\nSet-Cookie: x", "a\u{1}b", "über", &"x".repeat(64)] {
            assert_eq!(in_status_line(sent), "what was sent", "{sent:?}");
        }
    }

    #[test]
    fn an_update_says_when_to_ask_again() {
        let told = Refusal::UPDATING.with_retry_after();
        assert_eq!(told.code, "PGRST");
        let message: Value = serde_json::from_str(&told.message).unwrap();
        assert_eq!(message["message"], "the service is being updated");
        let detail: Value = serde_json::from_str(told.detail.as_deref().unwrap()).unwrap();
        assert_eq!(detail, json!({"status": 503, "headers": {"Retry-After": "30"}}));
    }

    #[test]
    fn a_stopped_organization_says_why_and_since_when() {
        let told = Refusal::stopped("suspended", Some("unpaid"), Some("2026-01-02T03:04:05Z"));
        assert_eq!(told.message, "this organization is suspended");
        assert_eq!(told.detail.as_deref(), Some("Since 2026-01-02T03:04:05Z. Reason: unpaid"));
        assert_eq!(Refusal::stopped("cancelled", None, None).detail, None);
        assert_eq!(Refusal::stopped("cancelled", Some("x"), None).detail.as_deref(), Some("Reason: x"));
    }
}
