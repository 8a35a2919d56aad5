-- From 0.1.0 to 0.2.0. What changed for users stands in CHANGELOG.md.
--
-- crm_private.upgrade() does it all, from the texts that a new installation runs: functions, roles and tables. With the library of a later
-- version it leads to that at once, and the scripts after this one find little to do.

set local search_path = pg_catalog, pg_temp;

-- Not "or replace": what somebody else has made under this name is refused.
create function crm_private.upgrade()
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'upgrade_wrapper';

select crm_private.upgrade();
