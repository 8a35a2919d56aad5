-- What somebody is permitted is taken away while they write: nothing of what it forbids is committed after that change was. Three
-- sessions in a database of their own: a writes, b changes permissions, and this one looks on.


\set world race
\ir sessions.psql

begin;
select tests.register('ann', 'Acme');
-- Where there is a limit, those who add wait for each other: that is another test's concern.
update crm.organizations set plan = 'enterprise' where id = tests.org_id('Acme');
select tests.hire('cleo', 'Acme', 'read_only');
select tests.hire('dan', 'Acme', 'read_only');

-- How somebody came to a permission, and how it is taken: by the owner, or without a name by the DBA. In the statement %1$L is the
-- user, %2$L their role, %3$L their group, %4$L the organization, %5$L the key,
-- %6$L and %7$L a role and a group of nobody.
create table tests.cases (id serial, kind text, changed_by text, change text, undo text, takes boolean not null default true, locks boolean not null, sentence text);
insert into tests.cases (kind, changed_by, change, undo, takes, locks, sentence) values
    ('role', 'ann', 'select crm.set_member_role(%1$L, ''read_only'')', null, true, true, 'another role'),
    ('role', null, 'update crm.memberships set role = ''read_only'' where user_id = %1$L', null, true, false, 'another role, by the DBA'),
    ('role', 'ann', 'delete from crm.role_permissions where role = %2$L', null, true, true, 'the role''s permission deleted'),
    ('role', 'ann', 'update crm.role_permissions set scope = ''own'' where role = %2$L and permission = ''contacts.update''', null, true, true, 'the role''s permission made narrower'),
    ('role', 'ann', 'update crm.role_permissions set permission = ''accounts.update'' where role = %2$L and permission = ''contacts.update''', null, true, true, 'the role''s permission made another'),
    ('role', 'ann', 'update crm.role_permissions set role = %6$L where role = %2$L and permission = ''contacts.update''', null, true, true, 'the role''s permission given to another role'),
    ('role', null, 'delete from crm.role_permissions where role = %2$L', null, true, false, 'the role''s permission deleted by the DBA'),
    ('role', 'ann', 'select crm.remove_member(%1$L)', null, true, true, 'the membership ended'),
    ('role', null, 'update crm.memberships set status = ''ended'', ended_at = now() where user_id = %1$L', null, true, false, 'the membership ended by the DBA'),
    ('role', null, 'delete from crm.memberships where user_id = %1$L', null, true, false, 'the membership deleted'),
    ('role', null, 'select crm.suspend_organization(%4$L, ''a reason'')', 'select crm.resume_organization(%4$L)', true, false, 'the organization suspended'),
    ('role', null, 'select crm.suspend_user(%1$L)', null, true, false, 'the user disabled'),
    ('role', null, 'select crm.delete_user(%1$L)', null, true, false, 'the user deleted'),
    ('group permission', 'ann', 'delete from crm.group_permissions where group_id = %3$L', null, true, true, 'the group''s permission deleted'),
    ('group permission', 'ann', 'update crm.group_permissions set scope = ''team'' where group_id = %3$L and permission = ''contacts.update''', null, true, true, 'the group''s permission made narrower'),
    ('group permission', 'ann', 'update crm.group_permissions set group_id = %7$L where group_id = %3$L', null, true, true,
        'the group''s permission given to another group'),
    ('group permission', 'ann', 'delete from crm.group_members where user_id = %1$L', null, true, true, 'putting them out of the group'),
    ('group permission', 'ann', 'update crm.group_members set group_id = %7$L where user_id = %1$L', null, true, true,
        'putting them into another group'),
    ('group permission', 'ann', 'delete from crm.groups where id = %3$L', null, true, false, 'the group deleted'),
    ('group permission', 'ann', 'select crm.remove_member(%1$L)', null, true, true, 'the membership ended, with a group''s permission'),
    ('group role', 'ann', 'delete from crm.group_roles where group_id = %3$L', null, true, true, 'the group''s role taken from it'),
    ('group role', 'ann', 'delete from crm.role_permissions where role = %2$L', null, true, true, 'the group''s role without the permission'),
    ('group role', 'ann', 'delete from crm.groups where id = %3$L', null, true, false, 'the group with the role deleted'),
    ('team', 'ann', 'delete from crm.group_members where group_id = %3$L and user_id <> %1$L', null, true, true, 'the row''s owner put out of the team'),
    ('team', 'ann', 'delete from crm.group_members where group_id = %3$L and user_id = %1$L', null, true, true, 'put out of the team'),
    ('team', 'ann', 'update crm.role_permissions set scope = ''own'' where role = %2$L and permission = ''contacts.update''', null, true, true, 'scope own instead of team'),
    ('key', 'ann', 'select crm.revoke_api_key(%5$L)', null, true, false, 'the key revoked'),
    ('key', null, 'update crm_private.api_keys set scopes = ''{contacts.read}'' where id = %5$L', null, true, false, 'the key''s scopes narrowed by the DBA'),
    ('key', null, 'update crm_private.api_keys set expires_at = clock_timestamp() where id = %5$L', null, true, false, 'the key expired'),
    ('key', null, 'delete from crm_private.api_keys where id = %5$L', null, true, false, 'the key deleted'),
    ('key', null, 'select crm.suspend_organization(%4$L, ''a reason'')', 'select crm.resume_organization(%4$L)', true, false, 'the key''s organization suspended'),
    ('built-in', null, 'delete from crm.built_in_permissions where role = ''support'' and permission = ''contacts.update''',
        'insert into crm.built_in_permissions values (''support'', ''contacts.update'', ''all'')', true, false, 'a built-in role''s permission deleted'),
    ('role', 'ann', 'insert into crm.role_permissions (role, permission) values (%2$L, ''accounts.read'')', null, false, true, 'one permission more'),
    ('role', 'ann', 'insert into crm.role_permissions (role, permission) values (''read_only'', ''accounts.update'')', 'delete from crm.role_permissions where role = ''read_only''', false, true,
        'one permission more for others'),
    ('role', 'ann', 'select crm.set_member_role((select id from crm.users where full_name = ''Cleo''), ''support'')', 'update crm.memberships set role = ''read_only'' where role = ''support''
        and user_id = (select id from crm.users where full_name = ''Cleo'')', false, true, 'somebody else''s role'),
    ('role', 'ann', 'delete from crm.group_members where user_id = %1$L', null, false, true, 'out of a group that gave nothing'),
    ('team', 'ann', 'insert into crm.group_members (group_id, user_id) select %3$L, id from crm.users where full_name = ''Cleo''', null, false, true, 'a larger team'),
    ('team', 'ann', 'update crm.role_permissions set scope = ''all'' where role = %2$L and permission = ''contacts.update''', null, false, true, 'scope all instead of team'),
    ('group permission', 'ann', 'update crm.groups set name = %1$L where id = %3$L', null, false, false, 'the group renamed'),
    ('group permission', 'ann', 'update crm.group_members set is_lead = true where group_id = %3$L', null, false, true, 'leading the group'),
    ('group role', 'ann', 'update crm.role_permissions set permission = ''contacts.*'' where role = %2$L and permission = ''contacts.update''', null, false, true, 'the same by a wildcard'),
    ('role', null, 'update crm.organizations set country = ''DE''', null, false, false, 'the organization''s country');
update crm.built_in_permissions set scope = 'all' where role = 'support' and permission = 'contacts.update';

-- Somebody who has their permission as the case says, with a row to write.
create table tests.runs (
    id serial, case_id integer, mode text, user_id uuid, role text, group_id uuid, key_id uuid, contact_id uuid, authenticate text
);
create function tests.prepare_run(case_id integer, kind text, mode text) returns integer language plpgsql as $$
declare
    made constant integer := nextval('tests.runs_id_seq');
    person constant text := 'v' || made;
    own_role constant text := 'r' || made;
    administers constant text := ', group_members.create all, group_members.read all, groups.read all, invitations.create all, api_keys.create all';
    contact uuid;
    key uuid;
begin
    perform tests.make_role('Acme', own_role, 30, 'contacts.read all' || case
        when kind in ('role', 'group role') then ', contacts.update all' when kind = 'team' then ', contacts.update team' else '' end
        || administers);
    perform tests.make_role('Acme', 's' || made, 10, ''), tests.make_group('Acme', 'other ' || made, '{}');
    perform tests.hire(person, 'Acme', case kind when 'built-in' then 'support' when 'group role' then 'read_only' else own_role end);
    perform tests.make_group('Acme', person, case kind when 'team' then array[person, 'dan'] else array[person] end,
        case kind when 'group permission' then 'contacts.read all, contacts.update all' else '' end, case kind when 'group role' then array[own_role] else '{}' end);
    insert into crm.contacts (org_id, last_name, owner_id)
    values (tests.org_id('Acme'), person, tests.user_id(case kind when 'team' then 'dan' else 'ann' end)) returning id into contact;
    if kind = 'key' then
        perform tests.make_key('Acme', person, '{contacts.read,contacts.update,group_members.create,group_members.read}');
        select id into key from crm_private.api_keys where name = person;
    end if;
    insert into tests.runs values (
        made, prepare_run.case_id, prepare_run.mode, tests.user_id(person), own_role, tests.group_id(person), key, contact,
        case kind when 'key' then format('crm.authenticate_api_key(%L)', (select t.token from tests.tokens as t where t.person = 'key ' || 'v' || made))
        else format('crm.authenticate(%L)', tests.token(person, 'Acme')) end
    );
    return made;
end
$$;
select count(tests.prepare_run(c.id, c.kind, mode)) as runs
from tests.cases as c
cross join unnest('{early,early repeatable read,early serializable,next,next repeatable read,about,about serializable,savepoint,two savepoints,deferred,own key,alone,held}'::text[]) as mode
where (mode <> 'alone' or (not c.locks and c.kind in ('role', 'key') or c.sentence = 'the group deleted')) and (mode <> 'held' or c.takes) and (mode <> 'own key' or c.takes and c.id % 10 = 1)
\gset

-- b makes the change of the case to that run, and commits it: 'done', or what keeps it from that.
create function tests.change(c tests.cases, run tests.runs) returns text language plpgsql as $$
declare
    said text;
begin
    perform tests.say('b', 'begin');
    if c.changed_by is not null then
        perform tests.begin_as('b', format('crm.authenticate(%L)', tests.token(c.changed_by, 'Acme')));
    end if;
    said := tests.say('b', format(c.change, run.user_id, run.role, run.group_id, tests.org_id('Acme'), run.key_id, 's' || run.id, tests.group_id('other ' || run.id)));
    if said ~ '^[0-9A-Z]{5} ' then
        perform tests.say('b', 'rollback');
        return said;
    end if;
    said := tests.say('b', 'commit');
    return case said when 'COMMIT' then 'done' else said end;
end
$$;

create function tests.written(run tests.runs) returns text language sql volatile as $$
    select case (select title from crm.contacts where id = run.contact_id) when 'written' then 'written' else 'not written' end
$$;

create function tests.run(run_id integer) returns void language plpgsql as $$
declare
    run tests.runs;
    c tests.cases;
    changed text;
    said text := 'nothing';
    writing text;
begin
    select * into run from tests.runs where id = run_id;
    select * into c from tests.cases where id = run.case_id;
    writing := format('update crm.contacts set title = ''written'' where id = %L', run.contact_id);
    perform tests.begin_as('a', run.authenticate, coalesce(substring(run.mode from '(?:early|next|about) (.*)'), 'read committed'));
    if run.mode like 'about%' then
        perform tests.say('a', 'select 1 from crm.contacts');
    elsif run.mode = 'deferred' then
        perform tests.say('a', 'create temporary table at_commit (statement text)');
        perform tests.say('a', 'create function pg_temp.at_commit() returns trigger language plpgsql as $f$ begin execute new.statement; return null; end $f$');
        perform tests.say('a', 'create constraint trigger at_commit after insert on at_commit deferrable initially deferred for each row execute function pg_temp.at_commit()');
        said := tests.say('a', format('insert into at_commit values (%L)', writing));
    elsif run.mode = 'own key' then
        perform tests.say('a', 'create temporary table parents (id integer primary key, statement text)');
        perform tests.say('a', 'create temporary table children (id integer references parents on delete cascade, statement text)');
        perform tests.say('a', 'create function pg_temp.run() returns trigger language plpgsql as $f$ begin execute old.statement; return old; end $f$');
        perform tests.say('a', 'create trigger run before delete on children for each row execute function pg_temp.run()');
        perform tests.say('a', 'insert into parents values (1)');
        perform tests.say('a', format('insert into children values (1, %L)', writing));
        said := tests.say('a', 'delete from parents');
    elsif run.mode = 'savepoint' then
        perform tests.say('a', 'savepoint one');
        said := tests.say('a', writing);
        perform tests.say('a', 'release savepoint one');
    elsif run.mode = 'two savepoints' then
        said := tests.say('a', writing);
        perform tests.say('a', 'savepoint one');
        perform tests.say('a', 'savepoint two');
        perform tests.say('a', writing);
        perform tests.say('a', 'rollback to savepoint one');
    else
        said := tests.say('a', writing);
    end if;
    if run.mode = 'alone' then
        -- Now it is a who changes permissions there, and nobody else meanwhile. Those who need not ask still do.
        said := tests.say('a', format(
            'insert into crm.group_members (group_id, user_id) values (%L, %L)', tests.group_id('other ' || run.id), tests.user_id('cleo')
        ));
    end if;
    if said ~ '^[0-9A-Z]{5} ' then
        raise exception '% of % (%) could not write at first: %', run.mode, c.kind, c.sentence, said;
    end if;
    if run.mode = 'held' then
        -- a is committing, and stays so: it waits for a standby that there is not. What is changed meanwhile has to wait for it.
        perform tests.say('a', 'set local synchronous_commit = on');
        perform public.dblink_send_query('a', 'commit');
        for i in 1..500 loop
            exit when exists (select from pg_stat_activity where pid = (select pid from tests.sessions where name = 'a') and wait_event = 'SyncRep');
            perform pg_sleep(0.01), pg_stat_clear_snapshot();
        end loop;
        changed := tests.change(c, run);
        said := tests.written(run);
        perform pg_cancel_backend((select pid from tests.sessions where name = 'a'));
        perform * from public.dblink_get_result('a', false) as t (said text);
        perform * from public.dblink_get_result('a', false) as t (said text);
        insert into tests.results (had, wanted, sentence) values (
            case when changed = 'done' and said = 'not written' then format('changed first, then %s', tests.written(run)) else 'one after the other' end,
            'one after the other', format('%s: is not done while one is committing who had the permission', c.sentence)
        );
    else
        changed := tests.change(c, run);
        if run.mode ~ '^(next|about)' then
            said := tests.say('a', writing);
        elsif not c.takes then
            said := 'UPDATE 1';
        end if;
        if run.mode !~ '^(next|about)' or not c.takes then
            said := tests.say('a', 'commit');
        end if;
        perform tests.say('a', 'rollback');
        insert into tests.results (had, wanted, sentence) values (
            concat_ws(', ', changed, case when said ~ '^42501 ' then '42501' else said end, tests.written(run)),
            -- Changes of one organization's permissions follow each other, so the owner's comes after a's.
            case when run.mode = 'alone' and c.sentence = 'the group deleted' then '55P03 canceling statement due to lock timeout, COMMIT, written'
                when c.takes then 'done, 42501, not written' else 'done, COMMIT, written' end,
            format('%s: %s%s', c.sentence, run.mode, case when c.takes then '' else ' (takes nothing away)' end)
        );
    end if;
    perform tests.say('a', 'rollback'), tests.say('a', 'discard temp');
    if c.undo is not null then
        perform tests.say('b', format(c.undo, run.user_id, run.role, run.group_id, tests.org_id('Acme'), run.key_id, 's' || run.id, tests.group_id('other ' || run.id)));
    end if;
end
$$;

commit;

select tests.connect('a'), tests.connect('b'), tests.connect('c') \gset

select count(tests.run(id)) as ran from tests.runs where mode <> 'held' \gset

-- Committing, and not done yet ---------------------------------------------------------------------------------------------
-- What waits for a standby that does not exist has looked at its permissions, and is not seen by others yet.

-- Whatever happens, that standby is not left behind.
\set ON_ERROR_STOP off
alter database :"world" set synchronous_commit = local;
set synchronous_commit = local;
select tests.say(who, 'set synchronous_commit = local') from unnest('{a,b,c}'::text[]) as who \g /dev/null
-- What waits does so until a has committed: long enough to be seen waiting is long enough.
select tests.say('b', 'set lock_timeout = ''200ms''') \g /dev/null
alter system set synchronous_standby_names = 'nobody';
select pg_reload_conf() \g /dev/null
select count(tests.run(id)) as ran from tests.runs where mode = 'held' \gset

-- Who is committing is waited for by whom it concerns, and by nobody else: a change in Acme holds up no write in Borg.
begin;
select tests.register('bob', 'Borg');
select tests.hire('eve', 'Acme', 'sales');
select tests.hire('mul', 'Acme', 'owner'), tests.join('mul', 'Borg', 'owner');
select tests.make_role('Acme', 'held', 10, 'accounts.read all'), tests.make_role('Acme', 'moves', 10, '');
select tests.make_group('Acme', 'Held', '{eve}', 'accounts.read all', '{read_only}');
select tests.make_key('Acme', 'held', '{contacts.read}');
-- More organizations than anybody locks one by one.
with made as (insert into crm.organizations (name, slug) select 'Many ' || n, 'many-' || n from generate_series(1, 20) as n returning id)
insert into crm.memberships (org_id, user_id, role) select id, tests.user_id('mul'), 'owner' from made;
update crm.organizations set plan = 'enterprise';
select count(tests.token(person, organization)) from (values ('ann', 'Acme'), ('bob', 'Borg'), ('mul', null)) as known (person, organization);

create table tests.writes (what text);
grant insert on tests.writes to public;
create table tests.held (id serial, by text, statements text[], acme_waits boolean, borg_waits boolean, sentence text);
insert into tests.held (by, statements, acme_waits, borg_waits, sentence) values
    ('ann', '{"insert into crm.role_permissions (role, permission) values (''held'', ''contacts.read'')"}', true, false, 'a permission more'),
    ('ann', '{"update crm.role_permissions set scope = ''own'' where role = ''held''"}', true, false, 'a permission made narrower'),
    ('ann', '{"delete from crm.role_permissions where role = ''held''"}', true, false, 'a permission taken'),
    ('ann', '{"insert into crm.role_permissions (org_id, role, permission) values (null, ''held'', ''accounts.read'')
        on conflict (org_id, role, permission) do update set scope = excluded.scope"}', true, false, 'an upsert that names no organization'),
    ('ann', '{"update crm.roles set rank = 9 where name = ''held''"}', true, false, 'a rank'),
    ('ann', '{"delete from crm.groups where name = ''Held''"}', true, false, 'a group deleted, with what it gave'),
    ('ann', '{"select crm.set_member_role(tests.user_id(''eve''), ''held'')"}', true, false, 'a member''s role'),
    ('ann', '{"update crm.organizations set country = ''FR''"}', true, false, 'the organization''s country'),
    ('ann', '{"insert into crm.contacts (last_name) values (''held'')"}', false, false, 'a write'),
    ('mul', '{"insert into crm.contacts (org_id, last_name) select id, ''held'' from crm.organizations where slug like ''many-%''"}', false, false,
        'a write in many organizations'),
    (null, '{"update crm_private.api_keys set revoked_at = now() where name = ''held''"}', true, false, 'a key revoked'),
    (null, '{"insert into crm.memberships (org_id, user_id, role) select tests.org_id(''Acme''), tests.user_id(''bob''), ''held''"}', true, false, 'a member more'),
    (null, '{"delete from crm.memberships where user_id = tests.user_id(''eve'')"}', true, false, 'a member deleted'),
    (null, '{"savepoint one","update crm.roles set rank = 8 where name = ''held''","rollback to one","update crm.roles set rank = 7 where name = ''held''"}',
        true, false, 'a second try'),
    (null, '{"set local session_replication_role = replica","update crm.roles set rank = 8 where name = ''held''"}', true, false, 'what comes by replication'),
    (null, '{"alter table crm.roles disable trigger _400_delegation","update crm.roles set rank = 7 where name = ''held''","alter table crm.roles enable trigger _400_delegation"}',
        true, false, 'what other triggers do not see'),
    (null, '{"update crm.roles set rank = 8 where name = ''held''","update crm.memberships set role = role where org_id = tests.org_id(''Borg'')"}', true, true, 'a change in both'),
    (null, '{"set local session_replication_role = replica","update crm.roles set org_id = tests.org_id(''Borg'') where name = ''moves''"}', true, true,
        'a role that moves from one to the other'),
    (null, '{"update crm.roles set rank = rank where name = ''owner'' and org_id in (select id from crm.organizations where slug like ''many-%'')"}', true, true,
        'changes in many others'),
    (null, '{"update crm.built_in_permissions set scope = scope"}', true, true, 'a change everywhere'),
    (null, '{"update crm.roles set rank = 8 where name = ''held''","update crm.built_in_permissions set scope = scope"}', true, true, 'a change here and one everywhere'),
    (null, '{"update crm.users set status = ''disabled'' where id = tests.user_id(''eve'')"}', true, true, 'a user disabled'),
    (null, '{"update crm.roles set rank = rank where false","update crm.memberships set role = role where false"}', false, false, 'a change of nothing'),
    (null, '{"truncate crm_private.api_keys cascade"}', true, true, 'a table truncated');
commit;

create function tests.begin_for(who text, person text) returns void language plpgsql as $$
begin
    if person = 'mul' then
        perform tests.say(who, 'begin'), tests.say(who, 'set local role crm_multi'), tests.say(who, format('select crm.authenticate(%L)', tests.token('mul')));
    elsif person is null then
        perform tests.say(who, 'begin');
    else
        perform tests.begin_as(who, format('crm.authenticate(%L)', tests.token(person, case person when 'bob' then 'Borg' else 'Acme' end)));
    end if;
end
$$;
-- a commits what it did, and stays in that. Whether b waits with what it does meanwhile: statements, each with who makes it before a colon.
create function tests.hold(by text, statements text[], others text[], waits boolean[], sentence text) returns void language plpgsql as $$
declare
    statement text;
    said text;
    holds boolean := false;
begin
    perform tests.begin_for('a', by);
    foreach statement in array statements || '{"insert into tests.writes values (''a write'')","set local synchronous_commit = on"}' loop
        said := tests.say('a', statement);
        if said ~ '^[0-9A-Z]{4}[0-9] ' then
            raise exception '%: %', sentence, said;
        end if;
    end loop;
    perform public.dblink_send_query('a', 'commit');
    for i in 1..500 loop
        holds := exists (select from pg_stat_activity where pid = (select pid from tests.sessions where name = 'a') and wait_event = 'SyncRep');
        exit when holds;
        perform pg_sleep(0.01), pg_stat_clear_snapshot();
    end loop;
    for i in 1..cardinality(others) loop
        perform tests.begin_for('b', nullif(split_part(others[i], ':', 1), ''));
        said := tests.say('b', split_part(others[i], ':', 2));
        if said !~ '^[0-9A-Z]{4}[0-9] ' then
            said := tests.say('b', 'commit');
        end if;
        perform tests.say('b', 'rollback');
        insert into tests.results (had, wanted, sentence) values (
            case when not holds then 'a is not committing' when said like '55P03 %' then 'waits' when said = 'COMMIT' then 'goes on' else said end,
            case when waits[i] then 'waits' else 'goes on' end, format('while %s commits %s: %s', coalesce(by, 'the DBA'), sentence, others[i])
        );
    end loop;
    perform pg_cancel_backend((select pid from tests.sessions where name = 'a'));
    perform * from public.dblink_get_result('a', false) as t (said text);
    perform * from public.dblink_get_result('a', false) as t (said text);
    perform tests.say('a', 'rollback');
end
$$;
select count(tests.hold(
    by, statements, '{ann:insert into crm.contacts (last_name) values (''meanwhile''),bob:insert into crm.contacts (last_name) values (''meanwhile'')}',
    array[acme_waits, borg_waits], sentence
)) as held
from (select * from tests.held order by id) as held \gset
-- And the other way round: a change waits for who writes where it is made.
select count(tests.hold(
    writer, array[format('insert into crm.contacts (org_id, last_name) select id, ''held'' from crm.organizations where id = any (%L)', organizations)],
    '{ann:update crm.roles set rank = 5 where name = ''held'',bob:update crm.organizations set country = ''NL'' where id = crm.current_org_id(),:update crm.built_in_permissions set scope = scope}', waits, sentence
)) as held
from (values
    ('ann', array[tests.org_id('Acme')], '{true,false,true}'::boolean[], 'a write in Acme'),
    ('bob', array[tests.org_id('Borg')], '{false,true,true}', 'a write in Borg'),
    ('mul', (select array_agg(id) from crm.organizations), '{true,true,true}', 'a write in all of theirs')
) as writes (writer, organizations, waits, sentence) \gset

alter system reset synchronous_standby_names;
select pg_reload_conf(), tests.say('b', 'set lock_timeout = ''2s''') \g /dev/null
\set ON_ERROR_STOP on

-- One thing after the other, in the words of a script: who does what, and what they are told -----------------------------------

-- Steps of three sessions; a step that is expected to be told something is a test.
create procedure tests.script(kind text, sentence text, steps text[][]) language plpgsql as $$
declare
    step text[];
    run tests.runs;
    said text;
    made integer;
begin
    made := tests.prepare_run(null, kind, sentence);
    commit;
    select * into run from tests.runs where id = made;
    foreach step slice 1 in array steps loop
        if step[2] = 'as themselves' then
            said := tests.begin_as(step[1], run.authenticate);
        elsif step[2] = 'as themselves, repeatable read' then
            said := tests.begin_as(step[1], run.authenticate, 'repeatable read');
        elsif step[2] = 'authenticates again' then
            said := tests.say(step[1], 'select ' || run.authenticate);
        elsif step[2] like 'as %' then
            said := tests.begin_as(step[1], format('crm.authenticate(%L)', tests.token(substr(step[2], 4), 'Acme')));
        else
            said := tests.say(step[1], format(step[2], run.user_id, run.role, run.group_id, tests.org_id('Acme'), run.key_id, 's' || run.id,
                tests.group_id('other ' || run.id), run.contact_id));
        end if;
        insert into tests.results (had, wanted, sentence)
        select case when said ~ '^[0-9A-Z]{5} ' then left(said, 5) else said end, step[3], sentence || ': ' || step[1] || ' ' || step[2] where step[3] <> '';
    end loop;
    perform tests.say(who, 'rollback') from unnest('{a,b,c}'::text[]) as who;
    commit;
end
$$;
\set write 'update crm.contacts set title = ''written'' where id = %8$L'

call tests.script('team', 'permitted more for a while', array[
    array['a', 'as themselves', ''], array['a', 'update crm.contacts set title = ''first'' where id = %8$L', 'UPDATE 1'],
    array['b', 'update crm.role_permissions set scope = ''all'' where role = %2$L and permission = ''contacts.update''', 'UPDATE 1'],
    array['a', 'update crm.contacts set title = ''by all'' where owner_id = (select id from crm.users where full_name = ''Ann'')', ''],
    array['a', 'update crm.contacts set title = ''by all'' where last_name = ''v1''', 'UPDATE 1'],
    array['b', 'update crm.role_permissions set scope = ''team'' where role = %2$L and permission = ''contacts.update''', 'UPDATE 1'],
    array['a', 'commit', '42501'], array['b', 'update crm.contacts set title = null where title = ''by all''', 'UPDATE 0']
]);
call tests.script('team', 'a larger team for a while', array[
    array['a', 'as themselves', ''], array['a', 'update crm.contacts set title = ''first'' where id = %8$L', 'UPDATE 1'],
    array['b', 'insert into crm.group_members (org_id, group_id, user_id) select %4$L, %3$L, id from crm.users where full_name = ''Ann''', 'INSERT 0 1'],
    array['a', 'update crm.contacts set title = ''by team'' where last_name = ''v1''', 'UPDATE 1'],
    array['b', 'delete from crm.group_members where group_id = %3$L and user_id = (select id from crm.users where full_name = ''Ann'')', 'DELETE 1'],
    array['a', 'commit', '42501'], array['b', 'update crm.contacts set title = null where title = ''by team''', 'UPDATE 0']
]);
call tests.script('role', 'taken and given back', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'],
    array['b', 'delete from crm.role_permissions where role = %2$L and permission = ''contacts.update''', 'DELETE 1'],
    array['b', 'insert into crm.role_permissions (org_id, role, permission) values (%4$L, %2$L, ''contacts.update'')', 'INSERT 0 1'],
    array['a', 'commit', 'COMMIT']
]);
call tests.script('role', 'a change that is rolled back', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'],
    array['b', 'begin', ''], array['b', 'delete from crm.role_permissions where role = %2$L', ''], array['b', 'rollback', 'ROLLBACK'], array['a', 'commit', 'COMMIT']
]);
call tests.script('role', 'a change that is not committed yet', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['b', 'begin', ''], array['b', 'delete from crm.role_permissions where role = %2$L', ''],
    array['a', 'commit', 'COMMIT'], array['b', 'commit', 'COMMIT'], array['a', 'as themselves', ''], array['a', :'write', '42501']
]);
call tests.script('role', 'who only reads', array[
    array['a', 'as themselves', ''], array['a', 'select count(*) from crm.contacts', 'DO'], array['b', 'delete from crm.role_permissions where role = %2$L', ''],
    array['a', 'commit', 'COMMIT']
]);
call tests.script('role', 'what they do to themselves', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'select crm.leave_organization()', 'DO'], array['a', :'write', '42501']
]);
call tests.script('role', 'a write, and then leaving', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'select crm.leave_organization()', 'DO'], array['a', 'commit', 'COMMIT']
]);
call tests.script('role', 'leaving undone', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'savepoint s', ''], array['a', 'select crm.leave_organization()', 'DO'],
    array['a', 'rollback to savepoint s', ''], array['b', 'update crm.memberships set role = ''read_only'' where user_id = %1$L', 'UPDATE 1'], array['a', 'commit', '42501']
]);
-- Who steps back is looked at all the same.
call tests.script('role', 'leaving, and the user disabled meanwhile', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'select crm.leave_organization()', 'DO'],
    array['b', 'update crm.users set status = ''disabled'' where id = %1$L', 'UPDATE 1'], array['a', 'commit', '42501'],
    array['b', 'update crm.users set status = ''active'' where id = %1$L', 'UPDATE 1']
]);
call tests.script('role', 'an identity that is taken away after a write', array[
    array['a', 'as themselves, repeatable read', ''], array['a', :'write', 'UPDATE 1'], array['b', 'update crm_private.sessions set ended_at = now() where user_id = %1$L', 'UPDATE 1'],
    array['a', 'authenticates again', 'PT401']
]);
-- What functions write is written by a permission too.
call tests.script('role', 'an invitation by who may invite no more', array[
    array['a', 'as themselves', ''], array['a', 'select crm.invite_user(''new@example.com'', %6$L)', 'DO'],
    array['b', 'update crm.memberships set role = ''read_only'' where user_id = %1$L', 'UPDATE 1'], array['a', 'commit', '42501']
]);
call tests.script('role', 'a key by who may make keys no more', array[
    array['a', 'as themselves', ''], array['a', 'select crm.create_api_key(''late'', ''{contacts.update}'')', 'DO'],
    array['b', 'update crm.memberships set status = ''ended'', ended_at = now() where user_id = %1$L', 'UPDATE 1'], array['a', 'commit', '42501'],
    array['b', 'update crm_private.api_keys set revoked_at = now() where name = ''late''', 'UPDATE 0']
]);
-- The change comes while the question what they may do is being answered, from what was committed before it.
create procedure tests.while_it_is_asked() language plpgsql as $$
declare
    made constant integer := tests.prepare_run(null, 'role', 'asked');
    run tests.runs;
    waiting boolean;
    said text;
begin
    commit;
    select * into run from tests.runs where id = made;
    perform tests.begin_as('a', run.authenticate);
    perform tests.say('c', 'begin'), tests.say('c', 'lock table crm.group_members in access exclusive mode');
    perform public.dblink_send_query('a', 'do $do$ begin perform crm.create_api_key(''asked'', ''{contacts.update}''); end $do$');
    for i in 1..200 loop
        waiting := exists (
            select from pg_locks
            where pid = (select pid from tests.sessions where name = 'a') and relation = 'crm.group_members'::regclass and not granted
        );
        exit when waiting;
        perform pg_sleep(0.01);
    end loop;
    said := tests.say('b', format('update crm.memberships set role = ''read_only'' where user_id = %L', run.user_id));
    perform tests.say('c', 'rollback');
    select r.said into said from public.dblink_get_result('a', false) as r (said text);
    perform * from public.dblink_get_result('a', false) as r (said text);
    insert into tests.results (had, wanted, sentence) values
        (waiting::text, 'true', 'the question waits, with what it looks at decided'),
        (said, 'DO', 'and is answered by that'),
        (left(tests.say('a', 'commit'), 5), '42501', 'what was taken while it was asked is missed at commit');
    perform tests.say('a', 'rollback');
end
$$;
call tests.while_it_is_asked();

call tests.script('role', 'in two transactions', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'commit and chain', 'COMMIT'],
    array['b', 'delete from crm.role_permissions where role = %2$L', ''], array['a', 'commit', 'COMMIT']
]);

-- In several organizations at once: what is taken in one of them concerns what was written there.
begin;
create table crm.held_vehicles (org_id uuid not null, id uuid not null default gen_random_uuid(), plate text, primary key (org_id, id));
create table crm.held_parts (org_id uuid not null, id uuid not null default gen_random_uuid(), plate text, owner_id uuid, primary key (org_id, id)) partition by hash (org_id);
create table crm.held_parts_all partition of crm.held_parts for values with (modulus 1, remainder 0);
alter table crm.held_vehicles owner to crm_owner;
alter table crm.held_parts owner to crm_owner;
alter table crm.held_parts_all owner to crm_owner;
select crm.enroll('crm.held_vehicles'), crm.enroll('crm.held_parts');
select tests.hire('two', 'Acme', 'admin'), tests.join('two', 'Borg', 'admin');
select count(tests.token('two'));
create function tests.multi(statements text[], wanted text[], sentence text) returns void language plpgsql as $$
declare
    organizations constant text[] := '{Acme,Borg}';
    statement text;
    said text;
begin
    for i in 1..2 loop
        perform tests.say('b', 'delete from crm.contacts where last_name like ''two%''; delete from crm.held_vehicles; delete from crm.held_parts');
        perform tests.say('b', format('insert into %s values (tests.org_id(''Borg''), gen_random_uuid(), ''old'')', target))
        from unnest('{crm.held_vehicles,crm.held_parts}'::text[]) as target;
        perform tests.say('b', 'insert into crm.contacts (org_id, last_name) values (tests.org_id(''Borg''), ''two, old''), (tests.org_id(''Acme''), ''two, here'')');
        perform tests.say('a', 'begin'), tests.say('a', 'set local role crm_multi'), tests.say('a', format('select crm.authenticate(%L)', tests.token('two')));
        foreach statement in array statements loop
            said := tests.say('a', statement);
            if said ~ '^[0-9A-Z]{4}[0-9] ' then
                raise exception '%: %', statement, said;
            end if;
        end loop;
        perform tests.say('b', format('update crm.memberships set role = ''read_only'' where user_id = tests.user_id(''two'') and org_id = tests.org_id(%L)', organizations[i]));
        said := tests.say('a', 'commit');
        perform tests.say('a', 'rollback'), tests.say('b', 'update crm.memberships set role = ''admin'' where user_id = tests.user_id(''two'')');
        insert into tests.results (had, wanted, sentence) values
            (case said when 'COMMIT' then 'is saved' else left(said, 5) end, wanted[i], format('%s, and the permission is taken in %s', sentence, organizations[i]));
    end loop;
end
$$;
commit;
\set insert 'insert into crm.contacts (org_id, last_name) values (tests.org_id(''Borg''), ''two'')'
select count(tests.multi(statements, wanted, sentence)) as ran
from (values
    (array[:'insert'], '{is saved,42501}'::text[], 'a row is added in Borg'),
    (array['update crm.contacts set title = ''new'' where last_name = ''two, old'''], '{is saved,42501}', 'a row of Borg''s is changed'),
    (array['delete from crm.contacts where last_name = ''two, old'''], '{is saved,42501}', 'a row of Borg''s is deleted'),
    (array['update crm.contacts set title = ''new'' where last_name = ''two, old''', 'delete from crm.contacts where last_name = ''two, here'''], '{42501,42501}', 'a row in each'),
    (array['update crm.contacts set title = ''new'' where false', 'update crm.contacts set title = ''new'' where last_name = ''two, old'''], '{is saved,42501}',
        'no row, and then one of Borg''s'),
    (array['delete from crm.contacts where false'], '{is saved,is saved}', 'no row'),
    (array['savepoint one', 'rollback to one', :'insert'], '{is saved,42501}', 'a row is added after a savepoint'),
    (array[:'insert', 'insert into crm.contacts (org_id, id, last_name) select org_id, id, last_name from crm.contacts where last_name = ''two, old''
        on conflict (org_id, id) do update set title = ''new'''], '{is saved,42501}', 'an upsert in Borg'),
    (array['update crm.organizations set country = ''NL'' where slug = ''borg'''], '{is saved,42501}', 'Borg''s country'),
    (array['insert into crm.held_vehicles (org_id) values (tests.org_id(''Borg''))'], '{is saved,42501}', 'a vehicle is added in Borg'),
    (array['update crm.held_vehicles set plate = ''new'''], '{is saved,42501}', 'a vehicle of Borg''s is changed'),
    -- It is not seen which rows go where they have no owner, nor by what statement a partition's row is written.
    (array['delete from crm.held_vehicles'], '{42501,42501}', 'a vehicle of Borg''s is deleted'),
    (array['insert into crm.held_parts (org_id) values (tests.org_id(''Borg''))'], '{42501,42501}', 'a row is added to a partition in Borg'),
    (array['delete from crm.held_parts'], '{42501,42501}', 'a row of a partition is deleted')
) as written (statements, wanted, sentence) \gset

-- Nobody holds up others -----------------------------------------------------------------------------------------------------

call tests.script('role', 'an open transaction that has written', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'],
    array['b', 'as ann', ''], array['b', 'insert into crm.contacts (last_name) values (''meanwhile'')', 'INSERT 0 1'], array['b', 'commit', 'COMMIT'],
    array['b', 'as ann', ''], array['b', 'select crm.set_member_role(%1$L, ''read_only'')', 'DO'], array['b', 'commit', 'COMMIT']
]);
call tests.script('role', 'locks of one''s own', array[
    array['a', 'as themselves', ''], array['a', 'lock table crm_private.identity_changes in share mode', '42501'], array['a', 'rollback', ''],
    array['a', 'as themselves', ''], array['a', 'select * from crm_private.identity_changes for update', '42501'], array['a', 'rollback', ''],
    array['a', 'as themselves', ''], array['a', 'comment on table crm_private.identity_changes is ''mine''', '42501'], array['a', 'rollback', ''],
    array['a', 'as themselves', ''],
    array['a', 'select pg_advisory_xact_lock(oid::bigint), pg_advisory_xact_lock(oid::integer, 0), pg_advisory_xact_lock(0, oid::integer), pg_advisory_xact_lock(0)
        from pg_class where relname = ''identity_changes''', 'DO'],
    array['b', 'as ann', ''], array['b', 'insert into crm.role_permissions (role, permission) values (%6$L, ''accounts.read'')', 'INSERT 0 1'], array['b', 'commit', 'COMMIT'],
    array['b', 'as ann', ''], array['b', 'insert into crm.contacts (last_name) values (''meanwhile'')', 'INSERT 0 1'], array['b', 'commit', 'COMMIT']
]);
call tests.script('role', 'a change of permissions under way', array[
    array['a', 'as ann', ''], array['a', 'insert into crm.role_permissions (role, permission) values (%6$L, ''accounts.read'')', 'INSERT 0 1'],
    array['b', 'as themselves', ''], array['b', :'write', 'UPDATE 1'], array['b', 'commit', 'COMMIT'],
    array['b', 'begin', ''], array['b', 'update crm.memberships set role = ''read_only'' where user_id = %1$L', 'UPDATE 1'], array['b', 'commit', 'COMMIT']
]);
call tests.script('role', 'who has begun to leave, and does not', array[
    array['a', 'as themselves', ''], array['a', 'select crm.leave_organization()', 'DO'],
    array['b', 'as ann', ''], array['b', 'insert into crm.role_permissions (role, permission) values (%6$L, ''accounts.read'')', 'INSERT 0 1'], array['b', 'commit', 'COMMIT']
]);
-- But for who changes permissions as well: changes of one organization's follow each other.
call tests.script('role', 'an administrator who clings to it', array[
    array['a', 'as themselves', ''], array['a', 'insert into crm.group_members (group_id, user_id) values (%7$L, %1$L)', 'INSERT 0 1'],
    array['b', 'set lock_timeout = ''200ms''', ''],
    array['b', 'as ann', ''], array['b', 'select crm.remove_member(%1$L)', '55P03'], array['b', 'commit', 'ROLLBACK'], array['a', 'commit', 'COMMIT'],
    array['b', 'as ann', ''], array['b', 'select crm.remove_member(%1$L)', 'DO'], array['b', 'commit', 'COMMIT'],
    array['b', 'set lock_timeout = ''2s''', ''], array['b', 'update crm.memberships set role = role where user_id = %1$L and status = ''active''', 'UPDATE 0']
]);

-- Two phases, where there are such: nothing is left prepared that could be committed after the permission is gone.
select current_setting('max_prepared_transactions')::integer > 0 as two_phases \gset
\if :two_phases
call tests.script('role', 'in two phases', array[
    array['a', 'as themselves', ''], array['a', :'write', 'UPDATE 1'], array['a', 'prepare transaction ''two phases''', ''],
    array['b', 'update crm.memberships set role = ''read_only'' where user_id = %1$L', 'UPDATE 1'], array['a', 'commit prepared ''two phases''', ''],
    array['b', 'update crm.contacts set title = null where title = ''written'' and id = %8$L', 'UPDATE 0']
]);
\endif

-- Many at once -----------------------------------------------------------------------------------------------------------------
-- Three people write all the time; a fourth session takes their permission away and gives it back, in turns. From the answer that it
-- is taken until it is given again, nothing is added.

select tests.prepare_run(null, 'role', 'crowd') as crowd \gset
select role as crowd_role from tests.runs where id = :crowd \gset
select tests.hire('w' || n, 'Acme', :'crowd_role') from generate_series(1, 3) as n \g /dev/null
update crm.role_permissions set permission = 'contacts.create' where role = :'crowd_role' and permission = 'contacts.update';
select tests.connect('w' || n) from generate_series(1, 3) as n \g /dev/null

create table tests.crowd (what text, times integer);
create procedure tests.crowd(crowd_role text, seconds integer) language plpgsql as $$
declare
    until constant timestamptz := clock_timestamp() + make_interval(secs => seconds);
    taken boolean := false;
    seen_then bigint;
    seen_now bigint;
    late integer := 0;
    turns integer := 0;
    committed integer := 0;
    refused integer := 0;
    other text[] := '{}';
    worker text;
    people uuid[] := array(select user_id from tests.people where name in ('w1', 'w2', 'w3'));
    message text;
begin
    foreach worker in array '{w1,w2,w3}'::text[] loop
        perform tests.token(worker, 'Acme');
    end loop;
    commit;
    while clock_timestamp() < until loop
        foreach worker in array '{w1,w2,w3}'::text[] loop
            if public.dblink_is_busy(worker) = 0 then
                loop
                    begin
                        perform * from public.dblink_get_result(worker, true) as t (said text);
                        exit when not found;
                        committed := committed + 1;
                    exception
                        when insufficient_privilege then
                            refused := refused + 1;
                        when datatype_mismatch or syntax_error then
                            null;
                        when others then
                            other := other || (sqlstate || ' ' || sqlerrm);
                    end;
                end loop;
                perform public.dblink_exec(worker, 'rollback');
                perform public.dblink_send_query(worker, format(
                    'begin; set local role crm_app; do $do$ begin perform crm.authenticate(%L); end $do$; insert into crm.contacts (last_name) values (%L); commit; select 1::text',
                    tests.token(worker, 'Acme'), worker
                ));
            end if;
        end loop;
        if public.dblink_is_busy('b') = 0 then
            perform * from public.dblink_get_result('b', false) as t (said text);
            perform * from public.dblink_get_result('b', false) as t (said text);
            seen_now := (select count(*) from crm.contacts where created_by = any (people));
            if taken then
                -- It was answered some time ago that nothing is permitted: what was there then is there now, and no more.
                if seen_then is null then
                    seen_then := seen_now;
                    perform pg_sleep(0.02);
                    continue;
                end if;
                late := late + (seen_now - seen_then);
                seen_then := null;
            end if;
            taken := not taken;
            turns := turns + 1;
            perform public.dblink_send_query('b', format(
                case when taken then 'delete from crm.role_permissions where role = %L and permission = ''contacts.create'''
                else 'insert into crm.role_permissions (org_id, role, permission) select org_id, name, ''contacts.create'' from crm.roles where name = %L' end, crowd_role
            ));
            if not taken then
                perform pg_sleep(0.02);
            end if;
        end if;
        perform pg_sleep(0.001);
    end loop;
    insert into tests.results (had, wanted, sentence) values
        (late::text, '0', 'of many who write, nobody commits after it was answered that they may not'),
        (array_to_string(other, '; '), '', 'nobody is in a deadlock, or told anything else than that they may not'),
        ((committed > 20 and refused > 5 and turns > 20)::text, 'true', format('%s were committed and %s refused in %s turns', committed, refused, turns));
end
$$;
call tests.crowd(:'crowd_role', 4);

\ir leave_sessions.psql
