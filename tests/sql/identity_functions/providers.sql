-- Identity providers: what their rows may say, the keys they are stored with, and what they call our users.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
create function tests.try(call text) returns text language sql volatile as $$
    select tests.outcome('select ' || call)
$$;
-- RFC 8037, appendix A.2, and RFC 7517, appendix A.1; the modulus of a key of ours is as good as any.
select crm.jwks() #>> '{keys,0,n}' as n \gset
create table tests.jwks (name text primary key, key jsonb);
grant select on tests.jwks to public;
insert into tests.jwks values
    ('ed25519', '{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    ('p256', '{"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}'),
    ('rsa', jsonb_build_object('kty', 'RSA', 'n', :'n', 'e', 'AQAB'));
create function tests.keys(variadic names text[]) returns jsonb language sql stable as $$
    select jsonb_build_object('keys', jsonb_agg(j.key order by n)) from unnest(names) with ordinality as u (name, n) join tests.jwks as j using (name)
$$;

-- Who may not ---------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.try(call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, 'crm.providers_to_fetch()') from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_admin,crm_owner,crm_backup}'::text[]) as role;
select tests.denied(role, 'crm.store_provider_keys(''google'', ''{}'')') from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_owner,crm_backup}'::text[]) as role;
select tests.denied(role, 'crm.link_identity(null, null, null)') from unnest('{crm_anon,crm_worker,crm_owner,crm_backup}'::text[]) as role;
select tests.nobody();
create function tests.cannot_look(role text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select client_secret from crm_private.identity_providers'), '42501 permission denied for schema crm_private', role || ' sees no provider''s secret');
end
$$;
select tests.cannot_look(role) from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_admin}'::text[]) as role;
select tests.become('ann', 'Acme');
select is(
    tests.try('crm.link_identity(tests.user_id(''ann''), ''google'', ''1'')'), '42501 only for the platform: needs users.update',
    'ann links nothing to herself'
);

-- Rows ------------------------------------------------------------------------------------------------------------------------

select tests.nobody();
select bag_eq(
    'select name, enabled, jwks_uri from crm_private.identity_providers',
    $$values ('google', false, 'https://www.googleapis.com/oauth2/v3/certs'), ('github', false, null)$$, 'Google and GitHub are there, disabled'
);
create function tests.changed(changes text) returns text language sql volatile as $$
    select regexp_replace(tests.outcome(format('update crm_private.identity_providers set %s where name = ''google''', changes)), '^23514 .* "identity_providers_(\w+)_check".*$', '\1')
$$;
-- The DBA, as a member of the tables' owner.
select tests.become_role('crm_owner');
select is(tests.changed(changes), said, coalesce(sentence, changes))
from (values
    ('enabled = true', 'enabled_has_client', 'the DBA enables a provider with a client'),
    ('enabled = true, client_ids = ''{us}''', '1 rows', 'then it is'),
    ('enabled = true, accept_access_tokens = true', 'access_tokens_have_audience', 'or one whose access tokens have an audience'),
    ('enabled = true, accept_access_tokens = true, access_token_audiences = ''{us}''', '1 rows', 'then it is'),
    ('accept_access_tokens = true, access_token_audiences = ''{us}'', issuers = ''{}''', 'access_tokens_have_audience', 'and an issuer'),
    ('name = ''Google''', 'name', 'a name is in lower case'), ('name = ''a b''', 'name', 'one word'),
    ('name = ''-a''', 'name', 'or several joined'), ('name = ''''', 'name', 'not empty'),
    ('name = repeat(''a'', 51)', 'name', 'not too long'), ('name = repeat(''a'', 50)', '1 rows', 'but long'),
    ('algorithms = ''{}''', 'algorithms', 'there are algorithms'), ('algorithms = ''{HS256}''', 'algorithms', 'no shared ones'),
    ('algorithms = ''{none}''', 'algorithms', 'nor none'),
    ('algorithms = ''{RS256,NULL}''', 'algorithms', 'nor null'), ('algorithms = ''{RS256,ES256,EdDSA}''', '1 rows', 'of three kinds'),
    ('jwks_uri = ''http://example.com''', 'https', 'keys come by https'),
    ('authorization_endpoint = ''http://example.com''', 'https', 'people are sent by https'),
    ('token_endpoint = ''ftp://example.com''', 'https', 'codes are exchanged by https'),
    ('userinfo_endpoint = ''example.com''', 'https', 'and names are asked for so'),
    ('userinfo_endpoint = null, jwks_uri = null, token_endpoint = ''http://example.com''', 'https', 'also where others are missing'),
    ('jwks_uri = null', '1 rows', 'which they may'),
    ('jwks = ''{}''', '22023 jwks: not a key set: an object with a list of keys is expected', 'a key set is one'),
    ('jwks = tests.keys(''rsa'')', '1 rows', 'put there by hand as well')
) as changes (changes, said, sentence);
select isnt(tests.changed(changes), '1 rows', 'null is no value in a list: ' || changes)
from unnest('{"issuers = ''{NULL}''","client_ids = ''{NULL}''","access_token_audiences = ''{NULL}''","redirect_uris = ''{NULL}''"}'::text[]) as changes;

-- store_provider_keys -----------------------------------------------------------------------------------------------------------

select tests.become_role('crm_worker');
select is(tests.try(format('crm.store_provider_keys(%L, %L)', provider, jwks)), problem, sentence)
from (values
    ('google', null, '22023 jwks: is missing', 'keys are given'), (null, tests.keys('rsa'), '22023 provider: is missing', 'and whose they are'),
    ('google', '{}', '22023 jwks: not a key set: an object with a list of keys is expected', 'as a key set'),
    ('google', '[]', '22023 jwks: not a key set: an object with a list of keys is expected', 'no list'),
    ('google', (repeat('{"keys":', 130) || '1' || repeat('}', 130))::jsonb, '22023 jwks: is nested too deeply, holds too great a number, or has another form than this takes', 'not for ever'),
    ('google', '{"keys": [1]}', '22023 jwks: not a key set: every key is an object', 'of objects'),
    ('google', '{"keys": []}', '22023 jwks: no key of the set verifies signatures: RSA (2048 to 8192 bits), EC (P-256, P-384) or Ed25519 keys are expected',
        'one at least'),
    ('google', '{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        '22023 jwks: no key of the set verifies signatures: RSA (2048 to 8192 bits), EC (P-256, P-384) or Ed25519 keys are expected', 'not a shared secret'),
    ('google', jsonb_set(tests.keys('rsa'), '{keys,0,d}', '"x"'), '22023 jwks: the key set contains a private key', 'and no private key'),
    ('google', jsonb_build_object('keys', (select jsonb_agg(k.key) from tests.jwks as k, generate_series(1, 34))), '22023 jwks: too many keys: 102, at most 100 are allowed',
        'not too many')
) as cases (provider, jwks, problem, sentence);
select is(crm.store_provider_keys('unknown', tests.keys('rsa')), false, 'of a provider that there is not, nothing is stored');
select is(
    crm.store_provider_keys('google', jsonb_build_object('keys', jsonb_build_array(
        (select key || '{"kid": "1", "alg": "RS256", "use": "sig", "x5c": ["x"], "other": {"a": 1}}' from tests.jwks where name = 'rsa'),
        (select key || '{"kid": "2", "use": "enc"}' from tests.jwks where name = 'rsa'),
        (select key || '{"kid": "3", "key_ops": ["verify"]}' from tests.jwks where name = 'p256'),
        (select key || '{"kid": "4", "alg": "RS256"}' from tests.jwks where name = 'p256'),
        (select key from tests.jwks where name = 'ed25519'), (select key from tests.jwks where name = 'ed25519'),
        '{"kty": "oct", "k": "AAAA"}'::jsonb
    ), 'other', 'x')), true, 'the worker stores a key set'
);
select tests.nobody();
select is(
    jwks, jsonb_build_object('keys', jsonb_build_array(
        (select key || '{"kid": "1", "alg": "RS256", "use": "sig"}' from tests.jwks where name = 'rsa'),
        (select key || '{"kid": "3", "use": "sig"}' from tests.jwks where name = 'p256'), (select key || '{"use": "sig"}' from tests.jwks where name = 'ed25519')
    )), 'reduced to what verifies signatures, each once'
) from crm_private.identity_providers where name = 'google';
select jwks as stored from crm_private.identity_providers where name = 'google' \gset
select ok(jwks_fetched_at between now() and clock_timestamp(), 'and when') from crm_private.identity_providers where name = 'google';
update crm_private.identity_providers set jwks = tests.keys('p256', 'p256') where name = 'google';
select is(jwks, jsonb_build_object('keys', jsonb_build_array((select key || '{"use": "sig"}' from tests.jwks where name = 'p256'))), 'what the DBA puts there is reduced as well')
from crm_private.identity_providers where name = 'google';
select tests.become_role('crm_admin');
select is(crm.store_provider_keys('google', :'stored'), true, 'the DBA may store keys');
select tests.nobody();
select is(jwks, :'stored'::jsonb, 'reduced, a key set stays what it is') from crm_private.identity_providers where name = 'google';
select tests.become_role('crm_worker');
select is(left(tests.try('crm.store_provider_keys(''google'', ''{"keys": []}'')'), 5), '22023', 'when one is refused');
select tests.nobody();
select is(jwks, :'stored'::jsonb, 'the one before stays') from crm_private.identity_providers where name = 'google';

-- providers_to_fetch --------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_worker');
select is_empty('select crm.providers_to_fetch()', 'of disabled providers no keys are fetched');
select tests.nobody();
update crm_private.identity_providers set enabled = true, client_ids = '{us}';
select tests.become_role('crm_worker');
select is_empty('select crm.providers_to_fetch()', 'nor of those that were fetched just now, or have no keys');
select results_eq(
    'select provider, jwks_uri from crm.providers_to_fetch(''0'')', $$values ('google', 'https://www.googleapis.com/oauth2/v3/certs')$$,
    'unless asked for'
);
select tests.nobody();
update crm_private.identity_providers set jwks_fetched_at = now() - interval '59 minutes';
select tests.become_role('crm_worker');
select is_empty('select crm.providers_to_fetch()', 'after 59 minutes they are fresh');
select is_empty('select crm.providers_to_fetch(null)', 'null is the hour as well');
select is((select count(*) from crm.providers_to_fetch('58 minutes')), 1::bigint, 'or whatever the worker says');
select tests.nobody();
update crm_private.identity_providers set jwks_fetched_at = now() - interval '61 minutes';
select tests.become_role('crm_worker');
select is((select count(*) from crm.providers_to_fetch()), 1::bigint, 'after an hour they are not');
select tests.nobody();
update crm_private.identity_providers set jwks_fetched_at = null;
select tests.become_role('crm_worker');
select is((select count(*) from crm.providers_to_fetch('1000 years')), 1::bigint, 'never fetched is never fresh');

-- claim_oauth_exchanges, whatever the planner makes of it: what it knows of the table dates from when it had one row.
select tests.nobody();
insert into crm_private.oauth_flows (state_hash, provider, redirect_uri, code_challenge, status, code, code_verifier, expires_at)
select 'first', 'github', 'https://app.example', 'x', 'waiting', 'code', 'verifier', now() + interval '1 minute';
analyze crm_private.oauth_flows;
insert into crm_private.oauth_flows (state_hash, provider, redirect_uri, code_challenge, status, code, code_verifier, expires_at)
select n::text::bytea, 'github', 'https://app.example', 'x', 'waiting', 'code', 'verifier', now() + interval '1 minute' from generate_series(1, 4) as n;
select tests.become_role('crm_worker');
select is((select count(*) from crm.claim_oauth_exchanges(2)), 2::bigint, 'who claims two exchanges gets two');

-- link_identity ---------------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select is(tests.try('crm.link_identity(' || arguments || ')'), problem, sentence)
from (values
    ('null, ''google'', ''1''', '22023 user_id: is missing', 'the platform says who'),
    ('tests.user_id(''ann''), null, ''1''', '22023 provider: is missing', 'at which provider'),
    ('tests.user_id(''ann''), ''google'', null', '22023 subject: is missing', 'is called what'),
    ('tests.user_id(''ann''), ''google'', '' ''', '22023 subject: must not be empty', 'which is something'),
    ('tests.user_id(''ann''), ''google'', repeat(''x'', 256)', '22023 subject: too long: 256 characters, at most 255 are allowed', 'not too long'),
    ('tests.user_id(''ann''), ''google'', E''a\nb''', '22023 subject: line breaks and control characters are not allowed', 'of one line'),
    ('tests.user_id(''ann''), ''unknown'', ''1''', '22023 provider: there is no such identity provider', 'the provider is there'),
    ('gen_random_uuid(), ''google'', ''1''', '22023 user_id: there is no such user', 'and so is the user')
) as cases (arguments, problem, sentence);
select is(crm.link_identity(tests.user_id('ann'), 'google', '1'), true, 'ann is called 1 at Google');
select is(crm.link_identity(tests.user_id('ann'), 'google', ' 1 '), false, 'which she was already');
select is(tests.try('crm.link_identity(tests.user_id(''bob''), ''google'', ''1'')'), '23505 this identity is another user''s', 'so bob is not');
select is(crm.link_identity(tests.user_id('bob'), 'github', '1'), true, 'but at GitHub');
select is(crm.link_identity(tests.user_id('ann'), 'google', '2'), true, 'ann may have two names');
select tests.nobody();
select bag_eq(
    'select provider, subject, user_id from crm_private.user_identities',
    $$values ('google', '1', tests.user_id('ann')), ('google', '2', tests.user_id('ann')), ('github', '1', tests.user_id('bob'))$$, 'these are the identities'
);
update crm_private.identity_providers set name = 'hub' where name = 'github';
select is((select provider from crm_private.user_identities where user_id = tests.user_id('bob')), 'hub', 'a provider that is renamed keeps them');
delete from crm_private.identity_providers where name = 'hub';
select is((select count(*) from crm_private.user_identities), 2::bigint, 'one that is deleted does not');
select crm.suspend_user(tests.user_id('bob'));
select is(crm.link_identity(tests.user_id('bob'), 'google', '3'), true, 'a suspended user can be linked');
select throws_matching(
    'insert into crm_private.user_identities values (''google'', '''', tests.user_id(''ann''))', 'user_identities_subject_check',
    'an empty subject is none'
);

select * from finish();
rollback;
