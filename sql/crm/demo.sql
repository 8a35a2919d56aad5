-- Demo data: an organization to look around in.

create function crm.load_demo(password text default null, scale integer default 1)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'load_demo_wrapper';

revoke all on function crm.load_demo(text, integer) from public;
grant execute on function crm.load_demo(text, integer) to crm_admin;

comment on function crm.load_demo(text, integer) is
$$Makes the organization "Demo", on the plan enterprise, with users of every role (owner@, admin@, manager@, sales@, support@, viewer@demo.example) and the records of a company at work: accounts, contacts, leads, deals in every stage, activities of the last ninety days, tasks, appointments, messages, tickets, projects, jobs, estimates, invoices of which some are paid, tags, custom fields, figures of each day. The same scale makes the same records, beside ids and times.
password: of all its users; null makes a random one, told once. scale: how many times as much of everything, 1 to 10000; 1 is 20 accounts and 60 contacts.
Returns {organization, users, password, accounts, contacts, …: how many}; a second call changes nothing: {already_loaded: true}. Errors: 22023 naming the argument.$$;
