//! crm_ext: a headless, multi-tenant CRM inside PostgreSQL. ARCHITECTURE.md tells how the parts fit together.

// A test says what it expects by failing.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod access;
mod audit;
mod crm;
mod db;
mod deployment;
mod doctor;
mod drop_guard;
mod edge;
mod error;
mod events;
mod gucs;
mod html;
mod identity;
mod plans;
mod random;
mod records;
mod rrule;
mod schema;
mod text;
mod upgrade;

::pgrx::pg_module_magic!(name, version);

#[allow(non_snake_case)]
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    error::keep_backtraces_out_of_errors();
    gucs::define();
    access::paths::install_hook();
    access::unknown_sizes::install_hook();
    access::questions::install_hooks();
    identity::memory::listen();
    db::catalog::listen();
    audit::transaction::listen();
    access::race::listen();
    identity::failures::listen();
    edge::statements::install_hooks();
    edge::errors::install_hook();
}

/// Tests that need a server and Rust at once; what SQL can ask is tested in tests/sql.
#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use uuid::Uuid;

    use crate::db;
    use crate::identity::principal::{ActiveOrganization, Principal};

    fn somebody() -> Principal {
        let organization = ActiveOrganization { id: Uuid::from_u128(2), role: Some("sales".into()), country: None };
        Principal {
            user_id: Some(Uuid::from_u128(1)),
            session_id: Some(Uuid::from_u128(3)),
            organization: Some(organization),
            ..Principal::default()
        }
    }

    fn current() -> Option<Principal> {
        Principal::current().as_deref().cloned()
    }

    #[pg_test]
    fn an_assumed_identity_is_the_current_one_until_it_is_forgotten() {
        assert_eq!(current(), None);
        somebody().assume().unwrap();
        assert_eq!(current(), Some(somebody()));
        Principal::forget();
        assert_eq!(current(), None);
    }

    #[pg_test]
    fn a_rolled_back_block_gives_the_earlier_identity_back() {
        let other = Principal { user_id: Some(Uuid::from_u128(9)), ..somebody() };
        somebody().assume().unwrap();
        // SAFETY: a subtransaction that is rolled back below, on the same level.
        unsafe { pg_sys::BeginInternalSubTransaction(c"inner".as_ptr()) };
        other.assume().unwrap();
        assert_eq!(current(), Some(other));
        // SAFETY: ends the subtransaction begun above.
        unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() };
        assert_eq!(current(), Some(somebody()));
    }

    #[pg_test]
    fn a_setting_that_is_no_identity_is_none() {
        crate::gucs::set_identity(c"{\"user_id\": \"not a uuid\"}");
        assert_eq!(current(), None);
        crate::gucs::set_identity(c"not json");
        assert_eq!(current(), None);
    }

    #[pg_test]
    fn reading_takes_no_transaction_id() {
        let one = db::select("select 1", &[], &[], |rows| rows.first().get_one::<i32>());
        assert_eq!(one.unwrap(), Some(1));
        // SAFETY: reads the transaction state.
        let id = unsafe { pg_sys::GetTopTransactionIdIfAny() };
        assert_eq!(id, pg_sys::InvalidTransactionId);
    }

    #[pg_test]
    fn a_query_that_fails_leaves_its_plan_usable() {
        for divisor in [0, 2] {
            let quotient = PgTryBuilder::new(|| {
                db::select("select 10 / $1", &[PgBuiltInOids::INT4OID], &[divisor.into()], |rows| {
                    rows.first().get_one::<i32>()
                })
                .unwrap()
            })
            .catch_when(PgSqlErrorCode::ERRCODE_DIVISION_BY_ZERO, |_| None)
            .execute();
            assert_eq!(quotient, (divisor == 2).then_some(5));
        }
    }
}

/// `cargo pgrx test` wants this module at the crate's root.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
