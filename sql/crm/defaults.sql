-- What a new organization begins with.

create function crm_private.make_defaults()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'make_defaults_wrapper';

revoke all on function crm_private.make_defaults() from public;
grant execute on function crm_private.make_defaults() to crm_owner;

comment on function crm_private.make_defaults() is
    'Trigger _210_make_defaults of organizations: every organization begins with what it needs to work.';
