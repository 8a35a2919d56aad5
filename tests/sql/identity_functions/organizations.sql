-- The organization one works in, and what becomes of those that were suspended or cancelled.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'manager');
insert into crm.contacts (org_id, last_name, owner_id)
select org_id, name, case name when 'Borg' then tests.user_id('ann') else null end from tests.organizations;
create function tests.try(call text) returns text language sql volatile as $$
    select tests.outcome('select ' || call)
$$;
create function tests.authenticated(bearer text) returns text language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', 'crm_app', true);
    return tests.try(format('crm.authenticate(%L)', bearer));
end
$$;
create function tests.requested(bearer text, headers jsonb) returns text language plpgsql as $$
declare
    claims constant text := convert_from(decode(rpad(translate(split_part(bearer, '.', 2), '-_', '+/'), (length(split_part(bearer, '.', 2)) + 3) / 4 * 4, '='), 'base64'), 'utf8');
begin
    perform tests.nobody();
    perform set_config('request.jwt.claims', claims, true), set_config('request.headers', (headers || jsonb_build_object('authorization', 'Bearer ' || bearer))::text, true);
    perform set_config('role', claims::jsonb ->> 'role', true);
    perform crm.pre_request();
    return format('%s %s', current_user, (select o.slug from crm.organizations as o where o.id = crm.current_org_id()));
exception
    when others then return sqlstate || ' ' || sqlerrm;
end
$$;
\set foreign '''PT403 no access to this organization'''
\set ambiguous '''PT400 X-Org-ID, X-Tenant-ID and the host name (X-Org-Subdomain) name different organizations'''

-- Which one it is -------------------------------------------------------------------------------------------------------------------

select tests.nobody();
select tests.token('ann') as ann_everywhere, tests.token('bob') as bob_everywhere, tests.token('ann', 'Acme') as ann, tests.token('bob', 'Borg') as bob \gset
select is(tests.requested(:'ann_everywhere', headers), said, sentence)
from (values
    ('{}'::jsonb, 'crm_multi ', 'ann, of two organizations, looks across both'),
    ('{"x-org-id": "acme"}', 'crm_app acme', 'with a header she works in one, as those who do'),
    ('{"x-tenant-id": "Borg"}', 'crm_app borg', 'or the other'), ('{"x-org-subdomain": "acme"}', 'crm_app acme', 'by the host name, too'),
    ('{"x-org-subdomain": "acme", "x-org-id": "acme", "x-tenant-id": "acme"}', 'crm_app acme', 'or by all of them'),
    (jsonb_build_object('x-org-subdomain', 'acme', 'x-org-id', tests.org_id('Acme')), 'crm_app acme', 'an id and a slug of one are one'),
    (jsonb_build_object('x-org-subdomain', 'borg', 'x-org-id', tests.org_id('Acme')), :ambiguous, 'of two they are not'),
    (jsonb_build_object('x-org-subdomain', 'nowhere', 'x-org-id', tests.org_id('Acme')), :ambiguous, 'whatever there is besides'),
    ('{"x-org-subdomain": "acme", "x-tenant-id": "borg"}', :ambiguous, 'nor are two slugs'),
    ('{"x-org-subdomain": "nowhere"}', :foreign, 'a host name that names none is refused')
) as cases (headers, said, sentence);
select is(tests.requested(:'bob_everywhere', headers), said, sentence)
from (values
    ('{}'::jsonb, 'crm_app borg', 'bob, of one, works in it without naming it'),
    ('{"x-org-subdomain": "acme"}', :foreign, 'not in ann''s'), (jsonb_build_object('x-org-id', tests.org_id('Acme')), :foreign, 'nor by its id'),
    (jsonb_build_object('x-org-id', tests.org_id('Acme'), 'x-org-subdomain', 'acme'), :foreign, 'nor by both'),
    (jsonb_build_object('x-org-id', tests.org_id('Acme'), 'x-org-subdomain', 'other'), :foreign, 'whether they belong together is not told')
) as cases (headers, said, sentence);
select tests.become('bob');
select is(row(current_user, crm.current_org_id())::text, format('(crm_multi,%s)', tests.org_id('Borg')), 'in SQL he works in it in the role he took');
select results_eq('select last_name from crm.contacts', '{Borg}'::text[], 'and sees its contacts');

-- Which ones there are ----------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select results_eq('select slug from crm.organizations order by slug', '{acme,borg}'::text[], 'ann sees both of hers while she works in one');
select crm.create_api_key('Reader', '{organizations.read}') ->> 'key' as reader, crm.create_api_key('Other', '{contacts.read}') ->> 'key' as other \gset
select tests.become('bob', 'Borg');
select results_eq('select slug from crm.organizations order by slug', '{borg}'::text[], 'bob sees his');
select tests.become_role('crm_app');
select crm.authenticate_api_key(:'reader') is not null as done \gset
select results_eq('select slug from crm.organizations', '{acme}'::text[], 'a key that may sees its own');
select crm.authenticate_api_key(:'other') is not null as done \gset
select is_empty('select slug from crm.organizations', 'another none');
select tests.become_role('crm_app');
select is_empty('select slug from crm.organizations', 'nor does nobody');

-- Suspended, and cancelled ------------------------------------------------------------------------------------------------------------

select tests.nobody();
select is(crm.suspend_organization(tests.org_id('Acme'), 'unpaid') ->> 'status', 'suspended', 'Acme is suspended');
select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as now \gset
select 'PT403 this organization is suspended' as suspended, 'PT403 this organization is suspended / Since ' || :'now' || '. Reason: unpaid' as why \gset
select is(tests.authenticated(:'ann'), :'why', 'ann''s token for it is refused, and she is told why and since when');
select is(tests.requested(:'ann_everywhere', '{"x-org-id": "acme"}'), :'suspended', 'so is a header');
select is(tests.requested(:'ann_everywhere', '{"x-org-subdomain": "acme"}'), :'suspended', 'and a host name');
select is(tests.requested(:'bob', '{"x-org-id": "acme"}'), :foreign, 'bob, who is not in it, is told what he is told of none');
select is(tests.requested(:'bob', '{"x-org-subdomain": "nowhere"}'), :foreign, 'which is the same');
select is(tests.requested(:'ann_everywhere', '{}'), 'crm_app borg', 'of ann''s two there is one left to work in');
select tests.become('ann', 'Borg');
select results_eq(
    'select slug, status, status_reason from crm.organizations order by slug', $$values ('acme', 'suspended', 'unpaid'), ('borg', 'active', null)$$,
    'there she sees what became of the other'
);
select results_eq('select last_name from crm.contacts', '{Borg}'::text[], 'and nothing in it');
select is((select count(*) from crm.memberships where org_id = tests.org_id('Acme')), 0::bigint, 'not who is a member');
select is(tests.try('crm.switch_org(''acme'')'), '42501 this organization is suspended / Since ' || :'now' || '. Reason: unpaid', 'she cannot switch to it');
select is(
    (select jsonb_agg(one -> 'status' order by one ->> 'slug') from jsonb_array_elements(crm.me() -> 'organizations') as one),
    '["suspended", "active"]', 'me() tells of both'
);
select is(crm.me() #>> '{organization,slug}', 'borg', 'the active one is active');
select is(
    tests.outcome(format('update crm.organizations set name = ''x'' where id = %L', tests.org_id('Acme'))),
    '42501 your role does not permit organizations.update', 'its profile is not changed'
);
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate_api_key(%L)', :'reader')), :'why', 'its key is refused, with the reason');
select tests.nobody();
update crm_private.api_keys set revoked_at = now() where prefix = left(:'reader', 13);
select tests.become_role('crm_app');
select is(tests.try(format('crm.authenticate_api_key(%L)', :'reader')), 'PT401 the API key is not valid', 'a revoked one without');
select is(tests.try(format('crm.authenticate_api_key(%L)', left(:'other', -1) || 'x')), 'PT401 the API key is not valid', 'as is one that is wrong');
select tests.become_role('crm_anon');
select is(
    crm.login('ann@example.com', 'password of ann', 'acme'),
    jsonb_build_object('code', '42501', 'message', 'this organization is suspended', 'details', 'Since ' || :'now' || '. Reason: unpaid',
        'hint', 'Ask those who run this service to resume it. In another organization you can go on: /rpc/switch_org.'),
    'ann cannot log in to it'
);
select is(crm.login('bob@example.com', 'password of bob', 'acme') ->> 'message', 'no access to this organization', 'bob is not told');
select is(crm.login('ann@example.com', 'password of ann') #>> '{organization,slug}', 'borg', 'without naming it she logs in to the other');
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where org_id = tests.org_id('Borg') and user_id = tests.user_id('ann');
select tests.become_role('crm_anon');
select crm.login('ann@example.com', 'password of ann') as answer \gset
select is(:'answer'::jsonb -> 'organization', 'null', 'with nothing but a suspended one she logs in to none');
select is(:'answer'::jsonb #>> '{organizations,0,status_reason}', 'unpaid', 'and is told why');
select is(crm.refresh_token(:'answer'::jsonb ->> 'refresh_token', 'acme') ->> 'message', 'this organization is suspended', 'nor does she refresh into it');
select ok(crm.refresh_token(:'answer'::jsonb ->> 'refresh_token') ? 'access_token', 'but otherwise');
select tests.become_role('crm_service');
select is(tests.try('crm.issue_token(tests.user_id(''ann''), tests.org_id(''Acme''))'), '42501 this organization is suspended / Since ' || :'now' || '. Reason: unpaid', 'no token is issued for it');
select is(tests.try('crm.issue_token(tests.user_id(''bob''), tests.org_id(''Acme''))'), '42501 this user is not an active member of this organization', 'for bob neither');
select is(crm.cancel_organization(tests.org_id('Acme'), ' gone '), jsonb_build_object('id', tests.org_id('Acme'), 'slug', 'acme', 'name', 'Acme', 'status', 'cancelled', 'status_reason', 'gone'), 'Acme is cancelled');
select is(tests.authenticated(:'ann'), 'PT403 this organization was cancelled / Since ' || :'now' || '. Reason: gone', 'which ann is told, too');
select tests.become_role('crm_service');
select is(tests.try('crm.' || call || '(tests.org_id(''Acme'')' || arguments || ')'), '22023 org_id: this organization was cancelled, and stays so', call || ' does nothing to it')
from (values ('resume_organization', ''), ('suspend_organization', ', ''x'''), ('cancel_organization', ', ''x''')) as cases (call, arguments);
select is(tests.try('crm.cancel_organization(' || arguments || ')'), problem, 'cancel_organization refuses ' || arguments)
from (values
    ('null, ''x''', '22023 org_id: is missing'), ('tests.org_id(''Borg''), null', '22023 reason: is missing'),
    ('tests.org_id(''Borg''), '' ''', '22023 reason: must not be empty'), ('gen_random_uuid(), ''x''', '22023 org_id: there is no such organization')
) as cases (arguments, problem);

-- The platform's own people -----------------------------------------------------------------------------------------------------------

select tests.nobody();
select tests.register('sam', 'Sams');
select tests.token('sam', 'Sams') as sam \gset
select tests.become('sam', 'Sams');
select is(crm.whoami() ->> 'platform_role', null, 'sam is nothing to the platform');
select tests.nobody();
select crm.grant_platform_role(tests.user_id('sam'), 'super_admin');
select tests.become('sam', 'Sams');
select is(crm.whoami() ->> 'platform_role', 'super_admin', 'sam is a super admin from the next request on');
select cmp_ok((select count(*) from crm.list_organizations()), '>=', 3::bigint, 'and sees what there is');
select is_empty('select from crm.contacts where org_id <> crm.current_org_id()', 'not what is in it');
select is(tests.try('crm.' || call), '42501 permission denied for function ' || split_part(call, '(', 1), 'what is the DBA''s is not hers: ' || call)
from unnest(array['grant_platform_role(tests.user_id(''bob''), ''support'')', 'revoke_platform_role(tests.user_id(''bob''))', 'create_platform_key(''x'')']) as call;
select is(
    tests.try('crm.link_identity(tests.user_id(''sam''), ''google'', ''1'')'),
    '42501 only the DBA (crm_admin) links an identity to one of the platform''s people', 'nor is an identity of the platform''s people'
);
select tests.nobody();
select crm.revoke_platform_role(tests.user_id('sam'));
select tests.become('sam', 'Sams');
select is(crm.whoami() ->> 'platform_role', null, 'when it is revoked she is nothing again');
select is(tests.try('count(*) from crm.list_organizations()'), '42501 only for the platform: needs organizations.read', 'and sees nothing');

select * from finish();
rollback;
