-- Permissive policies are OR-ed: the second one opens what the first closes, and no index fits both.
select
    'warning' as severity,
    pg_catalog.format('%s', p.polrelid::pg_catalog.regclass) as object,
    pg_catalog.format('%s for %s: %s', command.name, coalesce(r.rolname, 'public'), pg_catalog.string_agg(p.polname, ', ' order by p.polname)) as problem,
    'Make it one policy, or the others restrictive.' as fix
from pg_catalog.pg_policy as p
join pg_catalog.pg_class as c on c.oid = p.polrelid
cross join lateral (
    values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')
) as command (code, name)
-- A policy for PUBLIC (0) is one for each role that has another.
cross join lateral (
    select distinct role
    from pg_catalog.pg_policy as other
    cross join lateral pg_catalog.unnest(other.polroles) as role
    where other.polrelid = p.polrelid
) as grantee
left join pg_catalog.pg_roles as r on r.oid = grantee.role
where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and p.polpermissive
    and p.polcmd in ('*', command.code)
    and (grantee.role = any (p.polroles) or 0 = any (p.polroles))
group by p.polrelid, command.name, grantee.role, r.rolname
having pg_catalog.count(*) > 1
