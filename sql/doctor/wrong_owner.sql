-- What a superuser owns acts as a superuser: views, the functions of triggers, defaults. And forced row level security, dumps
-- and the DBA's rights all count on crm_owner owning the tables and crm_definer the functions.
select
    case when owned.is_code or r.rolsuper or r.rolcanlogin then 'error' else 'warning' end as severity,
    owned.object,
    pg_catalog.format('belongs to %I%s, not to %s', r.rolname, case when r.rolsuper then ', a superuser' else '' end, owned.wanted) as problem,
    pg_catalog.format('alter %s %s owner to %s', owned.kind, owned.object, owned.wanted) as fix
from (
    select
        pg_catalog.format('%s', c.oid::pg_catalog.regclass),
        case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end,
        c.relowner, 'crm_owner', false
    from pg_catalog.pg_class as c
    where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
        and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select pg_catalog.format('%s', p.oid::pg_catalog.regprocedure), 'routine', p.proowner, 'crm_definer', true
    from pg_catalog.pg_extension as e
    join pg_catalog.pg_depend as d on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid and d.deptype = 'e'
    join pg_catalog.pg_proc as p on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
    where e.extname = 'crm_ext'
    union all
    select pg_catalog.quote_ident(n.nspname), 'schema', n.nspowner, 'crm_owner', true
    from pg_catalog.pg_namespace as n
    where n.nspname in ('crm', 'crm_private')
    union all
    select pg_catalog.format('%s', t.oid::pg_catalog.regtype), 'type', t.typowner, 'crm_owner', false
    from pg_catalog.pg_type as t
    where t.typnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
        -- Neither a table's own type, nor an array, which go with what they are of.
        and t.typtype in ('d', 'e', 'r')
) as owned (object, kind, owner, wanted, is_code)
join pg_catalog.pg_roles as r on r.oid = owned.owner
where r.rolname <> owned.wanted
