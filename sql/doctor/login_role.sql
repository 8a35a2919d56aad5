-- PostgREST logs in as crm_authenticator: without a password it can do so only where pg_hba.conf asks for none.
select found.severity, 'crm_authenticator' as object, found.problem, found.fix
from pg_catalog.pg_roles as r
cross join lateral (
    values
        ($1 ->> 'password' = 'none', 'warning', 'has no password', 'alter role crm_authenticator password ''…'''),
        ($1 ->> 'password' = 'md5', 'warning', 'has a password that is kept as a weak hash (MD5)',
            'set password_encryption = ''scram-sha-256''; alter role crm_authenticator password ''…'''),
        (r.rolvaliduntil <= pg_catalog.now(), 'error', 'has a password that has expired', 'alter role crm_authenticator valid until ''infinity'''),
        (r.rolconnlimit between 0 and 9, 'warning', pg_catalog.format('has a limit of %s connections, and PostgREST''s pool is of 10', r.rolconnlimit),
            'alter role crm_authenticator connection limit -1')
) as found (is_so, severity, problem, fix)
where r.rolname = 'crm_authenticator' and found.is_so
