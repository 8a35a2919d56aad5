-- Foreign keys are checked outside the policies: without the organization in it, a row can point at another tenant's,
-- and the answer tells whether that exists.
with tenant_tables as (
    select c.oid, a.attnum as org_id
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
    where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p')
)
select
    'foreign_key_without_org_id' as name,
    'ERROR' as level,
    k.conrelid::regclass || ', ' || k.conname as object,
    pg_get_constraintdef(k.oid) as detail,
    'foreign key (org_id, x_id) references … (org_id, id)' as remediation
from pg_constraint as k
join tenant_tables as pointing on pointing.oid = k.conrelid
join tenant_tables as pointed_at on pointed_at.oid = k.confrelid
where k.contype = 'f' and (k.conkey[1] <> pointing.org_id or k.confkey[1] <> pointed_at.org_id);
