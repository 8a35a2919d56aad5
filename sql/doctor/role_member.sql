-- Who else has the CRM's rights: to know it is all there is to do, mostly. The roles are shared by all databases of the cluster,
-- so somebody who administers the CRM of another one may administer this one, too.
select
    case when g.rolname = 'crm_authenticator' or a.admin_option then 'warning' else 'info' end as severity,
    pg_catalog.quote_ident(m.rolname) as object,
    pg_catalog.format('is a member of %I%s: %s', g.rolname, case when a.admin_option then ' with admin option' else '' end, meaning.text) as problem,
    pg_catalog.format('revoke %I from %I', g.rolname, m.rolname) as fix
from pg_catalog.pg_auth_members as a
join pg_catalog.pg_roles as m on m.oid = a.member
join pg_catalog.pg_roles as g on g.oid = a.roleid
join (
    values
        ('crm_authenticator', 'it can pass for PostgREST'),
        ('crm_anon', 'it does what anybody on the network does'),
        ('crm_app', 'an SQL client, which acts for whose token it has'),
        ('crm_multi', 'an SQL client, which acts for whose token it has'),
        ('crm_service', 'it is the platform, without a key'),
        ('crm_worker', 'it delivers messages, and sees the tokens in them'),
        ('crm_admin', 'it administers the platform'),
        ('crm_owner', 'it owns the tables'),
        ('crm_backup', 'it reads every organization')
) as meaning (role, text) on meaning.role = g.rolname
where m.rolname not in (
        'crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker', 'crm_admin', 'crm_owner',
        'crm_definer', 'crm_backup'
    )
    and not m.rolsuper
    and pg_catalog.has_database_privilege(m.oid, pg_catalog.current_database(), 'connect')
