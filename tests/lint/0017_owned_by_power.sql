-- What a superuser owns acts as a superuser: views, triggers' functions, defaults.
select
    'owned_by_power' as name,
    'ERROR' as level,
    object,
    format('owned by %I, who is a superuser or logs in', r.rolname) as detail,
    'Tables belong to crm_owner, functions to crm_definer.' as remediation
from (
    select c.oid::regclass::text, c.relowner from pg_class as c where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    union all
    select p.oid::regprocedure::text, p.proowner from pg_proc as p where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    union all
    select format('schema %I', n.nspname), n.nspowner from pg_namespace as n where n.nspname in ('crm', 'crm_private')
    union all
    select format('type %s', t.oid::regtype), t.typowner from pg_type as t where t.typnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
) as owned (object, owner)
join pg_roles as r on r.oid = owned.owner
where r.rolsuper or r.rolcanlogin;
