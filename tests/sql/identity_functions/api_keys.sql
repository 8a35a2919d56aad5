-- API keys: making, listing and ending them, and what a key may do with the rows of its organization.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('olga', 'Acme', 'owner');
select tests.hire('admin', 'Acme', 'admin');
select tests.hire('manager', 'Acme', 'manager');
select tests.hire('sales', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');
insert into crm.accounts (org_id, name) select org_id, 'Account of ' || name from tests.organizations;
insert into crm.contacts (org_id, last_name) select org_id, 'Contact of ' || name from tests.organizations;
create table tests.keys (name text primary key, key text not null, id uuid not null);
grant select, insert on tests.keys to public;
create function tests.make(key_name text, scopes text[]) returns void language sql volatile as $$
    insert into tests.keys select key_name, a ->> 'key', (a ->> 'id')::uuid from crm.create_api_key(key_name, scopes) as a
$$;
-- Acts as a key in the role that is its own.
create function tests.become_key(key_name text, role text default 'crm_app') returns void language plpgsql as $$
declare
    found tests.keys;
begin
    perform tests.nobody();
    select * into strict found from tests.keys where name = key_name;
    perform set_config('role', role, true);
    perform crm.authenticate_api_key(found.key);
    if current_user <> role or crm.whoami() ->> 'api_key_id' is distinct from found.id::text then
        raise exception '% did not become the key %', current_user, key_name;
    end if;
end
$$;
\set refused '''PT401 the API key is not valid'''

-- Who may not ---------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, 'crm.create_api_key(''x'', ''{*.*}'')') from unnest('{crm_anon,crm_multi,crm_service,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role;
select tests.denied(role, 'crm.create_platform_key(''x'')') from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_owner,crm_backup}'::text[]) as role;
select tests.denied(role, call)
from unnest('{crm_anon,crm_multi,crm_service,crm_worker,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.list_api_keys()', 'crm.revoke_api_key(null)']) as call;
select tests.denied(role, 'crm.authenticate_api_key(''x'')') from unnest('{crm_anon,crm_multi,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role;
select tests.become_role('crm_app');
select is(tests.outcome('select ' || call), '42501 nobody is logged in', 'nobody may call ' || call)
from unnest(array['crm.create_api_key(''x'', ''{*.*}'')', 'crm.list_api_keys()', 'crm.revoke_api_key(null)']) as call;
select tests.nobody();
create function tests.refused(person text) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next is(tests.outcome('select crm.create_api_key(''x'', ''{contacts.read}'')'), '42501 your role does not permit api_keys.create', person || ' makes no key');
    return next is(tests.outcome('select crm.list_api_keys()'), '42501 your role does not permit api_keys.read', 'sees none');
    return next is(tests.outcome('select crm.revoke_api_key(gen_random_uuid())'), '42501 your role does not permit api_keys.delete', 'and ends none');
end
$$;
select tests.refused(person) from unnest('{manager,sales,viewer}'::text[]) as person;

-- create_api_key --------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select crm.create_api_key(' Web shop ', '{contacts.read,accounts.*,contacts.read}', now() + interval '1 hour') as answer \gset
select is(
    :'answer'::jsonb - array['id', 'key', 'prefix', 'expires_at'], '{"name": "Web shop", "scopes": ["accounts.*", "contacts.read"]}', 'ann makes a key with scopes'
);
select matches(:'answer'::jsonb ->> 'key', '^crmo_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$', 'which has a secret of 256 bits');
select is(left(:'answer'::jsonb ->> 'key', 13), :'answer'::jsonb ->> 'prefix', 'after its prefix');
select is(tests.outcome(format('select crm.create_api_key(%L, %L, %L)', name, scopes, expires)), problem, sentence)
from (values
    (null, '{*.*}', null, '22023 name: is missing', 'a key has a name'),
    (' ', '{*.*}', null, '22023 name: must not be empty', 'that is something'),
    (repeat('x', 101), '{*.*}', null, '22023 name: too long: 101 characters, at most 100 are allowed', 'not too long'),
    (E'a\nb', '{*.*}', null, '22023 name: line breaks and control characters are not allowed', 'of one line'),
    ('x', null, null, '22023 scopes: is missing', 'scopes are given'),
    ('x', '{}', null, '22023 scopes: must be 1 to 100 permissions', 'one at least'),
    ('x', '{contacts.read,NULL}', null, '22023 scopes: must not contain null', 'none of them null'),
    ('x', '{contacts}', null, '22023 scopes: "contacts" is no permission like contacts.read or contacts.*', 'all of two words'),
    ('x', '{Contacts.read}', null, '22023 scopes: "Contacts.read" is no permission like contacts.read or contacts.*', 'in lower case'),
    ('x', (select array_agg('a' || n || '.read') from generate_series(1, 101) as n)::text, null, '22023 scopes: must be 1 to 100 permissions',
        'a hundred at most'),
    ('x', '{*.*}', (now() - interval '1 second')::text, '22023 expires_at: must lie in the future', 'its end lies ahead'),
    ('x', '{*.*}', 'infinity', '1 rows', 'or nowhere')
) as cases (name, scopes, expires, problem, sentence);
select tests.become('admin', 'Acme');
select is(tests.outcome('select crm.create_api_key(''x'', ''{*.*}'')'), '1 rows', 'an administrator makes keys, too');
select tests.nobody();
select is_empty(
    format('select from crm_private.api_keys as k where k::text like %L', '%' || right(:'answer'::jsonb ->> 'key', 43) || '%'), 'of a key only a hash is kept'
);

-- list_api_keys, revoke_api_key -------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select tests.make('all', '{*.*}');
select results_eq(
    'select name, prefix, scopes, created_by, expires_at is null, last_used_at from crm.list_api_keys() where name = ''all''',
    'select ''all'', left(key, 13), ''{*.*}''::text[], tests.user_id(''ann''), true, null::timestamptz from tests.keys',
    'ann sees what a key is called, may do and who made it'
);
select is((select array_agg(name order by name collate "C") from crm.list_api_keys()), '{"Web shop",all}', 'all those of Acme');
select tests.become('bob', 'Borg');
select is_empty('select crm.list_api_keys()', 'bob sees none of them');
select is(crm.revoke_api_key((select id from tests.keys)), '{"revoked": 0}', 'and ends none');
select is(crm.revoke_api_key(gen_random_uuid()), '{"revoked": 0}', 'with the same answer as where there is none');
select tests.make('bobs', '{*.*}');
select tests.become_role('crm_admin');
select is_empty('select crm.list_api_keys()', 'the DBA sees the platform''s alone');
select is(crm.revoke_api_key((select id from tests.keys where name = 'all')), '{"revoked": 0}', 'and ends those alone');
select tests.become_key('all');
select is((select count(*) from crm.list_api_keys()), 2::bigint, 'a key with the scope sees the keys');
select is((select last_used_at is not null from crm.list_api_keys() where name = 'all'), true, 'and when they were used');
select is(tests.outcome('select crm.create_api_key(''x'', ''{contacts.read}'')'), '42501 only for users who logged in here', 'but makes none');
select tests.become('admin', 'Acme');
select tests.make('short', '{contacts.read}');
select is(tests.outcome('select crm.revoke_api_key(null)'), '22023 api_key_id: is missing', 'a key to end is given');
select is(crm.revoke_api_key((select id from tests.keys where name = 'short')), '{"revoked": 1}', 'an administrator ends one');
select is(crm.revoke_api_key((select id from tests.keys where name = 'short')), '{"revoked": 0}', 'once');
select is((select count(*) from crm.list_api_keys() where name = 'short'), 0::bigint, 'it is listed no more');

-- authenticate_api_key ------------------------------------------------------------------------------------------------------------

select tests.nobody();
create function tests.try(key text) returns text language sql volatile as $$
    select tests.outcome(format('select crm.authenticate_api_key(%L)', key))
$$;
select tests.become_role('crm_app');
select key as all from tests.keys where name = 'all' \gset
select is(tests.try(key), said, sentence)
from (values
    (:'all', '1 rows', 'a key is good'), (' ' || :'all' || ' ', '1 rows', 'also between spaces'),
    (null, :refused, 'null is no key'), ('', :refused, 'an empty text is none'), (repeat('x', 1000000), :refused, 'nor is a megabyte'),
    (:'all' || 'A', :refused, 'nor one with a letter more'), (left(:'all', 14) || repeat('A', 43), :refused, 'nor its prefix with another secret'),
    (overlay(:'all' placing 'p' from 4), :refused, 'nor does it become the platform''s by its first letters'),
    ((select key from tests.keys where name = 'short'), :refused, 'a revoked one is refused'),
    (tests.token('ann', 'Acme'), :refused, 'a token is no key')
) as cases (key, said, sentence);
select is(
    crm.authenticate_api_key(:'all') - array['api_key_id'],
    jsonb_build_object('authenticated', true, 'user_id', null, 'org_id', tests.org_id('Acme'), 'role', null, 'session_id', null, 'actor_id', null,
        'scopes', '{*.*}'::text[], 'platform', false, 'platform_role', null), 'it tells what the key is'
);
select is(tests.outcome('select crm.me()'), '42501 an API key is nobody', 'which is nobody');
select tests.try('x');
select is(crm.whoami() ->> 'org_id', tests.org_id('Acme')::text, 'a refused key inside an exception block leaves what one was');
select tests.nobody();
create function tests.after(change text) returns text language plpgsql as $$
declare
    said text;
begin
    begin
        execute change;
        perform set_config('role', 'crm_app', true);
        said := tests.try((select key from tests.keys where name = 'all'));
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    return said;
end
$$;
select is(tests.after(change), said, sentence)
from (values
    ('select 1', '1 rows', 'the key is good'), ('update crm_private.api_keys set expires_at = now()', :refused, 'not when it has expired'),
    ('update crm_private.api_keys set revoked_at = now()', :refused, 'nor when it is revoked'),
    ('update crm.organizations set status = ''suspended''', 'PT403 this organization is suspended', 'nor when its organization is suspended'),
    ('update crm.organizations set status = ''cancelled''', 'PT403 this organization was cancelled', 'or cancelled'), ('delete from crm.organizations', :refused, 'or deleted'),
    ('update crm.users set status = ''disabled''', '1 rows', 'though who made it may be disabled'), ('delete from crm.users where full_name = ''Ann''', '1 rows', 'or deleted')
) as cases (change, said, sentence);

-- Scopes ------------------------------------------------------------------------------------------------------------------------------

create table tests.scopes (scope text, resource text, read boolean, "create" boolean, update boolean, delete boolean);
insert into tests.scopes
select scope, resource, scopes && array['*.*', '*.read', resource || '.*', resource || '.read'], scopes && array['*.*', '*.create', resource || '.*', resource || '.create'],
    scopes && array['*.*', '*.update', resource || '.*', resource || '.update'], scopes && array['*.*', '*.delete', resource || '.*', resource || '.delete']
from unnest('{contacts,accounts}'::text[]) as resource,
    unnest('{*.*,*.read,*.create,*.update,*.delete,contacts.*,contacts.read,contacts.create,contacts.update,contacts.delete,accounts.*,accounts.read,others.*,'
        '*.read contacts.update,contacts.read *.delete}'::text[]) as scope
cross join lateral string_to_array(scope, ' ') as scopes;
grant select on tests.scopes to public;
select tests.become('ann', 'Acme');
select tests.make('scope ' || scope, string_to_array(scope, ' ')) from (select distinct scope from tests.scopes) as s;
select tests.nobody();
create function tests.may(s tests.scopes) returns setof text language plpgsql as $$
declare
    required constant text := case s.resource when 'contacts' then 'last_name' else 'name' end;
    denied constant text := '42501 your key does not permit ' || s.resource || '.';
    -- What it may change but not see, it does not find.
    found constant text := case when s.read then '1 rows' else '0 rows' end;
begin
    perform tests.become_key('scope ' || s.scope);
    return next is(tests.outcome(format('select from crm.%I', s.resource)), found,
        format('a key for %s %s %s, those of its organization', s.scope, case when s.read then 'reads' else 'does not read' end, s.resource));
    return next is(tests.outcome(format('insert into crm.%I (%I) values (''new'')', s.resource, required)), case when s.create then '1 rows' else denied || 'create' end,
        format('%s them', case when s.create then 'creates' else 'does not create' end));
    return next is(tests.outcome(format('update crm.%I set %I = ''x''', s.resource, required)), case when s.update then found else denied || 'update' end,
        format('%s them', case when not s.update then 'does not update' when s.read then 'updates' else 'finds none to update of' end));
    return next is(tests.outcome(format('delete from crm.%I', s.resource)), case when s.delete then found else denied || 'delete' end,
        format('%s them', case when not s.delete then 'does not delete' when s.read then 'deletes' else 'finds none to delete of' end));
    return next ok(
        tests.outcome(format('insert into crm.%I (org_id, %I) values (%L, ''new'')', s.resource, required, tests.org_id('Borg'))) ~ '^42501 ',
        'and creates none in bob''s organization'
    );
end
$$;
select tests.may(s) from tests.scopes as s order by scope, resource;
select tests.become_key('all');
select is(
    tests.outcome('update crm.contacts set last_name = ''x'' where last_name = ''Contact of Borg'''), '0 rows',
    'a key for everything finds nothing of bob''s'
);
insert into crm.contacts (last_name) values ('By key');
select is(
    (select row(org_id, created_by, owner_id)::text from crm.contacts where last_name = 'By key'), format('(%s,,)', tests.org_id('Acme')),
    'what it makes is Acme''s and nobody''s'
);
select is((select count(*) from crm.memberships where org_id = tests.org_id('Borg')), 0::bigint, 'it sees no members of bob''s');
select is(crm.permitted_org_id('contacts.read'), tests.org_id('Acme'), 'it is permitted what its scope says');
select tests.become_key('scope contacts.read');
select is(crm.permitted_org_id('contacts.update'), null::uuid, 'and nothing beyond');
select is(crm.permitted_org_ids('contacts.update'), '{}'::uuid[], 'nowhere');
select tests.become_key('bobs');
select is((select array_agg(last_name) from crm.contacts), '{"Contact of Borg"}', 'bob''s key sees bob''s contacts');
select tests.become_key('bobs', 'crm_service');
select is(tests.outcome('select crm.list_users()'), '42501 only for the platform: needs users.read', 'and is not the platform''s, in whatever role');
select is(tests.outcome('select from crm.contacts'), '42501 permission denied for table contacts', 'crm_service reads no contacts');

-- Platform keys -------------------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_admin');
select crm.create_platform_key('Host') as answer \gset
select is(
    :'answer'::jsonb - array['id', 'key', 'prefix'], '{"name": "Host", "scopes": ["*.*"], "expires_at": null}',
    'the DBA makes a key for the platform, for everything'
);
select matches(:'answer'::jsonb ->> 'key', '^crmp_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$', 'that is told apart');
insert into tests.keys values ('host', :'answer'::jsonb ->> 'key', (:'answer'::jsonb ->> 'id')::uuid);
select is(tests.outcome('select crm.create_platform_key(' || arguments || ')'), problem, sentence)
from (values
    ('null', '22023 name: is missing', 'it has a name'), ('''x'', null', '22023 scopes: is missing', 'and scopes'),
    ('''x'', ''{}''', '22023 scopes: must be 1 to 100 permissions', 'one at least'),
    ('''x'', ''{*}''', '22023 scopes: "*" is no permission like contacts.read or contacts.*', 'of two words'),
    ('''x'', ''{*.*}'', now()', '22023 expires_at: must lie in the future', 'its end lies ahead')
) as cases (arguments, problem, sentence);
select results_eq('select name, created_by from crm.list_api_keys()', $$values ('Host', null::uuid)$$, 'the DBA sees it');
select tests.become('ann', 'Acme');
select is((select count(*) from crm.list_api_keys() where name = 'Host'), 0::bigint, 'ann does not');
select is(crm.revoke_api_key((select id from tests.keys where name = 'host')), '{"revoked": 0}', 'and cannot end it');
select tests.become_key('host', 'crm_service');
select is((crm.whoami() ->> 'platform')::boolean, true, 'it is the platform''s');
select is(crm.permitted_org_ids('contacts.read'), '{}'::uuid[], 'and is permitted nothing in any organization');
select tests.become_key('host', 'crm_app');
select is_empty('select from crm.contacts', 'it sees no contacts');
select is(tests.outcome('insert into crm.contacts (last_name) values (''x'')'), '42501 your key does not permit contacts.create', 'and makes none');
select is(tests.outcome('select crm.list_api_keys()'), '42501 your key does not permit api_keys.read', 'nor does it list keys');
select tests.become_role('crm_admin');
select is(crm.revoke_api_key((select id from tests.keys where name = 'host')), '{"revoked": 1}', 'the DBA ends it');
select tests.become_role('crm_service');
select is(tests.try((select key from tests.keys where name = 'host')), :refused, 'and it is refused');

select * from finish();
rollback;
