-- What the platform may do: its backend as crm_service or with a key, the DBA as crm_admin; and nobody else.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sales', 'Acme', 'sales');
select tests.register('sam', 'Sams');
select tests.register('sue', 'Sues');
select crm.grant_platform_role(tests.user_id('sam'), 'super_admin'), crm.grant_platform_role(tests.user_id('sue'), 'support');
create table tests.service_tokens as
select 'sam' as person, crm.issue_token(tests.user_id('sam'), tests.org_id('Sams')) ->> 'access_token' as token;
grant select, insert on tests.service_tokens to public;
select tests.become('sue', 'Sues');
insert into tests.service_tokens
select 'bob of sue', crm.impersonate(tests.user_id('bob'), 'help', 'borg') ->> 'access_token';
select tests.nobody();
create table tests.keys (name text primary key, key text not null);
grant select on tests.keys to public;
create function tests.try(call text) returns text language sql volatile as $$
    select tests.outcome('select ' || call)
$$;
create function tests.become_key(key_name text) returns void language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', 'crm_service', true);
    perform crm.authenticate_api_key((select key from tests.keys where name = key_name));
    if current_user <> 'crm_service' or not (crm.whoami() ->> 'platform')::boolean then
        raise exception '% did not become the key %', current_user, key_name;
    end if;
end
$$;

-- Every function, with the permission it needs --------------------------------------------------------------------------------

create table tests.functions (call text, permission text);
insert into tests.functions values
    ('crm.create_organization(''New'')', 'organizations.create'), ('count(*) from crm.list_organizations()', 'organizations.read'),
    ('crm.suspend_organization(tests.org_id(''Acme''), ''unpaid'')', 'organizations.update'),
    ('crm.resume_organization(tests.org_id(''Acme''))', 'organizations.update'),
    ('crm.cancel_organization(tests.org_id(''Acme''), ''gone'')', 'organizations.update'),
    ('crm.delete_organization(tests.org_id(''Acme''))', 'organizations.delete'), ('crm.create_user(''new@example.com'')', 'users.create'),
    ('crm.list_users(tests.org_id(''Borg''))', 'users.read'), ('crm.suspend_user(tests.user_id(''ann''))', 'users.update'),
    ('crm.resume_user(tests.user_id(''ann''))', 'users.update'), ('crm.delete_user(tests.user_id(''sales''))', 'users.delete'),
    ('crm.issue_token(tests.user_id(''ann''))', 'tokens.create'), ('crm.link_identity(tests.user_id(''ann''), ''google'', ''1'')', 'users.update'),
    ('crm.rotate_signing_key(''EdDSA'')', 'keys.update');
grant select on tests.functions to public;
insert into tests.keys
select format('with %s', scope), crm.create_platform_key(scope, array[scope]) ->> 'key'
from (select permission from tests.functions union values ('*.*'), ('organizations.*'), ('users.*'), ('*.read'), ('*.update')) as s (scope);
insert into tests.keys
select 'without ' || permission, crm.create_platform_key('x', (select array_agg(distinct f.permission) from tests.functions as f where f.permission <> s.permission)) ->> 'key'
from (select distinct permission from tests.functions) as s;
select tests.become('ann', 'Acme');
select crm.create_api_key('All', '{*.*}') ->> 'key' as all_of_acme, tests.token('ann', 'Acme') as ann \gset
select tests.nobody();

create function tests.may(call text, permission text) returns setof text language plpgsql as $$
declare
    role text;
    refused constant text := '42501 only for the platform: needs ' || permission;
begin
    foreach role in array '{crm_service,crm_admin}'::text[] loop
        perform tests.become_role(role);
        return next is(tests.try(call), '1 rows', format('%s may call %s', role, call));
    end loop;
    perform tests.become_key('with ' || permission);
    return next is(tests.try(call), '1 rows', format('so may a key with %s', permission));
    perform tests.become_key('without ' || permission);
    return next is(tests.try(call), refused, 'not one with everything else');
    foreach role in array '{crm_app,crm_multi}'::text[] loop
        perform tests.become_role(role);
        return next is(tests.try(call), refused, format('nor %s without an identity', role));
    end loop;
    foreach role in array '{crm_anon,crm_worker,crm_backup}'::text[] loop
        perform tests.become_role(role);
        return next is(tests.try(call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
    end loop;
    perform tests.become('ann', 'Acme');
    return next is(tests.try(call), refused, 'nor may ann, an owner');
    perform tests.become('sam', 'Sams');
    return next is(tests.try(call), '1 rows', 'sam, a super admin, may');
    perform tests.become('sue', 'Sues');
    return next is(
        tests.try(call), case when permission in ('organizations.read', 'users.read') then '1 rows' else refused end,
        'sue, who is support, only looks'
    );
    perform tests.nobody();
    perform set_config('role', 'crm_app', true);
    perform crm.authenticate((select token from tests.service_tokens where person = 'sam'));
    return next is(tests.try(call), refused, 'with a token that was issued for sam, nobody may');
    perform crm.authenticate((select token from tests.service_tokens where person = 'bob of sue'));
    return next is(tests.try(call), refused, 'nor may sue, acting as bob');
end
$$;
select tests.may(call, permission) from tests.functions;
select tests.nobody();
create function tests.with_key(key_name text, call text, said text) returns text language plpgsql as $$
begin
    perform tests.become_key(key_name);
    return is(tests.try(call), said, format('a key %s calls %s', key_name, call));
end
$$;
select tests.with_key('with *.*', call, '1 rows') from tests.functions;
select tests.with_key(name, call, case
    when (name, permission) in (('with organizations.*', 'organizations.create'), ('with organizations.*', 'organizations.read'), ('with organizations.*', 'organizations.update'),
        ('with organizations.*', 'organizations.delete'), ('with users.*', 'users.create'), ('with users.*', 'users.read'), ('with users.*', 'users.update'),
        ('with users.*', 'users.delete'), ('with *.read', 'organizations.read'), ('with *.read', 'users.read'), ('with *.update', 'organizations.update'),
        ('with *.update', 'users.update'), ('with *.update', 'keys.update')) then '1 rows'
    else '42501 only for the platform: needs ' || permission
end)
from tests.functions, unnest('{with organizations.*,with users.*,with *.read,with *.update}'::text[]) as name;

-- The role alone is not enough: whoever logs in as PostgREST's role can become crm_service, and is not the platform.
select tests.nobody();
create function tests.in_service(call text, permission text) returns setof text language plpgsql as $$
begin
    perform tests.nobody();
    set local session authorization crm_authenticator;
    perform set_config('role', 'crm_service', true);
    return next is(current_user || ' of ' || session_user || ': ' || tests.try(call), 'crm_service of crm_authenticator: 42501 only for the platform: needs ' || permission,
        'PostgREST''s login role, having become crm_service, cannot call ' || call);
    perform crm.authenticate_api_key((select key from tests.keys where name = 'with ' || permission));
    return next is(tests.try(call), '1 rows', 'until it shows a key');
    reset session authorization;
end
$$;
select tests.in_service(call, permission) from tests.functions;
select tests.nobody();
create function tests.as_other(call text, permission text, token text, key text) returns setof text language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', 'crm_app', true);
    perform crm.authenticate(token);
    perform set_config('role', 'crm_service', true);
    return next is(tests.try(call), '42501 only for the platform: needs ' || permission, 'with ann''s identity, crm_service cannot call ' || call);
    perform crm.authenticate_api_key(key);
    return next is(tests.try(call), '42501 only for the platform: needs ' || permission, 'nor with a key of Acme''s');
end
$$;
select tests.nobody();
select tests.as_other(call, permission, :'ann', :'all_of_acme') from tests.functions;

-- Organizations -----------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select crm.create_organization(' New, Inc. ') as answer \gset
select is(
    :'answer'::jsonb - 'id', '{"slug": "new-inc", "name": "New, Inc.", "status": "active", "status_reason": null, "owner": null}',
    'an organization is made'
);
select crm.create_organization('Newer', 'newer', ' BOB@example.com ') as answer \gset
select is(:'answer'::jsonb -> 'owner', jsonb_build_object('id', tests.user_id('bob'), 'email', 'bob@example.com'), 'bob owns one');
select crm.create_organization('Newest', null, 'carl@example.com', 'Carl') as answer \gset
select tests.nobody();
select is(
    (select row(m.role, u.full_name, p.user_id)::text from crm.memberships as m join crm.users as u on u.id = m.user_id left join crm_private.passwords as p on p.user_id = u.id
        where m.org_id = (:'answer'::jsonb ->> 'id')::uuid), '(owner,Carl,)', 'carl is made for another, without a password'
);
select is(
    (select count(*) from crm_private.messages where recipient = 'carl@example.com' and kind = 'password_reset' and secret is not null), 1::bigint,
    'and gets a message'
);
select tests.become_role('crm_service');
select is(tests.try(format('crm.create_organization(%L, %L, %L, %L)', name, slug, owner, owner_name)), problem, sentence)
from (values
    (null, null, null, null, '22023 name: is missing', 'an organization has a name'),
    (' ', null, null, null, '22023 organization_name: must not be empty', 'that is something'),
    (repeat('x', 201), 'x', null, null, '22023 name: too long: 201 characters, at most 200 are allowed', 'not too long'),
    ('x', 'acme', null, null, '23505 this slug is taken', 'its slug is its own'),
    ('x', 'A b', null, null, '22023 slug: must be lower case letters and digits, in words joined by hyphens', 'and well formed'),
    ('x', '', null, null, '22023 slug: must be lower case letters and digits, in words joined by hyphens', 'not empty'),
    ('x', repeat('x', 64), null, null, '22023 slug: must be lower case letters and digits, in words joined by hyphens', 'not too long'),
    ('x', '00000000-0000-0000-0000-000000000001', null, null, '22023 slug: must be lower case letters and digits, in words joined by hyphens',
        'and no id'),
    ('x', null, 'x', null, '22023 owner_email: not a valid e-mail address', 'the owner''s address is one'),
    ('x', null, 'x@example.com', repeat('x', 201), '22023 full_name: too long: 201 characters, at most 200 are allowed', 'and the name not too long')
) as cases (name, slug, owner, owner_name, problem, sentence);
select results_eq(
    'select name, status, members from crm.list_organizations() where slug in (''acme'', ''borg'')', $$values ('Acme', 'active', 2::bigint), ('Borg', 'active', 1)$$,
    'all are listed'
);
select is(
    crm.suspend_organization(tests.org_id('Acme'), ' unpaid ') - 'id', '{"slug": "acme", "name": "Acme", "status": "suspended", "status_reason": "unpaid"}', 'Acme is suspended'
);
select is(
    (select row(status, status_reason, status_changed_at = now())::text from crm.list_organizations() where slug = 'acme'), '(suspended,unpaid,t)',
    'and listed so'
);
select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since \gset
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate(%L)', :'ann')), 'PT403 this organization is suspended / Since ' || :'since' || '. Reason: unpaid', 'ann''s token is refused, with the reason');
select is(tests.try(format('crm.authenticate_api_key(%L)', :'all_of_acme')), 'PT403 this organization is suspended / Since ' || :'since' || '. Reason: unpaid', 'and Acme''s key');
select tests.become_role('crm_service');
select is(
    crm.resume_organization(tests.org_id('Acme')) - 'id', '{"slug": "acme", "name": "Acme", "status": "active", "status_reason": null}',
    'Acme goes on'
);
select tests.become('ann', 'Acme');
select tests.nobody();
update crm.organizations set status = 'cancelled' where slug = 'new-inc';
select id as cancelled from crm.organizations where slug = 'new-inc' \gset
select tests.become_role('crm_service');
select is(tests.try(call), problem, sentence)
from (values
    ('crm.suspend_organization(null, ''x'')', '22023 org_id: is missing', 'which one is said'),
    ('crm.suspend_organization(tests.org_id(''Acme''), null)', '22023 reason: is missing', 'and why'),
    ('crm.suspend_organization(tests.org_id(''Acme''), '' '')', '22023 reason: must not be empty', 'in words'),
    ('crm.suspend_organization(tests.org_id(''Acme''), repeat(''x'', 501))', '22023 reason: too long: 501 characters, at most 500 are allowed',
        'not too many'),
    ('crm.suspend_organization(gen_random_uuid(), ''x'')', '22023 org_id: there is no such organization', 'an unknown one is not suspended'),
    ('crm.resume_organization(gen_random_uuid())', '22023 org_id: there is no such organization', 'nor resumed'),
    ('crm.resume_organization(null)', '22023 org_id: is missing', 'nor none'),
    (format('crm.suspend_organization(%L, ''x'')', :'cancelled'), '22023 org_id: this organization was cancelled, and stays so',
        'a cancelled one stays cancelled'),
    (format('crm.resume_organization(%L)', :'cancelled'), '22023 org_id: this organization was cancelled, and stays so', 'whatever one does'),
    ('crm.delete_organization(null)', '22023 org_id: is missing', 'none is deleted'),
    ('crm.list_users(gen_random_uuid())', '0 rows', 'an unknown one has no users')
) as cases (call, problem, sentence);
select is(crm.delete_organization(:'cancelled') - 'rows', '{"deleted": 1, "done": true}', 'one is deleted, with its roles and what else it began with');
select is(crm.delete_organization(:'cancelled'), '{"deleted": 0, "rows": 0, "done": true}', 'once');

-- Users -----------------------------------------------------------------------------------------------------------------------------

select is(
    crm.create_user(' Dan@Example.com ', ' Dan ', 'a fine password', null, tests.org_id('Acme'), 'manager', true) - 'id',
    '{"email": "dan@example.com", "full_name": "Dan", "status": "active"}', 'a user is made'
);
select is(crm.login('dan@example.com', 'a fine password') #>> '{organization,role}', 'manager', 'who logs in to the organization that was named');
select is(
    (select array_agg(email order by email) from crm.list_users(tests.org_id('Acme'))), '{ann@example.com,dan@example.com,sales@example.com}',
    'its members are listed'
);
select ok((select count(*) > 4 from crm.list_users()), 'or everybody');
select is(
    (select array_agg(email order by email) from crm.list_users() where email_verified_at is not null), '{dan@example.com}',
    'dan''s address is taken as proven, as was said'
);
select is(tests.try('crm.create_user(' || arguments || ')'), problem, sentence)
from (values
    ('null', '22023 email: is missing', 'a user has an address'), ('''x''', '22023 email: not a valid e-mail address', 'that is one'),
    ('''ANN@example.com''', '23505 this e-mail cannot be registered', 'and nobody else''s'),
    ('''x@example.com'', password => ''short''', '22023 password: too short: at least 8 characters are needed', 'a password is long enough'),
    ('''x@example.com'', password_hash => ''x''', '22023 password_hash: neither bcrypt ($2a$, $2b$, $2y$) nor argon2id in PHC format',
        'a hash is of bcrypt or Argon2id'),
    ('''x@example.com'', password_hash => ''$2a$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW''', '22023 password_hash: bcrypt cost: 15, 4 to 14 are allowed',
        'not too dear'),
    ('''x@example.com'', org_id => tests.org_id(''Acme'')', '22023 role: org_id and role go together', 'an organization comes with a role'),
    ('''x@example.com'', role => ''sales''', '22023 role: org_id and role go together', 'and a role with an organization'),
    ('''x@example.com'', org_id => tests.org_id(''Acme''), role => ''root''', '22023 role: this organization has no such role', 'that there is'),
    ('''x@example.com'', org_id => gen_random_uuid(), role => ''sales''', '22023 org_id: there is no such organization', 'as is the organization'),
    ('''x@example.com'', email_verified => null', '1 rows', 'null is not verified')
) as cases (arguments, problem, sentence);
select isnt(tests.try('crm.create_user(''x@example.com'', password => ''a fine password'', password_hash => ''$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'')'),
    '1 rows', 'not both a password and a hash are taken');
select tests.nobody();
select is((select count(*) from crm.users where email = 'x@example.com'), 0::bigint, 'what is refused leaves nobody');
select tests.become_role('crm_service');
select is(
    crm.suspend_user(tests.user_id('bob')) - 'id', '{"email": "bob@example.com", "full_name": "Bob", "status": "disabled"}',
    'bob is suspended'
);
select is(crm.login('bob@example.com', 'password of bob') ->> 'code', '28P01', 'and does not log in');
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate(%L)', tests.token('bob', 'Borg'))), 'PT401 the access token is not valid', 'his token is refused');
select tests.become_role('crm_service');
select is(crm.resume_user(tests.user_id('bob')) ->> 'status', 'active', 'bob goes on');
select is(crm.login('bob@example.com', 'password of bob') ? 'access_token', true, 'and logs in');
select tests.become_role('crm_app');
select is(
    tests.try(format('crm.authenticate(%L)', tests.token('bob', 'Borg'))), 'PT401 the access token is not valid',
    'though his sessions before stay ended'
);
select tests.become_role('crm_service');
select is(tests.try(format('crm.%s(%s)', call, argument)), problem, format('%s refuses %s', call, argument))
from (values ('null', '22023 user_id: is missing'), ('gen_random_uuid()', '22023 user_id: there is no such user')) as cases (argument, problem),
    unnest('{suspend_user,resume_user}'::text[]) as call;
select is(tests.try('crm.delete_user(null)'), '22023 user_id: is missing', 'nobody is deleted');
select is(crm.delete_user(gen_random_uuid()), '{"deleted": 0}', 'nor somebody unknown');
select is(
    tests.try('crm.delete_user(tests.user_id(''ann''))'), '23503 this user is the only owner of the organization acme',
    'nor the only owner of an organization'
);
select tests.nobody();
select crm.link_identity(tests.user_id('sales'), 'google', 'sales at google');
select crm.grant_platform_role(tests.user_id('sales'), 'support');
select tests.token('sales', 'Acme') as token \gset
select tests.become_role('crm_service');
select is(crm.delete_user(tests.user_id('sales')), '{"deleted": 1}', 'the seller is');
select is(crm.delete_user(tests.user_id('sales')), '{"deleted": 0}', 'once');
select is(tests.try('crm.resume_user(tests.user_id(''sales''))'), '22023 user_id: there is no such user', 'and does not come back');
select tests.nobody();
select is(
    (select row(email, full_name, status)::text from crm.users where id = tests.user_id('sales')), format('(deleted-%s@deleted.invalid,,deleted)', tests.user_id('sales')),
    'name and address are gone'
);
select is(
    (select count(*) from crm_private.user_identities where user_id = tests.user_id('sales')) + (select count(*) from crm_private.platform_members where user_id = tests.user_id('sales'))
        + (select count(*) from crm.memberships where user_id = tests.user_id('sales') and status = 'active')
        + (select count(*) from crm_private.sessions where user_id = tests.user_id('sales') and ended_at is null), 0::bigint, 'with identities, roles, memberships and sessions'
);
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate(%L)', :'token')), 'PT401 the access token is not valid', 'the seller''s token is refused');

select * from finish();
rollback;
