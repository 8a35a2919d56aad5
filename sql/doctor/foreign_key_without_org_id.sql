-- Foreign keys are checked outside the policies: without the organization in it, a row can point at another tenant's,
-- and the answer tells whether that exists.
with tenant_tables as (
    select c.oid, a.attnum as org_id
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
    where c.relnamespace = pg_catalog.to_regnamespace('crm') and c.relkind in ('r', 'p')
)
select
    'error' as severity,
    pg_catalog.format('%s', k.conrelid::pg_catalog.regclass) as object,
    pg_catalog.format('%I: %s', k.conname, pg_catalog.pg_get_constraintdef(k.oid)) as problem,
    'foreign key (org_id, x_id) references … (org_id, id)' as fix
from pg_catalog.pg_constraint as k
join tenant_tables as pointing on pointing.oid = k.conrelid
join tenant_tables as pointed_at on pointed_at.oid = k.confrelid
where k.contype = 'f' and (k.conkey[1] <> pointing.org_id or k.confkey[1] <> pointed_at.org_id)
