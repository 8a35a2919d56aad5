-- Default privileges, or a GRANT in a hurry: a role that is not the CRM's has no policy today, and perhaps one tomorrow. What it
-- may execute, it executes.
select
    'warning' as severity,
    granted.object,
    pg_catalog.format('%I may %s', r.rolname, pg_catalog.string_agg(pg_catalog.lower(granted.privilege), ', ' order by granted.privilege)) as problem,
    pg_catalog.format('revoke all on %s %s from %I', granted.kind, granted.object, r.rolname) as fix
from (
    select case c.relkind when 'S' then 'sequence' else 'table' end, pg_catalog.format('%s', c.oid::pg_catalog.regclass), c.relowner, a.grantee, a.privilege_type
    from pg_catalog.pg_class as c
    cross join lateral pg_catalog.aclexplode(c.relacl) as a
    where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    union all
    select 'table', pg_catalog.format('%s', c.oid::pg_catalog.regclass), c.relowner, a.grantee, pg_catalog.format('%s(%I)', a.privilege_type, t.attname)
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as t on t.attrelid = c.oid and not t.attisdropped
    cross join lateral pg_catalog.aclexplode(t.attacl) as a
    where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    union all
    select 'routine', pg_catalog.format('%s', p.oid::pg_catalog.regprocedure), p.proowner, a.grantee, a.privilege_type
    from pg_catalog.pg_proc as p
    cross join lateral pg_catalog.aclexplode(p.proacl) as a
    where p.pronamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    union all
    select 'schema', pg_catalog.quote_ident(n.nspname), n.nspowner, a.grantee, a.privilege_type
    from pg_catalog.pg_namespace as n
    cross join lateral pg_catalog.aclexplode(n.nspacl) as a
    where n.nspname in ('crm', 'crm_private')
) as granted (kind, object, owner, grantee, privilege)
join pg_catalog.pg_roles as r on r.oid = granted.grantee and r.oid <> granted.owner
where r.rolname not in (
    'crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker', 'crm_admin', 'crm_owner', 'crm_definer', 'crm_backup'
)
group by granted.kind, granted.object, r.rolname
