-- What is made from now on opens itself: a table of the DBA's next to the CRM's, or what an upgrade makes.
select
    case when scope.wide then 'warning' else 'info' end as severity,
    pg_catalog.quote_ident(owner.rolname) as object,
    pg_catalog.format('new %s of %I%s are open to %s (%s)', kind.plural, owner.rolname, in_schema.words,
        grantee.name, pg_catalog.string_agg(pg_catalog.lower(a.privilege_type), ', ' order by a.privilege_type)) as problem,
    pg_catalog.format('alter default privileges for role %I%s revoke all on %s from %s', owner.rolname,
        in_schema.words, kind.plural, grantee.name) as fix
from pg_catalog.pg_default_acl as d
join pg_catalog.pg_roles as owner on owner.oid = d.defaclrole
left join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
join (values ('r', 'tables'), ('S', 'sequences'), ('f', 'routines'), ('T', 'types'), ('n', 'schemas')) as kind (code, plural)
    on kind.code::pg_catalog."char" = d.defaclobjtype
cross join lateral pg_catalog.aclexplode(d.defaclacl) as a
left join pg_catalog.pg_roles as r on r.oid = a.grantee
cross join lateral (values (case a.grantee when 0 then 'PUBLIC' else pg_catalog.quote_ident(r.rolname) end)) as grantee (name)
cross join lateral (values (coalesce(' in schema ' || pg_catalog.quote_ident(n.nspname), ''))) as in_schema (words)
cross join lateral (values (d.defaclnamespace = 0 or n.nspname in ('crm', 'crm_private'))) as scope (wide)
where (a.grantee = 0 or r.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker'))
    -- PostgreSQL's own default, which an entry of a whole database repeats.
    and not (a.grantee = 0 and d.defaclnamespace = 0 and d.defaclobjtype in ('f', 'T'))
group by owner.rolname, in_schema.words, kind.plural, grantee.name, scope.wide
