-- Two sessions at once: of those who want the last place one gets it, and nobody waits who need not. In a database of its own,
-- because here transactions end.

\set ON_ERROR_STOP on
set client_min_messages = error;
select current_database() as home, current_database() || '_limits' as world \gset
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
select tests.hire('amy', 'Acme', 'sales');
insert into crm.plans values ('tiny', 'Tiny', null, '{}', '{"users": 3, "records": 12}');
update crm.organizations set plan = 'tiny';
create table tests.results (id serial, had text, wanted text, sentence text);
commit;

select dblink_connect(name, format(
    'host=%s port=%s user=%s dbname=%s', split_part(trim('"' from current_setting('unix_socket_directories')), ',', 1), current_setting('port'),
    current_user, current_database()
)) as connected
from unnest('{one,other}'::text[]) as name;

-- In a session, as a person in an organization, or as the platform.
create function tests.open(session text, person text, organization text) returns void language plpgsql as $$
begin
    perform public.dblink_exec(session, 'begin; set local lock_timeout = ''10s''');
    if person is null then
        perform public.dblink_exec(session, 'set local role crm_service');
    else
        perform public.dblink_exec(session, 'set local role crm_app');
        perform public.dblink_exec(session, format('do $do$ begin perform crm.authenticate(%L); end $do$', tests.token(person, organization)));
    end if;
end
$$;
-- What a statement leads to that was sent before; whether it had to wait.
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
create procedure tests.race(
    one text, other text, person text, organization text, others_person text, others_organization text, ending text, waits text, wanted text, sentence text
) language plpgsql as $$
declare
    waited text := 'waits';
begin
    perform tests.token(person, organization), tests.token(others_person, others_organization)
    where person is not null;
    commit;
    perform tests.open('one', person, organization);
    perform public.dblink_exec('one', one);
    perform tests.open('other', others_person, others_organization);
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
    perform public.dblink_exec('other', 'rollback');
    commit;
end
$$;
create function tests.user(email text) returns text language sql as $$
    select format('do $do$ begin perform crm.create_user(%L, org_id => %L, role => ''sales''); end $do$', email, tests.org_id('Acme'))
$$;
create function tests.contacts(n int) returns text language sql as $$
    select format('do $do$ begin insert into crm.contacts (last_name) select ''C'' from generate_series(1, %s); end $do$', n)
$$;

call tests.race(
    tests.user('one@example.com'), tests.user('other@example.com'), null, null, null, null, 'rollback', 'waits', 'done',
    'the last seat, and the first comer gives it up'
);
call tests.race(
    tests.user('one@example.com'), tests.user('other@example.com'), null, null, null, null, 'commit', 'waits', '53400 the plan''s limit is reached: users',
    'the last seat, and the first comer takes it'
);
call tests.race(
    tests.contacts(7), tests.contacts(6), 'ann', 'Acme', 'amy', 'Acme', 'rollback', 'waits', 'done', 'contacts that are given up'
);
call tests.race(
    tests.contacts(7), tests.contacts(6), 'ann', 'Acme', 'amy', 'Acme', 'commit', 'waits', '53400 the plan''s limit is reached: contacts', 'contacts'
);
call tests.race(
    tests.contacts(5), tests.contacts(12), 'ann', 'Acme', 'bob', 'Borg', 'rollback', 'does not wait', 'done', 'another organization''s'
);

-- What was noted is added up while somebody waits to add: it must not be counted twice.
insert into crm_private.usage_deltas (org_id, resource, delta) values (tests.org_id('Acme'), 'contacts', -5);
select tests.token('ann', 'Acme') \gset
select tests.open('one', null, null);
select dblink_exec('one', 'set local role postgres; do $do$ begin perform crm.clear_expired(); end $do$') \gset
select tests.open('other', 'ann', 'Acme');
select dblink_send_query('other', tests.contacts(11)) \gset
select pg_sleep(0.3) \gset
select dblink_exec('one', 'commit') \gset
insert into tests.results (had, wanted, sentence) values (tests.answer('other'), '53400 the plan''s limit is reached: contacts', 'what is added up meanwhile is counted once');
select dblink_exec('other', 'rollback') \gset
select crm.recount_usage() \gset

-- Without a limit.
update crm.organizations set plan = 'enterprise';
call tests.race(
    tests.contacts(7), tests.contacts(6), 'ann', 'Acme', 'amy', 'Acme', 'commit', 'does not wait', 'done', 'where nothing is limited'
);
insert into tests.results (had, wanted, sentence)
select string_agg(format('%s %s', kept, counted), ', '), null, 'nothing was lost' from crm.check_usage();

begin;
select no_plan();
select is(had, wanted, sentence) from tests.results order by id;
select * from finish();
rollback;
\connect :"home"
set client_min_messages = error;
drop database :"world" with (force);
