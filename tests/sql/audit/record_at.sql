-- What a record was at a time.

\set world record_at
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{a,foreign,item}'::text[]) as name;
create table tests.times (name text primary key, time timestamptz not null);
create table tests.images (name text primary key, image jsonb not null);
create function tests.note(noted text) returns void language sql as $$
    insert into tests.times values (noted, clock_timestamp());
    insert into tests.images
    select noted, jsonb_strip_nulls(to_jsonb(c)) from crm.contacts as c where id = tests.id('a')
$$;
select tests.note('before');
select tests.change('made', 'sam', $$insert into crm.contacts (id, last_name, birthday, tags) values (tests.id('a'), 'A', '2000-01-01', '{x}')$$);
select tests.note('made');
select tests.change('changed', 'sam', $$update crm.contacts set title = 'Head', birthday = null, tags = '{y}' where id = tests.id('a')$$);
select tests.change('changed twice', 'sam', $$
    update crm.contacts set title = 'Boss' where id = tests.id('a');
    update crm.contacts set phone = '+1 650 253 0000' where id = tests.id('a')
$$);
select tests.note('changed');
select tests.change('deleted', 'sam', $$delete from crm.contacts where id = tests.id('a')$$);
select tests.note('deleted');
select tests.said('sam', format('select crm.restore_record(''contacts'', %L)', tests.id('a')));
select tests.note('restored');
select tests.change('changed again', 'sam', $$update crm.contacts set last_name = 'B' where id = tests.id('a')$$);
select tests.note('again');
select tests.change('foreign', 'bob', $$insert into crm.contacts (id, last_name) values (tests.id('foreign'), 'Foreign')$$, 'Borg');

create function tests.at(person text, name text, record text default 'a', organization text default 'Acme') returns text language sql as $$
    select tests.said(person, format('select crm.record_at(''contacts'', %L, %L)', tests.id(record), (select time from tests.times where name = at.name)), organization)
$$;
-- However the session tells times.
set time zone 'Asia/Tokyo';
set datestyle = 'German';
select is(tests.at('sam', name)::jsonb - '{created_at,updated_at}'::text[], image - '{created_at,updated_at}'::text[], 'sam sees his contact as it was: ' || name) from tests.images;
select is((tests.at('sam', name)::jsonb ->> 'updated_at')::timestamptz, (image ->> 'updated_at')::timestamptz, 'with its times: ' || name) from tests.images;
select is(tests.at('sam', 'before'), null, 'before it was made there is nothing');
select is(tests.at('sam', 'deleted'), null, 'nor while it was deleted');
reset time zone;
reset datestyle;
select isnt(tests.at(person, 'made'), null, person || ' sees it, too') from unnest('{ann,sue,viewer}'::text[]) as person;
select isnt(tests.at('max', 'made', 'a', null), null, 'and max, in whichever organization');
select is(tests.at('sid', name), '22023 id: there is no such record', 'sid sees nothing of it: ' || name) from unnest('{made,deleted}'::text[]) as name;
select is(tests.at('ann', 'made', 'foreign'), '22023 id: there is no such record', 'nor ann of another organization''s');
select is(tests.at('bob', 'made', 'a', 'Borg'), '22023 id: there is no such record', 'nor bob of Acme''s');
select is(tests.said('sam', format('select crm.record_at(''contacts'', %L, null)', tests.id('a'))), '22023 at: is missing', 'a time is named');

-- Also where the far end of history is gone, and where columns came and went.
alter table crm.audit_log disable trigger _300_append_only;
delete from crm.audit_log where transaction_id = tests.transaction('made');
alter table crm.audit_log enable trigger _300_append_only;
alter table crm.contacts add column shoe_size integer not null default 40;
select is(tests.at('sam', 'changed')::jsonb ->> 'title', 'Boss', 'what is left of history is enough');
select is(tests.at('sam', 'made')::jsonb - '{created_at,updated_at}'::text[], (select image - '{created_at,updated_at}'::text[] from tests.images where name = 'made'), 'as far as it goes');
select tests.change('deleted with new', 'sam', $$update crm.contacts set shoe_size = 44 where id = tests.id('a'); delete from crm.contacts where id = tests.id('a')$$);
alter table crm.contacts drop column shoe_size;
alter table crm.contacts add column hat_size integer not null default 7;
select matches(tests.said('sam', format('select crm.restore_record(''contacts'', %L)', tests.id('a'))), '"contacts"', 'a record comes back into a table that changed');
select is((select hat_size from crm.contacts where id = tests.id('a')), 7, 'with the default of what is new');
\ir leave_world.psql
