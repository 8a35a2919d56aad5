-- Earlier minor versions forget which user a plan's row level security is for (CVE-2023-2455, CVE-2024-10976): one tenant meets
-- another's rows.
select
    'error' as severity,
    'server_version' as object,
    pg_catalog.format('PostgreSQL %s lacks security fixes that row level security needs', pg_catalog.current_setting('server_version')) as problem,
    'Install the newest minor version and restart.' as fix
where ($1 ->> 'server_version')::integer < ($1 ->> 'server_version_min')::integer
