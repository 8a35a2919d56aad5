-- What crm.doctor finds of keys, settings, identity providers and the server.

begin;
\ir patient.psql
select no_plan();

insert into tests.cases (sentence, broken, wanted, mended) values
    ('no key that signs', 'delete from crm_private.signing_keys', 'error signing_key crm_private.signing_keys', true),
    ('a key that signs later only', 'update crm_private.signing_keys set active_from = now() + interval ''1 hour''', 'error signing_key crm_private.signing_keys', false),
    ('a retired key that could still sign', $$insert into crm_private.signing_keys (kid, alg, public_jwk, private_key, retired_at, expires_at)
        values ('old', 'RS256', '{}', 'secret', now() - interval '3 days', now() + interval '1 day')$$, 'warning signing_key crm_private.signing_keys', true),
    ('a copy of the key set that is behind', $$alter role crm_authenticator set pgrst.jwt_secret = '{"keys": []}'$$, 'error postgrest_settings crm_authenticator', true),
    ('one that will be', $$do $d$ begin execute format('alter role crm_authenticator in database %I set pgrst.jwt_secret = %L', current_database(),
        (select jsonb_build_object('keys', jsonb_agg(public_jwk || jsonb_build_object('kid', kid))) from crm_private.signing_keys)); end $d$ $$, 'warning postgrest_settings crm_authenticator', true),
    ('another role for who has no token', 'alter role crm_authenticator set pgrst.db_anon_role = ''crm_service''', 'error postgrest_settings crm_authenticator', true),
    ('settings of PostgREST that are the DBA''s', 'alter role crm_authenticator set pgrst.db_max_rows = 100; alter role crm_authenticator set pgrst.db_schemas = ''crm''', null, false),
    ('no settings', 'delete from crm_private.settings', 'error settings crm_private.settings', true),
    ('an address without TLS', 'update crm_private.settings set public_url = ''http://crm.example''', 'warning settings crm_private.settings', false),
    ('an audience with blanks', 'update crm_private.settings set audience = '' crm''', 'warning settings crm_private.settings', false),
    ('no proxy is believed', 'update crm_private.settings set trusted_proxies = 0', 'info settings crm_private.settings', true),
    ('a provider without a key set', 'update crm_private.identity_providers set enabled = true, client_ids = ''{x}'' where name = ''google''', 'warning identity_provider_keys google', false),
    ('one whose key set is stale', $$update crm_private.identity_providers set enabled = true, client_ids = '{x}', jwks = (select jsonb_build_object('keys', jsonb_agg(public_jwk)) from crm_private.signing_keys), jwks_fetched_at = now() - interval '2 days' where name = 'google'$$,
        'warning identity_provider_keys google', false),
    ('one whose key set was put there by hand', $$update crm_private.identity_providers set enabled = true, client_ids = '{x}', jwks = (select jsonb_build_object('keys', jsonb_agg(public_jwk)) from crm_private.signing_keys), jwks_uri = null where name = 'google'$$, null, false),
    ('one that needs none', 'update crm_private.identity_providers set enabled = true, client_ids = ''{x}'' where name = ''github''', null, false),
    ('a database that reads only', format('alter database %I set default_transaction_read_only = on', current_database()), 'warning role_settings database ' || current_database(), true);
select tests.examined();

-- With what a healthy installation's settings say, a reading of one check at a time.
\set server_version `cat sql/doctor/server_version.sql`
\set server_encoding `cat sql/doctor/server_encoding.sql`
\set server_settings `cat sql/doctor/server_settings.sql`
\set library_not_preloaded `cat sql/doctor/library_not_preloaded.sql`
\set login_role `cat sql/doctor/login_role.sql`
\set trigger_missing `cat sql/doctor/trigger_missing.sql`

select is(tests.told(:'server_version', '{"server_version": 150020, "server_version_min": 150009}'), '{}', 'a new minor version is good');
select is(tests.told(:'server_version', '{"server_version": 150008, "server_version_min": 150009}'), '{error server_version}', 'an old one is not');
select is(tests.told(:'server_encoding', '{"encoding": "UTF8"}'), '{}', 'UTF8 is good');
select is(tests.told(:'server_encoding', '{"encoding": "LATIN1"}'), array['error ' || current_database()], 'another encoding is not');

create function tests.with_setting(name text, value text) returns jsonb language sql as $$
    select jsonb_build_object('settings', jsonb_object_agg(s.name, s.boot_val) || jsonb_build_object('TimeZone', 'UTC', with_setting.name, value))
    from pg_settings as s
$$;
select is(tests.told(:'server_settings', tests.with_setting('fsync', 'on')), '{}', 'what PostgreSQL begins with is good');
select is(
    tests.told(:'server_settings', tests.with_setting(name, value)), array[severity || ' ' || name], format('%s = %s is not', name, value)
)
from (values
    ('error', 'row_security', 'off'), ('error', 'session_replication_role', 'replica'), ('warning', 'fsync', 'off'), ('warning', 'full_page_writes', 'off'),
    ('warning', 'synchronous_commit', 'off'), ('warning', 'autovacuum', 'off'), ('warning', 'track_counts', 'off'), ('warning', 'default_transaction_read_only', 'on'),
    ('info', 'statement_timeout', '1000'), ('warning', 'password_encryption', 'md5'), ('warning', 'log_parameter_max_length_on_error', '-1'),
    ('info', 'constraint_exclusion', 'off'), ('info', 'enable_partition_pruning', 'off'), ('info', 'wal_level', 'minimal'), ('info', 'max_prepared_transactions', '10'),
    ('info', 'TimeZone', 'Europe/Berlin'), ('warning', 'log_statement', 'all'), ('warning', 'log_statement', 'mod'), ('warning', 'log_min_duration_statement', '250')
) as bad (severity, name, value);
select is(
    tests.told(:'server_settings', jsonb_set(tests.with_setting('log_statement', 'all'), '{settings,log_parameter_max_length}', '"0"')), '{}',
    'a log of statements without parameters is good'
);

select is(tests.told(:'library_not_preloaded', jsonb_build_object('settings', jsonb_build_object(name, value))), wanted, format('%s = %s', name, value))
from (values
    ('shared_preload_libraries', '', array['info session_preload_libraries']),
    ('shared_preload_libraries', 'my_crm_ext_too', array['info session_preload_libraries']),
    ('shared_preload_libraries', 'pg_stat_statements, crm_ext', '{}'),
    ('session_preload_libraries', '"$libdir/crm_ext"', '{}')
) as loaded (name, value, wanted);
select is(tests.told(:'login_role', '{"password": null}'), '{}', 'where nobody can say whether there is a password, nothing is said');
select is(
    tests.told(:'trigger_missing', '{"triggers": [{"relation": "crm.contacts", "name": "_000_x", "statement": "x"}, {"relation": "crm.nowhere", "name": "_000_x", "statement": "x"}]}'),
    '{error crm.contacts}', 'a trigger is missing where its table is not'
);

select finish();
rollback;
