-- Tickets.

create function crm_private.number_ticket()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'number_ticket_wrapper';

revoke all on function crm_private.number_ticket() from public;
grant execute on function crm_private.number_ticket() to crm_owner;

comment on function crm_private.number_ticket() is
    'Trigger _600_number of tickets: a new one gets the next number of its organization.';
