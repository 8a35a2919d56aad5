//! Every error a client can meet: one enum, each variant with its SQLSTATE.

use std::ffi::{c_char, c_int};

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::SpiError;
use serde_json::Value;

/// An error that is raised. PostgREST turns the SQLSTATE into the HTTP status named here.
#[derive(Debug)]
pub enum CrmError {
    /// 400: an argument or a column has a bad value.
    InvalidInput { field: String, problem: String },
    /// 403: the caller may not do this.
    Forbidden { message: String },
    /// 409: it exists already.
    Conflict { message: String, hint: String },
    /// 409: something else depends on it.
    InUse { message: String, hint: String },
    /// 402: the organization's plan allows no more. `current` is what there was before.
    LimitReached { limit: String, current: i64, maximum: i64, plan: String },
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

impl From<CrmError> for ErrorReport {
    #[track_caller]
    fn from(error: CrmError) -> Self {
        let report = |code, message: String| ErrorReport::new(code, message, "");
        match error {
            CrmError::InvalidInput { field, problem } => {
                report(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, format!("{field}: {problem}"))
            }
            CrmError::Forbidden { message } => report(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message),
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
            CrmError::ReadOnly { message } => report(PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION, message),
            CrmError::Internal { message } => report(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message),
        }
    }
}

/// How the detail of `LimitReached` begins: by this our 53400 is told from PostgreSQL's own.
pub const LIMIT_DETAIL: &str = r#"{"limit":"#;

/// A refusal with an SQLSTATE that only PostgREST knows (`PT401` is HTTP 401).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: &'static str,
    pub hint: &'static str,
}

impl Refusal {
    /// One answer for everything that is wrong with a token: which check failed is nobody's business.
    pub const TOKEN: Self =
        Self { code: "PT401", message: "the access token is not valid", hint: "Log in again with /rpc/login." };
    pub const KEY: Self = Self {
        code: "PT401",
        message: "the API key is not valid",
        hint: "It is unknown, was revoked, has expired, or its organization is not active.",
    };
    pub const UNKNOWN_SUBJECT: Self = Self {
        code: "PT403",
        message: "nobody here has this identity",
        hint: "Sign in once with /rpc/login_with_id_token, or ask an administrator to link it to a user.",
    };
    pub const TWO_CREDENTIALS: Self = Self {
        code: "PT400",
        message: "a token and an API key were sent",
        hint: "Send either Authorization or x-api-key.",
    };
    pub const TOKEN_MISSING: Self = Self {
        code: "PT401",
        message: "an access token is needed",
        hint: "Send the token that /rpc/login returned as \"Authorization: Bearer …\".",
    };
    pub const ORGANIZATION: Self = Self {
        code: "PT403",
        message: "no access to this organization",
        hint: "The token's or the header's (X-Org-ID, X-Tenant-ID) organization must be one you are an active member of.",
    };
    pub const ORGANIZATION_AMBIGUOUS: Self = Self {
        code: "PT400",
        message: "X-Org-ID and X-Tenant-ID name different organizations",
        hint: "Send one of them.",
    };
    pub const ROLE: Self = Self {
        code: "PT403",
        message: "this database role cannot make requests",
        hint: "Requests run as crm_anon, crm_app or crm_multi.",
    };
    /// The planner's estimates come from statistics over every tenant's rows.
    pub const COUNT_ESTIMATE: Self = Self {
        code: "PT400",
        message: "Prefer: count=planned and count=estimated are not available",
        hint: "Use count=exact.",
    };
}

impl Refusal {
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
            fn errhint(format: *const c_char, ...) -> c_int;
            fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
        }
        let text = c"%.*s".as_ptr();
        // SAFETY: PostgreSQL's own protocol for errors; it copies the texts. At level ERROR errfinish does not return.
        unsafe {
            errstart(pgrx::PgLogLevel::ERROR as c_int, std::ptr::null());
            errcode(sqlstate(self.code));
            errmsg_internal(text, self.message.len() as c_int, self.message.as_ptr());
            errhint(text, self.hint.len() as c_int, self.hint.as_ptr());
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
