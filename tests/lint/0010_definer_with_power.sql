-- A definer function with its owner's power lends it to everybody who can have a trigger or a policy called from it.
select
    'definer_with_power' as name,
    'ERROR' as level,
    p.oid::regprocedure::text as object,
    format('security definer, owned by %I: superuser %s, logs in %s, bypasses row level security %s, creates roles %s',
        r.rolname, r.rolsuper, r.rolcanlogin, r.rolbypassrls, r.rolcreaterole) as detail,
    format('alter function %s owner to crm_definer', p.oid::regprocedure) as remediation
from pg_proc as p
join pg_roles as r on r.oid = p.proowner
where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and p.prosecdef
    and (r.rolsuper or r.rolcanlogin or r.rolbypassrls or r.rolcreaterole);
