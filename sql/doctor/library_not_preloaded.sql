-- Nothing fails without it. The library is then loaded by the first function of the CRM that a connection calls, some
-- milliseconds, and a statement that a pool prepares before is planned without it.
select
    'info' as severity,
    'session_preload_libraries' as object,
    'crm_ext is not preloaded: a connection''s first request loads it, and what was prepared before is planned without it' as problem,
    pg_catalog.format('alter database %I set session_preload_libraries = %L', pg_catalog.current_database(), 'crm_ext') as fix
where not exists (
        select
        from pg_catalog.jsonb_each_text($1 -> 'settings') as s (name, value)
        where s.name in ('shared_preload_libraries', 'session_preload_libraries') and s.value ~ '(^|[/, "])crm_ext($|[., "])'
    )
    and not exists (
        select
        from pg_catalog.pg_db_role_setting as s
        cross join lateral pg_catalog.unnest(s.setconfig) as one (setting)
        left join pg_catalog.pg_roles as r on r.oid = s.setrole
        where s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
            and (s.setrole = 0 or r.rolname = 'crm_authenticator')
            and one.setting ~ '^session_preload_libraries=(.*[/, "])?crm_ext($|[., "])'
    )
