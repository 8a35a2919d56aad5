-- A role with a right and no policy sees nothing, yet its queries read the whole table: the right is a mistake.
select
    'right_without_policy' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    format('%s may %s, but no policy lets it', r.rolname, lower(a.privilege_type)) as detail,
    format('revoke %s on %s from %I, or enroll the table', lower(a.privilege_type), c.oid::regclass, r.rolname) as remediation
from pg_class as c
cross join lateral aclexplode(c.relacl) as a
join pg_roles as r on r.oid = a.grantee
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and c.relkind in ('r', 'p')
    and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    and r.oid <> c.relowner
    and not r.rolbypassrls
    and not exists (
        select
        from pg_policy as p
        where p.polrelid = c.oid
            and p.polpermissive
            and p.polcmd in ('*', case a.privilege_type when 'SELECT' then 'r' when 'INSERT' then 'a' when 'UPDATE' then 'w' else 'd' end)
            and r.oid = any (p.polroles)
    );
