-- The tables' beginning: see src/schema.rs for the order of the files it runs.

create function crm_private.install()
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'install_wrapper';

revoke all on function crm_private.install() from public;
grant execute on function crm_private.install() to crm_owner;

comment on function crm_private.install() is
    'Makes the tables of the CRM and its first signing key. CREATE EXTENSION calls it, except inside a restore, where the dump brings the tables. Errors: 55000 when the tables exist.';
