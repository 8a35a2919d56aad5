-- A webhook that takes less than it gets: its deliveries are passed over, and those beyond some are set aside.

\set world backlog
\ir ../audit/world.psql

create table tests.webhooks (organization text, name text, id uuid, primary key (organization, name));
create function tests.make(person text, name text, organization text) returns void language plpgsql as $$
declare
    made uuid;
begin
    perform tests.become(person, organization);
    made := crm.create_webhook(name, 'https://example.com/' || name, '{contact.created}') ->> 'id';
    perform tests.nobody();
    insert into tests.webhooks values (organization, name, made);
end
$$;
select tests.make('ann', 'slow', 'Acme'), tests.make('ann', 'quick', 'Acme'), tests.make('bob', 'other', 'Borg');
create function tests.key(name text) returns uuid language sql stable as $$ select id from tests.webhooks where name = key.name $$;

select is_empty(
    $$select d.objid::regclass, a.attname
    from pg_depend as d
    join pg_index as i on i.indexrelid = d.objid
    join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass and d.refobjid = 'crm.webhook_deliveries'::regclass and a.attname in ('leased_until', 'attempts')$$,
    'no index is written when a delivery is leased'
);

-- In the order of n, each with its number as event.
create function tests.deliver(name text, first integer, last integer) returns void language sql as $$
    insert into crm.webhook_deliveries
        (org_id, id, webhook_id, event_id, event_type, entity, record_id, state, attempts, run_at, created_at, payload)
    select tests.org_id(w.organization), crm.uuid_v7(), w.id, lpad(n::text, 32, '0')::uuid, 'contact.created', 'contacts', w.id, 'pending', 0,
        clock_timestamp() - interval '1 hour' + n * interval '1 second', clock_timestamp(), '{}'
    from tests.webhooks as w, generate_series(first, last) as n where w.name = deliver.name order by n
$$;

-- As whoever delivers: what is claimed, as webhook and how many of it.
create table tests.claimed (
    org_id uuid, id uuid, attempt integer, webhook_id uuid, event_id uuid, event_type text, url text, headers jsonb, body text
);
grant all on tests.claimed to public;
create function tests.claim(count integer, organizations text[] default null, names text[] default null) returns text language plpgsql as $$
declare
    org_ids uuid[] := (select array_agg(tests.org_id(name) order by n) from unnest(organizations) with ordinality as o (name, n));
    webhook_ids uuid[] := (select array_agg(tests.key(name) order by n) from unnest(names) with ordinality as w (name, n));
begin
    delete from tests.claimed;
    perform tests.become_role('crm_worker');
    insert into tests.claimed select * from crm.claim_webhook_deliveries(count, '1 minute', org_ids, webhook_ids);
    perform tests.nobody();
    return (
        select coalesce(string_agg(format('%s %s', name, many), ', ' order by name), '')
        from (select w.name, count(*) as many from tests.claimed as c join tests.webhooks as w on w.id = c.webhook_id group by w.name) as found
    );
exception when others then
    perform tests.nobody();
    return sqlstate || ' ' || sqlerrm;
end
$$;
create function tests.complete() returns void language sql as $$
    select crm.complete_webhook_delivery(org_id, id, attempt, 200) from tests.claimed
$$;
create function tests.states(name text) returns text language sql as $$
    select coalesce(string_agg(format('%s %s', state, many), ', ' order by state), '')
    from (select state, count(*) as many from crm.webhook_deliveries where webhook_id = tests.key(name) group by state) as found
$$;

-- What is passed over ---------------------------------------------------------------------------------------------------

select tests.deliver('slow', 1, 300), tests.deliver('quick', 301, 310), tests.deliver('other', 311, 320);
select is(tests.claim(5), 'slow 5', 'what is due longest is claimed first');
select tests.complete();
select is(tests.claim(15, '{Acme}', '{slow}'), 'other 5, quick 10', 'a webhook that is full is passed over');
select tests.complete();
select is(tests.claim(100, '{Acme}', '{null}'), 'other 5', 'an organization with all of its webhooks');
select tests.complete();
select tests.deliver('quick', 321, 330), tests.deliver('other', 331, 340);
select is(tests.claim(100, '{Borg,Acme}', '{slow,slow}'), 'other 10, quick 10', 'one of another organization with its id is another one');
select tests.complete();
select is(tests.claim(1, '{Acme}', '{}'), '22023 full_webhook_ids: must be as many as full_org_ids, at most 10000', 'both are given side by side');
select is(tests.claim(1, '{null}', '{slow}'), '22023 full_org_ids: must not contain null', 'of no organization there is none');

-- What is set aside -----------------------------------------------------------------------------------------------------

select is(tests.states('slow'), 'backlog 39, pending 256', 'what is too much at the head of the queue is set aside');
select is(
    (select max(event_id::text) from crm.webhook_deliveries where webhook_id = tests.key('slow') and state = 'pending'),
    lpad('261', 32, '0')::uuid::text, 'the newest of it'
);
select crm.fan_out_events();
select is(
    crm.webhook_queue() - 'oldest_due_seconds', '{"due": 256, "backlog": 39, "delayed": 0, "organizations_behind": 0}'::jsonb,
    'who watches the queue is told'
);
select cmp_ok((crm.webhook_queue() ->> 'oldest_due_seconds')::numeric, '>', 3000::numeric, 'also for how long the oldest one is due');
select is(tests.states('slow'), 'backlog 39, pending 256', 'it stays aside while there is enough to do');
select is(tests.claim(128), 'slow 128', 'the webhook takes some again');
select tests.complete();
select crm.fan_out_events();
select is(tests.states('slow'), 'pending 167', 'so what was set aside is taken up');
select is(tests.claim(1000), 'slow 167', 'and goes');
select is((select array_agg(event_id order by id) = array_agg(event_id order by event_id) from tests.claimed), true, 'all of it');
select tests.complete();
select is(tests.states('slow'), '', 'until nothing is left');

-- Much is taken up in parts.
select tests.deliver('slow', 1, 1000);
select is(tests.claim(1, '{Acme}', '{slow}'), '', 'again too much');
select tests.claim(200), tests.complete();
select crm.fan_out_events();
select is(tests.states('slow'), 'backlog 616, pending 184', 'it is taken up in parts');
select is(
    (select min(event_id::text) from crm.webhook_deliveries where webhook_id = tests.key('slow') and state = 'backlog'),
    lpad('385', 32, '0')::uuid::text, 'the oldest first'
);

-- What is just being delivered is not set aside, and what was disabled meanwhile is given up.
select is(tests.claim(184), 'slow 184', 'all that is due is being delivered');
select tests.deliver('slow', 1001, 1300);
select is(tests.claim(1, '{Acme}', '{slow}'), '', 'while more comes');
select is(
    (select count(*) from crm.webhook_deliveries where state = 'backlog' and leased_until is not null), 0::bigint, 'that stays where it is'
);
update crm.webhook_deliveries set leased_until = clock_timestamp() where leased_until is not null;
update crm.webhooks set enabled = false where id = tests.key('slow');
do $$
begin
    for round in 1..20 loop
        perform crm.fan_out_events(), count(*) from crm.claim_webhook_deliveries(1000);
    end loop;
end
$$;
select matches(tests.states('slow'), '^failed \d+$', 'a webhook that is disabled keeps none in the backlog');

\ir ../audit/leave_world.psql
