-- crm.health: what it says to whom, and that it answers however broken the installation is.

begin;
\ir patient.psql
select no_plan();

create function tests.health_of(role text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return crm.health() ->> 'status';
end
$$;
select is(tests.health_of(role), 'ok', role || ' is told')
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_admin}'::text[]) as role;
select tests.nobody();
select tests.become_role('crm_anon');
select is(current_user, 'crm_anon', 'this is anybody');
select is(
    crm.health() - 'time',
    jsonb_build_object('status', 'ok', 'version', crm.health() ->> 'version', 'schema_version', crm.health() ->> 'version',
        'checks', '{"schema": "ok", "keys": "ok", "delivery": "ok", "writable": true, "shared_memory": "not preloaded"}'::jsonb),
    'anybody is told this, and nothing else'
);
select ok(abs(extract(epoch from clock_timestamp() - (crm.health() ->> 'time')::timestamptz)) < 5, 'and the time');
select is(current_setting('response.headers', true)::jsonb, '[{"Cache-Control": "no-store"}]', 'nobody keeps the answer');
select is(coalesce(current_setting('response.status', true), ''), '', 'the HTTP status is 200');
select tests.nobody();
create function tests.asks(role text) returns text language plpgsql as $$
begin
    perform set_config('role', role, true);
    return tests.outcome('select crm.health()');
end
$$;
select is(tests.asks('crm_backup'), '42501 permission denied for function health', 'who has no need to is not told');
select tests.nobody();

-- What it says once these statements have run, and the HTTP status.
create function tests.health_after(broken text, out said text, out status text) language plpgsql as $$
begin
    execute broken;
    perform tests.become_role('crm_anon');
    select concat_ws(' ', h ->> 'status', h #>> '{checks,schema}', h #>> '{checks,keys}', h #>> '{checks,writable}') into said from crm.health() as h;
    status := coalesce(nullif(current_setting('response.status', true), ''), '200');
    raise exception using errcode = 'UNDO1';
exception
    when sqlstate 'UNDO1' then
        null;
end
$$;
select is((a).said || ' ' || (a).status, wanted, sentence)
from (
    values
        ('select', 'ok ok ok true 200', 'all is well'),
        ('set local default_transaction_read_only = on', 'degraded ok ok false 200', 'a server that only reads is degraded'),
        ('update crm_private.schema_version set version = ''0.0.1''', 'failing behind ok true 503', 'tables of an earlier version fail'),
        ('update crm_private.schema_version set version = ''99.0.0''', 'failing ahead ok true 503', 'so do those of a later one'),
        ('update crm_private.schema_version set version = ''none''', 'failing behind ok true 503', 'and of one that is no version'),
        ('delete from crm_private.schema_version', 'failing missing ok true 503', 'and of none'),
        ('drop table crm_private.schema_version', 'failing missing ok true 503', 'the version''s table is gone'),
        ('alter table crm_private.schema_version rename version to name', 'failing missing ok true 503', 'or is another'),
        ('revoke all on crm_private.schema_version from crm_definer', 'failing missing ok true 503', 'or cannot be read'),
        ('delete from crm_private.signing_keys', 'failing ok missing true 503', 'no key signs'),
        ('update crm_private.signing_keys set private_key = null, retired_at = now() + interval ''1 hour'', expires_at = now() + interval ''1 day''',
            'failing ok missing true 503', 'nor does one without its private half'),
        ('drop table crm_private.signing_keys', 'failing ok missing true 503', 'the keys'' table is gone'),
        ('do $d$ declare r regclass; begin
            for r in select oid from pg_class where relnamespace in (''crm''::regnamespace, ''crm_private''::regnamespace) and relkind = ''r'' loop execute format(''drop table if exists %s cascade'', r); end loop; end $d$',
            'failing missing missing true 503', 'every table is gone')
) as cases (broken, wanted, sentence)
cross join lateral (select tests.health_after(broken) as a) as answer;

-- It ends nothing: the transaction goes on, in the role and with what it wrote.
create temp table written as select 1 as one;
alter table crm_private.schema_version rename to gone;
select tests.become_role('crm_anon');
select is(crm.health() ->> 'status', 'failing', 'after a look that failed');
select is(current_user, 'crm_anon', 'the role is the same');
select tests.nobody();
select is((select count(*) from written), 1::bigint, 'and what was written is there');

select finish();
rollback;
