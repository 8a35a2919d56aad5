-- No policy holds for such a role: with a right on a table it reads the rows of every organization.
select
    'info' as severity,
    pg_catalog.quote_ident(r.rolname) as object,
    'bypasses row level security and may read tables of the CRM' as problem,
    pg_catalog.format('alter role %I nobypassrls', r.rolname) as fix
from pg_catalog.pg_roles as r
where r.rolbypassrls
    and not r.rolsuper
    and r.rolname not like 'crm\_%'
    and exists (
        select
        from pg_catalog.pg_class as c
        where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
            and c.relkind in ('r', 'p', 'v', 'm')
            and pg_catalog.has_table_privilege(r.oid, c.oid, 'select')
    )
