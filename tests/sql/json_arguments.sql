-- What a jsonb can hold and serde does not take, nesting and numbers, is refused as any other bad argument, by every function that takes one.

begin;
\ir actors.psql
select no_plan();

create table tests.json_functions as
select p.oid, p.oid::regprocedure::text as name
from pg_proc as p
where p.pronamespace = 'crm'::regnamespace and p.proargtypes::oid[] && '{json,jsonb}'::regtype[]::oid[] and p.prokind = 'f'
    and exists (
        select from unnest('{crm_anon,crm_app,crm_multi,crm_worker,crm_service,crm_admin}'::text[]) as role
        where has_function_privilege(role, p.oid, 'execute')
    );
select ok(count(*) >= 6, 'there are some') from tests.json_functions;

create function tests.call(called oid, json text) returns text language plpgsql as $$
declare
    arguments text := (
        select string_agg(case when type in ('json'::regtype, 'jsonb'::regtype) then format('%L', json) else 'null' end || '::' || type::regtype, ', ' order by at)
        from pg_proc as p cross join unnest(p.proargtypes::oid[]) with ordinality as a (type, at) where p.oid = called
    );
begin
    execute format('select %s(%s)', called::regproc, arguments);
    return 'taken';
exception when others then
    return sqlstate;
end
$$;
select isnt(tests.call(f.oid, json), 'XX000', format('%s of %s', f.name, kind))
from tests.json_functions as f
cross join (values
    ('what is nested deeply', repeat('{"a":', 130) || '1' || repeat('}', 130)), ('a list of lists', repeat('[', 1000) || repeat(']', 1000)), ('a great number', '{"a": 1e400}')
) as cases (kind, json);

select * from finish();
rollback;
