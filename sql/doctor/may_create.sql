-- Who may create in a schema puts functions, operators and tables there that others' queries find in place of what they mean.
select
    case when r.rolname like 'crm\_%' then 'error' else 'warning' end as severity,
    opened.object,
    pg_catalog.format('%s may create in it', case opened.grantee when 0 then 'PUBLIC' else r.rolname end) as problem,
    pg_catalog.format('revoke create on %s %s from %s', opened.kind, opened.object, case opened.grantee when 0 then 'public' else r.rolname end) as fix
from (
    select 'schema', pg_catalog.quote_ident(n.nspname), a.grantee, a.privilege_type
    from pg_catalog.pg_namespace as n
    cross join lateral pg_catalog.aclexplode(n.nspacl) as a
    -- Those of the CRM: open_to_everybody, as far as PUBLIC is concerned.
    where n.nspname !~ '^pg_(toast_)?temp' and not (n.nspname in ('crm', 'crm_private') and a.grantee = 0)
    union all
    select 'database', pg_catalog.quote_ident(d.datname), a.grantee, a.privilege_type
    from pg_catalog.pg_database as d
    cross join lateral pg_catalog.aclexplode(d.datacl) as a
    where d.datname = pg_catalog.current_database()
) as opened (kind, object, grantee, privilege)
left join pg_catalog.pg_roles as r on r.oid = opened.grantee
where opened.privilege = 'CREATE'
    and (opened.grantee = 0 or r.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker'))
