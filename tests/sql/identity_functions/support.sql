-- The platform's own people, and their acting as a user who asked for help.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'sales');
select tests.register('sue', 'Support');
select tests.register('tom', 'Tours');
create function tests.claims(token text) returns jsonb language sql immutable as $$
    select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8')::jsonb
    from split_part(token, '.', 2) as part
$$;
create function tests.try(call text) returns text language sql volatile as $$
    select tests.outcome('select ' || call)
$$;
\set refused '''PT401 the access token is not valid'''

-- Platform roles ----------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.try(call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, call)
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.grant_platform_role(gen_random_uuid(), ''support'')', 'crm.revoke_platform_role(gen_random_uuid())']) as call;
select tests.denied(role, 'crm.impersonate(gen_random_uuid(), ''x'')') from unnest('{crm_anon,crm_service,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role;

select tests.become_role('crm_admin');
select is(tests.try('crm.grant_platform_role(' || arguments || ')'), problem, sentence)
from (values
    ('null, ''support''', '22023 user_id: is missing', 'the DBA says who'), ('tests.user_id(''sue''), null', '22023 role: is missing', 'and as what'),
    ('tests.user_id(''sue''), ''root''', '22023 role: must be super_admin or support', 'that there is'),
    ('gen_random_uuid(), ''support''', '22023 user_id: there is no such active user', 'somebody who is there')
) as cases (arguments, problem, sentence);
select is(crm.grant_platform_role(tests.user_id('sue'), 'support'), true, 'the DBA makes sue support');
select is(crm.grant_platform_role(tests.user_id('sue'), 'super_admin'), true, 'then something else');
select is(crm.grant_platform_role(tests.user_id('tom'), 'support'), true, 'and tom support');
select tests.nobody();
select bag_eq(
    'select user_id, role from crm_private.platform_members',
    $$values (tests.user_id('sue'), 'super_admin'), (tests.user_id('tom'), 'support')$$, 'these are the platform''s people'
);
update crm.users set status = 'disabled' where id = tests.user_id('bob');
select tests.become_role('crm_admin');
select is(
    tests.try('crm.grant_platform_role(tests.user_id(''bob''), ''support'')'), '22023 user_id: there is no such active user',
    'a disabled user is made none'
);
select tests.nobody();
update crm.users set status = 'active';
select tests.become('sue', 'Support');
select set_config('role', 'crm_admin', true);
select is(
    tests.try('crm.grant_platform_role(tests.user_id(''bob''), ''support'')'), '42501 only for the DBA (crm_admin)',
    'with sue''s identity, nobody is made one'
);
select is(tests.try('crm.revoke_platform_role(tests.user_id(''tom''))'), '42501 only for the DBA (crm_admin)', 'nor is a role taken');
select is(tests.try('crm.create_platform_key(''x'')'), '42501 only for the DBA (crm_admin)', 'nor is a platform key made');

-- impersonate -----------------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_app');
select is(tests.try('crm.impersonate(tests.user_id(''ann''), ''x'')'), '42501 nobody is logged in', 'nobody acts as ann');
select tests.become('bob', 'Acme');
select is(tests.try(format('crm.impersonate(%s, ''x'')', target)), '42501 only the platform''s support can act as a user', 'bob does not act as ' || target)
from unnest('{"tests.user_id(''ann'')",gen_random_uuid(),"null"}'::text[]) as target;
select tests.become('sue', 'Support');
select is(tests.try('crm.impersonate(' || arguments || ')'), problem, sentence)
from (values
    ('null, ''x''', '22023 user_id: is missing', 'sue says as whom'), ('tests.user_id(''ann''), null', '22023 reason: is missing', 'and why'),
    ('tests.user_id(''ann''), '' ''', '22023 reason: must not be empty', 'in words'),
    ('tests.user_id(''ann''), repeat(''x'', 501)', '22023 reason: too long: 501 characters, at most 500 are allowed', 'not too many'),
    ('tests.user_id(''ann''), ''x'', null, 0', '22023 minutes: must be between 1 and 15', 'for a minute at least'),
    ('tests.user_id(''ann''), ''x'', null, -1', '22023 minutes: must be between 1 and 15', 'not less'),
    ('tests.user_id(''ann''), ''x'', null, 16', '22023 minutes: must be between 1 and 15', 'a quarter of an hour at most'),
    ('tests.user_id(''ann''), ''x'', null, 2147483647', '22023 minutes: must be between 1 and 15', 'not for ever'),
    ('tests.user_id(''ann''), ''x'', null, 15', '1 rows', 'but so long'),
    ('gen_random_uuid(), ''x''', '22023 user_id: there is no such active user', 'as somebody who is there'),
    ('tests.user_id(''ann''), ''x'', ''borg''', '42501 the user has no access to this organization', 'where they are'),
    ('tests.user_id(''ann''), ''x'', ''nowhere''', '42501 the user has no access to this organization', 'and nowhere else'),
    ('tests.user_id(''tom''), ''x''', '42501 the platform''s own people cannot be impersonated', 'not as tom'),
    ('tests.user_id(''sue''), ''x''', '42501 the platform''s own people cannot be impersonated', 'nor herself')
) as cases (arguments, problem, sentence);
select crm.impersonate(tests.user_id('ann'), ' ticket 7 ', 'acme', 5) as answer \gset
select is(
    :'answer'::jsonb - array['access_token', 'user', 'organizations', 'organization'], '{"token_type": "Bearer", "expires_in": 300}', 'sue gets a token for five minutes, and none to refresh it'
);
select is(:'answer'::jsonb #>> '{user,email}', 'ann@example.com', 'that is ann''s');
select :'answer'::jsonb ->> 'access_token' as acting \gset
select is(
    tests.claims(:'acting') -> 'act', jsonb_build_object('sub', tests.user_id('sue')), 'and says who acts'
);
select is(
    tests.claims(crm.impersonate(tests.user_id('bob'), 'x') ->> 'access_token') ->> 'role', 'crm_multi',
    'as bob, who is in two organizations, sue looks across them'
);
select is((crm.impersonate(tests.user_id('ann'), 'x') ->> 'expires_in')::int, 900, 'without minutes it is a quarter of an hour');

select tests.nobody();
create function tests.act(token text) returns void language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', 'crm_app', true);
    perform crm.authenticate(token);
    if current_user <> 'crm_app' or crm.whoami() ->> 'actor_id' is null then
        raise exception 'nobody acts';
    end if;
end
$$;
insert into crm.contacts (org_id, last_name) select org_id, 'Contact of ' || name from tests.organizations;
select tests.act(:'acting');
select is(crm.whoami() ->> 'actor_id', tests.user_id('sue')::text, 'acting as ann, sue is named');
select is((select array_agg(last_name) from crm.contacts), '{"Contact of Acme"}', 'and sees what ann sees');
select is(tests.try(call), '42501 not while acting as somebody else', 'but cannot call ' || call)
from unnest(array['crm.impersonate(tests.user_id(''bob''), ''x'')', 'crm.change_password(''password of ann'', ''a fine password'')', 'crm.switch_org()', 'crm.logout(true)',
    'crm.end_session(gen_random_uuid())', 'crm.create_api_key(''x'', ''{*.*}'')', 'crm.invite_user(''x@example.com'', ''sales'')', 'crm.request_email_verification()']) as call;
select tests.become('ann', 'Acme');
select results_eq(
    'select kind, reason, current from crm.my_sessions() where kind = ''impersonation'' and reason = ''ticket 7''', $$values ('impersonation', 'ticket 7', false)$$,
    'ann sees that somebody acts as her, and why'
);
select is(
    (select sum((crm.end_session(id) ->> 'ended_sessions')::int) from crm.my_sessions() where kind = 'impersonation'), 2::bigint,
    'and ends it'
);
select is(tests.try(format('crm.authenticate(%L)', :'acting')), :refused, 'at once');

-- What ends it
select tests.nobody();
create function tests.after(change text) returns text language plpgsql as $$
declare
    token text;
    said text;
begin
    perform tests.become('sue', 'Support');
    token := crm.impersonate(tests.user_id('ann'), 'x') ->> 'access_token';
    perform tests.nobody();
    begin
        execute change;
        perform set_config('role', 'crm_app', true);
        said := tests.try(format('crm.authenticate(%L)', token));
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    return said;
end
$$;
select is(tests.after(change), said, sentence)
from (values
    ('select 1', '1 rows', 'sue acts as ann'),
    ('select crm.revoke_platform_role(tests.user_id(''sue''))', :refused, 'not when her platform role ends'),
    ('select crm.suspend_user(tests.user_id(''sue''))', :refused, 'nor when she is suspended'),
    ('select crm.suspend_user(tests.user_id(''ann''))', :refused, 'nor when ann is'),
    ('update crm_private.sessions set expires_at = now()', :refused, 'nor when the time is over'),
    ('delete from crm_private.platform_members', :refused, 'nor when she is deleted from the platform''s people'),
    ('select crm.grant_platform_role(tests.user_id(''sue''), ''support'')', '1 rows', 'though she may have another role there')
) as cases (change, said, sentence);
select tests.become('sue', 'Support');
select crm.impersonate(tests.user_id('ann'), 'x') ->> 'access_token' as acting \gset
select tests.act(:'acting');
select is(crm.logout(), '{"ended_sessions": 1}', 'sue ends it herself');
select tests.become('sue', 'Support');
select crm.impersonate(tests.user_id('ann'), 'x') ->> 'access_token' as acting \gset
select tests.become_role('crm_admin');
select is(crm.revoke_platform_role(tests.user_id('sue')), true, 'the DBA ends sue''s role');
select is(crm.revoke_platform_role(tests.user_id('sue')), false, 'once');
select is(tests.try('crm.revoke_platform_role(null)'), '22023 user_id: is missing', 'and nobody''s');
select is(crm.grant_platform_role(tests.user_id('sue'), 'support'), true, 'and gives it back');
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate(%L)', :'acting')), :refused, 'which does not bring the impersonation back');
select tests.become('sue', 'Support');
select crm.create_api_key('Key', '{*.*}') ->> 'key' as key \gset
select crm.authenticate_api_key(:'key');
select is(tests.try('crm.impersonate(tests.user_id(''ann''), ''x'')'), '42501 only for users who logged in here', 'a key of sue''s acts as nobody');
select tests.nobody();
update crm_private.settings set impersonation_ttl = '2 minutes';
select tests.become('sue', 'Support');
select is(
    tests.try('crm.impersonate(tests.user_id(''ann''), ''x'', null, 3)'), '22023 minutes: must be between 1 and 2',
    'the settings say how long at most'
);

select * from finish();
rollback;
