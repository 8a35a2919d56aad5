-- Sessions: refreshing, switching between organizations, listing and ending them.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'sales');
create table tests.answers (name text, answer jsonb);
grant select, insert on tests.answers to public;
create function tests.claims(token text) returns jsonb language sql immutable as $$
    select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8')::jsonb
    from split_part(token, '.', 2) as part
$$;
create function tests.login(person text, organization text default null) returns jsonb language sql volatile as $$
    select crm.login(person || '@example.com', 'password of ' || person, organization)
$$;
create function tests.refused(token text) returns text language sql volatile as $$
    select tests.outcome(format('select crm.authenticate(%L)', token))
$$;
create function tests.refresh(token text, organization text default null) returns jsonb language sql volatile as $$
    select crm.refresh_token(token, organization)
$$;
\set invalid '{"code": "28000", "message": "the refresh token is not valid", "details": null, "hint": null}'
\set elsewhere '{"code": "42501", "message": "no access to this organization", "details": null, "hint": null}'
\set token '''PT401 the access token is not valid'''

-- Who may not -------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns setof text language plpgsql as $$
begin
    perform tests.become_role(role);
    return next is(
        tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from 'crm\.(\w+)'), format('%s may not call %s', role, call)
    );
end
$$;
select tests.denied(role, 'crm.refresh_token(''x'')') from unnest('{crm_worker,crm_admin,crm_owner,crm_backup,crm_authenticator}'::text[]) as role
where has_schema_privilege(role, 'crm', 'usage');
select tests.denied(role, call)
from unnest('{crm_anon,crm_service,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.switch_org()', 'crm.logout()', 'crm.end_session(null)', 'crm.my_sessions()']) as call;
select tests.become_role('crm_app');
select is(tests.outcome('select ' || call), '42501 nobody is logged in', 'nobody may not call ' || call)
from unnest(array['crm.switch_org()', 'crm.logout()', 'crm.logout(true)', 'crm.end_session(null)', 'crm.my_sessions()']) as call;

-- refresh_token -----------------------------------------------------------------------------------------------------------

select tests.nobody();
select a as first, a ->> 'refresh_token' as first_refresh, a ->> 'access_token' as first_access from tests.login('ann', 'acme') as a \gset
select tests.become_role('crm_anon');
select tests.refresh(:'first_refresh') as second \gset
select is((crm.whoami() ->> 'authenticated')::boolean, false, 'refreshing does not make the transaction ann''s');
select is(
    :'second'::jsonb - array['access_token', 'refresh_token'], '{"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 604800}',
    'ann gets a token for 15 minutes and the next refresh token for 7 days'
);
select is(
    tests.claims(:'second'::jsonb ->> 'access_token') - array['iat', 'nbf', 'exp', 'jti'],
    tests.claims(:'first_access') - array['iat', 'nbf', 'exp', 'jti'], 'of the same session, in the same organization'
);
select isnt(:'second'::jsonb ->> 'refresh_token', :'first_refresh', 'the refresh token is another one');
select is(current_setting('response.headers')::jsonb, '[{"Cache-Control": "no-store"}]', 'nobody on the way may keep it');
select is(
    tests.refresh(:'first_refresh') ->> 'refresh_token', :'second'::jsonb ->> 'refresh_token', 'a second use within the grace gets the same successor'
);
select is(
    tests.refresh(:'second'::jsonb ->> 'refresh_token') ? 'access_token', true, 'which can be used'
);
select is(tests.refresh(:'first_refresh'), :'invalid'::jsonb, 'after its turn, the one before is refused even within the grace');
select is(current_setting('response.status'), '401', 'PostgREST is told to answer 401');
select tests.nobody();
select is(end_reason, 'refresh_token_reused', 'and the session has ended')
from crm_private.sessions where id = (tests.claims(:'first_access') ->> 'sid')::uuid;
select tests.become_role('crm_app');
select is(tests.refused(:'first_access'), :token, 'for its access tokens as well');
select is(tests.refresh(:'second'::jsonb ->> 'refresh_token'), :'invalid'::jsonb, 'and for the thief''s refresh token');

select tests.nobody();
select a ->> 'refresh_token' as refresh, tests.claims(a ->> 'access_token') ->> 'sid' as sid from tests.login('ann', 'acme') as a \gset
select tests.become_role('crm_service');
select is(tests.refresh(:'refresh') ? 'access_token', true, 'the platform''s backend refreshes for ann, too');
select tests.nobody();
update crm_private.refresh_tokens set used_at = used_at - interval '11 seconds' where session_id = :'sid';
select tests.become_role('crm_multi');
select is(tests.refresh(:'refresh'), :'invalid'::jsonb, 'a second use after the grace is refused');
select tests.nobody();
select is(end_reason, 'refresh_token_reused', 'and ends the session') from crm_private.sessions where id = :'sid';

select tests.become_role('crm_anon');
select is(tests.outcome('select crm.refresh_token(null)'), '22023 refresh_token: is missing', 'a refresh token that is not given is named');
select is(tests.refresh(token), :'invalid'::jsonb, sentence)
from (values
    ('', 'an empty one is not valid'), ('x', 'nor a letter'), (repeat('x', 1000000), 'nor a megabyte'),
    (tests.token('ann', 'Acme'), 'nor an access token'), (:'refresh' || ' ', 'nor one with a space')
) as bad (token, sentence);

select tests.nobody();
create function tests.after(change text, undo text) returns text language plpgsql as $$
declare
    token text := tests.login('ann', 'acme') ->> 'refresh_token';
    sid constant uuid := (select id from crm_private.sessions order by id desc limit 1);
    said text;
begin
    execute replace(change, '$sid', quote_literal(sid));
    perform tests.become_role('crm_anon');
    said := tests.refresh(token) ->> 'message';
    perform tests.nobody();
    execute replace(undo, '$sid', quote_literal(sid));
    return coalesce(said, 'accepted');
end
$$;
select is(tests.after(change, undo), said, sentence)
from (values
    ('select 1', 'select 1', 'accepted', 'a fresh refresh token is good'),
    ('update crm_private.sessions set ended_at = now() where id = $sid', 'select 1', 'the refresh token is not valid',
        'not of a session that has ended'),
    ('update crm_private.sessions set expires_at = now() where id = $sid', 'select 1', 'the refresh token is not valid',
        'nor of one that has expired'),
    ('update crm_private.sessions set created_at = now() - interval ''31 days'' where id = $sid', 'select 1', 'the refresh token is not valid',
        'nor of one that began 31 days ago, however often it was refreshed'),
    ('update crm.users set status = ''disabled''', 'update crm.users set status = ''active''', 'the refresh token is not valid',
        'nor of a disabled user'),
    ('update crm.organizations set status = ''suspended'' where slug = ''acme''', 'update crm.organizations set status = ''active''', 'accepted',
        'whose organization is suspended goes on in another')
) as cases (change, undo, said, sentence);

select a ->> 'refresh_token' as refresh, tests.claims(a ->> 'access_token') ->> 'sid' as sid from tests.login('ann', 'acme') as a \gset
update crm_private.sessions set created_at = created_at - interval '29 days 23 hours 59 minutes' where id = :'sid';
select tests.become_role('crm_anon');
select tests.refresh(:'refresh') as answer \gset
select cmp_ok((:'answer'::jsonb ->> 'expires_in')::int, '<=', 60, 'shortly before the session''s end a token lives until then');
select cmp_ok((:'answer'::jsonb ->> 'refresh_expires_in')::int, '<=', 60, 'and so does the refresh token');

-- In which organization
select tests.nobody();
select tests.login('ann', 'acme') ->> 'refresh_token' as refresh \gset
select tests.become_role('crm_anon');
select is(tests.refresh(:'refresh', 'nowhere'), :'elsewhere'::jsonb, 'ann does not go on in an organization that there is not');
select is(current_setting('response.status'), '403', 'PostgREST is told to answer 403');
select is(tests.refresh(:'refresh', gen_random_uuid()::text), :'elsewhere'::jsonb, 'nor under an id that there is not');
select tests.refresh(:'refresh', ' BORG ') as answer \gset
select is(
    tests.claims(:'answer'::jsonb ->> 'access_token') ->> 'org_id', tests.org_id('Borg')::text, 'the token was not used up by that: ann goes on in Borg'
);
select is(
    tests.claims(tests.refresh(:'answer'::jsonb ->> 'refresh_token') ->> 'access_token') ->> 'org_id', tests.org_id('Borg')::text, 'and stays there'
);
select tests.nobody();
select tests.login('ann') ->> 'refresh_token' as refresh \gset
select is(tests.claims(tests.refresh(:'refresh') ->> 'access_token') ->> 'role', 'crm_multi', 'who looks across all organizations goes on so');
select tests.login('bob') ->> 'refresh_token' as refresh \gset
select is(tests.refresh(:'refresh', 'acme'), :'elsewhere'::jsonb, 'bob does not go on in ann''s organization');

-- switch_org --------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select crm.switch_org('borg') as answer \gset
select is(crm.current_org_id(), tests.org_id('Acme'), 'switching leaves this transaction where it is');
select is(
    :'answer'::jsonb #- '{access_token}' #- '{expires_in}' #- '{user}' #- '{organizations}',
    jsonb_build_object('token_type', 'Bearer', 'organization', jsonb_build_object('id', tests.org_id('Borg'), 'slug', 'borg', 'name', 'Borg', 'role', 'sales', 'notification_email', false)),
    'ann is told what she is in Borg'
);
select is(
    tests.claims(:'answer'::jsonb ->> 'access_token') ->> 'sid', crm.whoami() ->> 'session_id', 'with a token of the same session'
);
select crm.authenticate(:'answer'::jsonb ->> 'access_token');
select is(crm.current_org_id(), tests.org_id('Borg'), 'which takes her there');
select is(crm.switch_org() -> 'organization', 'null', 'without an organization she looks across all of them');
select is(tests.claims(crm.switch_org(null) ->> 'access_token') ->> 'role', 'crm_multi', 'null says the same');
select is(crm.switch_org(tests.org_id('Acme')::text) #>> '{organization,slug}', 'acme', 'an id does as well');
select is(tests.outcome('select crm.switch_org(''nowhere'')'), '42501 no access to this organization', 'she cannot go where there is nothing');
select tests.become('ann');
select is(crm.switch_org('acme') #>> '{organization,role}', 'owner', 'from all of them she goes into one');
select tests.become('bob', 'Borg');
select is(tests.outcome('select crm.switch_org(''acme'')'), '42501 no access to this organization', 'bob cannot go to Acme');
select is(tests.outcome(format('select crm.switch_org(%L)', tests.org_id('Acme'))), '42501 no access to this organization', 'nor by its id');
select tests.nobody();
update crm_private.sessions set ended_at = now() where user_id = tests.user_id('bob');
select tests.become_role('crm_app');
select is(tests.refused(tests.token('bob', 'Borg')), :token, 'bob''s session has ended, and he goes nowhere');

-- my_sessions, end_session, logout ------------------------------------------------------------------------------------------

select tests.nobody();
delete from crm_private.sessions;
delete from tests.tokens;
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.7", "user-agent": "Phone"}', true);
select tests.claims(tests.login('ann', 'acme') ->> 'access_token') ->> 'sid' as phone \gset
select tests.nobody();
select tests.claims(tests.login('bob') ->> 'access_token') ->> 'sid' as bobs \gset
select tests.claims(tests.login('ann', 'acme') ->> 'access_token') ->> 'sid' as expired \gset
update crm_private.sessions set expires_at = now() where id = :'expired';
select tests.become('ann', 'Acme');
select results_eq(
    'select kind, current, ip_address, user_agent, reason from crm.my_sessions() order by kind',
    $$values ('password', false, '203.0.113.7', 'Phone', null::text), ('service', true, null, null, null)$$,
    'ann sees her live sessions: the one on her phone, and this one'
);
select is((select id from crm.my_sessions() where not current), :'phone'::uuid, 'with the id that ends it');
select is(crm.end_session(:'bobs'), '{"ended_sessions": 0}', 'ann cannot end a session of bob''s');
select is(crm.end_session(gen_random_uuid()), '{"ended_sessions": 0}', 'nor one that there is not, with the same answer');
select is(crm.end_session(:'expired'), '{"ended_sessions": 0}', 'nor one that has expired');
select is(tests.outcome('select crm.end_session(null)'), '22023 session_id: is missing', 'nor one that is not given');
select is(crm.end_session(:'phone'), '{"ended_sessions": 1}', 'she ends the one on her phone');
select is(crm.end_session(:'phone'), '{"ended_sessions": 0}', 'once');
select is((select count(*) from crm.my_sessions()), 1::bigint, 'and sees it no more');
select is(crm.logout(), '{"ended_sessions": 1}', 'she logs out');
select is(crm.logout(), '{"ended_sessions": 0}', 'once');
select is((select count(*) from crm.my_sessions()), 0::bigint, 'and has no session');
select is(tests.outcome('select crm.switch_org(''borg'')'), '42501 the session has ended', 'nor goes anywhere with it in the same transaction');
select is(tests.refused(tests.token('ann', 'Acme')), :token, 'her token is refused');
select tests.nobody();
select is(
    (select array_agg(distinct end_reason) from crm_private.sessions where user_id = tests.user_id('ann') and ended_at is not null), '{logout}', 'that is noted'
);
select is((select ended_at from crm_private.sessions where id = :'bobs'), null, 'bob''s session goes on');
delete from tests.tokens;
select tests.login('ann') ->> 'refresh_token' as refresh \gset
select tests.become('ann', 'Borg');
select is(crm.logout(true), '{"ended_sessions": 2}', 'ann logs out everywhere');
select is(tests.refresh(:'refresh'), :'invalid'::jsonb, 'refresh tokens are no use then');
select tests.nobody();
delete from tests.tokens;
select tests.login('ann') ->> 'refresh_token' as refresh \gset
select tests.become('ann');
select is(crm.logout(null), '{"ended_sessions": 1}', 'null is not everywhere');
select tests.nobody();
select is(tests.refresh(:'refresh') ? 'access_token', true, 'her other session goes on');

-- Keys have no session.
select tests.nobody();
delete from tests.tokens;
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{*.*}') ->> 'key' as key \gset
select crm.authenticate_api_key(:'key');
select is(tests.outcome('select ' || call), '42501 ' || problem, 'a key may not call ' || call)
from (values
    ('crm.switch_org(''acme'')', 'only for users who logged in here'), ('crm.logout()', 'there is no session to end'),
    ('crm.logout(true)', 'only for users who logged in here'), ('crm.end_session(null)', 'only for users who logged in here'),
    ('crm.my_sessions()', 'only for users')
) as calls (call, problem);

select * from finish();
rollback;
