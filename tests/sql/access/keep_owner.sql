-- An organization always has an owner, whatever takes one away, and however many try it at once.

\set world owners
\ir sessions.psql

begin;
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('oda', 'Acme', 'owner');
select tests.hire('sol', 'Acme', 'sales');
select tests.join('sol', 'Borg', 'read_only');
commit;

-- The last owner, on every path --------------------------------------------------------------------------------------------------
-- Each in a transaction of its own, which is rolled back, as the DBA: whom no permission holds back.

create procedure tests.path(statement text, wanted text, sentence text, before text default 'select 1') language plpgsql as $$
declare
    said text;
begin
    begin
        execute before;
        execute statement;
        said := 'done';
        raise exception using errcode = 'UNDO1';
    exception
        when sqlstate 'UNDO1' then
            null;
        when others then
            said := sqlstate;
    end;
    insert into tests.results (had, wanted, sentence) values (said, wanted, sentence);
    commit;
end
$$;
select tests.org_id('Acme') as acme, tests.org_id('Borg') as borg, tests.user_id('bob') as bob, tests.user_id('ann') as ann, tests.user_id('oda') as oda, tests.user_id('sol') as sol \gset
create function tests.fill(statement text) returns text language sql as $$
    select replace(replace(replace(replace(replace(replace(statement, ':borg', quote_literal(tests.org_id('Borg'))), ':bob', quote_literal(tests.user_id('bob'))),
        ':ann', quote_literal(tests.user_id('ann'))), ':oda', quote_literal(tests.user_id('oda'))), ':acme', quote_literal(tests.org_id('Acme'))), ':sol', quote_literal(tests.user_id('sol')))
$$;
create table tests.paths (id serial, statement text, wanted text, sentence text, before text not null default 'select 1');
\set demote 'update crm.memberships set role = ''sales'' where user_id = '
insert into tests.paths (statement, wanted, sentence, before) values
    ('update crm.memberships set role = ''sales'' where org_id = :borg', '23503', 'the last owner is demoted', default),
    ('update crm.memberships set status = ''ended'', ended_at = now() where org_id = :borg and user_id = :bob', '23503', 'the last owner''s membership ends', default),
    ('delete from crm.memberships where org_id = :borg and user_id = :bob', '23503', 'the last owner''s membership is deleted', default),
    ('update crm.memberships set user_id = :ann where org_id = :borg and user_id = :bob', 'done', 'another owner in their place', default),
    ('delete from crm.users where id = :bob', '23503', 'the last owner is deleted', default),
    ('select crm.delete_user(:bob)', '23503', 'the last owner is deleted by the function', default),
    ('update crm.memberships set role = ''sales'' where org_id = :acme and role = ''owner''', '23503', 'both owners in one statement', default),
    ('delete from crm.memberships where org_id = :acme', '23503', 'all members in one statement', default),
    ('delete from crm.users where id in (:ann, :oda)', '23503', 'both owners deleted', default),
    ('with a as (update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann) update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :oda',
        '23503', 'both in one statement with WITH', default),
    ('update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann', 'done', 'one of two', default),
    ('update crm.memberships set role = case user_id when :ann then ''sales'' else ''owner'' end where org_id = :acme and user_id in (:ann, :sol)', 'done', 'an exchange in one statement', default),
    ('update crm.memberships set role = case user_id when :bob then ''sales'' else ''owner'' end where org_id = :borg and user_id in (:bob, :sol)', 'done', 'an exchange by the last one', default),
    ('update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann', '23503', 'one of two, the other''s membership ended',
        'update crm.memberships set status = ''ended'', ended_at = now() where org_id = :acme and user_id = :oda'),
    ('update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann', '23503', 'one of two, the other disabled', 'select crm.suspend_user(:oda)'),
    ('update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann', '23503', 'one of two, the other demoted before', 'update crm.memberships set role = ''sales'' where user_id = :oda'),
    ('select crm.suspend_user(:bob)', 'done', 'the last owner is disabled: the platform may do that to anybody', default),
    ('update crm.users set status = ''disabled'' where id = :bob', 'done', 'the last owner is disabled by the DBA', default),
    ('select crm.suspend_user(:oda)', 'done', 'one of two is disabled', default),
    ('select crm.delete_organization(:borg)', 'done', 'an organization is deleted with its owner', default),
    ('delete from crm.organizations', 'done', 'all organizations are deleted', default),
    ('delete from crm.organizations where id = :borg', 'done', 'a suspended organization is deleted', 'select crm.suspend_organization(:borg, ''a reason'')'),
    ('update crm.memberships set role = ''sales'' where org_id = :borg', '23503', 'the last owner of a suspended organization', 'select crm.suspend_organization(:borg, ''a reason'')'),
    ('insert into crm.memberships (org_id, user_id, role) values (:borg, :bob, ''sales'') on conflict (org_id, user_id) do update set role = excluded.role', '23503', 'demoted by upsert', default),
    ('update crm.memberships set org_id = :acme where org_id = :borg and user_id = :bob', '23503', 'the last owner moved to another organization', default),
    ('update crm.roles set name = ''boss'' where org_id = :borg and name = ''owner''', '23503', 'the owners'' role renamed by the DBA', default),
    ('truncate crm.users, crm.organizations cascade', 'done', 'everything truncated', default);
do $$
declare
    one tests.paths;
begin
    for one in select * from tests.paths order by id loop
        call tests.path(tests.fill(one.statement), one.wanted, 'the DBA: ' || one.sentence, tests.fill(one.before));
    end loop;
end
$$;

-- Two sessions, each taking one of the two owners away ------------------------------------------------------------------------------

select tests.connect('a'), tests.connect('b') \gset
create procedure tests.two(isolation text, how text, after_first text) language plpgsql as $$
declare
    said text[] := '{}';
    of_a text;
    of_b text;
begin
    perform tests.token('ann', 'Acme'), tests.token('oda', 'Acme');
    commit;
    of_a := tests.fill(case how when 'demote' then 'update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :ann'
        when 'delete user' then 'delete from crm.users where id = :ann' when 'leave' then 'select crm.leave_organization()'
        else 'delete from crm.memberships where org_id = :acme and user_id = :ann' end);
    of_b := tests.fill(case how when 'leave' then 'select crm.leave_organization()' else 'update crm.memberships set role = ''sales'' where org_id = :acme and user_id = :oda' end);
    if how = 'leave' then
        perform tests.begin_as('b', format('crm.authenticate(%L)', tests.token('oda', 'Acme')), isolation), tests.begin_as('a', format('crm.authenticate(%L)', tests.token('ann', 'Acme')), isolation);
    else
        perform tests.say('b', 'begin isolation level ' || isolation), tests.say('a', 'begin isolation level ' || isolation);
    end if;
    -- Both have looked at how things are.
    perform tests.say('b', 'select count(*) from crm.memberships'), tests.say('a', 'select count(*) from crm.memberships');
    said := said || tests.say('a', of_a);
    if after_first = 'meanwhile' then
        -- b waits, or is refused; then a commits, and b goes on.
        perform public.dblink_send_query('b', case when of_b like 'select %' then format('do $say$ begin perform %s; end $say$', substr(of_b, 8)) else of_b end);
        perform pg_sleep(0.2);
        said := said || tests.say('a', 'commit');
        perform * from public.dblink_get_result('b', false) as t (said text);
        perform * from public.dblink_get_result('b', false) as t (said text);
    else
        said := said || tests.say('a', 'commit');
        perform tests.say('b', of_b);
    end if;
    perform tests.say('b', 'commit');
    insert into tests.results (had, wanted, sentence)
    select format('%s, %s', said[2], case when count(*) filter (where m.role = 'owner' and m.status = 'active' and u.status = 'active') > 0 then 'there is an owner' else 'nobody is left' end),
        'COMMIT, there is an owner', format('two owners go at once (%s, %s, %s): one stays', how, after_first, isolation)
    from crm.memberships as m join crm.users as u on u.id = m.user_id where m.org_id = tests.org_id('Acme');
    perform tests.say('a', 'rollback'), tests.say('b', 'rollback');
    perform tests.say('a', tests.fill('insert into crm.users (id, email, full_name) values (:ann, ''ann@example.com'', ''Ann'') on conflict do nothing'));
    perform tests.say('a', tests.fill('update crm.users set status = ''active'''));
    perform tests.say('a', tests.fill('insert into crm.memberships (org_id, user_id, role) values (:acme, :ann, ''owner'') on conflict (org_id, user_id) do update set role = ''owner'', status = ''active'', ended_at = null'));
    perform tests.say('a', tests.fill('update crm.memberships set role = ''owner'', status = ''active'', ended_at = null where user_id = :oda'));
    delete from tests.tokens where person = 'ann' and organization = 'Acme';
    commit;
end
$$;
create procedure tests.all_twos() language plpgsql as $$
declare
    isolation text;
    how text;
    after_first text;
begin
    foreach isolation in array '{read committed,repeatable read,serializable}'::text[] loop
        foreach how in array '{demote,delete,leave,delete user}'::text[] loop
            foreach after_first in array '{meanwhile,afterwards}'::text[] loop
                call tests.two(isolation, how, after_first);
            end loop;
        end loop;
    end loop;
end
$$;
call tests.all_twos();

\ir leave_sessions.psql
