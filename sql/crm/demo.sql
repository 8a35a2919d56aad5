-- Demo data: an organization to look around in.

create function crm.load_demo(password text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'load_demo_wrapper';

revoke all on function crm.load_demo(text) from public;
grant execute on function crm.load_demo(text) to crm_admin;

comment on function crm.load_demo(text) is
$$Makes the organization "Demo" with users of every role (owner@, admin@, manager@, sales@, support@, viewer@demo.example), accounts and contacts.
password: of all its users; null makes a random one, told once. Returns {organization, users, password, accounts, contacts}; a second call changes nothing: {already_loaded: true}.$$;
