-- Triggers on the tables that permissions come from.

create function crm_private.make_built_in_roles()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'make_built_in_roles_wrapper';

revoke all on function crm_private.make_built_in_roles() from public;
grant execute on function crm_private.make_built_in_roles() to crm_owner;

comment on function crm_private.make_built_in_roles() is
    'Trigger _200_make_built_in_roles of organizations: every organization has the built-in roles.';

create function crm_private.check_delegation()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_delegation_wrapper';

revoke all on function crm_private.check_delegation() from public;
grant execute on function crm_private.check_delegation() to crm_owner;

comment on function crm_private.check_delegation() is
    'Trigger _400_delegation of the tables that permissions come from: nobody grants what they lack, nor touches a role above theirs. Errors: 42501, and 22023 for an unknown permission.';

create function crm_private.keep_owner()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'keep_owner_wrapper';

revoke all on function crm_private.keep_owner() from public;
grant execute on function crm_private.keep_owner() to crm_owner;

comment on function crm_private.keep_owner() is
    'Trigger _800_keep_owner of memberships: an organization has an owner. Errors: 23503.';
