-- Parallel workers: each has its own memory, so an identity kept there would be missing. Counts are right under forced
-- parallel plans, or an error is raised; never a wrong number.

begin;
\ir actors.psql
select plan(18);

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'admin');

insert into crm.contacts (org_id, last_name)
select case when n % 3 = 0 then tests.org_id('Acme') else tests.org_id('Borg') end, 'Contact ' || n
from generate_series(1, 15000) as n;
-- Somebody else's, so that "all" would be a wrong answer too.
select tests.register('carl', 'Carl''s');
insert into crm.contacts (org_id, last_name) select tests.org_id('Carl''s'), 'Contact' from generate_series(1, 5000);
analyze crm.contacts;

-- A customer's careless helper, marked as what it is not.
create function tests.careless_org() returns uuid language plpgsql stable parallel safe as $$
begin
    return crm.current_org_id();
end
$$;
create function tests.careless_permitted() returns uuid[] language plpgsql stable parallel safe as $$
begin
    return crm.permitted_org_ids('contacts.read');
end
$$;

-- Tells in which process it runs.
create function tests.process() returns integer language plpgsql stable parallel safe as $$
begin
    return pg_backend_pid();
end
$$;

set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local max_parallel_workers_per_gather = 2;
set local parallel_leader_participation = off;
alter table crm.contacts set (parallel_workers = 2);
select set_config(
    case when current_setting('server_version_num')::int >= 160000 then 'debug_parallel_query' else 'force_parallel_mode' end, 'on', true
);

create function tests.is_parallel(query text) returns boolean language plpgsql as $$
declare
    plan json;
begin
    execute 'explain (format json) ' || query into plan;
    return plan::text ~ '"Node Type": "Gather';
end
$$;

-- By EXECUTE: pgTAP's own functions would keep the whole statement out of the workers.
create function tests.answer(query text) returns text language plpgsql as $$
declare
    answer text;
begin
    execute query into answer;
    return answer;
end
$$;

-- An index could answer a bare count without a worker; a look at every row cannot be had so cheaply.
\set every 'select count(*) from crm.contacts where length(last_name) > 0'

select tests.become('ann', 'Acme');
select ok(tests.is_parallel(:'every'), 'ann''s count is made by parallel workers');
select is(tests.answer(:'every'), '5000', 'and right');
select is(
    tests.answer(:'every' || format(' and tests.process() <> %s and tests.careless_org() is not null', pg_backend_pid())), '5000',
    'careless helpers really run in the workers'
);
select is(
    tests.answer(:'every' || ' and org_id = tests.careless_org()'), '5000', 'a careless helper in a parallel plan gives the right rows'
);
select is(
    tests.answer(:'every' || ' and org_id = any (tests.careless_permitted())'), '5000', 'also one that asks for several organizations'
);
select is(
    tests.answer(:'every' || ' and not (org_id <> tests.careless_org() or tests.careless_org() is null)'), '5000', 'and one that is negated'
);
select is(
    tests.answer('select count(distinct crm.current_user_id()) from crm.contacts where length(last_name) > 0'), '1',
    'she is one person in every row'
);

-- Permissions are asked for anew where the transaction has written; a command that writes while workers run is one, too.
select is(
    tests.outcome('create temp table seen as select distinct org_id from crm.contacts where length(last_name) > 0'), '1 rows',
    'she makes a table of what she sees'
);

select tests.become('ann');
select is(
    tests.outcome('create temp table seen as select distinct org_id from crm.contacts where length(last_name) > 0'), '2 rows',
    'also of what she sees across her organizations'
);
select ok(tests.is_parallel(:'every'), 'ann''s count across her organizations is made by parallel workers');
select is(tests.answer(:'every'), '15000', 'and right');
select is(
    tests.answer(:'every' || ' and org_id = any (tests.careless_permitted())'), '15000', 'with a careless helper, too'
);
select is(
    tests.answer('select count(*) from crm.contacts as c join crm.organizations as o on o.id = c.org_id where length(c.last_name) > 0'), '15000',
    'joined as well'
);

select tests.become('carl', 'Carl''s');
select is(tests.answer(:'every'), '5000', 'the next person on the connection gets their own count');

select tests.become_role('crm_app');
select is(tests.answer(:'every'), '0', 'nobody gets none');
select is(
    tests.answer(:'every' || ' and (org_id = tests.careless_org() or tests.careless_org() is null)'), '0',
    'whatever the helper makes of no identity'
);
select tests.become_role('crm_multi');
select is(tests.answer(:'every'), '0', 'nor across organizations');

-- What every parallel plan could do wrong shows in the type of its functions.
select tests.nobody();
select is_empty(
    $$select p.oid::regprocedure
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and p.proparallel = 's' and p.proname <> 'uuid_v7'$$,
    'no function that knows the identity is PARALLEL SAFE'
);

select * from finish();
rollback;
