//! crm_ext: a headless, multi-tenant CRM inside PostgreSQL. ARCHITECTURE.md tells how the parts fit together.

mod access;
mod crm;
mod db;
mod edge;
mod error;
mod gucs;
mod identity;
mod records;
mod schema;
mod text;

::pgrx::pg_module_magic!(name, version);

#[allow(non_snake_case)]
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    error::keep_backtraces_out_of_errors();
    gucs::define();
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
mod tests;

/// `cargo pgrx test` wants this module at the crate's root.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
