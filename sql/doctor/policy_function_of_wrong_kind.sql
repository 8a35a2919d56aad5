-- An IMMUTABLE identity is frozen into a cached plan, where the next user meets it; a VOLATILE one is asked per row; a
-- PARALLEL SAFE one is asked in workers that know no identity.
select distinct
    'error' as severity,
    pg_catalog.format('%s', p.oid::pg_catalog.regprocedure) as object,
    pg_catalog.format('a policy calls it, and it is %s, parallel %s',
        case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
        case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end
    ) as problem,
    pg_catalog.format('alter function %s stable parallel restricted', p.oid::pg_catalog.regprocedure) as fix
from pg_catalog.pg_depend as d
join pg_catalog.pg_proc as p on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.refobjid = p.oid
where d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    and p.pronamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and (p.provolatile <> 's' or p.proparallel <> 'r')
