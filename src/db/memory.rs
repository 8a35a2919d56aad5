//! Memory for what one row needs, so that a statement of many needs no more than one.

use std::ffi::CStr;

use pgrx::pg_sys;

/// Where an error passes through, it goes with the memory it was made in.
pub struct PerRow(pg_sys::MemoryContext);

impl PerRow {
    /// In the current memory.
    pub fn new() -> Self {
        // SAFETY: the current one lives.
        Self(unsafe { context(pg_sys::CurrentMemoryContext, c"crm_ext row") })
    }

    /// What `run` allocates in the server's memory is gone after it.
    pub fn run<R>(&self, run: impl FnOnce() -> R) -> R {
        // SAFETY: a living context; nothing of it is used after `run`.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.0);
            let answer = run();
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextReset(self.0);
            answer
        }
    }

    pub fn finish(self) {
        // SAFETY: made in `new`, and used no more.
        unsafe { pg_sys::MemoryContextDelete(self.0) };
    }
}

/// # Safety
///
/// A living context, its parent.
pub unsafe fn context(parent: pg_sys::MemoryContext, name: &'static CStr) -> pg_sys::MemoryContext {
    // SAFETY: by the caller.
    unsafe {
        pg_sys::AllocSetContextCreateInternal(
            parent,
            name.as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        )
    }
}
