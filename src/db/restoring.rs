//! What history brings back is written as it was: for the table that is written, while it is written, the rules that keep
//! columns from a client step aside. Permissions and policies do not.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::PgTrigger;

#[derive(Clone, Copy)]
struct Restoring {
    table: pg_sys::Oid,
    with_record: bool,
}

thread_local! {
    static RESTORING: Cell<Option<Restoring>> = const { Cell::new(None) };
}

/// Runs one statement on a table. `with_record`: its rows come back together with the records that they are parts of, which
/// need not be asked whether they take them.
pub fn restoring<R>(table: pg_sys::Oid, with_record: bool, run: impl FnOnce() -> R) -> R {
    struct Before(Option<Restoring>);
    impl Drop for Before {
        fn drop(&mut self) {
            RESTORING.set(self.0);
        }
    }
    let _before = Before(RESTORING.replace(Some(Restoring { table, with_record })));
    run()
}

/// Whether the row that is written comes from history.
pub fn is_restoring(trigger: &PgTrigger) -> bool {
    find(trigger).is_some()
}

/// And together with its record.
pub fn is_restoring_record(trigger: &PgTrigger) -> bool {
    find(trigger).is_some_and(|restoring| restoring.with_record)
}

fn find(trigger: &PgTrigger) -> Option<Restoring> {
    let restoring = RESTORING.get()?;
    // SAFETY: the trigger manager hands in an open relation.
    let (table, is_partition) = unsafe {
        let relation = trigger.trigger_data().tg_relation;
        ((*relation).rd_id, (*(*relation).rd_rel).relispartition)
    };
    (table == restoring.table || is_partition && is_below(table, restoring.table)).then_some(restoring)
}

fn is_below(partition: pg_sys::Oid, table: pg_sys::Oid) -> bool {
    unsafe extern "C-unwind" {
        fn get_partition_ancestors(partition: pg_sys::Oid) -> *mut pg_sys::List;
    }
    // SAFETY: a look-up of the catalog, of a table that is a partition; the list is of OIDs.
    unsafe { pg_sys::list_member_oid(get_partition_ancestors(partition), table) }
}
