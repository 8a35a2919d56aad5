-- A role with a right and no policy sees nothing, yet its queries read the whole table: the right is a mistake.
select
    'warning' as severity,
    pg_catalog.format('%s', c.oid::pg_catalog.regclass) as object,
    pg_catalog.format('%I may %s, but no policy lets it', r.rolname, pg_catalog.lower(a.privilege_type)) as problem,
    pg_catalog.format('revoke %s on %s from %I', pg_catalog.lower(a.privilege_type), c.oid::pg_catalog.regclass, r.rolname) as fix
from pg_catalog.pg_class as c
cross join lateral pg_catalog.aclexplode(c.relacl) as a
join pg_catalog.pg_roles as r on r.oid = a.grantee
where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and c.relkind in ('r', 'p')
    and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    and r.oid <> c.relowner
    and not r.rolbypassrls
    -- Of others, right_of_a_stranger tells.
    and r.rolname like 'crm\_%' and r.rolname <> 'crm_backup'
    and not exists (
        select
        from pg_catalog.pg_policy as p
        where p.polrelid = c.oid
            and p.polpermissive
            and p.polcmd in ('*', case a.privilege_type when 'SELECT' then 'r' when 'INSERT' then 'a' when 'UPDATE' then 'w' else 'd' end)
            and r.oid = any (p.polroles)
    )
