-- Row level security stops none of these powers: one SQL injection in a request of such a role, and every organization is read.
select
    'error' as severity,
    wanted.name as object,
    found.problem,
    case when r.oid is null then '' else 'alter role ' || wanted.name || ' ' end || found.remedy as fix
from (
    values
        ('crm_authenticator', true, false), ('crm_anon', false, false), ('crm_app', false, false), ('crm_multi', false, false),
        ('crm_service', false, false), ('crm_worker', false, false), ('crm_admin', false, false), ('crm_owner', false, false),
        ('crm_definer', false, false), ('crm_backup', false, true)
) as wanted (name, logs_in, bypasses)
left join pg_catalog.pg_roles as r on r.rolname = wanted.name
cross join lateral (
    values
        (r.oid is null, 'there is no such role', 'create role ' || wanted.name),
        (r.rolsuper, 'is a superuser', 'nosuperuser'),
        (r.rolbypassrls and not wanted.bypasses, 'bypasses row level security', 'nobypassrls'),
        (not r.rolbypassrls and wanted.bypasses, 'does not bypass row level security, so it dumps nothing', 'bypassrls'),
        (r.rolcreaterole, 'may create roles', 'nocreaterole'),
        (r.rolcreatedb, 'may create databases', 'nocreatedb'),
        (r.rolreplication, 'may replicate the whole cluster', 'noreplication'),
        (r.rolcanlogin and not wanted.logs_in, 'can log in', 'nologin'),
        (not r.rolcanlogin and wanted.logs_in, 'cannot log in: PostgREST is refused', 'login'),
        (r.rolinherit and wanted.logs_in, 'inherits the rights of every API role, before a request has shown a token', 'noinherit'),
        (not r.rolinherit and not wanted.logs_in, 'does not inherit the rights of its roles', 'inherit')
) as found (is_so, problem, remedy)
where found.is_so
