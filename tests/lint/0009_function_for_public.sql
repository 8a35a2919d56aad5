-- PostgreSQL gives EXECUTE to everybody unless told otherwise.
select
    'function_for_public' as name,
    'ERROR' as level,
    p.oid::regprocedure::text as object,
    'everybody may execute it' as detail,
    format('revoke all on function %s from public', p.oid::regprocedure) as remediation
from pg_proc as p
where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and exists (
        select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a where a.grantee = 0
    );
