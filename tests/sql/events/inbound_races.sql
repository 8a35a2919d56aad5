-- Two sessions at once: the same event, another one under the same id, and two events about one person. In a database of its own,
-- because here transactions end.

\set world 'inbound'
\ir ../access/sessions.psql

begin;
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
update crm.organizations set plan = 'enterprise';
select tests.token('ann', 'Acme'), tests.token('bob', 'Borg');
commit;
select tests.connect('one'), tests.connect('other');
-- Where much else runs, the first one takes its time.
select dblink_exec(session, 'set lock_timeout = ''20s''') from unnest('{one,other}'::text[]) as session;
commit;

create function tests.sends(event text, person text, id text) returns text language sql as $$
    select format(
        $do$select crm.ingest_event('lead.captured', %L, %L)$do$,
        jsonb_build_object('last_name', person, 'email', person || '@example.com', 'event', event), id
    )
$$;
-- What came of it: which events, and which leads of Acme.
create function tests.acme() returns text language sql as $$
    select concat_ws(
        ' of ',
        (select string_agg(concat_ws(' ', last_name, version), ', ' order by last_name) from crm.leads where org_id = tests.org_id('Acme')),
        (select string_agg(concat_ws(' ', event_key, status, attempts), ', ' order by id) from crm.integration_events where org_id = tests.org_id('Acme'))
    )
$$;
-- ann does one thing, and somebody another before she ends hers.
create procedure tests.race(one text, other text, person text, organization text, ending text, waits text, wanted text, is_then text, sentence text)
language plpgsql as $$
declare
    waited text := 'waits';
    said text;
begin
    delete from crm.integration_events;
    delete from crm.leads;
    commit;
    perform tests.begin_as('one', format('crm.authenticate(%L)', tests.token('ann', 'Acme')));
    perform tests.say('one', one);
    perform tests.begin_as('other', format('crm.authenticate(%L)', tests.token(person, organization)));
    perform public.dblink_send_query('other', other);
    for n in 1..25 loop
        perform pg_sleep(0.02);
        if public.dblink_is_busy('other') = 0 then
            waited := 'does not wait';
            exit;
        end if;
    end loop;
    perform tests.say('one', ending);
    begin
        select concat_ws(' ', a ->> 'status', a ->> 'duplicate') into said from public.dblink_get_result('other') as t (a jsonb);
    exception
        when others then
            said := sqlstate || ' ' || sqlerrm;
    end;
    begin
        perform * from public.dblink_get_result('other') as t (a jsonb);
    exception
        when others then null;
    end;
    perform tests.say('other', 'commit');
    insert into tests.results (had, wanted, sentence) values (waited, waits, sentence || ': the other ' || waits), (said, wanted, sentence || ': the answer'),
        (tests.acme(), is_then, sentence);
    commit;
end
$$;

call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('a', 'Ada', 'x'), 'ann', 'Acme', 'commit', 'waits', 'processed true', 'Ada 1 of x processed 1', 'the same event twice'
);
call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('a', 'Ada', 'x'), 'ann', 'Acme', 'rollback', 'waits', 'processed false', 'Ada 1 of x processed 1',
    'the same event twice, and the first comes to nothing'
);
call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('b', 'Ada', 'x'), 'ann', 'Acme', 'commit', 'waits', '23514 payload: another one was sent under the same event id',
    'Ada 1 of x processed 1', 'another event under the same id'
);
call tests.race(
    tests.sends('a', null, 'x'), tests.sends('a', null, 'x'), 'ann', 'Acme', 'commit', 'waits', 'failed false', 'x failed 2', 'the same event twice, and it fails'
);
call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('b', 'Ada', 'y'), 'ann', 'Acme', 'commit', 'waits', 'processed false', 'Ada 2 of x processed 1, y processed 1',
    'two events about one person'
);
call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('b', 'Ben', 'y'), 'ann', 'Acme', 'commit', 'does not wait', 'processed false', 'Ada 1, Ben 1 of x processed 1, y processed 1',
    'two events about two people'
);
call tests.race(
    tests.sends('a', 'Ada', 'x'), tests.sends('a', 'Ada', 'x'), 'bob', 'Borg', 'commit', 'does not wait', 'processed false', 'Ada 1 of x processed 1',
    'the same event in another organization'
);

\ir ../access/leave_sessions.psql
