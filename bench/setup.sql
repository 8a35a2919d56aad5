-- Each statement many times in one transaction: by the owner with a hand-written WHERE (superuser, so past row level security), and by
-- crm_app under the policy. Then a whole read transaction shaped like PostgREST's, with and without all of it.
\set ON_ERROR_STOP 1
set client_min_messages = warning;

select id as org_id from crm.organizations where slug = 'bench-1' \gset
select id as contact_id from crm.contacts where org_id = :'org_id' order by created_at limit 1 offset 1000 \gset
select crm.login('user1@bench.example', 'correct horse battery') ->> 'access_token' as token \gset
select set_config('bench.org_id', :'org_id', false), set_config('bench.contact_id', :'contact_id', false), set_config('bench.token', :'token', false) \g /dev/null

create temp table timings (ordinal int generated always as identity, what text, variant text, microseconds numeric);
grant insert on timings to crm_app;

-- Runs a statement n times and notes what one run took.
create function pg_temp.measure(what text, variant text, n int, statement text) returns void language plpgsql as $$
declare
    started timestamptz := clock_timestamp();
    elapsed interval;
begin
    begin
        execute format('do $body$ begin for i in 1..%s loop %s; end loop; end $body$', n, statement);
        elapsed := clock_timestamp() - started;
        raise exception using errcode = 'BENCH'; -- what was written is undone, what was measured is not
    exception when sqlstate 'BENCH' then null;
    end;
    insert into timings (what, variant, microseconds) values (what, variant, extract(epoch from elapsed) * 1000000 / n);
end
$$;

-- Reading and writing in rounds of their own: rolled-back rows stay dead at the newest end of the index, where the page begins.
create function pg_temp.round(kind text, variant text, condition text) returns void language plpgsql as $$
declare
    org text := quote_literal(current_setting('bench.org_id')) || '::uuid';
    id text := quote_literal(current_setting('bench.contact_id')) || '::uuid';
    filter text := case condition when '' then 'true' else 'org_id = ' || org end;
begin
    if kind = 'write' then
        perform pg_temp.measure('insert 1', variant, 1000, format('insert into crm.contacts (org_id, last_name) values (%s, ''x'')', org));
        perform pg_temp.measure('insert 10k', variant, 1, format('insert into crm.contacts (org_id, last_name) select %s, ''x'' from generate_series(1, 10000)', org));
        perform pg_temp.measure('update by id', variant, 1000, 'update crm.contacts set title = ''t'' where ' || filter || ' and id = ' || id);
        return;
    end if;
    perform pg_temp.measure('newest 50', variant, 500, 'perform * from crm.contacts where ' || filter || ' order by created_at desc, id desc limit 50');
    perform pg_temp.measure('by id', variant, 3000, 'perform * from crm.contacts where ' || filter || ' and id = ' || id);
    perform pg_temp.measure('by e-mail', variant, 3000, 'perform * from crm.contacts where ' || filter || ' and email = ''p1@bench.example''');
    perform pg_temp.measure('count', variant, 3, 'perform count(*) from crm.contacts where ' || filter);
end
$$;
grant execute on all functions in schema pg_temp to public;

-- An empty SQL call, with what every function of the CRM has.
create function pg_temp.empty() returns uuid language sql stable set search_path = pg_catalog, pg_temp as 'select null::uuid';

-- What PostgREST sends before the query, and the query.
create procedure pg_temp.requests(variant text, n int) language plpgsql as $$
declare
    started timestamptz := clock_timestamp();
    headers text := json_build_object('authorization', 'Bearer ' || current_setting('bench.token'))::text;
    claims text := convert_from(decode(rpad(translate(split_part(current_setting('bench.token'), '.', 2), '-_', '+/'),
        4 * ceil(length(split_part(current_setting('bench.token'), '.', 2)) / 4.0)::int, '='), 'base64'), 'UTF8');
    org uuid := current_setting('bench.org_id');
    contact uuid := current_setting('bench.contact_id');
begin
    for i in 1..n loop
        perform set_config('search_path', 'crm, pg_temp', true), set_config('request.headers', headers, true), set_config('request.jwt.claims', claims, true),
            set_config('role', case variant when 'crm_app' then 'crm_app' else 'none' end, true);
        if variant = 'crm_app' then
            perform crm.pre_request();
            perform * from crm.contacts where id = contact;
        else
            perform * from crm.contacts where id = contact and org_id = org;
        end if;
        commit;
    end loop;
    insert into timings (what, variant, microseconds) values ('request by id', variant, extract(epoch from clock_timestamp() - started) * 1000000 / n);
end
$$;
