-- Keys, password hashes and sessions: used by everybody, seen by nobody.

begin;
\ir actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.token('ann', 'Acme') as token \gset

create function tests.header(token text) returns jsonb language sql immutable as $$
    select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8')::jsonb
    from split_part(token, '.', 1) as part
$$;

create function tests.authenticates(token text) returns text language sql as $$
    select tests.become_role('crm_app');
    select tests.outcome(format('select crm.authenticate(%L)', token));
$$;

-- The key set --------------------------------------------------------------------------------------------------------

select is(jsonb_array_length(crm.jwks() -> 'keys'), 1, 'the installation made one key');
select is(
    (select array_agg(name order by name) from jsonb_object_keys(crm.jwks() #> '{keys,0}') as name),
    '{alg,e,kid,kty,n,use}', 'an RSA key shows its public members'
);
select is(crm.jwks() #>> '{keys,0,alg}', 'RS256', 'the first key is of RS256');
select cmp_ok(
    length(decode(rpad(translate(crm.jwks() #>> '{keys,0,n}', '-_', '+/'), 344, '='), 'base64')), '>=', 256, 'and has 2048 bits at least'
);
select is(tests.header(:'token') ->> 'kid', crm.jwks() #>> '{keys,0,kid}', 'tokens name the key they are signed with');
select is(tests.header(:'token') ->> 'alg', 'RS256', 'and its algorithm');

-- Rotation -----------------------------------------------------------------------------------------------------------

update crm_private.settings set key_lead_time = '0';
select crm.rotate_signing_key('ES256') as es256 \gset
select is(
    (select array_agg(name order by name) from jsonb_array_elements(crm.jwks() -> 'keys') as key, jsonb_object_keys(key) as name
     where key ->> 'kid' = :'es256'),
    '{alg,crv,kid,kty,use,x,y}', 'an ES256 key shows its public members'
);
select crm.rotate_signing_key('EdDSA') as eddsa \gset
select is(
    (select array_agg(name order by name) from jsonb_array_elements(crm.jwks() -> 'keys') as key, jsonb_object_keys(key) as name
     where key ->> 'kid' = :'eddsa'),
    '{alg,crv,kid,kty,use,x}', 'an EdDSA key shows its public members'
);
select is(jsonb_array_length(crm.jwks() -> 'keys'), 3, 'retired keys are shown too');
select is(
    (select array_agg(kid) from crm_private.signing_keys where retired_at is null), array[:'eddsa'], 'one key signs'
);
select is(tests.authenticates(:'token'), '1 rows', 'a token of a retired key is still good');
select tests.nobody();
select crm.login('ann@example.com', 'password of ann') ->> 'access_token' as new_token \gset
select is(tests.header(:'new_token') ->> 'kid', :'eddsa', 'a new token is signed with the new key');
select is(tests.authenticates(:'new_token'), '1 rows', 'and good');
select tests.nobody();
select cmp_ok(
    (select min(expires_at) from crm_private.signing_keys),
    '>', (select now() + greatest(access_token_ttl, service_token_ttl) from crm_private.settings),
    'a retired key outlives the last token it signed'
);
update crm_private.signing_keys set expires_at = now() - interval '1 second' where retired_at is not null;
select is(jsonb_array_length(crm.jwks() -> 'keys'), 1, 'later it is shown no more');
select is(tests.authenticates(:'token'), 'PT401 the access token is not valid', 'and verifies no more');
select tests.nobody();
select is(tests.outcome($$select crm.rotate_signing_key('HS256')$$), '22023 alg: must be RS256, ES256 or EdDSA', 'no key can be shared with its verifiers');
select is(tests.outcome($$select crm.rotate_signing_key('none')$$), '22023 alg: must be RS256, ES256 or EdDSA', 'nor be none');
select is(tests.outcome($$select crm.rotate_signing_key('')$$), '22023 alg: must be RS256, ES256 or EdDSA', 'nor be anything else');
select is(
    (select count(*) from crm_private.signing_keys where retired_at is null), 1::bigint, 'after refused rotations one key signs'
);
delete from crm_private.signing_keys;
select is(crm.jwks(), '{"keys": []}', 'without a key the key set is empty');
select is(
    tests.outcome($$select crm.login('ann@example.com', 'password of ann')$$), '55000 there is no signing key', 'and nobody can log in'
);
select crm.rotate_signing_key();
select is(tests.outcome($$select crm.login('ann@example.com', 'password of ann')$$), '1 rows', 'until there is a new one');

-- Secrets stay where they are ----------------------------------------------------------------------------------------

-- Enough of them that the planner would keep examples in its statistics.
select crm.rotate_signing_key(alg) from generate_series(1, 3), unnest('{EdDSA,ES256}'::text[]) as alg;
select tests.register('person' || n, 'Organization ' || n) from generate_series(1, 5) as n;
create table tests.secrets as
select 'private key' as kind, substring(replace(private_key, E'\n', ''), 60, 20) as secret from crm_private.signing_keys
union all
select 'password hash', right(hash, 30) from crm_private.passwords;
analyze crm_private.signing_keys, crm_private.passwords, crm_private.sessions;

select is_empty(
    $$select s.kind, st.starelid::regclass, st.staattnum
      from tests.secrets as s
      join pg_statistic as st on replace(st::text, E'\\n', '') like '%' || s.secret || '%'
          or replace(st::text, E'\n', '') like '%' || s.secret || '%'$$,
    'the planner''s statistics, which a role with pg_read_all_data can read, hold no private key and no password hash'
);

create role tests_key_reader in role pg_read_all_data;
grant usage on schema tests to tests_key_reader;

create function tests.cannot_look(role text) returns setof text language plpgsql as $$
declare
    target regclass;
    said text;
begin
    for target in
        select oid from pg_class where relnamespace = 'crm_private'::regnamespace and relkind = 'r' order by relname
    loop
        perform tests.nobody();
        perform set_config('role', role, true);
        said := tests.outcome(format('select from %s', target));
        -- Not seen at all, or no row of it.
        return next ok(said ~ '^42501 permission denied' or said = '0 rows', format('%s cannot look into %s', role, target));
        said := tests.outcome(format('copy %s to stdout', target));
        return next ok(said ~ '^(42501|0A000)', format('nor copy %2$s', role, target));
        said := tests.outcome(format('insert into %s default values', target));
        return next ok(said ~ '^42501', format('nor add to %2$s', role, target));
        said := tests.outcome(format('delete from %s', target));
        return next ok(said ~ '^42501', format('nor delete from %2$s', role, target));
    end loop;
end
$$;
select tests.cannot_look(role)
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_admin,crm_authenticator,tests_key_reader}'::text[]) as role;

-- What the API roles are told by every function they may call without arguments of their own.
select tests.nobody();
create table tests.answers as
select crm.jwks()::text as answer
union all select crm.login('ann@example.com', 'password of ann')::text
union all select crm.register('new@example.com', 'password of new', 'New')::text
union all select crm.issue_token(tests.user_id('ann'))::text;
select is_empty(
    $$select kind from tests.secrets as s join tests.answers as a on a.answer like '%' || s.secret || '%'$$,
    'no answer contains a private key or a password hash'
);
select is_empty(
    $$select answer from tests.answers where answer ~ '"(d|p|q|dp|dq|qi|k|private_key|hash)"'$$, 'or a member of that name'
);

-- crm_private.sessions keeps no token, so nothing there can be used to log in.
select is_empty(
    $$select s from crm_private.sessions as s where s::text like '%eyJ%'$$, 'sessions are kept without their tokens'
);

-- PostgREST's configuration ------------------------------------------------------------------------------------------

select crm.jwks() as key_set \gset
set local role crm_authenticator;
select crm_private.postgrest_config();
select is(current_setting('pgrst.jwt_secret')::jsonb, :'key_set'::jsonb, 'PostgREST is given the key set');
select is(current_setting('pgrst.db_schemas'), 'crm', 'the schema');
select is(current_setting('pgrst.db_anon_role'), 'crm_anon', 'the anonymous role');
select is(current_setting('pgrst.db_pre_request'), 'crm.pre_request', 'the request hook');
select is(current_setting('pgrst.jwt_aud'), 'crm', 'the audience');

select * from finish();
rollback;
