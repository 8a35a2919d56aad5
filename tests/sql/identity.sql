-- Identity: who one is comes from a verified token alone, and ends with the transaction.

begin;
\ir actors.psql
select plan(53);

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'admin');
select tests.token('ann', 'Acme') as ann, tests.token('bob', 'Acme') as bob, tests.token('bob') as bob_everywhere \gset

create function tests.whoami() returns text language sql as $$
    select coalesce((select name from tests.people where user_id = crm.current_user_id()), 'nobody') || ' of '
        || coalesce((select name from tests.organizations where org_id = crm.current_org_id()), 'none')
$$;

create function tests.refused(token text) returns text language sql as $$
    select tests.outcome(format('select crm.authenticate(%L)', token), undo => false)
$$;
prepare names as select string_agg(last_name, ', ' order by last_name) from crm.contacts;
create function tests.run_names() returns text language plpgsql as $$
declare
    answer text;
begin
    execute 'execute names' into answer;
    return answer;
end
$$;

-- authenticate ----------------------------------------------------------------------------------------------------

select tests.become_role('crm_app');
select is(tests.whoami(), 'nobody of none', 'without a token a caller is nobody');
select is(
    crm.whoami(),
    '{"authenticated": false, "user_id": null, "org_id": null, "role": null, "session_id": null, "actor_id": null, "api_key_id": null,
        "scopes": null, "platform": false, "platform_role": null, "database_role": "crm_app"}'::jsonb,
    'whoami says so'
);
select is((select count(*) from crm.memberships), 0::bigint, 'and sees nothing');
select throws_ok('select crm.me()', '42501', 'nobody is logged in', 'nobody has no profile');

select ok(
    crm.authenticate(:'ann') @> jsonb_build_object('authenticated', true, 'user_id', tests.user_id('ann'), 'org_id', tests.org_id('Acme'), 'role', 'owner'),
    'authenticate tells ann who she is'
);
select is(tests.whoami(), 'ann of Acme', 'and ann it is from there');
select is(
    crm.me() - 'organizations',
    jsonb_build_object(
        'user', jsonb_build_object('id', tests.user_id('ann'), 'email', 'ann@example.com', 'full_name', 'Ann', 'email_verified', false,
            'time_zone', null, 'locale', null, 'avatar_url', null),
        'organization', jsonb_build_object('id', tests.org_id('Acme'), 'slug', 'acme', 'name', 'Acme', 'role', 'owner', 'notification_email', false)
    ),
    'me() tells her profile'
);
select crm.authenticate(:'bob');
select is(tests.whoami(), 'bob of Acme', 'another token makes another person of the transaction');

\set refusal '''PT401 the access token is not valid'''
select is(tests.refused(null), :refusal, 'null is no token');
select is(tests.refused(''), :refusal, 'an empty text is no token');
select is(tests.refused('a.b.c'), :refusal, 'three words are no token');
select is(tests.refused(repeat('x', 1000000)), :refusal, 'a megabyte is no token');
select is(tests.refused(:'ann' || 'A'), :refusal, 'a token with one more character is refused');
select is(tests.refused(' ' || :'ann'), :refusal, 'a token after a space is refused');
select is(
    tests.refused(split_part(:'ann', '.', 1) || '.' || split_part(:'bob', '.', 2) || '.' || split_part(:'ann', '.', 3)),
    :refusal, 'ann''s signature under bob''s claims is refused'
);
select is(
    tests.refused(
        rtrim(translate(encode(convert_to('{"alg":"none","typ":"at+jwt","kid":"' || (crm.jwks() #>> '{keys,0,kid}') || '"}', 'utf8'), 'base64'), E'+/\n', '-_'), '=')
        || '.' || split_part(:'ann', '.', 2) || '.'
    ),
    :refusal, 'a token without a signature is refused'
);
select is(tests.whoami(), 'bob of Acme', 'a refused token inside an exception block leaves who one was');

select tests.nobody();
update crm.users set status = 'disabled' where id = tests.user_id('ann');
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a disabled user''s token is refused');
select tests.nobody();
update crm.users set status = 'active' where id = tests.user_id('ann');
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('bob') and org_id = tests.org_id('Acme');
select tests.become_role('crm_app');
select is(tests.refused(:'bob'), 'PT403 no access to this organization', 'a token for an organization one has left is refused');
select tests.nobody();
update crm.memberships set status = 'active', ended_at = null where user_id = tests.user_id('bob');
update crm.organizations set status = 'suspended' where id = tests.org_id('Acme');
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), 'PT403 this organization is suspended', 'a token for a suspended organization is refused');
select tests.nobody();
update crm.organizations set status = 'active' where id = tests.org_id('Acme');
update crm_private.sessions set ended_at = now() where user_id = tests.user_id('ann');
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a token of an ended session is refused');
select tests.nobody();
update crm_private.sessions set ended_at = null, expires_at = now() - interval '1 second' where user_id = tests.user_id('ann');
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a token of an expired session is refused');
select tests.nobody();
update crm_private.sessions set expires_at = now() + interval '1 day' where user_id = tests.user_id('ann');
update crm_private.settings set audience = 'other';
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a token for another audience is refused');
select tests.nobody();
update crm_private.settings set audience = 'crm', issuer = 'other';
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a token of another issuer is refused');
select tests.nobody();
update crm_private.settings set issuer = 'crm_ext';
update crm_private.signing_keys set retired_at = now() - interval '1 hour', expires_at = now() - interval '1 second';
select tests.become_role('crm_app');
select is(tests.refused(:'ann'), :refusal, 'a token of a key that is no longer in force is refused');
select tests.nobody();
update crm_private.signing_keys set retired_at = null, expires_at = null;
update crm_private.settings set access_token_ttl = '1 second';
select crm.login('ann@example.com', 'password of ann') ->> 'access_token' as short_lived \gset
update crm_private.settings set access_token_ttl = '15 minutes';
select tests.become_role('crm_app');
select is(tests.outcome(format('select crm.authenticate(%L)', :'short_lived')), '1 rows', 'a fresh token is good');
select pg_sleep(1.1);
select is(tests.refused(:'short_lived'), :refusal, 'in the same transaction, a second later, it has expired');
select is(tests.refused(:'ann'), '1 rows', 'ann''s first token is still good after all of this');

-- savepoints and exception blocks -----------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
savepoint before_bob;
select crm.authenticate(:'bob');
select is(tests.whoami(), 'bob of Acme', 'inside a savepoint bob has taken over');
rollback to savepoint before_bob;
select is(tests.whoami(), 'ann of Acme', 'rolling the savepoint back brings ann back');
savepoint before_bob;
select crm.authenticate(:'bob');
release savepoint before_bob;
select is(tests.whoami(), 'bob of Acme', 'releasing it keeps bob');
select tests.become('ann', 'Acme');
do $$
begin
    perform crm.authenticate(tests.token('bob', 'Acme'));
    raise exception 'undone';
exception
    when others then null;
end
$$;
select is(tests.whoami(), 'ann of Acme', 'an exception block that fails takes bob with it');
savepoint nothing_yet;
select tests.nobody();
select set_config('role', 'crm_app', true);
rollback to savepoint nothing_yet;
select is(tests.whoami(), 'ann of Acme', 'forgetting is rolled back too');

-- settings -----------------------------------------------------------------------------------------------------------

select matches(tests.outcome(statement), '^42501 ', 'ann cannot: ' || statement)
from unnest(array[
    $$set crm.identity = '{}'$$,
    $$set local crm.identity = ''$$,
    $$set session crm.identity to default$$,
    $$reset crm.identity$$,
    $$select set_config('crm.identity', '{}', true)$$,
    $$select set_config('CRM.Identity', '', false)$$,
    $$create function pg_temp.f() returns int language sql set crm.identity from current as 'select 1'$$
]) as statement;
select is(
    tests.outcome($$update pg_settings set setting = '' where name = 'crm.identity'$$),
    '0 rows', 'the setting is not listed'
);
select is(
    tests.outcome($$select current_setting('crm.identity')$$),
    '42501 must be superuser or have privileges of pg_read_all_settings to examine "crm.identity"',
    'ann cannot read it either'
);
select is(
    tests.outcome($$set crm.anything = 'x'$$), '42602 invalid configuration parameter name "crm.anything" / "crm" is a reserved prefix.',
    'no other setting can be made under the prefix'
);
reset all;
select is(tests.whoami(), 'ann of Acme', 'RESET ALL leaves ann who she is');
set local "request.jwt.claims" = '{"sub": "00000000-0000-0000-0000-000000000000", "role": "crm_admin"}';
set local "request.headers" = '{"x-org-id": "borg", "authorization": "Bearer x"}';
set local "request.jwt.claim.sub" = 'x';
select is(tests.whoami(), 'ann of Acme', 'nor do claims and headers that she sets by hand make a difference');
set local role crm_app;
select is(tests.whoami(), 'ann of Acme', 'nor setting the role again');
select is(
    (select (crm.org_ids_for_user(tests.user_id('ann')))[1]), tests.org_id('Acme'), 'ann may ask for her organizations'
);
select is(
    tests.outcome($$select crm.org_ids_for_user(tests.user_id('bob'))$$),
    '42501 org_ids_for_user answers for the caller only', 'but not for bob''s'
);
select is(
    tests.outcome($$select crm.org_ids_for_user(gen_random_uuid())$$),
    '42501 org_ids_for_user answers for the caller only', 'nor for those of nobody at all, with the same answer'
);
select tests.become_role('crm_service');
select is(
    (select count(*) from unnest(crm.org_ids_for_user(tests.user_id('bob')))), 2::bigint, 'the platform may ask for anybody''s'
);

-- cached plans ---------------------------------------------------------------------------------------------------------

select tests.nobody();
insert into crm.contacts (org_id, last_name)
select o.org_id, 'of ' || o.name from tests.organizations as o;
set local plan_cache_mode = force_generic_plan;
select tests.become('ann', 'Acme');
select is(tests.run_names(), 'of Acme', 'a generic plan made under ann shows ann''s contacts');
select tests.become('bob', 'Borg');
select is(tests.run_names(), 'of Borg', 'and under bob bob''s');
select tests.become('bob');
select is(tests.run_names(), 'of Acme, of Borg', 'both when he looks across his organizations');

select * from finish();
rollback;
