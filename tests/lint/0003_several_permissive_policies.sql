-- Permissive policies are OR-ed: the second one opens what the first closes, and no index fits both.
select
    'several_permissive_policies' as name,
    'ERROR' as level,
    p.polrelid::regclass::text as object,
    format('%s for %s: %s', command.name, coalesce(r.rolname, 'public'), string_agg(p.polname, ', ' order by p.polname)) as detail,
    'Make it one policy, or the others restrictive.' as remediation
from pg_policy as p
join pg_class as c on c.oid = p.polrelid
cross join lateral (
    values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete')
) as command (code, name)
-- A policy for PUBLIC (0) is one for each role that has another.
cross join lateral (
    select distinct role
    from pg_policy as other
    cross join lateral unnest(other.polroles) as role
    where other.polrelid = p.polrelid
) as grantee
left join pg_roles as r on r.oid = grantee.role
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and p.polpermissive
    and p.polcmd in ('*', command.code)
    and (grantee.role = any (p.polroles) or 0 = any (p.polroles))
group by p.polrelid, command.name, grantee.role, r.rolname
having count(*) > 1;
