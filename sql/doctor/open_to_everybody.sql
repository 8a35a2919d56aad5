-- PUBLIC is every role of the cluster; crm_anon is everybody on the network. Tables that are enrolled: enrollment.
select
    'error' as severity,
    opened.object,
    pg_catalog.format('%s may %s', case opened.grantee when 0 then 'PUBLIC' else r.rolname end, pg_catalog.lower(opened.privilege)) as problem,
    pg_catalog.format('revoke all on %s %s from %s', opened.kind, opened.object, case opened.grantee when 0 then 'public' else r.rolname end) as fix
from (
    select case c.relkind when 'S' then 'sequence' else 'table' end, pg_catalog.format('%s', c.oid::pg_catalog.regclass), a.grantee, a.privilege_type
    from pg_catalog.pg_class as c
    cross join lateral pg_catalog.aclexplode(c.relacl) as a
    where (c.relnamespace = pg_catalog.to_regnamespace('crm') and c.relkind not in ('r', 'p'))
        or c.relnamespace = pg_catalog.to_regnamespace('crm_private')
    union all
    select 'table', pg_catalog.format('%s', c.oid::pg_catalog.regclass), a.grantee, pg_catalog.format('%s(%I)', a.privilege_type, t.attname)
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as t on t.attrelid = c.oid and not t.attisdropped
    cross join lateral pg_catalog.aclexplode(t.attacl) as a
    where (c.relnamespace = pg_catalog.to_regnamespace('crm') and c.relkind not in ('r', 'p'))
        or c.relnamespace = pg_catalog.to_regnamespace('crm_private')
    union all
    select 'schema', pg_catalog.quote_ident(n.nspname), a.grantee, a.privilege_type
    from pg_catalog.pg_namespace as n
    cross join lateral pg_catalog.aclexplode(n.nspacl) as a
    where (n.nspname = 'crm' and a.grantee = 0) or n.nspname = 'crm_private'
) as opened (kind, object, grantee, privilege)
left join pg_catalog.pg_roles as r on r.oid = opened.grantee
where opened.grantee = 0 or r.rolname = 'crm_anon'
