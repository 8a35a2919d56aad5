//! Cancels what takes too long, as `statement_timeout` does, but only a part of a statement, and so that it can be told apart.

use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    /// utils/timeout.h. An id from USER_TIMEOUT on, which is not the same in all versions, is given a free one.
    fn RegisterTimeout(id: c_int, handler: extern "C" fn()) -> c_int;
    fn enable_timeout_after(id: c_int, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

/// Beyond every version's own.
const ANY_FREE: c_int = 1000;

/// A part may have parts of its own.
const DEPTH: usize = 2;
static FIRED: [AtomicBool; DEPTH] = [const { AtomicBool::new(false) }; DEPTH];

struct Timers {
    ids: Vec<c_int>,
    used: usize,
}

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers { ids: vec![], used: 0 }) };
}

/// Runs until it is stopped, or dropped.
pub struct Timer {
    depth: usize,
    id: c_int,
}

impl Timer {
    /// `None` deeper than is provided for.
    pub fn start(time: Duration) -> Option<Self> {
        let (depth, id) = TIMERS.with_borrow_mut(|timers| {
            let depth = timers.used;
            let handler: extern "C" fn() = *[fired::<0> as extern "C" fn(), fired::<1>].get(depth)?;
            if timers.ids.len() == depth {
                // SAFETY: in a backend, whose timeouts are set up; once for each depth.
                timers.ids.push(unsafe { RegisterTimeout(ANY_FREE, handler) });
            }
            timers.used += 1;
            Some((depth, timers.ids[depth]))
        })?;
        FIRED[depth].store(false, Ordering::Relaxed);
        let milliseconds = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: registered above.
        unsafe { enable_timeout_after(id, milliseconds) };
        Some(Self { depth, id })
    }

    /// Whether the time was over.
    pub fn stop(self) -> bool {
        let depth = self.depth;
        drop(self);
        FIRED[depth].load(Ordering::Relaxed)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        TIMERS.with_borrow_mut(|timers| timers.used = self.depth);
        // SAFETY: registered. What was asked to stop, and has ended before it noticed, is not to stop what comes next.
        unsafe {
            disable_timeout(self.id, false);
            if FIRED[self.depth].load(Ordering::Relaxed) {
                pg_sys::QueryCancelPending = 0;
            }
        }
    }
}

/// In a signal's handler, where little is allowed: as PostgreSQL's own for `statement_timeout`.
extern "C" fn fired<const AT: usize>() {
    FIRED[AT].store(true, Ordering::Relaxed);
    // SAFETY: flags and a latch that are made to be set here.
    unsafe {
        pg_sys::QueryCancelPending = 1;
        pg_sys::InterruptPending = 1;
        pg_sys::SetLatch(pg_sys::MyLatch);
    }
}
