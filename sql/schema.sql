-- The tables' beginning (src/schema.rs), and the way from one version to the next (src/upgrade.rs).

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

create function crm_private.upgrade()
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'upgrade_wrapper';

revoke all on function crm_private.upgrade() from public;

comment on function crm_private.upgrade() is
    'Brings functions, roles and tables to the version of the library. The scripts of ALTER EXTENSION crm_ext UPDATE call it, and nobody else can. Errors: 55000 outside of them.';

create function crm_private.upgrade_tables()
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'upgrade_tables_wrapper';

revoke all on function crm_private.upgrade_tables() from public;
grant execute on function crm_private.upgrade_tables() to crm_owner;

comment on function crm_private.upgrade_tables() is
$$Brings tables of an earlier version, as the dump of one brings them, to the version of the library; does nothing where they are. Until then all requests are refused. ALTER EXTENSION crm_ext UPDATE does it by itself.
Errors: 55000 for tables of a later version than the library, where there are none, and for an enrolled table of somebody whose rights the caller lacks.$$;
