-- clear_expired: exactly what has expired goes, kind by kind, and no more at a time than is asked for.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.user_id('ann') as ann, tests.org_id('Acme') as acme \gset

-- Who may not
create function tests.denied(role text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select crm.clear_expired()'), '42501 permission denied for function clear_expired', format('%s clears nothing away', role));
end
$$;
select tests.denied(role) from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_owner,crm_backup}'::text[]) as role;
select tests.become('ann', 'Acme');
select is(tests.outcome('select crm.clear_expired()'), '42501 permission denied for function clear_expired', 'nor does ann');
select tests.become_role('crm_worker');
select is(tests.outcome(format('select crm.clear_expired(%s)', batch)), said, sentence)
from (values
    ('0', '22023 batch: must be between 1 and 1000000', 'a batch has a row at least'),
    ('-1', '22023 batch: must be between 1 and 1000000', 'and not fewer than none'),
    ('1000001', '22023 batch: must be between 1 and 1000000', 'and a million at most'),
    ('1000000', '1 rows', 'of which a million is one'), ('null', '1 rows', 'null is the default')
) as batches (batch, said, sentence);

-- Whatever the planner makes of it: what it knows of the tables dates from when they had one row.
select tests.nobody();
create function tests.cleared(target text, statement text) returns jsonb language plpgsql as $$
declare
    cleared jsonb;
begin
    begin
        execute format('delete from crm_private.%I', target);
        execute statement using 1, 1;
        execute format('analyze crm_private.%I', target);
        execute statement using 2, 5;
        cleared := crm.clear_expired(2) -> target;
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    return cleared;
end
$$;
select is(tests.cleared(target, statement), '2', format('two of the %s go when a batch is two', target))
from (values
    ('sessions', format('insert into crm_private.sessions (user_id, kind, expires_at) select %L, ''service'', now() - interval ''8 days'' from generate_series($1, $2)', :'ann')),
    ('refresh_tokens', 'insert into crm_private.refresh_tokens (hash, session_id, used_at) select n::text::bytea, (select id from crm_private.sessions limit 1),
        now() - interval ''8 days'' from generate_series($1, $2) as n'),
    ('one_time_tokens',
        'insert into crm_private.one_time_tokens (hash, purpose, expires_at) select n::text::bytea, ''password_reset'', now() from generate_series($1, $2) as n'),
    ('messages', 'insert into crm_private.messages (kind, expires_at) select ''password_reset'', now() from generate_series($1, $2)'),
    ('oauth_flows', 'insert into crm_private.oauth_flows (state_hash, provider, redirect_uri, code_challenge, expires_at)
        select n::text::bytea, ''github'', '''', '''', now() from generate_series($1, $2) as n'),
    ('login_failures',
        'insert into crm_private.login_failures select ''account'', n::text::bytea, 1, now() - interval ''1 day'' from generate_series($1, $2) as n')
) as tables (target, statement);

-- What is there: of each kind what goes, and what stays; each by a hair.
select tests.nobody();
delete from crm_private.sessions;
delete from crm_private.one_time_tokens;
delete from crm_private.messages;
delete from crm_private.login_failures;

insert into crm_private.sessions (id, user_id, kind, expires_at, ended_at, end_reason)
select md5(name)::uuid, :'ann', 'password', expires_at, ended_at, case when ended_at is not null then 'logout' end
from (values
    ('session: expired a week ago', now() - interval '7 days 1 second', null::timestamptz), ('session: expired almost a week ago', now() - interval '6 days 23 hours 59 minutes', null),
    ('session: live', now() + interval '1 second', null), ('session: ended just now', now() + interval '1 day', now()),
    ('session: ended and expired a week ago', now() - interval '8 days', now() - interval '8 days 1 minute')
) as sessions (name, expires_at, ended_at);
insert into crm_private.refresh_tokens (hash, session_id, created_at, used_at)
select name::bytea, md5('session: live')::uuid, created_at, used_at
from (values
    ('refresh token: used a week ago', now() - interval '8 days', now() - interval '7 days 1 second'),
    ('refresh token: used almost a week ago', now() - interval '8 days', now() - interval '6 days 23 hours 59 minutes'),
    ('refresh token: not used for long', now() - interval '29 days', null::timestamptz)
) as tokens (name, created_at, used_at);
insert into crm_private.refresh_tokens (hash, session_id) values ('refresh token: of a session that goes'::bytea, md5('session: expired a week ago')::uuid);
insert into crm_private.invitations (org_id, id, email, role, expires_at, accepted_at, revoked_at)
select :'acme', md5(name)::uuid, 'x@example.com', 'sales', expires_at, accepted_at, revoked_at
from (values
    ('invitation: expired', now() - interval '1 second', null::timestamptz, null::timestamptz), ('invitation: open', now() + interval '1 minute', null, null),
    ('invitation: expired and revoked', now() - interval '1 second', null, now() - interval '1 day')
) as invitations (name, expires_at, accepted_at, revoked_at);
insert into crm_private.one_time_tokens (hash, purpose, user_id, org_id, invitation_id, expires_at, used_at)
select name::bytea, purpose, case when purpose <> 'invitation' then :'ann'::uuid end, case when purpose = 'invitation' then :'acme'::uuid end,
    case when purpose = 'invitation' then md5('invitation: open')::uuid end, expires_at, used_at
from (values
    ('token: expired', 'password_reset', now() - interval '1 second', null::timestamptz), ('token: live', 'password_reset', now() + interval '1 minute', null),
    ('token: used and live', 'email_verification', now() + interval '1 minute', now()), ('token: used and expired', 'email_verification', now() - interval '1 second', now()),
    ('token: of an open invitation', 'invitation', now() + interval '1 minute', null)
) as tokens (name, purpose, expires_at, used_at);
insert into crm_private.messages (id, kind, recipient, secret, expires_at, finished_at)
select md5(name)::uuid, 'password_reset', 'x@example.com', secret, expires_at, finished_at
from (values
    ('message: expired', 'x', now() - interval '1 second', null::timestamptz), ('message: waiting', 'x', now() + interval '1 minute', null),
    ('message: finished', null, now() + interval '1 minute', now()), ('message: finished and expired', null, now() - interval '1 second', now())
) as messages (name, secret, expires_at, finished_at);
insert into crm_private.oauth_flows (state_hash, id, provider, redirect_uri, code_challenge, status, expires_at)
select name::bytea, md5(name)::uuid, 'github', 'https://app.example', 'x', status, expires_at
from (values
    ('sign-in: expired', 'started', now() - interval '1 second'), ('sign-in: under way', 'started', now() + interval '1 minute'),
    ('sign-in: finished', 'finished', now() + interval '1 minute'), ('sign-in: finished and expired', 'finished', now() - interval '1 second')
) as flows (name, status, expires_at);
insert into crm_private.signing_keys (kid, alg, public_jwk, private_key, active_from, retired_at, expires_at)
values ('key: expired', 'RS256', '{}', null, now() - interval '2 days', now() - interval '1 day', now() - interval '1 second'),
    ('key: expired, too', 'RS256', '{}', null, now() - interval '2 days', now() - interval '1 day', now() - interval '1 second'),
    ('key: retired', 'RS256', '{}', 'private', now() - interval '2 days', now() - interval '1 second', now() + interval '1 hour'),
    ('key: soon retired', 'RS256', '{}', 'private', now() - interval '2 days', now() + interval '1 hour', now() + interval '2 hours');
insert into crm_private.login_failures
select 'account', name::bytea, 5, started
from (values ('failures: over', now() - interval '15 minutes 1 second'), ('failures: counting', now() - interval '14 minutes')) as failures (name, started);
insert into crm_private.usage_deltas (org_id, resource, delta) values (:'acme', 'contacts', 2), (:'acme', 'contacts', 3);
insert into crm_private.api_keys (id, org_id, name, prefix, hash, scopes, expires_at, revoked_at)
values (md5('api key')::uuid, :'acme', 'api key', 'crmo_expired1', 'x', '{*.*}', now() - interval '1 year', now() - interval '1 year');

create function tests.there() returns setof text language sql volatile as $$
    select name from unnest('{session: expired a week ago,session: expired almost a week ago,session: live,session: ended just now,session: ended and expired a week ago}'::text[]) as name
    where exists (select from crm_private.sessions where id = md5(name)::uuid)
    union all select convert_from(hash, 'utf8') from crm_private.refresh_tokens
    union all select name from unnest('{invitation: expired,invitation: open,invitation: expired and revoked}'::text[]) as name
    where exists (select from crm_private.invitations where id = md5(name)::uuid)
    union all select convert_from(hash, 'utf8') from crm_private.one_time_tokens
    union all select name from unnest('{message: expired,message: waiting,message: finished,message: finished and expired}'::text[]) as name
    where exists (select from crm_private.messages where id = md5(name)::uuid)
    union all select convert_from(state_hash, 'utf8') from crm_private.oauth_flows
    union all select kid from crm_private.signing_keys where kid like 'key: %'
    union all select convert_from(subject, 'utf8') from crm_private.login_failures
    union all select name from crm_private.api_keys
$$;
create table tests.before as select * from tests.there() as name;
select is((select count(*) from tests.before), 32::bigint, 'there are thirty-two rows');
create table tests.rest as
select (select count(*) from crm.users) as users, (select count(*) from crm.organizations) as organizations, (select count(*) from crm.memberships) as memberships,
    (select count(*) from crm_private.passwords) as passwords, (select count(*) from crm_private.settings) as settings;

-- One of each kind at a time
savepoint before;
select tests.become_role('crm_worker');
select crm.clear_expired(1) as first \gset
select is(
    value, '1', 'one of the ' || key || ' goes when one is asked for') from jsonb_each_text(:'first'::jsonb) where key not in ('refresh_tokens',
    'login_failures'
);
select crm.clear_expired(1) as second \gset
select is(value, '1', 'then the next of the ' || key) from jsonb_each_text(:'second'::jsonb) where key not in ('refresh_tokens', 'login_failures');
select crm.clear_expired(1) as third \gset
select is(value, '0', 'then none of the ' || key || ' is left') from jsonb_each_text(:'third'::jsonb);
rollback to before;

-- All at once
select tests.become_role('crm_worker');
select crm.clear_expired() as cleared \gset
select is(
    :'cleared'::jsonb,
    '{"sessions": 2, "refresh_tokens": 1, "invitations": 2, "one_time_tokens": 2, "messages": 2, "oauth_flows": 2, "signing_keys": 2, "login_failures": 1, "usage_deltas": 2}',
    'the worker is told how many of each kind have gone'
);
select is((select sum(value::int) from jsonb_each_text(crm.clear_expired())), 0::bigint, 'the second time there is nothing to clear away');
select tests.nobody();
select is((select current from crm_private.usage where org_id = :'acme' and resource = 'contacts'), 5::bigint, 'what was noted of usage is added up');
select bag_eq(
    'select name from tests.before except select tests.there()',
    $$values ('session: expired a week ago'), ('session: ended and expired a week ago'), ('refresh token: used a week ago'), ('refresh token: of a session that goes'),
        ('invitation: expired'), ('invitation: expired and revoked'), ('token: expired'), ('token: used and expired'),
        ('message: expired'), ('message: finished and expired'), ('sign-in: expired'), ('sign-in: finished and expired'),
        ('key: expired'), ('key: expired, too'), ('failures: over')$$,
    'what has expired is gone, and nothing else'
);
select is(
    (select array_agg(kid order by kid) from crm_private.signing_keys where private_key is not null and kid like 'key: %'), '{key: soon retired}',
    'a key that signs no more has forgotten how to'
);
select is(
    (select count(*) from crm_private.signing_keys where retired_at is null and private_key is not null), 1::bigint,
    'the one that signs has not'
);
select results_eq(
    $$select (select count(*) from crm.users), (select count(*) from crm.organizations), (select count(*) from crm.memberships),
        (select count(*) from crm_private.passwords), (select count(*) from crm_private.settings)$$,
    'select * from tests.rest', 'people, organizations, memberships, passwords and settings are as they were'
);
select is(crm.login('ann@example.com', 'password of ann') ? 'access_token', true, 'and ann logs in');
select tests.become_role('crm_admin');
select is(tests.outcome('select crm.clear_expired()'), '1 rows', 'the DBA may clear away as well');
select tests.nobody();
update crm_private.settings set refresh_token_ttl = '1 day', login_failures_window = '1 minute';
select is(
    (crm.clear_expired() - 'signing_keys')::text,
    '{"messages": 0, "sessions": 0, "invitations": 0, "oauth_flows": 0, "usage_deltas": 0, "login_failures": 1, "refresh_tokens": 1, "one_time_tokens": 0}',
    'what the settings shorten has expired sooner'
);

select * from finish();
rollback;
