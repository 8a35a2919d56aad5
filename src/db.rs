//! SPI helpers: prepared once per backend, and read-only where they read.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::datum::DatumWithOid;
use pgrx::spi::{OwnedPreparedStatement, Spi, SpiClient, SpiTupleTable};
use pgrx::{PgBuiltInOids, pg_sys};

use crate::error::Result;

thread_local! {
    static PLANS: RefCell<HashMap<&'static str, OwnedPreparedStatement>> = RefCell::new(HashMap::new());
}

/// Runs a query that only reads, and hands the rows to `read`.
///
/// Never `Spi::get_one` and friends: they count as writing, and so take a transaction id, which a GET through
/// PostgREST (a READ ONLY transaction) must not, nor a query on a standby.
pub fn select<R>(
    query: &'static str,
    types: &[PgBuiltInOids],
    arguments: &[DatumWithOid],
    read: impl FnOnce(SpiTupleTable) -> Result<R>,
) -> Result<R> {
    let _restriction = Restriction::enter();
    Spi::connect(|client| with_plan(client, query, types, |plan| read(client.select(plan, None, arguments)?)))
}

fn with_plan<R>(
    client: &SpiClient,
    query: &'static str,
    types: &[PgBuiltInOids],
    run: impl FnOnce(&OwnedPreparedStatement) -> Result<R>,
) -> Result<R> {
    // Taken out while it runs, so that a query which calls one of our functions finds the map free.
    let plan = match PLANS.with_borrow_mut(|plans| plans.remove(query)) {
        Some(plan) => plan,
        None => {
            let oids: Vec<_> = types.iter().map(|&oid| oid.into()).collect();
            client.prepare(query, &oids)?.keep()
        }
    };
    let result = run(&plan);
    PLANS.with_borrow_mut(|plans| plans.insert(query, plan));
    result
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

/// Runs statements without arguments or results (DDL).
pub fn run(statements: &str) -> Result<()> {
    execute(statements, &[]).map(|_| ())
}

/// Runs something with the rights of `crm_definer`, as a security definer function has them.
pub fn as_definer<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
    // SAFETY: a catalog look-up with a NUL-terminated name; an error where there is no such role.
    let definer = unsafe { pg_sys::get_role_oid(c"crm_definer".as_ptr(), false) };
    let _definer = Loan::enter(definer, 0);
    run()
}

/// Runs statements on a table with its owner's rights and past forced row level security, as PostgreSQL's own foreign key
/// actions run (`ri_triggers.c`). What they are, this library alone decides.
pub fn as_owner<R>(owner: pg_sys::Oid, run: impl FnOnce() -> Result<R>) -> Result<R> {
    let _owner = Loan::enter(owner, pg_sys::SECURITY_NOFORCE_RLS as i32);
    run()
}

/// Another role's rights, for a role that owns the calling function or the table at hand.
struct Loan(pg_sys::Oid, i32);

impl Loan {
    fn enter(role: pg_sys::Oid, flags: i32) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: reads and sets the backend's current user; Drop sets it back, also when an error passes through.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            let flags = flags | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
            pg_sys::SetUserIdAndSecContext(role, context | flags);
        }
        Self(user, context)
    }
}

impl Drop for Loan {
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
