-- Such a function finds what the caller, or whoever may create in a schema of the path, has put in its way.
select
    'function_without_search_path' as name,
    'ERROR' as level,
    p.oid::regprocedure::text as object,
    coalesce(array_to_string(p.proconfig, '; '), 'no settings') as detail,
    format('alter function %s set search_path = pg_catalog, pg_temp', p.oid::regprocedure) as remediation
from pg_proc as p
where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false);
