//! What is said beside an answer's body, through PostgREST's settings; without PostgREST nobody listens.

use std::ffi::CString;

use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

use crate::edge::statements;
use crate::error::{CrmError, Refusal, Result};
use crate::gucs;

/// A refusal that commits, in the shape of PostgREST's errors: raising would undo what has to be remembered of it.
pub fn refuse(status: u16, code: &str, message: &str) -> JsonB {
    self::status(status);
    JsonB(json!({ "code": code, "message": message, "details": null, "hint": null }))
}

/// The same for an organization one cannot work in.
pub fn refuse_for(refusal: &Refusal) -> JsonB {
    self::status(403);
    // What else it says is about requests.
    let hint = refusal.detail.as_ref().map(|_| &refusal.hint);
    JsonB(json!({ "code": "42501", "message": refusal.message, "details": refusal.detail, "hint": hint }))
}

/// The same for somebody who should come back later.
pub fn refuse_until(seconds: i64, message: &str) -> JsonB {
    let headers = [json!({ "Retry-After": seconds.to_string() })];
    set_headers(&headers);
    // 53400: configuration_limit_exceeded.
    refuse(429, "53400", message)
}

pub fn status(status: u16) {
    if let Ok(status) = CString::new(status.to_string()) {
        gucs::set_local_as_user(c"response.status", &status);
    }
}

pub fn header(name: &str, value: &str) {
    set_headers(&[json!({ name: value })]);
}

/// RFC 6749, section 5.1: nobody on the way may keep a token.
pub fn no_store() {
    header("Cache-Control", "no-store");
}

fn set_headers(headers: &[Value]) {
    // SAFETY: reads the transaction's state. No setting can be changed while parallel workers run.
    if unsafe { pg_sys::IsInParallelMode() } {
        return;
    }
    if let Ok(headers) = CString::new(Value::from(headers.to_vec()).to_string()) {
        gucs::set_local_as_user(c"response.headers", &headers);
    }
}

/// What every function that writes begins with. Refused are a READ ONLY transaction, which a GET is: its arguments, secrets
/// among them, stand in the URL; and a filter on the answer, which could be made to fail just where the answer is a
/// refusal, and so undo what has to be remembered of it.
pub fn needs_post(function: &str) -> Result<()> {
    if statements::answer_is_filtered() {
        return Err(CrmError::invalid("filter", format!("the answer of {function} cannot be filtered")));
    }
    // SAFETY: reads a flag of the transaction manager.
    if unsafe { pg_sys::XactReadOnly } {
        return Err(CrmError::ReadOnly { message: format!("{function} needs a POST request") });
    }
    Ok(())
}

/// An argument that SQL allows to be NULL and the function does not.
pub fn given<T>(argument: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| CrmError::invalid(argument, "is missing"))
}

pub fn to_json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| CrmError::internal("the answer has no JSON form"))
}
