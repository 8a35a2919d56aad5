//! How values are written where they are kept: one way, whatever the session likes, as pg_dump does it. What is read back tomorrow, in
//! another session, must be what was written today.

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use pgrx::pg_sys;

use crate::error::Result;

const SETTINGS: [(&CStr, &CStr); 5] = [
    (c"timezone", c"UTC"),
    (c"datestyle", c"ISO, YMD"),
    (c"intervalstyle", c"postgres"),
    (c"extra_float_digits", c"3"),
    (c"bytea_output", c"hex"),
];
const DIGITS: c_int = 3;
const HEX: c_int = 1;

unsafe extern "C" {
    static mut bytea_output: c_int;
}

thread_local! {
    static UTC: Cell<*mut pg_sys::pg_tz> = const { Cell::new(std::ptr::null_mut()) };
}

/// While this lives, output functions write plainly. Only around one of them: settings and what goes by them differ meanwhile, and a
/// cast of the DBA's own may set them anew. To set them properly would cost more than writing a row.
pub struct Plain {
    zone: *mut pg_sys::pg_tz,
    dates: c_int,
    intervals: c_int,
    digits: c_int,
    bytes: c_int,
}

impl Plain {
    pub fn begin() -> Self {
        // SAFETY: the backend's own variables; a zone that was loaded stays.
        unsafe {
            if UTC.get().is_null() {
                UTC.set(pg_sys::pg_tzset(c"UTC".as_ptr()));
            }
            Self {
                zone: (&raw mut pg_sys::session_timezone).replace(UTC.get()),
                dates: (&raw mut pg_sys::DateStyle).replace(pg_sys::USE_ISO_DATES as c_int),
                intervals: (&raw mut pg_sys::IntervalStyle).replace(pg_sys::INTSTYLE_POSTGRES as c_int),
                digits: (&raw mut pg_sys::extra_float_digits).replace(DIGITS),
                bytes: (&raw mut bytea_output).replace(HEX),
            }
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: as they were.
        unsafe {
            pg_sys::session_timezone = self.zone;
            pg_sys::DateStyle = self.dates;
            pg_sys::IntervalStyle = self.intervals;
            pg_sys::extra_float_digits = self.digits;
            bytea_output = self.bytes;
        }
    }
}

/// The same for queries, which other processes may take part in. Where an error passes through, the end of the (sub)transaction sets
/// back what was set.
pub fn plainly<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    // SAFETY: as functions with settings of their own do it.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    for (name, value) in SETTINGS {
        // SAFETY: NUL-terminated texts; settings that everybody may set.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
    let answer = run();
    // SAFETY: the level that began above.
    unsafe { pg_sys::AtEOXact_GUC(true, level) };
    answer
}
