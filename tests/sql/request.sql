-- crm.pre_request(): the role PostgREST switched to, the claims it checked and the token that arrived must agree.

begin;
\ir actors.psql
select plan(21);

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'sales');
select tests.token('ann', 'Acme') as ann, tests.token('bob', 'Acme') as bob, tests.token('bob') as bob_everywhere \gset

create function tests.whoami() returns text language sql as $$
    select coalesce((select name from tests.people where user_id = crm.current_user_id()), 'nobody') || ' of '
        || coalesce((select name from tests.organizations where org_id = crm.current_org_id()), 'none')
$$;

-- As PostgREST begins a request: role, claims, headers, then the hook.
create function tests.request(role text, claims text, headers jsonb) returns text language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('request.jwt.claims', claims, true);
    perform set_config('request.headers', headers::text, true);
    perform set_config('role', role, true);
    return tests.outcome('select crm.pre_request()', undo => false);
end
$$;

create function tests.claims(token text) returns text language sql immutable as $$
    select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8')
    from split_part(token, '.', 2) as part
$$;

create function tests.bearer(token text, more jsonb default '{}') returns jsonb language sql immutable as $$
    select jsonb_build_object('authorization', 'Bearer ' || token) || more
$$;

\set refusal '''PT401 the access token is not valid'''
select tests.claims(:'ann') as ann_claims, tests.claims(:'bob') as bob_claims, tests.claims(:'bob_everywhere') as bob_everywhere_claims \gset
\set missing '''PT401 an access token is needed'''

select is(tests.request('crm_app', :'ann_claims', tests.bearer(:'ann')), '1 rows', 'a request with ann''s token is accepted');
select is(tests.whoami(), 'ann of Acme', 'and is ann''s');
select is(tests.request('crm_multi', :'bob_everywhere_claims', tests.bearer(:'bob_everywhere')), '1 rows', 'a request of bob, who named no organization, is accepted');
select is(tests.whoami(), 'bob of none', 'and is bob''s');
select is(
    tests.request('crm_multi', :'bob_everywhere_claims', tests.bearer(:'bob_everywhere', '{"x-org-id": "borg"}')),
    '1 rows', 'with X-Org-ID he works in one of his organizations'
);
select is(tests.whoami(), 'bob of Borg', 'which is then the active one');
select is(tests.request('crm_anon', '', '{}'), '1 rows', 'an anonymous request is accepted');
select is(tests.whoami(), 'nobody of none', 'and is nobody''s');
select is(tests.request('crm_anon', '', tests.bearer(:'ann')), :refusal, 'a token under the anonymous role is refused');
select is(tests.request('crm_app', '', '{}'), :missing, 'a request under crm_app without a token is refused');
select is(tests.request('crm_app', :'ann_claims', '{}'), :missing, 'claims alone make no identity');
select is(tests.request('crm_app', '', tests.bearer(:'ann')), :refusal, 'a token whose claims PostgREST does not know is refused');
select is(tests.request('crm_app', :'bob_claims', tests.bearer(:'ann')), :refusal, 'a token other than the one PostgREST checked is refused');
select is(tests.request('crm_app', 'no json', tests.bearer(:'ann')), :refusal, 'claims that are no JSON are refused');
select is(tests.request('crm_multi', :'ann_claims', tests.bearer(:'ann')), :refusal, 'a token for another role than the request''s is refused');
select is(
    tests.request('crm_service', :'ann_claims', tests.bearer(:'ann')),
    '42501 permission denied for function pre_request', 'crm_service makes no requests'
);
select is(
    tests.request('crm_app', :'ann_claims', tests.bearer(:'ann', '{"x-org-id": "borg"}')),
    'PT403 no access to this organization', 'ann cannot name bob''s organization'
);
select is(
    tests.request('crm_app', :'ann_claims', tests.bearer(:'ann', '{"x-tenant-id": "nowhere"}')),
    'PT403 no access to this organization', 'nor one that does not exist, with the same answer'
);
select is(
    tests.request('crm_app', :'bob_claims', tests.bearer(:'bob', '{"x-org-id": "acme", "x-tenant-id": "borg"}')),
    'PT400 X-Org-ID, X-Tenant-ID and the host name (X-Org-Subdomain) name different organizations', 'two headers that name different organizations are refused'
);
select is(
    tests.request('crm_app', :'ann_claims', tests.bearer(:'ann', '{"prefer": "count=planned"}')),
    'PT400 Prefer: count=planned and count=estimated are not available', 'estimated counts are refused'
);
select is(tests.whoami(), 'nobody of none', 'after a refusal there is no identity');


select * from finish();
rollback;
