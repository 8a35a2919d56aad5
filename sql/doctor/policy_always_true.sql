-- True for everybody is no policy: this role reads, or writes, the rows of every organization.
select
    'error' as severity,
    pg_catalog.format('%s', p.polrelid::pg_catalog.regclass) as object,
    pg_catalog.format('policy %I lets %s %s everything', p.polname, (
        select pg_catalog.string_agg(case role when 0 then 'PUBLIC' else pg_catalog.format('%s', role::pg_catalog.regrole) end, ', ')
        from pg_catalog.unnest(p.polroles) as role
    ), case p.polcmd when 'r' then 'read' when 'a' then 'insert' when 'w' then 'change' when 'd' then 'delete' else 'do' end) as problem,
    pg_catalog.format('drop policy %I on %s', p.polname, p.polrelid::pg_catalog.regclass) as fix
from pg_catalog.pg_policy as p
join pg_catalog.pg_class as c on c.oid = p.polrelid
where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and p.polpermissive
    and (pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true' or pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) = 'true')
    and exists (
        select
        from pg_catalog.unnest(p.polroles) as role
        left join pg_catalog.pg_roles as r on r.oid = role
        where role = 0 or r.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker')
    )
    -- What is nobody's in particular, plans for instance, may be everybody's.
    and (c.relnamespace = pg_catalog.to_regnamespace('crm_private') or c.relname in ('organizations', 'users') or exists (
        select from pg_catalog.pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
    ))
