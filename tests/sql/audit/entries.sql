-- What is changed is noted, whoever does it and on whatever way; once, whole, and without secrets.

begin;
\ir ../actors.psql
set local client_min_messages = error;
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.org_id('Acme') as acme, tests.org_id('Borg') as borg, tests.user_id('ann') as ann \gset

-- The entries since the last look.
create table tests.looked (id uuid);
insert into tests.looked values ('00000000-0000-0000-0000-000000000000');
create function tests.entries(organization text) returns table (action text, entity text, changed text[], before json, after json, entry crm.audit_log)
    language plpgsql security definer as $$
declare
    last uuid := (select id from tests.looked);
begin
    return query
        select l.action, l.entity, l.changed, l.before, l.after, l
        from crm.audit_log as l
        where l.org_id = tests.org_id(organization) and l.id > last
        order by l.id;
    update tests.looked set id = coalesce((select l.id from crm.audit_log as l order by l.id desc limit 1), id);
end
$$;
select count(*) >= 0 as skipped from tests.entries('Acme') \gset

-- Inserts, updates, deletes -----------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.contacts (first_name, last_name, email, custom_fields) values ('Ada', 'Lovelace', 'ADA@example.com', '{}') returning id as ada \gset
select tests.nobody();
create table tests.noted as select * from tests.entries('Acme');
select is((select count(*) from tests.noted), 1::bigint, 'an insert is one entry');
select is(
    (select row(action, entity, (entry).record_id, (entry).org_id, changed, before is null)::text from tests.noted),
    row('insert', 'contacts', :'ada'::uuid, :'acme'::uuid, null::text[], true)::text, 'of the record'
);
select is(
    (select after::jsonb from tests.noted),
    (select jsonb_strip_nulls(to_jsonb(c)) || jsonb_build_object(
        'created_at', to_jsonb(c.created_at at time zone 'UTC') #>> '{}' || '+00:00',
        'updated_at', to_jsonb(c.updated_at at time zone 'UTC') #>> '{}' || '+00:00'
    ) from crm.contacts as c where id = :'ada'),
    'as it was stored, without what is empty, with times in UTC'
);
select is(
    (select to_jsonb(p) from tests.noted cross join json_populate_record(null::crm.contacts, after) as p),
    (select to_jsonb(c) from crm.contacts as c where id = :'ada'), 'and it can be read back'
);
select is(
    (select row((entry).actor_id, (entry).impersonator_id, (entry).api_key_id, (entry).database_role, (entry).login_role, (entry).application)::text from tests.noted),
    row(:'ann'::uuid, null::uuid, null::uuid, 'crm_app', session_user, current_setting('application_name'))::text, 'with who did it'
);
select is((select (entry).created_at from tests.noted), now(), 'and when');

select tests.become('ann', 'Acme');
update crm.contacts set title = 'Countess', email = 'ada@example.org' where id = :'ada';
select tests.nobody();
truncate tests.noted;
insert into tests.noted select * from tests.entries('Acme');
select is((select array_agg(action) from tests.noted), '{update}', 'an update is one entry');
select is((select changed from tests.noted), '{title,email}', 'with the columns that changed, without stamps');
select is((select before::jsonb - 'updated_at' from tests.noted), '{"email": "ada@example.com", "version": 1}', 'with what they held');
select is((select after::jsonb - 'updated_at' from tests.noted), '{"email": "ada@example.org", "title": "Countess", "version": 2}', 'and what they hold since');

select tests.become('ann', 'Acme');
update crm.contacts set title = title where id = :'ada';
select tests.nobody();
select is((select string_agg(changed::text, ' ') from tests.entries('Acme') where action = 'update'), '{}', 'an update that changes nothing is noted as that');

select tests.become('ann', 'Acme');
delete from crm.contacts where id = :'ada';
select tests.nobody();
truncate tests.noted;
insert into tests.noted select * from tests.entries('Acme');
select is((select array_agg(action) from tests.noted), '{delete}', 'a delete is one entry');
select is((select before ->> 'title' from tests.noted), 'Countess', 'with the whole record');
select ok((select after is null from tests.noted), 'and nothing after it');

-- Every way -----------------------------------------------------------------------------------------------------------------------

insert into crm.accounts (org_id, name) select :'acme', 'Bulk ' || n from generate_series(1, 300) as n;
select is((select row(count(*), count(distinct (entry).record_id), count(distinct (entry).id))::text from tests.entries('Acme')), '(300,300,300)', 'of many rows each is noted, and none twice');
update crm.accounts set industry = 'Steel' where org_id = :'acme' and name like 'Bulk%';
select is((select row(count(*), min(after ->> 'industry'), count(distinct changed))::text from tests.entries('Acme')), '(300,Steel,1)', 'an update of many too');

insert into crm.accounts (org_id, external_id, name) values (:'acme', 'e-1', 'One')
on conflict (org_id, external_id) do update set name = excluded.name;
insert into crm.accounts (org_id, external_id, name) values (:'acme', 'e-1', 'Uno'), (:'acme', 'e-2', 'Due')
on conflict (org_id, external_id) do update set name = excluded.name;
select is((select array_agg(action || ' ' || coalesce(after ->> 'name', '') order by action, after ->> 'name') from tests.entries('Acme')), '{insert Due,insert One,update Uno}', 'an upsert is what it did');

create table tests.given (id uuid);
insert into tests.given select id from crm.accounts where external_id = 'e-1';
insert into crm.contacts (org_id, last_name, account_id) select :'acme', 'Of e-1', id from tests.given;
insert into crm.contact_emails (org_id, contact_id, email) select org_id, id, 'more@example.com' from crm.contacts where last_name = 'Of e-1';
select count(*) >= 0 as skipped from tests.entries('Acme') \gset
delete from crm.accounts where id = (select id from tests.given);
select is((select array_agg(action || ' ' || entity order by action) from tests.entries('Acme')), '{"delete accounts","update contacts"}', 'what a foreign key sets to null is noted');
delete from crm.contacts where last_name = 'Of e-1';
select is((select array_agg(action || ' ' || entity order by entity) from tests.entries('Acme')), '{"delete contact_emails","delete contacts"}', 'and what it deletes');

merge into crm.accounts as a using (values ('e-2', 'Merged'), ('e-3', 'New')) as v (key, name)
on a.org_id = :'acme' and a.external_id = v.key
when matched then update set name = v.name
when not matched then insert (org_id, external_id, name) values (:'acme', v.key, v.name);
select is((select array_agg(action order by action) from tests.entries('Acme')), '{insert,update}', 'MERGE');

select format('copy crm.tags (org_id, name) from program $$printf "%1$s\tcopied\n%1$s\tas well\n"$$', :'acme') \gexec
select is((select array_agg(action || ' ' || (after ->> 'name') order by 1) from tests.entries('Acme')), '{insert copied,insert as well}', 'COPY');

with gone as (delete from crm.accounts where org_id = :'acme' and name = 'Bulk 1' returning org_id),
    made as (insert into crm.accounts (org_id, name) select org_id, 'From gone' from gone returning 1)
select count(*) from made \g /dev/null
select is((select array_agg(action order by action) from tests.entries('Acme')), '{delete,insert}', 'statements within a statement');

select tests.become('ann', 'Acme');
insert into crm.tags (name) values ('one');
insert into crm.accounts (name, tags) values ('Tagged', '{one}');
select crm.rename_tag('one', 'two') \g /dev/null
select tests.nobody();
select set_eq(
    $$select action || ' ' || entity || ' ' || coalesce(changed::text, '') from tests.entries('Acme')$$,
    $$values ('insert tags '), ('insert accounts '), ('update tags {name,name_key}'), ('update accounts {tags}')$$, 'what a function does to records'
);

-- Rolled back ----------------------------------------------------------------------------------------------------------------------

savepoint here;
insert into crm.accounts (org_id, name) values (:'acme', 'Not to be');
rollback to here;
select is((select count(*) from tests.entries('Acme')), 0::bigint, 'what is rolled back was not');

-- TRUNCATE -------------------------------------------------------------------------------------------------------------------------

insert into crm.saved_filters (org_id, entity, name, owner_id) values (:'acme', 'contacts', 'Mine', :'ann'), (:'borg', 'contacts', 'Theirs', tests.user_id('bob'));
select count(*) >= 0 as skipped from tests.entries('Acme') \gset
update tests.looked set id = (select id from crm.audit_log where org_id = :'acme' order by id desc limit 1);
truncate crm.saved_filters;
select is((select array_agg(action || ' ' || (before ->> 'name')) from tests.entries('Acme')), '{delete Mine}', 'TRUNCATE deletes every row');

-- Secrets --------------------------------------------------------------------------------------------------------------------------

create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text,
    vin text,
    doors smallint,
    weight numeric,
    speed double precision,
    sold_on date,
    at time,
    during tstzrange,
    picture bytea,
    wheels text[],
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade
);
alter table crm.vehicles owner to crm_owner;
select crm.enroll('crm.vehicles', array['plate line 10', 'vin line 20', 'vin secret']);
insert into crm.vehicles (org_id, id, plate, vin, doors, weight, speed, sold_on, at, during, picture, wheels)
values (:'acme', '00000000-0000-0000-0000-00000000000a', E'a"\\b', 'hidden', 5, 'NaN', 'Infinity', '2024-02-29', '10:30', '[2024-01-01 00:00+00,)', '\x00ff', array['l', null, E'r"'])
returning id as car \gset
update crm.vehicles set vin = 'other' where id = :'car';
delete from crm.vehicles where id = :'car';
truncate tests.noted;
insert into tests.noted select * from tests.entries('Acme');
select is((select array_agg(action order by (entry).id) from tests.noted), '{insert,update,delete}', 'a table of the DBA''s own has history');
select is((select count(*) from tests.noted where entry::text ~ 'hidden|other'), 0::bigint, 'in which no secret stands');
select is((select changed from tests.noted where action = 'update'), '{vin}', 'but that it changed');
select is(
    (select to_jsonb(v) - 'vin' from tests.noted cross join json_populate_record(null::crm.vehicles, before) as v where action = 'delete'),
    (select to_jsonb(v) - 'vin' from jsonb_populate_record(null::crm.vehicles, jsonb_build_object(
        'org_id', :'acme', 'id', :'car', 'plate', E'a"\\b', 'doors', 5, 'weight', 'NaN', 'speed', 'Infinity', 'sold_on', '2024-02-29',
        'at', '10:30:00', 'during', '["2024-01-01 00:00:00+00",)', 'picture', '\x00ff', 'wheels', array['l', null, E'r"']
    )) as v),
    'values of all kinds can be read back'
);

-- However the session writes values, history has them in one way.
create type tests.service as (done timestamptz, took interval);
create type tests.color as enum ('red');
-- A cast of the DBA's own is asked for the elements of arrays, and may do what it likes.
create function tests.as_json(tests.color) returns json language plpgsql set timezone = 'Asia/Tokyo' as $$
begin
    perform set_config('datestyle', 'German', true);
    return '"red"';
end
$$;
create cast (tests.color as json) with function tests.as_json(tests.color);
alter table crm.vehicles add column times timestamptz[], add column service tests.service, add column colors tests.color[], add column seen timestamptz;
create function tests.written(plate text) returns jsonb language sql as $$
    select after::jsonb - '{id,plate,created_at,updated_at}'::text[] from crm.audit_log where after ->> 'plate' = written.plate
$$;
create function tests.drive(plate text) returns void language sql as $$
    insert into crm.vehicles (org_id, plate, picture, colors, seen, speed, sold_on, during, times, service)
    values (tests.org_id('Acme'), plate, decode('00ff41', 'hex'), '{red}', '2024-02-03 04:05:06+00', 0.1::float8 + 0.2::float8, '2024-02-03', '["2024-02-03 04:05:06.7+00",)', '{2024-02-03 04:05:06+00}', row('2024-02-03 04:05:06+00', '-1 days +02:00:00'))
$$;
select tests.drive('plain');
select set_config(name, value, true) from (values ('timezone', 'Asia/Kolkata'), ('datestyle', 'German'), ('intervalstyle', 'sql_standard'), ('extra_float_digits', '-5'), ('bytea_output', 'escape')) as s (name, value) \g /dev/null
select tests.drive('odd');
select is((select array_agg(current_setting(name)) from unnest('{timezone,datestyle,intervalstyle,extra_float_digits,bytea_output}'::text[]) as name), '{Asia/Kolkata,"German, DMY",sql_standard,-5,escape}', 'what the session likes stays');
reset timezone; reset datestyle; reset intervalstyle; reset extra_float_digits; reset bytea_output;
select is(tests.written('odd'), tests.written('plain'), 'values are written in one way');
select is(tests.written('odd') ->> 'seen', '2024-02-03T04:05:06+00:00', 'whatever a cast of the DBA''s sets');
select is(tests.written('odd') -> 'times', '["2024-02-03T04:05:06+00:00"]', 'times in UTC');
select is(tests.written('odd') -> 'speed', '0.30000000000000004', 'numbers with all their digits');

-- Times are kept as numbers; these are one and the same number in all three types, and few numbers in all rows.
alter table crm.vehicles add column listed timestamp;
insert into crm.vehicles (org_id, plate, seen, listed, sold_on)
select :'acme', 'time ' || n, timestamptz '2000-01-01 00:00:00+00' + n % 3 * interval '1 microsecond', timestamp '2000-01-01' + n % 3 * interval '1 microsecond', date '2000-01-01' + n % 3
from generate_series(1, 7) as n;
update crm.vehicles set seen = seen + interval '1 day', sold_on = sold_on - 1 where plate like 'time %';
select results_eq(
    $$select after ->> 'plate', after ->> 'seen', after ->> 'listed', after ->> 'sold_on' from crm.audit_log where entity = 'vehicles' and action = 'insert' and after ->> 'plate' like 'time %' order by 1$$,
    $$select 'time ' || n, format('2000-01-01T00:00:00%s+00:00', part), '2000-01-01T00:00:00' || part, format('2000-01-0%s', 1 + n % 3)
    from generate_series(1, 7) as n, lateral (select case when n % 3 = 0 then '' else '.00000' || n % 3 end as part) as parts$$,
    'each row has its own times'
);
select set_eq(
    $$select before ->> 'seen' as was_seen, after ->> 'seen' as seen, before ->> 'sold_on' as was_sold_on, after ->> 'sold_on' as sold_on from crm.audit_log where entity = 'vehicles' and action = 'update' and changed = '{sold_on,seen}'$$,
    $$values ('2000-01-01T00:00:00+00:00', '2000-01-02T00:00:00+00:00', '2000-01-01', '1999-12-31'),
        ('2000-01-01T00:00:00.000001+00:00', '2000-01-02T00:00:00.000001+00:00', '2000-01-02', '2000-01-01'),
        ('2000-01-01T00:00:00.000002+00:00', '2000-01-02T00:00:00.000002+00:00', '2000-01-03', '2000-01-02')$$,
    'before and after'
);

-- What administers an organization ---------------------------------------------------------------------------------------------------

update crm.organizations set name = 'Acme Ltd' where id = :'acme';
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{contacts.read}') ->> 'key' as key \gset
select crm.set_member_role(tests.user_id('sam'), 'support') \g /dev/null
select crm.invite_user('new@example.com', 'sales') \g /dev/null
select tests.nobody();
truncate tests.noted;
insert into tests.noted select * from tests.entries('Acme');
delete from tests.noted where entity = 'vehicles';
select set_eq(
    $$select action || ' ' || entity from tests.noted$$,
    $$values ('update organizations'), ('insert api_keys'), ('update memberships'), ('insert invitations')$$, 'members, keys and invitations have history'
);
select ok((select not after::jsonb ? 'hash' from tests.noted where entity = 'api_keys'), 'without the key''s hash');

-- Who ------------------------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_app');
select crm.authenticate_api_key(:'key') \g /dev/null
select tests.nobody();

-- Partitions ----------------------------------------------------------------------------------------------------------------------

create table crm.readings (org_id uuid not null, id uuid not null default gen_random_uuid(), content text, primary key (org_id, id)) partition by hash (org_id);
create table tests.readings_0 partition of crm.readings for values with (modulus 1, remainder 0);
select crm.enroll('crm.readings', array['content required line 5']) \g /dev/null
select count(*) >= 0 as skipped from tests.entries('Acme') \gset
insert into crm.readings (org_id, content) values (:'acme', ' one ');
insert into tests.readings_0 (org_id, content) values (:'acme', ' two ');
update crm.readings set content = content || '.' where org_id = :'acme';
select results_eq(
    $$select action, after ->> 'content' from tests.entries('Acme') where entity = 'readings'$$,
    $$values ('insert', 'one'), ('update', 'one.'), ('update', 'two.')$$, 'what is written to a partition by its name is not noted, but completed'
);
select matches(tests.outcome(format('insert into tests.readings_0 (org_id, content) values (%L, ''too long'')', :'acme')), '^22023 content', 'and checked');

-- By hand --------------------------------------------------------------------------------------------------------------------------

create role tests_dba_of_entries in role crm_owner, crm_admin;
grant usage on schema tests to tests_dba_of_entries;
set local role tests_dba_of_entries;
select matches(tests.outcome(statement), '^42501 ', 'the tables'' owner may not: ' || statement)
from unnest(array[
    'insert into crm.audit_log (org_id, id, created_at, action, entity, record_id, database_role, login_role, transaction_id) values (gen_random_uuid(), gen_random_uuid(), now(), ''insert'', ''x'', gen_random_uuid(), ''x'', ''x'', gen_random_uuid())',
    'truncate crm.audit_log',
    'truncate crm.audit_transactions'
]) as statement;
select is(tests.outcome(statement), '0 rows', 'nor see what they would: ' || statement)
from unnest(array['update crm.audit_transactions set entries = 0', 'delete from crm.audit_log']) as statement;
set local role none;
select matches(tests.outcome(statement), '^42501 history is neither written nor changed by hand', 'nor a superuser: ' || statement)
from unnest(array[
    'update crm.audit_log set after = null',
    'delete from crm.audit_log',
    'truncate crm.audit_log',
    format('update crm_private.audit_log_%s set before = null', to_char(now() at time zone 'UTC', 'YYYY_MM')),
    format('truncate crm_private.audit_log_%s', to_char(now() at time zone 'UTC', 'YYYY_MM'))
]) as statement;
select tests.become('ann', 'Acme');
select matches(tests.outcome(statement), '^42501 permission denied', 'an owner of the organization may not: ' || statement)
from unnest(array['update crm.audit_log set after = null', 'delete from crm.audit_log', 'delete from crm.audit_transactions', 'truncate crm.audit_log', 'select crm_private.make_audit_partitions()']) as statement;

-- Indexes of the DBA's own --------------------------------------------------------------------------------------------------------

-- What such an index holds for the rows of a statement, the next statement must not find.
select tests.nobody();
create index on crm.audit_log using brin (created_at);
create index on crm.audit_log using gin ((after::jsonb));
insert into crm.tasks (org_id, title) values (:'acme', 'Indexed 1');
insert into crm.tasks (org_id, title) select :'acme', 'Indexed ' || n from generate_series(2, 300) as n;
insert into crm.tasks (org_id, title) values (:'acme', 'Indexed 301');
set local enable_seqscan = off;
set local enable_indexscan = off;
select is(
    (select count(*) from crm.audit_log where org_id = :'acme' and after ->> 'title' ~ '^Indexed'), 301::bigint,
    'with indexes of the DBA''s own every row is noted'
);
select is((select count(*) from crm.audit_log where after::jsonb @> '{"title": "Indexed 301"}'), 1::bigint, 'and they find it');
reset enable_seqscan;
reset enable_indexscan;

-- Who reads ------------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select cmp_ok((select count(*) from crm.audit_log), '>', 600::bigint, 'an owner reads history');
select is((select array_agg(distinct org_id) from crm.audit_log), array[:'acme'::uuid], 'of their organization');
select tests.become('sam', 'Acme');
select is((select count(*) from crm.audit_log), 0::bigint, 'without audit.read there is none');
select is((select count(*) from crm.audit_transactions), 0::bigint, 'nor are there transactions');
select is(tests.outcome('select from crm.verify_audit()'), '42501 your role does not permit audit.read', 'nor is it verified');
select is(tests.outcome('select crm.audit_checkpoint()'), '42501 your role does not permit audit.read', 'nor is there a checkpoint');
select tests.become('bob', 'Borg');
select is((select count(*) from crm.audit_log where org_id = :'acme'), 0::bigint, 'somebody else''s history is nobody''s');
select is(tests.outcome(format('select from crm.verify_audit(%L)', :'acme')), '42501 audit.read is not permitted to you there', 'nor is it verified for others');
select is(tests.outcome(format('select from crm.verify_audit(%L)', gen_random_uuid())), '42501 audit.read is not permitted to you there', 'which says nothing of what there is');
select tests.become_role('crm_app');
select is((select count(*) from crm.audit_log), 0::bigint, 'without an identity there is none');
select tests.nobody();

select finish();
rollback;
