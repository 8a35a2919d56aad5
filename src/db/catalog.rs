//! What is derived from the catalog, and for how long that holds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pgrx::pg_sys;

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Called once, while the library is loaded.
pub fn listen() {
    // SAFETY: registers a function that lives as long as the backend.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), pg_sys::Datum::null()) };
}

/// Runs at arbitrary moments, so it only takes notes.
extern "C-unwind" fn relation_changed(_: pg_sys::Datum, _: pg_sys::Oid) {
    GENERATION.fetch_add(1, Relaxed);
}

/// What was derived under another generation is to be derived anew: some table was altered since. Who has locked a table has
/// heard of all that happened to it before.
pub fn generation() -> u64 {
    GENERATION.load(Relaxed)
}
