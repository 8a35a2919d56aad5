-- Which conditions are looked at, tells: the policies come before all that a query asks, so that nothing of it says whether
-- there is a row that the caller does not see.

begin;
\ir actors.psql
select no_plan();

-- Before it starts workers, PostgreSQL computes what they may ask for, whether any does: that fails always, and tells nothing.
set local max_parallel_workers_per_gather = 0;

select tests.register('alice', 'Acme');
select tests.register('eve', 'Evil');
select tests.hire('sally', 'Acme', 'sales');
select tests.register('mia', 'Miasma');
select tests.join('mia', 'Evil', 'sales');
select tests.become('alice', 'Acme');
insert into crm.custom_fields (entity, key, label, type) values ('contacts', 'badge', 'Badge', 'text');
insert into crm.accounts (name) values ('secret');
insert into crm.contacts (last_name, email, custom_fields) values ('Victim', 'victim@acme.example', '{"badge": "SECRET-7"}');
insert into crm.deals (name) values ('secret');
select tests.nobody();

-- Each fails as soon as it is asked for, and is asked for only where the conditions before it are met.
create table tests.probes (query text, is_write boolean);
insert into tests.probes values
    ('select 1 from crm.contacts where email >= ''vi'' and email < ''vj'' and last_name <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.contacts where email = ''victim@acme.example'' and last_name <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.contacts where case when email = ''victim@acme.example'' then (select 1 / (random() * 0)::int = 1) end', false),
    ('select 1 from crm.contacts where email = ''victim@acme.example'' and last_name <> (select (1 / (random() * 0)::int)::text) for update', true),
    ('delete from crm.contacts where email > ''vi'' and last_name <> (select (1 / (random() * 0)::int)::text)', true),
    ('update crm.contacts set title = ''x'' where email > ''vi'' and last_name <> (select (1 / (random() * 0)::int)::text)', true),
    ('select 1 from crm.companies where name > ''secre'' and name < ''secrf'' and status <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.deals where name > ''secre'' and name < ''secrf'' and status <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.users where email > ''alice'' and email < ''alicf'' and status <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.organizations where name > ''Acm'' and name < ''Acn'' and status <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.contacts where custom_fields ->> ''badge'' >= ''SE'' and custom_fields ->> ''badge'' < ''SF'' and last_name <> (select (1 / (random() * 0)::int)::text)', false),
    ('select 1 from crm.contacts, (select ''badge'' collate "C" as k, ''x'' collate "POSIX" as v) as s where custom_fields ->> ''badge'' = ''SECRET-7'' and custom_fields ->> s.k < s.v', false),
    ('select 1 from crm.contacts, (select ''badge'' collate "C" as k, ''x'' collate "POSIX" as v) as s where custom_fields ->> s.k < s.v', false);
grant select on tests.probes to public;

create function tests.probe(person text, organization text, scans text[]) returns setof text language plpgsql as $$
declare
    p tests.probes;
    scan text;
begin
    perform tests.become(person, organization);
    foreach scan in array scans loop
        perform set_config(scan, 'off', true);
    end loop;
    for p in select * from tests.probes where not is_write or organization is not null loop
        -- Of the people and organizations that somebody knows they may ask what they like.
        return next is(tests.outcome(p.query), '0 rows', format('%s of %s learns nothing, without %s, by: %s', person, organization, scans, p.query));
    end loop;
    foreach scan in array scans loop
        perform set_config(scan, 'on', true);
    end loop;
end
$$;
select tests.probe('eve', organization, scans)
from (values ('Evil'), (null)) as organizations (organization),
    (values ('{}'::text[]), ('{enable_indexscan,enable_bitmapscan,enable_indexonlyscan}')) as settings (scans);
select tests.probe('mia', null, '{}');
select tests.become('sally', 'Acme');
select is(tests.outcome(p.query), '0 rows', 'sally, who owns nothing, learns nothing by: ' || p.query)
from tests.probes as p
where p.query !~ 'crm\.(users|organizations)';

-- The one who sees the row fails, so that the others' silence means something.
select tests.become('alice', 'Acme');
select matches(tests.outcome(p.query), '^22012 |^42P22 ', 'alice sees it: ' || p.query) from tests.probes as p;

select finish();
rollback;
