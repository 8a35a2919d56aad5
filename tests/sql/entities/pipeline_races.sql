-- Two transactions that each make another pipeline the default: there is one in the end.

\set world pipelines
\ir ../access/sessions.psql

begin;
select tests.register('ann', 'Acme');
insert into crm.pipelines (org_id, name) select tests.org_id('Acme'), name from unnest('{A,B}'::text[]) as name;
create procedure tests.race(isolation text, wanted text, default_one text) language plpgsql as $$
declare
    as_ann constant text := format('crm.authenticate(%L)', tests.token('ann', 'Acme'));
    said text;
begin
    perform tests.begin_as('a', as_ann, isolation), tests.begin_as('b', as_ann, isolation);
    perform tests.say('a', 'select count(*) from crm.pipelines'), tests.say('b', 'select count(*) from crm.pipelines');
    insert into tests.results (had, wanted, sentence)
    values (tests.say('a', 'update crm.pipelines set is_default = true where name = ''A'''), 'UPDATE 1', isolation || ': a makes one the default');
    perform public.dblink_send_query('b', 'update crm.pipelines set is_default = true where name = ''B''');
    perform pg_sleep(0.2);
    perform tests.say('a', 'commit');
    begin
        select t.said into said from public.dblink_get_result('b') as t (said text);
    exception
        when others then said := sqlstate;
    end;
    perform * from public.dblink_get_result('b', false) as t (said text);
    insert into tests.results (had, wanted, sentence) values (said, wanted, isolation || ': b makes another one the default');
    perform tests.say('b', 'commit');
    insert into tests.results (had, wanted, sentence)
    values ((select string_agg(name, ',') from crm.pipelines where is_default), default_one, isolation || ': there is one');
    update crm.pipelines set is_default = true where name = 'Sales';
end
$$;
commit;
select tests.connect('a'), tests.connect('b');
call tests.race('read committed', 'UPDATE 1', 'B');
call tests.race('repeatable read', '40001', 'A');

\ir ../access/leave_sessions.psql
