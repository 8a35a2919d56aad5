-- A table of which nothing is known yet is planned as a large one: what looks for a row by its key, and keeps the plan, is as fast when an
-- import has filled the table.

begin;
\ir actors.psql
select no_plan();
set local client_min_messages = error;
set local plan_cache_mode = force_generic_plan;
set local max_parallel_workers_per_gather = 0;

-- As if nobody had ever analyzed them.
truncate crm.organizations cascade;
create function tests.rows_of(target text) returns numeric language plpgsql as $$
declare
    plan json;
begin
    execute 'explain (format json) select from ' || target into plan;
    return plan #>> '{0,Plan,Plan Rows}';
end
$$;
create table tests.keyed as
select c.conrelid::regclass as target, c.conname as key
from pg_constraint as c
where c.contype = 'p' and c.connamespace = 'crm'::regnamespace and pg_get_constraintdef(c.oid) = 'PRIMARY KEY (org_id, id)';
select cmp_ok((select count(*) from tests.keyed), '>=', 30::bigint, 'there are many tables');
select is((select count(*) from tests.keyed join pg_class as c on c.oid = target where c.reltuples > 0), 0::bigint, 'of which nothing is known');
create function tests.finds(target regclass, suffix text) returns text language plpgsql as $$
begin
    execute format('prepare looked as select 1 from only %s where org_id = $1 and id = $2 %s', target, suffix);
    return tests.explain('execute looked(gen_random_uuid(), gen_random_uuid())');
end
$$;
create function tests.by_key(one tests.keyed, suffix text) returns text language plpgsql as $$
declare
    plan constant text := tests.finds(one.target, suffix);
begin
    execute 'deallocate looked';
    return matches(plan, format('(Scan|Scan Backward) using %s on', one.key), format('%s is found by its key%s', one.target, suffix));
end
$$;
select tests.by_key(one, suffix) from tests.keyed as one, unnest(array['', ' for key share']) as suffix;

-- Where row level security is not forced, it is PostgreSQL's to say.
create table tests.other (org_id uuid, id uuid, primary key (org_id, id));
create table tests.forced (like tests.other including all);
alter table tests.forced enable row level security, force row level security;
select ok(
    (tests.rows_of('tests.forced') > 10000) and (tests.rows_of('tests.other') < 10000), 'other tables are planned as ever'
);

select * from finish();
rollback;
