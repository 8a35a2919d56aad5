-- Two transactions that each make one half of a circle: one of them is refused.

\set world hierarchy
\ir ../access/sessions.psql

begin;
select tests.register('ann', 'Acme');
insert into crm.accounts (org_id, id, name, owner_id)
select tests.org_id('Acme'), ('018f0000-0000-7000-8000-00000000000' || n)::uuid, 'Account ' || n, tests.user_id('ann') from generate_series(1, 4) as n;
create function tests.put(who text, child integer, parent integer) returns text language sql as $$
    select tests.say(who, format(
        'update crm.accounts set parent_id = ''018f0000-0000-7000-8000-00000000000%s'' where id = ''018f0000-0000-7000-8000-00000000000%s''', parent, child
    ))
$$;
create procedure tests.race(isolation text) language plpgsql as $$
declare
    as_ann constant text := format('crm.authenticate(%L)', tests.token('ann', 'Acme'));
    said text;
begin
    perform tests.begin_as('a', as_ann, isolation), tests.begin_as('b', as_ann, isolation);
    -- Each has seen the state before.
    perform tests.say('a', 'select count(*) from crm.accounts'), tests.say('b', 'select count(*) from crm.accounts');
    insert into tests.results (had, wanted, sentence) values (tests.put('a', 1, 2), 'UPDATE 1', isolation || ': a puts the first account below the second');
    perform public.dblink_send_query('b', 'update crm.accounts set parent_id = ''018f0000-0000-7000-8000-000000000001'' where id = ''018f0000-0000-7000-8000-000000000002''');
    perform pg_sleep(0.2);
    insert into tests.results (had, wanted, sentence) values (public.dblink_is_busy('b')::text, '1', isolation || ': b, who puts the second below the first, waits');
    insert into tests.results (had, wanted, sentence) values (tests.say('a', 'commit'), 'COMMIT', isolation || ': a commits');
    begin
        select t.said into said from public.dblink_get_result('b') as t (said text);
    exception
        when others then said := sqlstate || ' ' || sqlerrm;
    end;
    perform * from public.dblink_get_result('b', false) as t (said text);
    insert into tests.results (had, wanted, sentence)
    values (said, '22023 parent_id: would make a circle: the record would belong to itself', isolation || ': b is refused');
    perform tests.say('b', 'rollback');
    update crm.accounts set parent_id = null where parent_id is not null;
end
$$;
commit;
select tests.connect('a'), tests.connect('b');
call tests.race('read committed');
call tests.race('repeatable read');

\ir ../access/leave_sessions.psql
