-- Such a function finds what the caller, or whoever may create in a schema of the path, has put in its way; and one that runs
-- with its owner's rights then hands these over.
with api as (
    select oid from pg_catalog.pg_roles where rolname in ('crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker')
)
select
    case when member.yes or n.nspname in ('crm', 'crm_private') then 'error' else 'warning' end as severity,
    pg_catalog.format('%s', p.oid::pg_catalog.regprocedure) as object,
    case when member.yes then 'is the CRM''s, and has another search path' else 'runs with its owner''s rights, with any search path' end as problem,
    pg_catalog.format('alter routine %s set search_path = pg_catalog, pg_temp', p.oid::pg_catalog.regprocedure) as fix
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
cross join lateral (
    select exists (
        select
        from pg_catalog.pg_depend as d
        join pg_catalog.pg_extension as e on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
        where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e' and e.extname = 'crm_ext'
    ) as yes
) as member
where n.nspname !~ '^pg_'
    and case
        when member.yes then not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
        else p.prosecdef
            and not exists (select from pg_catalog.unnest(p.proconfig) as one (setting) where one.setting like 'search\_path=%')
            and (n.nspname in ('crm', 'crm_private') or exists (
                select
                from api
                where pg_catalog.has_schema_privilege(api.oid, n.oid, 'usage') and pg_catalog.has_function_privilege(api.oid, p.oid, 'execute')
            ))
    end
