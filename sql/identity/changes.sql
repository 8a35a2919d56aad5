-- Triggers on the tables that identities are made of.

create function crm_private.announce()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'announce_wrapper';

revoke all on function crm_private.announce() from public;
grant execute on function crm_private.announce() to crm_owner;

comment on function crm_private.announce() is
    'Triggers _900_announce…: tells every backend, when the transaction commits, to forget what it remembers of identities. Arguments: ''permissions'' where what somebody may do depends on the table, and for each row the column that says in which organization.';

create function crm_private.normalize_provider()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'normalize_provider_wrapper';

revoke all on function crm_private.normalize_provider() from public;
grant execute on function crm_private.normalize_provider() to crm_owner;

comment on function crm_private.normalize_provider() is
    'Trigger _100_normalize of identity_providers: reduces jwks to the keys that verify signatures. Errors: 22023 for what is no key set.';

create function crm_private.guard_profile()
    returns trigger
    language c
    volatile
    -- Whose statement it is, the current user says: what functions of the platform write here is not looked at.
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'guard_profile_wrapper';

revoke all on function crm_private.guard_profile() from public;
grant execute on function crm_private.guard_profile() to crm_owner;

comment on function crm_private.guard_profile() is
    'Triggers _300_guard and _300_guard_row of crm.users and crm.organizations: refuses an update of another person''s row, and of an organization in which organizations.update is not permitted; and what the platform may not. Errors: 42501.';

create function crm_private.find_slug()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'find_slug_wrapper';

revoke all on function crm_private.find_slug() from public;
grant execute on function crm_private.find_slug() to crm_owner;

comment on function crm_private.find_slug() is
    'Trigger _110_slug of crm.organizations: a slug like the name, where none is given, and otherwise whether it can be one. Errors: 22023.';
