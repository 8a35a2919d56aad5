-- What an API role is a member of, it can become: SQL in a request says SET ROLE. Whoever can become crm_definer reads and
-- writes past every policy; and without the memberships that belong, requests cannot change to their role.
with ours (name) as (
    values ('crm_authenticator'), ('crm_anon'), ('crm_app'), ('crm_multi'), ('crm_service'), ('crm_worker'), ('crm_admin'),
        ('crm_owner'), ('crm_definer'), ('crm_backup')
),
expected (member, role) as (
    values ('crm_authenticator', 'crm_anon'), ('crm_authenticator', 'crm_app'), ('crm_authenticator', 'crm_multi'),
        ('crm_authenticator', 'crm_service'), ('crm_definer', 'crm_app')
),
memberships as (
    select m.oid as member_id, m.rolname as member, m.rolsuper, g.oid as role_id, g.rolname as role
    from pg_catalog.pg_auth_members as a
    join pg_catalog.pg_roles as m on m.oid = a.member
    join pg_catalog.pg_roles as g on g.oid = a.roleid
)
select
    'error' as severity,
    pg_catalog.quote_ident(m.member) as object,
    pg_catalog.format('is a member of %I', m.role) || coalesce((
        select ', and so reaches ' || pg_catalog.string_agg(pg_catalog.quote_ident(r.rolname), ', ' order by r.rolname)
        from pg_catalog.pg_roles as r
        where (r.rolsuper or r.rolname in ('crm_owner', 'crm_definer', 'crm_backup', 'crm_admin'))
            and r.oid not in (m.role_id, m.member_id) and pg_catalog.pg_has_role(m.role_id, r.oid, 'member')
    ), '') as problem,
    pg_catalog.format('revoke %I from %I', m.role, m.member) as fix
from memberships as m
where (m.member in (select name from ours) or (m.role = 'crm_definer' and not m.rolsuper))
    and (m.member, m.role) not in (select member, role from expected)
union all
select
    'error',
    e.member,
    pg_catalog.format('is no member of %I', e.role),
    pg_catalog.format('grant %I to %I', e.role, e.member)
from expected as e
where not exists (select from memberships as m where (m.member, m.role) = (e.member, e.role))
