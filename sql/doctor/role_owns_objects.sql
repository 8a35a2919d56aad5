-- An owner is not bound by what is revoked, and replaces what others run. SQL in a request owns what its role owns.
select
    'error' as severity,
    pg_catalog.quote_ident(r.rolname) as object,
    pg_catalog.format('owns %s', pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)) as problem,
    pg_catalog.format('reassign owned by %I to crm_owner', r.rolname) as fix
from pg_catalog.pg_shdepend as d
join pg_catalog.pg_roles as r on r.oid = d.refobjid
cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) as identity
where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    and d.deptype = 'o'
    and r.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker', 'crm_admin', 'crm_backup')
    and d.dbid in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
    -- A request may have temporary tables while it runs.
    and coalesce(identity.schema, '') !~ '^pg_(toast_)?temp'
