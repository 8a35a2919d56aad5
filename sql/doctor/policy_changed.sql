-- Policies keep organizations apart: one that is gone, or says something else than the library's, opens a table or closes it; so
-- does one more that is permissive, for they are OR-ed. Those that crm.enroll makes: enrollment.
with wanted as (
    select pg_catalog.to_regclass(w.relation) as oid, w.relation, w.name, w.says, w.statement
    from pg_catalog.jsonb_to_recordset($1 -> 'policies') as w (relation text, name text, says jsonb, statement text)
),
-- A partition is read by its own policies where it is read by its own name.
own as (
    select t.oid
    from pg_catalog.jsonb_array_elements_text($1 -> 'tables') as name
    cross join lateral (
        select pg_catalog.to_regclass(name)::oid
        union all
        select i.inhrelid from pg_catalog.pg_inherits as i where i.inhparent = pg_catalog.to_regclass(name)
    ) as t (oid)
    where not pg_catalog.jsonb_exists($1 -> 'enrollments', name)
)
select 'error' as severity, wanted.relation as object, pg_catalog.format('policy %I is missing', wanted.name) as problem,
    wanted.statement as fix
from wanted
where wanted.oid is not null
    and not exists (select from pg_catalog.pg_policy as p where p.polrelid = wanted.oid and p.polname = wanted.name)
union all
select 'error', wanted.relation, pg_catalog.format('policy %I was changed', wanted.name),
    pg_catalog.format('drop policy %I on %s; %s', wanted.name, wanted.relation, wanted.statement)
from wanted
join pg_catalog.pg_policy as p on p.polrelid = wanted.oid and p.polname = wanted.name
-- Not known of one whose table has not its columns.
where wanted.says <> pg_catalog.jsonb_build_object(
        'permissive', p.polpermissive, 'command', p.polcmd::text,
        'roles', (
            select pg_catalog.jsonb_agg(named.role order by named.role collate "C")
            from pg_catalog.unnest(p.polroles) as r (oid)
            cross join lateral (values (case r.oid when 0 then 'public' else pg_catalog.pg_get_userbyid(r.oid)::text end)) as named (role)
        ),
        'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    )
union all
select 'error', pg_catalog.format('%s', p.polrelid::pg_catalog.regclass),
    pg_catalog.format('policy %I lets in more than the table''s own: drop it, or make it restrictive', p.polname),
    pg_catalog.format('drop policy %I on %s', p.polname, p.polrelid::pg_catalog.regclass)
from own
join pg_catalog.pg_policy as p on p.polrelid = own.oid
where p.polpermissive
    and not exists (select from wanted where wanted.oid = p.polrelid and wanted.name = p.polname)
    and (0 = any (p.polroles) or exists (
        select
        from pg_catalog.pg_roles as r
        where r.oid = any (p.polroles) and r.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker')
    ))
