-- A security definer function lends its owner's power to whoever calls it, and to the triggers of the tables it writes to: with
-- a superuser's, a table's lesser owner becomes a superuser by three statements.
with api as (
    select oid from pg_catalog.pg_roles where rolname in ('crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker')
)
select
    case when found.is_ours then 'error' else 'warning' end as severity,
    found.signature as object,
    pg_catalog.format('runs with the rights of %I, who %s, and %s', found.owner, found.power, found.reach) as problem,
    pg_catalog.format('alter routine %s security invoker', found.signature) as fix
from (
    select
        pg_catalog.format('%s', p.oid::pg_catalog.regprocedure) as signature,
        r.rolname as owner,
        case when r.rolsuper then 'is a superuser' when r.rolbypassrls then 'bypasses row level security' else 'may create roles' end as power,
        p.pronamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
            or on_our_tables.yes as is_ours,
        case when on_our_tables.yes then 'is called by a trigger of the CRM''s tables' else 'API roles may call it' end as reach
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_roles as r on r.oid = p.proowner
    cross join lateral (
        select exists (
            select
            from pg_catalog.pg_trigger as t
            join pg_catalog.pg_class as c on c.oid = t.tgrelid
            where t.tgfoid = p.oid and not t.tgisinternal
                and c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
        ) as yes
    ) as on_our_tables
    where p.prosecdef
        and (r.rolsuper or r.rolbypassrls or r.rolcreaterole)
        and p.provolatile = 'v'
        -- Of the CRM's own, wrong_owner tells.
        and not exists (
            select
            from pg_catalog.pg_depend as d
            join pg_catalog.pg_extension as e on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
            where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e' and e.extname = 'crm_ext'
        )
        and (on_our_tables.yes or exists (
            select
            from api
            where pg_catalog.has_schema_privilege(api.oid, p.pronamespace, 'usage') and pg_catalog.has_function_privilege(api.oid, p.oid, 'execute')
        ))
) as found
