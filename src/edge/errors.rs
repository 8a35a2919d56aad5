//! The status that an error gets. PostgREST answers 42501 (insufficient privilege) with 401 where a request came without a
//! token, as if one would help; but whoever has shown an API key, or another issuer's token, is known and still may not.

use pgrx::prelude::*;

use crate::error::sqlstate;
use crate::gucs;

static mut PREVIOUS: pg_sys::emit_log_hook_type = None;

const INSUFFICIENT_PRIVILEGE: i32 = sqlstate("42501");
const FORBIDDEN: i32 = sqlstate("PT403");

pub fn install_hook() {
    // SAFETY: called once, while the library is loaded.
    unsafe {
        PREVIOUS = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(emit_log);
    }
}

/// Runs while an error is on its way to the log and the client: it looks, changes one number, and allocates nothing.
unsafe extern "C-unwind" fn emit_log(error: *mut pg_sys::ErrorData) {
    // SAFETY: the server hands in the error it is about to send.
    unsafe {
        if (*error).sqlerrcode == INSUFFICIENT_PRIVILEGE && gucs::in_request() && gucs::is_known_without_session() {
            (*error).sqlerrcode = FORBIDDEN;
        }
        if let Some(next) = PREVIOUS {
            next(error);
        }
    }
}
