-- PostgREST calls these before anything else. Without the one it knows no keys, without the other every request is refused.
select
    'error' as severity,
    coalesce(pg_catalog.format('%s', p.oid::pg_catalog.regprocedure), wanted.signature) as object,
    case
        when p.oid is null then 'there is no such function'
        when not pg_catalog.has_function_privilege(r.oid, p.oid, 'execute') then pg_catalog.format('%I may not execute it', r.rolname)
        else pg_catalog.format('%I has no access to its schema', r.rolname)
    end as problem,
    case
        when p.oid is null then 'alter extension crm_ext update'
        when not pg_catalog.has_function_privilege(r.oid, p.oid, 'execute') then pg_catalog.format('grant execute on function %s to %I', p.oid::pg_catalog.regprocedure, r.rolname)
        else pg_catalog.format('grant usage on schema %I to %I', pg_catalog.split_part(wanted.signature, '.', 1), r.rolname)
    end as fix
from (
    values
        ('crm_private.postgrest_config()', 'crm_authenticator'), ('crm.pre_request()', 'crm_anon'),
        ('crm.pre_request()', 'crm_app'), ('crm.pre_request()', 'crm_multi')
) as wanted (signature, role)
join pg_catalog.pg_roles as r on r.rolname = wanted.role
left join pg_catalog.pg_proc as p on p.oid = pg_catalog.to_regprocedure(wanted.signature)
where p.oid is null
    or not pg_catalog.has_function_privilege(r.oid, p.oid, 'execute')
    or not pg_catalog.has_schema_privilege(r.oid, p.pronamespace, 'usage')
