-- PUBLIC is every role of the cluster; crm_anon is everybody on the network.
select
    'open_to_everybody' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    format('%s may %s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, lower(a.privilege_type)) as detail,
    format('revoke all on %s from %s', c.oid::regclass, case a.grantee when 0 then 'public' else a.grantee::regrole::text end) as remediation
from pg_class as c
cross join lateral aclexplode(c.relacl) as a
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and a.grantee in (0, 'crm_anon'::regrole);
