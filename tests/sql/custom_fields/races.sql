-- Two sessions at once: of those who want the same value one gets it; values and definitions, records and what they point to, do not
-- pass each other. In a database of its own, because here transactions end.

\set ON_ERROR_STOP on
set client_min_messages = error;
select current_database() as home, current_database() || '_custom_fields' as world \gset
drop database if exists :"world" with (force);
create database :"world";
\connect :"world"
set client_min_messages = error;
create extension crm_ext;
create extension pgtap;
create extension dblink;

begin;
\ir ../actors.psql
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('amy', 'Acme', 'admin');
insert into crm.custom_fields (org_id, entity, key, label, type, is_unique, options, reference_entity)
select o.org_id, 'contacts', f.*
from tests.organizations as o, (values
    ('vat', 'VAT', 'text', true, null::jsonb, null), ('tier', 'Tier', 'select', false, '["silver", "gold"]', null), ('partner', 'Partner', 'reference', false, null, 'accounts')
) as f;
-- Nobody waits for a place of a plan.
update crm.organizations set plan = 'enterprise';
insert into crm.accounts (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-00000000000a', 'Partner');
create table tests.results (id serial, had text, wanted text, sentence text);
commit;

select dblink_connect(name, format(
    'host=%s port=%s user=%s dbname=%s', split_part(trim('"' from current_setting('unix_socket_directories')), ',', 1), current_setting('port'),
    current_user, current_database()
)) as connected
from unnest('{one,other}'::text[]) as name;

create function tests.open(session text, person text, organization text) returns void language plpgsql as $$
begin
    perform public.dblink_exec(session, 'begin; set local lock_timeout = ''10s''; set local role crm_app');
    perform public.dblink_exec(session, format('do $do$ begin perform crm.authenticate(%L); end $do$', tests.token(person, organization)));
end
$$;
-- What a statement leads to that was sent before.
create function tests.answer(session text) returns text language plpgsql as $$
declare
    said text := 'done';
begin
    begin
        perform * from public.dblink_get_result(session) as t (x text);
    exception
        when others then
            said := sqlstate || ' ' || sqlerrm;
    end;
    begin
        perform * from public.dblink_get_result(session) as t (x text);
    exception
        when others then null;
    end;
    return said;
end
$$;
-- ann does one thing and, while she has not ended, amy or bob another.
create procedure tests.race(one text, person text, organization text, other text, ending text, waits text, wanted text, sentence text) language plpgsql as $$
declare
    waited text := 'waits';
    has_left text;
begin
    perform tests.token('ann', 'Acme'), tests.token(person, organization);
    commit;
    perform tests.open('one', 'ann', 'Acme');
    perform public.dblink_exec('one', one);
    perform tests.open('other', person, organization);
    perform public.dblink_send_query('other', other);
    for n in 1..25 loop
        perform pg_sleep(0.02);
        if public.dblink_is_busy('other') = 0 then
            waited := 'does not wait';
            exit;
        end if;
    end loop;
    perform public.dblink_exec('one', ending);
    insert into tests.results (had, wanted, sentence) values (waited, waits, sentence || ': the other ' || waits), (tests.answer('other'), wanted, sentence);
    perform public.dblink_exec('other', 'commit');
    -- Whatever happened, every value has its definition, and every unique value and reference is noted.
    select string_agg(distinct key, ', ') into has_left
    from crm.contacts as c cross join lateral jsonb_object_keys(c.custom_fields) as key
    where not exists (select from crm.custom_fields as f where f.org_id = c.org_id and f.entity = 'contacts' and f.key = key);
    insert into tests.results (had, wanted, sentence) values (has_left, null, sentence || ': no value is without its field');
    select string_agg(c.last_name, ', ') into has_left
    from crm.contacts as c
    where c.custom_fields ? 'partner' and not exists (
        select from crm.accounts as a where a.org_id = c.org_id and a.id = (c.custom_fields ->> 'partner')::uuid
    );
    insert into tests.results (had, wanted, sentence) values (has_left, null, sentence || ': no reference is without its record');
    delete from crm.contacts;
    delete from crm.custom_fields where key = 'later' or key = 'level';
    update crm.custom_fields set key = 'vat' where key = 'tax';
    insert into crm.accounts (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-00000000000a', 'Partner') on conflict do nothing;
    insert into crm.custom_fields (org_id, entity, key, label, type, options)
    values (tests.org_id('Acme'), 'contacts', 'tier', 'Tier', 'select', '["silver", "gold"]') on conflict (org_id, entity, key) do nothing;
    update crm.custom_fields set options = '["silver", "gold"]' where key = 'tier';
    commit;
end
$$;
create function tests.contact(fields text) returns text language sql as $$
    select format('insert into crm.contacts (last_name, custom_fields) values (''C'', %L)', fields)
$$;

call tests.race(tests.contact('{"vat": "1"}'), 'amy', 'Acme', tests.contact('{"vat": "1"}'), 'commit', 'waits',
    '23505 custom_fields.vat: another record has this value', 'the same value');
call tests.race(tests.contact('{"vat": "1"}'), 'amy', 'Acme', tests.contact('{"vat": "1"}'), 'rollback', 'waits', 'done', 'a value that is given up');
call tests.race(tests.contact('{"vat": "1"}'), 'amy', 'Acme', tests.contact('{"vat": "2"}'), 'commit', 'does not wait', 'done', 'another value');
call tests.race(tests.contact('{"vat": "1"}'), 'bob', 'Borg', tests.contact('{"vat": "1"}'), 'commit', 'does not wait', 'done', 'another organization''s');

call tests.race(tests.contact('{"vat": "1"}'), 'amy', 'Acme', 'update crm.custom_fields set key = ''tax'' where key = ''vat''', 'commit', 'waits', 'done',
    'a key is renamed while a value is written');
call tests.race('update crm.custom_fields set key = ''tax'' where key = ''vat''', 'amy', 'Acme', tests.contact('{"vat": "1"}'), 'commit', 'waits',
    '22023 custom_fields.vat: there is no such field', 'a value is written while its key is renamed');
call tests.race('update crm.custom_fields set key = ''tax'' where key = ''vat''', 'amy', 'Acme', tests.contact('{"vat": "1"}'), 'rollback', 'waits', 'done',
    'a key that is not renamed after all');
call tests.race('update crm.custom_fields set key = ''tax'' where key = ''vat''', 'bob', 'Borg', tests.contact('{"vat": "1"}'), 'commit', 'does not wait', 'done',
    'a key of another organization');
call tests.race(tests.contact('{"tier": "gold"}'), 'amy', 'Acme', 'delete from crm.custom_fields where key = ''tier''', 'commit', 'waits', 'done',
    'a field is deleted while a value is written');
call tests.race('delete from crm.custom_fields where key = ''tier''', 'amy', 'Acme', tests.contact('{"tier": "gold"}'), 'commit', 'waits',
    '22023 custom_fields.tier: there is no such field', 'a value is written while its field is deleted');
call tests.race(tests.contact('{"tier": "gold"}'), 'amy', 'Acme', 'update crm.custom_fields set options = ''["silver"]'' where key = ''tier''', 'commit', 'waits',
    '23503 options: 1 of contacts have "gold"', 'an option is removed while it is chosen');
call tests.race('insert into crm.custom_fields (entity, key, label, type) values (''contacts'', ''later'', ''Later'', ''text'')', 'amy', 'Acme',
    tests.contact('{"later": "1"}'), 'commit', 'does not wait', '22023 custom_fields.later: there is no such field', 'a field that is not there yet');
call tests.race(tests.contact('{}'), 'amy', 'Acme', tests.contact('{"tier": "gold"}'), 'commit', 'does not wait', 'done', 'people who write do not wait for each other');

call tests.race(tests.contact('{"partner": "018f0000-0000-7000-8000-00000000000a"}'), 'amy', 'Acme', 'delete from crm.accounts', 'commit', 'waits', 'done',
    'a record goes that somebody is about to point to');
call tests.race('delete from crm.accounts', 'amy', 'Acme', tests.contact('{"partner": "018f0000-0000-7000-8000-00000000000a"}'), 'commit', 'waits',
    '22023 custom_fields.partner: must be the id of one of accounts that you may read', 'a reference to a record that is about to go');

-- What somebody defines and undoes is nothing, also where it was asked for before.
select tests.open('one', 'ann', 'Acme');
select dblink_exec('one', 'savepoint before') \gset
select dblink_exec('one', 'with made as (
    insert into crm.custom_fields (entity, key, label, type) values (''contacts'', ''level'', ''Level'', ''text'') returning 1
) insert into crm.contacts (last_name, custom_fields) select ''L'', ''{}'' from made') \gset
select dblink_exec('one', tests.contact('{"level": "1"}')) \gset
select dblink_exec('one', 'rollback to before') \gset
select dblink_send_query('one', tests.contact('{"level": "1"}')) \gset
insert into tests.results (had, wanted, sentence) values (tests.answer('one'), '22023 custom_fields.level: there is no such field', 'a field that was undone is none');
select dblink_exec('one', 'rollback') \gset

-- By the state of a while ago rows that came since would be missed.
select dblink_exec('one', 'begin isolation level repeatable read; set local role crm_app') \gset
select dblink_exec('one', format('do $do$ begin perform crm.authenticate(%L); end $do$', tests.token('ann', 'Acme'))) \gset
select dblink_send_query('one', 'update crm.custom_fields set key = ''tax'' where key = ''vat''') \gset
insert into tests.results (had, wanted, sentence)
values (tests.answer('one'), '55000 the records cannot be changed by the state of a while ago', 'definitions are changed by what there is now');
select dblink_exec('one', 'rollback') \gset

begin;
select no_plan();
select is(had, wanted, sentence) from tests.results order by id;
select * from finish();
rollback;
\connect :"home"
set client_min_messages = error;
drop database :"world" with (force);
