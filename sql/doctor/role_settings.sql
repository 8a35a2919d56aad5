-- Such a setting comes with every connection of the role: policies are not asked, triggers do not fire, names mean something
-- else, a query runs for ever. PostgREST hands an API role's settings on to each of its requests.
with settings as (
    select
        r.rolname,
        s.setdatabase,
        pg_catalog.split_part(one.setting, '=', 1) as name,
        pg_catalog.substr(one.setting, pg_catalog.strpos(one.setting, '=') + 1) as value
    from pg_catalog.pg_db_role_setting as s
    cross join lateral pg_catalog.unnest(s.setconfig) as one (setting)
    left join pg_catalog.pg_roles as r on r.oid = s.setrole
    where s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
        and (s.setrole = 0 or r.rolname in (
            'crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker', 'crm_admin', 'crm_owner', 'crm_definer'
        ))
)
select
    bad.severity,
    coalesce(s.rolname, pg_catalog.format('database %I', pg_catalog.current_database())) as object,
    pg_catalog.format('%s = %s: %s', s.name, s.value, bad.consequence) as problem,
    case when s.name = 'statement_timeout'
        then pg_catalog.format('alter role %I%s set statement_timeout = ''15s''', s.rolname, place.words)
        when s.rolname is null
        then pg_catalog.format('alter database %I reset %s', pg_catalog.current_database(), s.name)
        else pg_catalog.format('alter role %I%s reset %s', s.rolname, place.words, s.name)
    end as fix
from settings as s
cross join lateral (
    values (case when s.setdatabase = 0 then '' else pg_catalog.format(' in database %I', pg_catalog.current_database()) end)
) as place (words)
join (
    values
        ('row_security', 'error', 'queries that a policy limits fail'),
        ('session_replication_role', 'error', 'no trigger fires: nothing is checked, stamped or counted'),
        ('role', 'error', 'every connection begins as another role'),
        ('search_path', 'warning', 'names in queries without a schema mean something else'),
        ('default_transaction_read_only', 'warning', 'nobody can write'),
        ('statement_timeout', 'warning', 'a query may run for ever')
) as bad (name, severity, consequence) on bad.name = s.name
where case s.name
        when 'row_security' then s.value in ('off', 'false', 'no', '0', 'f', 'n')
        when 'session_replication_role' then s.value <> 'origin'
        when 'default_transaction_read_only' then s.value not in ('off', 'false', 'no', '0', 'f', 'n')
        when 'statement_timeout' then s.value ~ '^0+[a-z]*$' and s.rolname in ('crm_anon', 'crm_app', 'crm_multi')
        -- Of a database it is what people without the CRM use.
        when 'search_path' then s.rolname is not null
        else true
    end
union all
select
    'warning',
    r.rolname,
    'has no statement_timeout: a query may run for ever',
    pg_catalog.format('alter role %I set statement_timeout = %L', r.rolname, case r.rolname when 'crm_anon' then '5s' else '15s' end)
from pg_catalog.pg_roles as r
where r.rolname in ('crm_anon', 'crm_app', 'crm_multi')
    and not exists (select from settings as s where s.rolname = r.rolname and s.name = 'statement_timeout')
