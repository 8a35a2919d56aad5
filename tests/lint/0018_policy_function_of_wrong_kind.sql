-- An IMMUTABLE identity is frozen into a cached plan, where the next user meets it; a VOLATILE one is asked per row; a
-- PARALLEL SAFE one is asked in workers that know no identity.
select distinct
    'policy_function_of_wrong_kind' as name,
    'ERROR' as level,
    p.oid::regprocedure::text as object,
    format('provolatile %s, proparallel %s', p.provolatile, p.proparallel) as detail,
    format('alter function %s stable parallel restricted', p.oid::regprocedure) as remediation
from pg_depend as d
join pg_proc as p on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
where d.classid = 'pg_policy'::regclass
    and p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and (p.provolatile <> 's' or p.proparallel <> 'r');
