-- PostgreSQL gives EXECUTE to everybody unless told otherwise: to every role of the cluster and, in an exposed schema, to
-- everybody on the network.
select
    case when n.nspname in ('crm', 'crm_private') then 'error' else 'warning' end as severity,
    pg_catalog.format('%s', p.oid::pg_catalog.regprocedure) as object,
    case when p.prosecdef then 'everybody may execute it, with the rights of its owner' else 'everybody may execute it' end as problem,
    pg_catalog.format('revoke all on routine %s from public', p.oid::pg_catalog.regprocedure) as fix
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where (
        n.nspname in ('crm', 'crm_private')
        or (p.prosecdef and n.nspname !~ '^pg_' and exists (
            select
            from pg_catalog.pg_roles as r
            where r.rolname in ('crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker') and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
        ))
    )
    and exists (
        select
        from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as a
        where a.grantee = 0
    )
