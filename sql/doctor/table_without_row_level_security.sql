-- Without it, or without FORCE for the owner, a grant alone shows every organization's rows. Tables of crm: enrollment.
select
    'error' as severity,
    pg_catalog.format('%s', c.oid::pg_catalog.regclass) as object,
    case when c.relrowsecurity then 'row level security is not forced' else 'row level security is off' end
        || case when n.nspname = 'crm_private' then '' else ', and API roles may read rows of organizations' end as problem,
    pg_catalog.format('alter table %s enable row level security, force row level security', c.oid::pg_catalog.regclass) as fix
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
    and not (c.relrowsecurity and c.relforcerowsecurity)
    and (n.nspname = 'crm_private' or (
        n.nspname not in ('crm', 'information_schema') and n.nspname !~ '^pg_'
        and not c.relrowsecurity
        and exists (select from pg_catalog.pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped)
        and exists (
            select
            from pg_catalog.pg_roles as r
            where r.rolname in ('crm_anon', 'crm_app', 'crm_multi')
                and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage')
                and pg_catalog.has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
        )
    ))
