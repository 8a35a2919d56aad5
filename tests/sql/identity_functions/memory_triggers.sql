-- What tells backends of changes is a trigger on each table, and a table that stands for all. Where the tables' owner drops, disables
-- or renames one of them, nothing is remembered any more: what changes then counts at once all the same.

\ir memory_world.psql

create table tests.triggers (target regclass, name text, credential text, statement text, wanted text);
\set token 'PT401 the access token is not valid'
insert into tests.triggers values
    ('crm_private.settings', '_900_announce', 'ann', 'update crm_private.settings set issuer = ''other''', :'token'),
    ('crm.organizations', '_900_announce', 'ann', 'update crm.organizations set status = ''suspended''', 'PT403 this organization is suspended'),
    ('crm.users', '_900_announce', 'ann', 'update crm.users set status = ''disabled''', :'token'),
    ('crm.memberships', '_900_announce', 'ann', 'update crm.memberships set role = ''sales'' where user_id = tests.user_id(''ann'')', 'accepted sales'),
    ('crm.users', '_900_announce_delete', 'ann', 'delete from crm.users where full_name = ''Ann''', :'token'),
    ('crm_private.signing_keys', '_900_announce', 'ann', 'delete from crm_private.signing_keys', :'token'),
    ('crm_private.schema_version', '_900_announce', 'ann', 'insert into crm_private.schema_version (version) values (''99.0.0'')',
        'PT503 the service is being updated'),
    ('crm_private.sessions', '_900_announce', 'ann', 'update crm_private.sessions set ended_at = now()', :'token'),
    ('crm_private.sessions', '_900_announce_delete', 'ann', 'delete from crm_private.sessions', :'token'),
    ('crm_private.identity_providers', '_900_announce', 'ann of the issuer', 'update crm_private.identity_providers set enabled = false', :'token'),
    ('crm_private.user_identities', '_900_announce', 'ann of the issuer', 'delete from crm_private.user_identities',
        'PT403 nobody here has this identity'),
    ('crm_private.api_keys', '_900_announce', 'key', 'update crm_private.api_keys set revoked_at = now()', 'PT401 the API key is not valid'),
    ('crm_private.platform_members', '_900_announce', 'sue as ann', 'delete from crm_private.platform_members', :'token'),
    ('crm.built_in_permissions', '_900_announce', 'mia', 'update crm.built_in_permissions set scope = ''all''', 'all all all all all'),
    ('crm.roles', '_900_announce', 'mia', 'update crm.roles set built_in = false', '- all all all team of 2'),
    ('crm.role_permissions', '_900_announce', 'mia', 'delete from crm.role_permissions', 'own - all - team of 2'),
    ('crm.group_members', '_900_announce', 'mia', 'delete from crm.group_members', 'own all - - own'),
    ('crm.group_permissions', '_900_announce', 'mia', 'delete from crm.group_permissions', 'own all - all own'),
    ('crm.group_roles', '_900_announce', 'mia', 'delete from crm.group_roles', 'own all all - team of 2'),
    ('crm.organizations', '_900_announce_truncate', 'ann', 'truncate crm.organizations cascade', :'token'),
    ('crm_private.settings', '_900_announce_truncate', 'ann', 'truncate crm_private.settings', 'XX000 crm_private.settings has no row'),
    ('crm.users', '_900_announce_truncate', 'ann', 'truncate crm.users cascade', :'token'),
    ('crm_private.signing_keys', '_900_announce_truncate', 'ann', 'truncate crm_private.signing_keys', :'token'),
    ('crm_private.sessions', '_900_announce_truncate', 'ann', 'truncate crm_private.sessions cascade', :'token'),
    ('crm_private.identity_providers', '_900_announce_truncate', 'ann of the issuer', 'truncate crm_private.identity_providers cascade', :'token'),
    ('crm_private.user_identities', '_900_announce_truncate', 'ann of the issuer', 'truncate crm_private.user_identities',
        'PT403 nobody here has this identity'),
    ('crm_private.platform_members', '_900_announce_truncate', 'sue as ann', 'truncate crm_private.platform_members', :'token'),
    ('crm.built_in_permissions', '_900_announce_truncate', 'mia', 'truncate crm.built_in_permissions', '- all all all team of 2'),
    ('crm.plans', '_900_announce_truncate', 'ann''s plan', 'truncate crm.plans cascade', :'token'),
    ('crm_private.plan_overrides', '_900_announce_truncate', 'ann''s plan', 'truncate crm_private.plan_overrides', 'accepted false false'),
    ('crm.memberships', '_900_announce_truncate', 'ann', 'truncate crm.memberships cascade', 'PT403 no access to this organization'),
    ('crm_private.api_keys', '_900_announce_truncate', 'key', 'truncate crm_private.api_keys cascade', 'PT401 the API key is not valid'),
    ('crm.roles', '_900_announce_truncate', 'mia', 'truncate crm.roles cascade', 'PT403 no access to this organization'),
    ('crm.role_permissions', '_900_announce_truncate', 'mia', 'truncate crm.role_permissions', 'own - all - team of 2'),
    ('crm.group_members', '_900_announce_truncate', 'mia', 'truncate crm.group_members', 'own all - - own'),
    ('crm.group_permissions', '_900_announce_truncate', 'mia', 'truncate crm.group_permissions', 'own all - all own'),
    ('crm.group_roles', '_900_announce_truncate', 'mia', 'truncate crm.group_roles', 'own all all - team of 2'),
    ('crm.groups', '_900_announce', 'mia''s reasons', 'update crm.groups set name = ''Crew'' where name = ''Team''', '["role sales", "group Crew"]'),
    ('crm.custom_fields', '_900_announce', 'ann''s fields', 'delete from crm.custom_fields', '22023 custom_fields.tier: there is no such field'),
    ('crm.custom_fields', '_900_announce_truncate', 'ann''s fields', 'truncate crm.custom_fields cascade',
        '22023 custom_fields.tier: there is no such field'),
    ('crm.plans', '_900_announce', 'ann''s plan', 'update crm.plans set features = ''{sso}''', 'accepted true true'),
    ('crm_private.plan_overrides', '_900_announce', 'ann''s plan',
        'insert into crm_private.plan_overrides (org_id, name, kind, enabled, reason) select id, ''sso'', ''feature'', true, ''x'' from crm.organizations',
        'accepted true true');
-- Who has webhooks is remembered by those who commit: whether they wake who delivers.
create table tests.wakers (target regclass, name text, before text, statement text, wanted text);
\set hook 'insert into crm.webhooks (org_id, name, url) select org_id, ''Hook'', ''https://example.com'' from tests.organizations where name = ''Acme'''
insert into tests.wakers values
    ('crm.webhooks', '_900_announce', 'reset role', :'hook', 'woken'),
    ('crm.webhooks', '_900_announce_truncate', :'hook', 'truncate crm.webhooks cascade', 'left alone');
insert into tests.results (had, wanted, sentence)
select string_agg(distinct format('%s %s', t.tgrelid::regclass, t.tgname), ', '),
    (
        select string_agg(distinct format('%s %s', target, name), ', ')
        from (select target, name from tests.triggers union select target, name from tests.wakers) as tested
    ), 'every trigger is in this test'
from pg_trigger as t
where t.tgfoid = 'crm_private.announce'::regproc;

-- The credential was good before the owner did it, and is asked for twice after that: it must not have been remembered then.
create procedure tests.after(did text, credential text, statement text, wanted text, replica boolean, undo text) language plpgsql as $$
declare
    used tests.credentials;
    good text;
    said text;
begin
    select * into used from tests.credentials where name = credential;
    -- Whatever came before, this session looks at the triggers again, and remembers.
    perform tests.other(format('alter table %s reset (fillfactor)', target)) from (select distinct target from tests.triggers) as watched;
    commit;
    good := tests.try(used.kind, used.secret);
    perform tests.try(used.kind, used.secret);
    commit;
    call tests.remember(used);
    insert into tests.results (had, wanted, sentence) values (tests.has_asked()::text, 'false', credential || ' is remembered');
    commit;
    perform tests.other('set role crm_owner');
    perform tests.other(did);
    perform tests.other('reset role');
    commit;
    insert into tests.results (had, wanted, sentence) values
        (tests.try(used.kind, used.secret), good, format('%s is as before after: %s', credential, did));
    commit;
    perform tests.try(used.kind, used.secret);
    commit;
    perform tests.other(format('set session_replication_role = %s', case when replica then 'replica' else 'origin' end));
    perform tests.other(statement);
    perform tests.other('reset session_replication_role');
    commit;
    said := tests.try(used.kind, used.secret);
    insert into tests.results (had, wanted, sentence) values (said, wanted, format('a change to %s counts at once after: %s', credential, did));
    commit;
    perform tests.other('set role crm_owner');
    perform tests.other(undo);
    perform tests.other('reset role');
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
    insert into tests.results (had, wanted, sentence) values (tests.try(used.kind, used.secret), good, 'and is undone at once after: ' || undo);
    commit;
    -- Put back, it tells again, and backends remember again.
    perform tests.try(used.kind, used.secret);
    commit;
    call tests.remember(used);
    insert into tests.results (had, wanted, sentence)
    select tests.has_asked()::text, 'false', format('%s is remembered again after: %s', credential, undo)
    where did ~ 'disable trigger _900';
    commit;
    perform tests.other(statement);
    commit;
    insert into tests.results (had, wanted, sentence) values
        (tests.try(used.kind, used.secret), wanted, format('a change to %s counts at once after: %s', credential, undo));
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
end
$$;
create procedure tests.signal() language plpgsql as $$
declare
    one record;
begin
    for one in
        values ('alter table crm_private.identity_changes rename to elsewhere', 'alter table crm_private.elsewhere rename to identity_changes'),
            ('drop table crm_private.identity_changes', 'create table crm_private.identity_changes ()'),
            ('drop table crm_private.identity_changes; create table crm_private.identity_changes ()', 'reset role')
    loop
        call tests.after(one.column1, 'ann', 'update crm.users set status = ''disabled''', 'PT401 the access token is not valid', false, one.column2);
    end loop;
end
$$;
call tests.signal();

create procedure tests.all_triggers() language plpgsql as $$
declare
    t tests.triggers;
    one text;
    enable text;
    enable_all text;
begin
    for t in select * from tests.triggers loop
        enable := format('alter table %s enable always trigger %s', t.target, t.name);
        call tests.after(format('alter table %s disable trigger %s', t.target, t.name), t.credential, t.statement, t.wanted, false, enable);
        enable_all := (
            select string_agg(format('alter table %s enable %s trigger %I', tgrelid::regclass, case tgenabled when 'A' then 'always' end, tgname), '; ')
            from pg_trigger where tgrelid = t.target and not tgisinternal
        );
        call tests.after(format('alter table %s disable trigger user', t.target), t.credential, t.statement, t.wanted, false, enable_all);
        call tests.after(format('alter table %s enable trigger %s', t.target, t.name), t.credential, t.statement, t.wanted, true, enable);
        call tests.after(format('alter table %s enable replica trigger %s', t.target, t.name), t.credential, t.statement, t.wanted, false, enable);
        call tests.after(format('alter trigger %s on %s rename to other', t.name, t.target), t.credential, t.statement, t.wanted, false,
            format('alter trigger other on %s rename to %s', t.target, t.name));
        one := pg_get_triggerdef((select oid from pg_trigger where tgrelid = t.target and tgname = t.name));
        call tests.after(format('drop trigger %s on %s', t.name, t.target), t.credential, t.statement, t.wanted, false, one || '; ' || enable);
    end loop;
end
$$;
call tests.all_triggers();

-- What a commit of this session tells the other one.
create procedure tests.commit_change(inout said text) language plpgsql as $$
begin
    perform from dblink_get_notify('other');
    insert into crm.contacts (org_id, last_name) values (tests.org_id('Acme'), 'Change');
    commit;
    said := 'left alone';
    for attempt in 1..5 loop
        perform tests.other('reset role');
        if exists (select from dblink_get_notify('other') where notify_name = 'crm_events') then
            said := 'woken';
            exit;
        end if;
        perform pg_sleep(0.02);
    end loop;
end
$$;
create procedure tests.after_waking(did text, waker tests.wakers, replica boolean, undo text) language plpgsql as $$
declare
    said text;
begin
    perform tests.other(waker.before);
    for attempt in 1..2 loop
        call tests.commit_change(said);
    end loop;
    insert into tests.results (had, wanted, sentence)
    values (said, (array_remove('{woken,left alone}', waker.wanted))[1], 'who delivers, before: ' || waker.statement);
    perform tests.other('set role crm_owner');
    perform tests.other(did);
    perform tests.other('reset role');
    perform tests.other(format('set session_replication_role = %s', case when replica then 'replica' else 'origin' end));
    perform tests.other(waker.statement);
    perform tests.other('reset session_replication_role');
    call tests.commit_change(said);
    insert into tests.results (had, wanted, sentence) values (said, waker.wanted, format('who delivers, at once after: %s; %s', did, waker.statement));
    perform tests.other('set role crm_owner');
    perform tests.other(undo);
    perform tests.other('reset role');
    commit;
    perform tests.other('do $do$ begin perform tests.restore(); end $do$');
    commit;
end
$$;
create procedure tests.all_wakers() language plpgsql as $$
declare
    w tests.wakers;
    enable text;
    again text;
begin
    perform tests.other('listen crm_events');
    for w in select * from tests.wakers loop
        enable := format('alter table %s enable always trigger %s', w.target, w.name);
        call tests.after_waking('reset role', w, false, 'reset role');
        call tests.after_waking(format('alter table %s disable trigger %s', w.target, w.name), w, false, enable);
        call tests.after_waking(format('alter table %s enable trigger %s', w.target, w.name), w, true, enable);
        call tests.after_waking(format('alter trigger %s on %s rename to other', w.name, w.target), w, false,
            format('alter trigger other on %s rename to %s', w.target, w.name));
        again := pg_get_triggerdef((select oid from pg_trigger where tgrelid = w.target and tgname = w.name)) || '; ' || enable;
        call tests.after_waking(format('drop trigger %s on %s', w.name, w.target), w, false, again);
    end loop;
    perform tests.other('unlisten *');
end
$$;
call tests.all_wakers();

\ir leave_world.psql
