//! Locks of an organization on what is no row. Never advisory locks: anybody could take those, and keep everybody waiting.

use pgrx::pg_sys;
use uuid::Uuid;

/// What an organization goes by in the server's lock table. The last four bytes of a UUID are random: two organizations with
/// one number only wait for each other.
pub fn number(organization: Uuid) -> u32 {
    organization.as_u64_pair().1 as u32
}

/// Until the end of the transaction. `table`: whose rows it is about; `kind`: which of the locks on that table; `mode`: one of
/// PostgreSQL's lock modes.
pub fn lock(table: pg_sys::Oid, number: u32, kind: u16, mode: u32) {
    // SAFETY: takes a lock that the end of the transaction releases.
    unsafe { pg_sys::LockDatabaseObject(table, pg_sys::Oid::from(number), kind, mode as i32) };
}

/// The organization's transactions that lock this table here follow each other.
pub fn one_after_another(table: pg_sys::Oid, organization: Uuid) {
    lock(table, number(organization), 0, pg_sys::ExclusiveLock);
}

/// The same where nobody holds it; false where one would have to wait.
pub fn try_one_after_another(table: pg_sys::Oid, organization: Uuid) -> bool {
    // SAFETY: takes a lock that the end of the transaction releases, or none.
    unsafe {
        pg_sys::ConditionalLockDatabaseObject(
            table,
            pg_sys::Oid::from(number(organization)),
            0,
            pg_sys::ExclusiveLock as i32,
        )
    }
}
