-- Triggers of contacts and of the tables of their further addresses.

create function crm_private.swap_address()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'swap_address_wrapper';

revoke all on function crm_private.swap_address() from public;
grant execute on function crm_private.swap_address() to crm_owner;

comment on function crm_private.swap_address() is
    'Trigger _200_address of contacts: where an e-mail address or phone number that becomes the primary one was a further one of the contact, the two change places. Errors: 23505 for an address of another contact.';

create function crm_private.check_addresses()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_addresses_wrapper';

revoke all on function crm_private.check_addresses() from public;
grant execute on function crm_private.check_addresses() to crm_owner;

comment on function crm_private.check_addresses() is
    'Trigger _600_addresses of contacts: an e-mail address of a new contact is no further one of another. Errors: 23505.';

create function crm_private.check_address()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_address_wrapper';

revoke all on function crm_private.check_address() from public;
grant execute on function crm_private.check_address() to crm_owner;

comment on function crm_private.check_address() is
    'Trigger _200_address of contact_emails: a further e-mail address is no contact''s primary one. Errors: 23505.';
