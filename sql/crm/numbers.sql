-- Document numbers, without gaps.

create function crm_private.guard_series()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'guard_series_wrapper';

revoke all on function crm_private.guard_series() from public;
grant execute on function crm_private.guard_series() to crm_owner;

comment on function crm_private.guard_series() is
    'Trigger _450_series of number_series: its kind stays, and a series that gave numbers cannot be deleted. Errors: 42501 when the kind would change, 23503 when it would be deleted.';

create function crm_private.lock_series()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'lock_series_wrapper';

revoke all on function crm_private.lock_series() from public;
grant execute on function crm_private.lock_series() to crm_owner;

comment on function crm_private.lock_series() is
    'Trigger _350_series of invoices: a statement that may give numbers locks the series before any invoice, so that two of them wait for each other in one order.';

create function crm.set_next_number(kind text, number bigint)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_next_number_wrapper';

revoke all on function crm.set_next_number(text, bigint) from public;
grant execute on function crm.set_next_number(text, bigint) to crm_app;

comment on function crm.set_next_number(text, bigint) is
$$Says where the active organization's series of numbers begins, to go on with one from before. Only while it has given no number: afterwards there would be a gap, or a number twice.
kind: invoice, estimate or ticket. number: the first number, 1 to 1000000000000.
Returns {kind, next_number}. Errors: 42501 without the permission number_series.update, 22023 naming the argument, 23503 (HTTP 409) when a number was given already.$$;
