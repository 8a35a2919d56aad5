//! Every error a client can meet: one enum, each variant with its SQLSTATE.

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::SpiError;
use serde::Serialize;

/// An error that is raised. PostgREST turns the SQLSTATE into the HTTP status named here.
#[derive(Debug)]
pub enum CrmError {
    /// 400: an argument or a column has a bad value.
    InvalidInput { field: String, problem: String },
    /// 403: the caller may not do this.
    Forbidden { message: String },
    /// 409: it exists already.
    Conflict { message: String, hint: String },
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
            CrmError::Refused { message, hint } => {
                report(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message).set_hint(hint)
            }
            CrmError::ReadOnly { message } => report(PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION, message),
            CrmError::Internal { message } => report(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message),
        }
    }
}

/// A refusal with an SQLSTATE that only PostgREST knows (`PT401` is HTTP 401).
///
/// pgrx can raise the standard codes alone, so this one is returned to a PL/pgSQL wrapper in `sql/`, which raises it.
#[derive(Debug, Serialize, PartialEq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: &'static str,
    pub hint: &'static str,
}

impl Refusal {
    /// One answer for everything that is wrong with a token: which check failed is nobody's business.
    pub const TOKEN: Self =
        Self { code: "PT401", message: "the access token is not valid", hint: "Log in again with /rpc/login." };
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

/// With RUST_BACKTRACE in the server's environment, pgrx would put build paths into the DETAIL of errors.
pub fn keep_backtraces_out_of_errors() {
    // SAFETY: a backend is single-threaded, and the value is read only after this.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}
