-- Only (org_id, id) can be pointed at with the organization, and lets an organization move to another database.
select
    'key_without_organization' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    coalesce(pg_get_constraintdef(k.oid), 'no primary key') as detail,
    'primary key (org_id, id)' as remediation
from pg_class as c
left join pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
where c.relnamespace = 'crm'::regnamespace
    and c.relkind in ('r', 'p')
    -- Tenants, people, and what all tenants share are no tenant's rows.
    and c.oid not in (
        'crm.organizations'::regclass, 'crm.users'::regclass,
        'crm.plans'::regclass, 'crm.permissions'::regclass, 'crm.built_in_roles'::regclass, 'crm.built_in_permissions'::regclass
    )
    and coalesce(pg_get_constraintdef(k.oid), '') <> 'PRIMARY KEY (org_id, id)';
