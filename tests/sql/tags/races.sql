-- Two sessions at once: a tag that is renamed, merged or deleted while records get it, and tags that two make. In a database of
-- its own, because here transactions end.

\set ON_ERROR_STOP on
set client_min_messages = error;
select current_database() as home, current_database() || '_tags' as world \gset
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
select tests.hire('amy', 'Acme', 'admin');
select tests.register('bob', 'Borg');
-- Where a plan limits contacts, whoever adds one waits for others who do.
update crm.organizations set plan = 'enterprise';
create table tests.results (id serial, had text, wanted text, sentence text);

create function tests.open(session text, person text, organization text) returns void language plpgsql as $$
begin
    perform public.dblink_exec(session, 'begin; set local lock_timeout = ''10s''; set local role crm_app');
    perform public.dblink_exec(session, format('do $do$ begin perform crm.authenticate(%L); end $do$', tests.token(person, organization)));
end
$$;
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
-- Acme's contacts, and its tags.
create function tests.acme() returns text language sql as $$
    select (select string_agg(last_name || ' ' || tags::text, ', ' order by last_name) from crm.contacts where org_id = tests.org_id('Acme'))
        || ' of ' || array(select name from crm.tags where org_id = tests.org_id('Acme') order by name_key)::text
$$;
-- ann does one thing and the other person another, before she ends hers. All begins with one contact that has the tag old.
create procedure tests.race(one text, other text, person text, organization text, ending text, waits text, wanted text, is_then text, sentence text)
language plpgsql as $$
declare
    waited text := 'waits';
    said text;
begin
    perform tests.nobody();
    delete from crm.contacts;
    delete from crm.tags;
    insert into crm.contacts (org_id, last_name, tags) values (tests.org_id('Acme'), 'A', '{old}');
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
    said := tests.answer('other');
    perform public.dblink_exec('other', 'commit');
    insert into tests.results (had, wanted, sentence) values (waited, waits, sentence || ': the other ' || waits), (said, wanted, sentence || ': the answer'),
        (tests.acme(), is_then, sentence);
    commit;
end
$$;
create function tests.does(statement text) returns text language sql as $$ select format('do $do$ begin perform %s; end $do$', statement) $$;
create function tests.adds(name text, tags text) returns text language sql as $$
    select format('insert into crm.contacts (last_name, tags) values (%L, %L)', name, tags)
$$;
commit;
select dblink_connect(name, format(
    'host=%s port=%s user=%s dbname=%s', split_part(trim('"' from current_setting('unix_socket_directories')), ',', 1), current_setting('port'),
    current_user, current_database()
)) as connected
from unnest('{one,other}'::text[]) as name;

call tests.race(
    tests.adds('B', '{old}'), tests.does($$crm.rename_tag('old', 'new')$$), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {new}, B {new} of {new}',
    'renamed while a record gets it'
);
call tests.race(
    tests.adds('B', '{old}'), tests.does($$crm.rename_tag('old', 'OLD')$$), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {OLD}, B {OLD} of {OLD}',
    'spelled otherwise while a record gets it'
);
call tests.race(
    tests.does($$crm.rename_tag('old', 'new')$$), tests.adds('B', '{old}'), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {new}, B {new} of {new}',
    'a record gets it while it is renamed'
);
call tests.race(
    tests.does($$crm.rename_tag('old', 'new')$$), tests.adds('B', '{old}'), 'amy', 'Acme', 'rollback', 'waits', 'done', 'A {old}, B {old} of {old}',
    'a record gets it while it is renamed after all not'
);
call tests.race(
    tests.does($$crm.rename_tag('old', 'new')$$), tests.adds('B', '{new}'), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {new}, B {new} of {new}',
    'a record gets the new name while another tag takes it'
);
call tests.race(
    tests.does($$crm.rename_tag('old', 'new')$$), $$update crm.contacts set tags = tags || '{more}'$$, 'amy', 'Acme', 'commit', 'waits', 'done', 'A {more,new} of {more,new}',
    'a record that has it gets more while it is renamed'
);
call tests.race(
    $$update crm.contacts set tags = tags || '{more}'$$, tests.does($$crm.rename_tag('old', 'new')$$), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {more,new} of {more,new}',
    'it is renamed while a record that has it gets more'
);
call tests.race(
    tests.adds('B', '{old}'), $$delete from crm.tags$$, 'amy', 'Acme', 'commit', 'waits', 'done', 'A {}, B {} of {}', 'deleted while a record gets it'
);
call tests.race(
    $$delete from crm.tags$$, tests.adds('B', '{old}'), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {}, B {old} of {old}',
    'a record gets it after it was deleted: it is made again'
);
call tests.race(
    tests.adds('B', '{old,other}'), tests.does($$crm.merge_tags('{old}', 'other')$$), 'amy', 'Acme', 'commit', 'waits', '22023 into: there is no tag "other"',
    'A {old}, B {old,other} of {old,other}', 'what is not committed is not there'
);
call tests.race(
    tests.adds('B', '{new}'), tests.adds('C', '{NEW}'), 'amy', 'Acme', 'commit', 'waits', 'done', 'A {old}, B {new}, C {new} of {new,old}', 'two make one tag'
);
call tests.race(
    tests.adds('B', '{new}'), tests.adds('C', '{NEW}'), 'amy', 'Acme', 'rollback', 'waits', 'done', 'A {old}, C {NEW} of {NEW,old}', 'two make one tag, and the first does not'
);
call tests.race(
    tests.adds('B', '{old}'), tests.adds('C', '{old}'), 'amy', 'Acme', 'commit', 'does not wait', 'done', 'A {old}, B {old}, C {old} of {old}',
    'who names a tag there is waits for nobody'
);
call tests.race(
    tests.adds('B', '{old}'), $$update crm.tags set color = '#00ff00'$$, 'amy', 'Acme', 'commit', 'does not wait', 'done', 'A {old}, B {old} of {old}',
    'a colour is changed while a record gets the tag'
);
call tests.race(
    tests.adds('B', '{x}'), tests.adds('C', '{x}'), 'bob', 'Borg', 'commit', 'does not wait', 'done', 'A {old}, B {x} of {old,x}', 'another organization waits for nobody'
);
-- In the order in which they would wait for each other in a circle.
call tests.race(
    tests.adds('B', '{x}') || $$, ('C', '{y}')$$, tests.adds('D', '{y}') || $$, ('E', '{x}')$$, 'amy', 'Acme', 'commit', 'waits', 'done',
    'A {old}, B {x}, C {y}, D {y}, E {x} of {old,x,y}', 'two imports with the same new tags'
);

begin;
select no_plan();
select is(had, wanted, sentence) from tests.results order by id;
select * from finish();
rollback;
\connect :"home"
set client_min_messages = error;
drop database :"world" with (force);
