//! The status that an error gets. PostgREST answers 42501 (insufficient privilege) with 401 where a request came without a
//! token, as if one would help; but whoever has shown an API key, or another issuer's token, is known and still may not.
//! What a plan does not allow is 402, and what a record's state does not allow 422, which no SQLSTATE of PostgreSQL's own becomes.
//! Whom a deadlock ends gets 409 and not 500: the request was good, and will be when it is sent again.

use std::ffi::{CStr, c_char};

use pgrx::prelude::*;

use crate::error::{LIMIT_DETAIL, STATE_DETAIL, sqlstate};
use crate::gucs;

static mut PREVIOUS: pg_sys::emit_log_hook_type = None;

const INSUFFICIENT_PRIVILEGE: i32 = sqlstate("42501");
const FORBIDDEN: i32 = sqlstate("PT403");
const LIMIT_EXCEEDED: i32 = sqlstate("53400");
const PAYMENT_REQUIRED: i32 = sqlstate("PT402");
const CHECK_VIOLATION: i32 = sqlstate("23514");
const UNPROCESSABLE: i32 = sqlstate("PT422");
const DEADLOCK_DETECTED: i32 = sqlstate("40P01");
const CONFLICT: i32 = sqlstate("PT409");
const ANOTHER_TRY: &CStr =
    c"Somebody else changed the same records at the same time. Nothing was saved: send it again.";

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(emit_log);
    }
}

/// Runs while an error is on its way to the log and the client: it looks, changes one number, and allocates next to nothing.
unsafe extern "C-unwind" fn emit_log(error: *mut pg_sys::ErrorData) {
    // SAFETY: the server hands in the error it is about to send.
    unsafe {
        // A worker's goes to its leader, who may catch it; from there it comes here again.
        if pg_sys::ParallelWorkerNumber >= 0 {
            if let Some(next) = PREVIOUS {
                next(error);
            }
            return;
        }
        if (*error).sqlerrcode == INSUFFICIENT_PRIVILEGE && gucs::in_request() && gucs::is_known_without_session() {
            (*error).sqlerrcode = FORBIDDEN;
        }
        if (*error).sqlerrcode == LIMIT_EXCEEDED && gucs::in_request() && begins((*error).detail, LIMIT_DETAIL) {
            (*error).sqlerrcode = PAYMENT_REQUIRED;
        }
        if (*error).sqlerrcode == CHECK_VIOLATION && gucs::in_request() && begins((*error).detail, STATE_DETAIL) {
            (*error).sqlerrcode = UNPROCESSABLE;
        }
        if (*error).sqlerrcode == DEADLOCK_DETECTED && gucs::in_request() {
            call_for_another_try(error);
        }
        if [FORBIDDEN, PAYMENT_REQUIRED, UNPROCESSABLE].contains(&(*error).sqlerrcode) {
            tame((*error).message);
        }
        if let Some(next) = PREVIOUS {
            next(error);
        }
    }
}

/// Which process waited for which is the log's alone.
///
/// # Safety
///
/// An error on its way.
unsafe fn call_for_another_try(error: *mut pg_sys::ErrorData) {
    // SAFETY: the hint lives as long as the error's other texts.
    unsafe {
        if (*error).detail_log.is_null() {
            (*error).detail_log = (*error).detail;
        }
        (*error).detail = std::ptr::null_mut();
        (*error).sqlerrcode = CONFLICT;
        (*error).hint = pg_sys::MemoryContextStrdup((*error).assoc_context, ANOTHER_TRY.as_ptr());
    }
}

/// PostgREST writes the message of such a code into the status line, where a line break would begin a header of whoever sent
/// it, and proxies take no more than a few thousand bytes.
///
/// # Safety
///
/// A NUL-terminated text that may be written to, or null.
unsafe fn tame(message: *mut c_char) {
    const LONGEST: usize = 300;
    let mut byte = message.cast::<u8>();
    // SAFETY: not null, and not beyond its end.
    unsafe {
        while !byte.is_null() && *byte != 0 {
            if byte.offset_from(message.cast()) as usize >= LONGEST && (*byte & 0xC0) != 0x80 {
                *byte = 0;
                return;
            }
            if (*byte).is_ascii_control() {
                *byte = b' ';
            }
            byte = byte.add(1);
        }
    }
}

/// # Safety
///
/// A NUL-terminated text, or null.
unsafe fn begins(detail: *const c_char, with: &str) -> bool {
    // SAFETY: not null.
    !detail.is_null() && unsafe { CStr::from_ptr(detail) }.to_bytes().starts_with(with.as_bytes())
}
