-- Comments are the API's documentation: PostgREST shows them in its OpenAPI document.
select
    'no_comment' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    'a relation without a comment' as detail,
    format('comment on table %s is …', c.oid::regclass) as remediation
from pg_class as c
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and c.relkind in ('r', 'p', 'v')
    and obj_description(c.oid, 'pg_class') is null
union all
select
    'no_comment',
    'ERROR',
    p.oid::regprocedure::text,
    'a function without a comment',
    format('comment on function %s is …', p.oid::regprocedure)
from pg_proc as p
where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and obj_description(p.oid, 'pg_proc') is null;
