-- Only (org_id, id) can be pointed at with the organization, and lets an organization move to another database. A key without it
-- tells one tenant which ids another has.
select
    case when k.conkey[1] = a.attnum or k.conkey is null then 'warning' else 'error' end as severity,
    pg_catalog.format('%s', c.oid::pg_catalog.regclass) as object,
    coalesce(pg_catalog.pg_get_constraintdef(k.oid), 'no primary key') as problem,
    'primary key (org_id, id)' as fix
from pg_catalog.pg_class as c
join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
left join pg_catalog.pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
where c.relnamespace = pg_catalog.to_regnamespace('crm')
    and c.relkind in ('r', 'p')
    -- Tenants, people, and what all tenants share are no tenant's rows.
    and c.relname not in ('organizations', 'users', 'plans', 'permissions', 'built_in_roles', 'built_in_permissions')
    and coalesce(pg_catalog.pg_get_constraintdef(k.oid), '') <> 'PRIMARY KEY (org_id, id)'
    -- A partitioned table has one of each partition.
    and not (c.relkind = 'p' and not exists (
        select
        from pg_catalog.pg_inherits as i
        left join pg_catalog.pg_constraint as p on p.conrelid = i.inhrelid and p.contype = 'p'
        where i.inhparent = c.oid and coalesce(pg_catalog.pg_get_constraintdef(p.oid), '') <> 'PRIMARY KEY (org_id, id)'
    ))
