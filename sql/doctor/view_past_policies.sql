-- A view without security_invoker asks the policies about its owner; a materialized one has asked them long ago.
select distinct
    'error' as severity,
    pg_catalog.format('%s', v.oid::pg_catalog.regclass) as object,
    case v.relkind
        when 'm' then 'a materialized view: who may read it reads what its owner could'
        else 'a view without security_invoker: who may read it reads what its owner may'
    end as problem,
    case v.relkind
        when 'm' then pg_catalog.format('revoke all on %s from public, crm_anon, crm_app, crm_multi, crm_service', v.oid::pg_catalog.regclass)
        else pg_catalog.format('alter view %s set (security_invoker = on)', v.oid::pg_catalog.regclass)
    end as fix
from pg_catalog.pg_class as v
join pg_catalog.pg_namespace as n on n.oid = v.relnamespace
where (
        v.relkind = 'm'
        or (v.relkind = 'v' and not coalesce(v.reloptions && '{security_invoker=on,security_invoker=true,security_invoker=1,security_invoker=yes}', false))
    )
    and (n.nspname in ('crm', 'crm_private') or (
        -- Elsewhere: over tables of the CRM, where API roles can read it.
        exists (
            select
            from pg_catalog.pg_rewrite as w
            join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = w.oid
            join pg_catalog.pg_class as t on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = t.oid
            where w.ev_class = v.oid and t.oid <> v.oid
                and t.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
        )
        and exists (
            select
            from pg_catalog.pg_roles as r
            where r.rolname in ('crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker')
                and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
                and pg_catalog.has_any_column_privilege(r.oid, v.oid, 'select')
        )
    ))
