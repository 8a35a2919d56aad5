-- DROP EXTENSION refuses while there are tables, and PostgreSQL's hint says what would not: CASCADE, which takes the schemas
-- and with them every row. Here that is refused too, as long as there is anybody's data.

create function crm_private.guard_drop()
    returns event_trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'guard_drop_wrapper';

revoke all on function crm_private.guard_drop() from public;

comment on function crm_private.guard_drop() is
    'Event trigger crm_ext_guard_drop: refuses DROP EXTENSION crm_ext CASCADE, and DROP OWNED … CASCADE by which it would go too, while there is an organization or a user. Errors: 55000.';

do $$
begin
    if not exists (select from pg_catalog.pg_event_trigger where evtname = 'crm_ext_guard_drop') then
        create event trigger crm_ext_guard_drop on ddl_command_start
            when tag in ('DROP EXTENSION', 'DROP OWNED')
            execute function crm_private.guard_drop();
    end if;
end
$$;

comment on event trigger crm_ext_guard_drop is 'crm_ext: DROP EXTENSION crm_ext CASCADE deletes nobody''s data.';
