//! SPI helpers: prepared once per backend, and read-only where they read.

pub mod append;
pub mod catalog;
pub mod locks;
pub mod memory;
pub mod plain;
pub mod restoring;
mod rows;
pub mod savepoint;
mod timer;
pub mod transition;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CStr;

use pgrx::datum::DatumWithOid;
use pgrx::prelude::PgTrigger;
use pgrx::spi::{Spi, SpiTupleTable};
use pgrx::{PgBuiltInOids, pg_sys};

use crate::error::{CrmError, Result};
use rows::{Plan, Planned};
pub use rows::{Row, Rows};

thread_local! {
    static LOADING: Cell<bool> = const { Cell::new(false) };
    static AT_LATEST: Cell<bool> = const { Cell::new(false) };
    static QUERIES: RefCell<HashMap<&'static str, Plan>> = RefCell::new(HashMap::new());
}

/// Runs a query that only reads, and hands the rows to `read`.
///
/// Never `Spi::get_one` and friends: they count as writing, and so take a transaction id, which a GET through
/// PostgREST (a READ ONLY transaction) must not, nor a query on a standby.
pub fn select<R>(
    query: &'static str,
    types: &[PgBuiltInOids],
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| read(prepared(query, types, Planned::ForItsArguments)?.run(arguments, only_reads())?))
}

/// The same for a query that finds a few rows by their keys.
pub fn select_by_key<R>(
    query: &'static str,
    types: &[PgBuiltInOids],
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| read(prepared(query, types, Planned::Once)?.run(arguments, only_reads())?))
}

/// With the snapshot that is active; otherwise with one that sees what this transaction has written so far.
fn only_reads() -> bool {
    // SAFETY: reads the transaction's state.
    let has_written = unsafe { pg_sys::GetTopTransactionIdIfAny() } != pg_sys::InvalidTransactionId;
    // SAFETY: as above.
    !has_written || AT_LATEST.get() || unsafe { pg_sys::IsInParallelMode() }
}

/// Runs queries on what is committed by now, also in a transaction that looks at an older state, and on what this one has
/// written so far. Not while workers run: all of them keep to the snapshot they began with.
pub fn at_latest<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            AT_LATEST.set(self.0);
        }
    }
    let _before = Before(AT_LATEST.replace(true));
    // SAFETY: makes visible what was written, as every statement of a volatile function does; the snapshot is popped below,
    // or where a query fails by the end of the (sub)transaction.
    unsafe {
        pg_sys::CommandCounterIncrement();
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
    }
    let answer = run()?;
    // SAFETY: pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    Ok(answer)
}

fn prepared(query: &'static str, types: &[PgBuiltInOids], planned: Planned) -> Result<Plan> {
    if let Some(plan) = QUERIES.with_borrow(|queries| queries.get(query).copied()) {
        return Ok(plan);
    }
    let plan = Plan::prepare(query, types, planned)?;
    QUERIES.with_borrow_mut(|queries| queries.insert(query, plan));
    Ok(plan)
}

/// The same for a query that is put together, and so not worth keeping.
pub fn select_once<R>(query: &str, arguments: &[DatumWithOid], read: impl FnOnce(Rows) -> Result<R>) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| read(rows::select_once(query, arguments, only_reads())?))
}

/// The same for one that gives more rows than should lie in memory.
pub fn visit(query: &str, arguments: &[DatumWithOid], visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| rows::visit_once(query, arguments, visit))
}

/// Runs a query that reads a trigger's transition tables, by the names the trigger gives them, and what is committed by now.
pub fn select_from_transition<R>(trigger: &PgTrigger, query: &str, read: impl FnOnce(Rows) -> Result<R>) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| {
        let data = std::ptr::from_ref(trigger.trigger_data()).cast_mut();
        // SAFETY: what the trigger manager handed in, which outlives this connection to SPI; it is only read.
        if unsafe { pg_sys::SPI_register_trigger_data(data) } < 0 {
            return Err(CrmError::internal("the rows of a trigger cannot be read"));
        }
        read(rows::select_once(query, &[], false)?)
    })
}

/// Runs a statement that writes; gives how many rows it wrote.
pub fn execute(statement: &str, arguments: &[DatumWithOid]) -> Result<usize> {
    let _restriction = Restriction::enter();
    Spi::connect_mut(|client| Ok(client.update(statement, None, arguments)?.len()))
}

/// Runs a statement that writes and returns one column; `None` when it wrote no row.
pub fn execute_returning<T: pgrx::FromDatum + pgrx::IntoDatum>(
    statement: &str,
    arguments: &[DatumWithOid],
) -> Result<Option<T>> {
    let _restriction = Restriction::enter();
    Spi::connect_mut(|client| {
        let rows = client.update(statement, None, arguments)?;
        if rows.is_empty() { Ok(None) } else { Ok(rows.first().get_one::<T>()?) }
    })
}

/// Runs a statement that writes or locks, and hands the rows to `read`.
pub fn write<R>(
    statement: &str,
    arguments: &[DatumWithOid],
    read: impl FnOnce(SpiTupleTable) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect_mut(|client| read(client.update(statement, None, arguments)?))
}

/// The same for one that runs at almost every write, and finds its rows by their keys.
pub fn write_prepared<R>(
    statement: &'static str,
    types: &[PgBuiltInOids],
    arguments: &[DatumWithOid],
    read: impl FnOnce(Rows) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect_mut(|_| read(prepared(statement, types, Planned::Once)?.run(arguments, false)?))
}

/// Runs statements without arguments or results (DDL).
pub fn run(statements: &str) -> Result<()> {
    execute(statements, &[]).map(|_| ())
}

/// Runs a query on a trigger's transition tables, by the names the trigger gives them.
pub fn select_on_rows_of<R>(
    trigger: &PgTrigger,
    query: &'static str,
    read: impl FnOnce(Rows) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|_| {
        register_rows_of(trigger)?;
        read(prepared(query, &[], Planned::ForItsArguments)?.run(&[], only_reads())?)
    })
}

/// Runs a statement that writes and reads a trigger's transition tables.
pub fn write_on_rows_of(trigger: &PgTrigger, statement: &'static str) -> Result<()> {
    let _restriction = Restriction::enter();
    Spi::connect_mut(|_| {
        register_rows_of(trigger)?;
        prepared(statement, &[], Planned::ForItsArguments)?.run(&[], false).map(|_| ())
    })
}

fn register_rows_of(trigger: &PgTrigger) -> Result<()> {
    let data = std::ptr::from_ref(trigger.trigger_data()).cast_mut();
    // SAFETY: what the trigger manager handed in, which outlives this connection to SPI; it is only read.
    if unsafe { pg_sys::SPI_register_trigger_data(data) } < 0 {
        return Err(CrmError::internal("the rows of a trigger cannot be read"));
    }
    Ok(())
}

/// Runs something with the rights of `crm_definer`, as a security definer function has them.
pub fn as_definer<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    // The role owns the calling function.
    let _definer = Borrowed::enter(role(c"crm_definer"), pg_sys::SECURITY_LOCAL_USERID_CHANGE);
    run()
}

/// A role of the CRM.
pub fn role(name: &CStr) -> pg_sys::Oid {
    // SAFETY: a catalog look-up with a NUL-terminated name.
    unsafe { pg_sys::get_role_oid(name.as_ptr(), false) }
}

/// Runs something in a security definer function with the rights of whoever called it, and so under their policies.
pub fn as_caller<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    // SAFETY: reads the session's state.
    let _caller = Borrowed::enter(unsafe { pg_sys::GetOuterUserId() }, pg_sys::SECURITY_LOCAL_USERID_CHANGE);
    run()
}

/// Runs something whose settings end with it: what others attached to tables could otherwise set a search path for whatever
/// comes after, in the whole session. PostgreSQL does the same where it runs the functions of an index.
pub fn confined<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Level(i32);
    impl Drop for Level {
        fn drop(&mut self) {
            // SAFETY: the level entered below, and those above it.
            unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
        }
    }
    // SAFETY: left by Drop, also when an error passes through.
    let _level = Level(unsafe { pg_sys::NewGUCNestLevel() });
    run()
}

/// Runs something with the rights of a table's owner, and past its policies: as PostgreSQL runs what a foreign key does to a
/// table, and as safe as that is (see [`Restriction`]).
pub fn as_owner_of<R>(schema: &CStr, table: &CStr, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let table = relation(schema, table)?;
    // SAFETY: a look-up of the catalog.
    let owner = unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, table.into());
        if tuple.is_null() {
            return Err(missing());
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        owner
    };
    as_owner(owner, run)
}

/// A table of the CRM.
pub fn relation(schema: &CStr, table: &CStr) -> Result<pg_sys::Oid> {
    // SAFETY: catalog look-ups with NUL-terminated names; without the schema the first one fails.
    let table = unsafe { pg_sys::get_relname_relid(table.as_ptr(), pg_sys::get_namespace_oid(schema.as_ptr(), false)) };
    if table == pg_sys::InvalidOid { Err(missing()) } else { Ok(table) }
}

fn missing() -> CrmError {
    CrmError::internal("a table of the CRM is missing")
}

/// The same, but treated as what an administrator loads and not as the CRM's own doing: triggers check and compute as ever.
pub fn load_as_owner_of<R>(schema: &CStr, table: &CStr, run: impl FnOnce() -> Result<R>) -> Result<R> {
    as_owner_of(schema, table, || {
        let _loading = Loading::enter(true);
        run()
    })
}

/// Whether the statement that runs is one of those.
pub fn is_loading() -> bool {
    LOADING.get()
}

/// On until something of the CRM's own runs inside.
struct Loading(bool);

impl Loading {
    fn enter(on: bool) -> Self {
        Self(LOADING.replace(on))
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        LOADING.set(self.0);
    }
}

/// The same for an owner who is known.
pub fn as_owner<R>(owner: pg_sys::Oid, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let _own = Loading::enter(false);
    let _owner = Borrowed::enter(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS);
    run()
}

/// Reads something as a table's owner, whom forced row level security does not bind here, as PostgreSQL does to check
/// foreign keys. Only for queries that call nothing of the owner's.
pub fn read_as_owner<R>(owner: pg_sys::Oid, read: impl FnOnce() -> Result<R>) -> Result<R> {
    let context =
        pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION | pg_sys::SECURITY_NOFORCE_RLS;
    let _owner = Borrowed::enter(owner, context);
    read()
}

/// The backend's current user, on loan.
struct Borrowed(pg_sys::Oid, i32);

impl Borrowed {
    fn enter(user: pg_sys::Oid, flags: u32) -> Self {
        let (mut before, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: reads and sets the backend's current user; Drop sets it back, also when an error passes through.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut before, &mut context);
            pg_sys::SetUserIdAndSecContext(user, context | flags as i32);
        }
        Self(before, context)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: what was in force before.
        unsafe { pg_sys::SetUserIdAndSecContext(self.0, self.1) };
    }
}

/// Keeps what the tables' owner attached to them (a trigger, a policy's function) from outliving a definer function that a
/// superuser called: a deferred trigger or a cursor WITH HOLD would run at commit, and then as that superuser. PostgreSQL
/// refuses both in a security-restricted operation, as it does for index expressions under VACUUM.
struct Restriction(Option<(pg_sys::Oid, i32)>);

impl Restriction {
    fn enter() -> Self {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        // SAFETY: reads and sets the backend's current user; Drop sets it back, also when an error passes through.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            let lender =
                pg_sys::superuser_arg(pg_sys::GetOuterUserId()) || pg_sys::superuser_arg(pg_sys::GetSessionUserId());
            let on_loan = lender && !pg_sys::superuser_arg(user);
            if !on_loan {
                return Self(None);
            }
            pg_sys::SetUserIdAndSecContext(user, context | pg_sys::SECURITY_RESTRICTED_OPERATION as i32);
        }
        Self(Some((user, context)))
    }
}

impl Drop for Restriction {
    fn drop(&mut self) {
        if let Some((user, context)) = self.0 {
            // SAFETY: what was in force before.
            unsafe { pg_sys::SetUserIdAndSecContext(user, context) };
        }
    }
}
