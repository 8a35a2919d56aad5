-- The database roles. Run again by every update: a version may bring a role that the one before had not.
--
-- Roles belong to the cluster, not to a database: they are made once and shared by every database with the
-- extension. A role of the same name that somebody else made (to own our tables, or to log in as our API) is refused:
-- only a superuser can have given it the setting that marks ours.
do $$
declare
    marker constant text := 'allow_system_table_mods=off';
    wanted record;
    found pg_catalog.pg_roles;
    stranger text;
begin
    for wanted in
        select *
        from (values
            ('crm_authenticator', true, false, 'crm_ext: PostgREST logs in as this role and becomes one of the API roles'),
            ('crm_anon', false, false, 'crm_ext: a request without a token'),
            ('crm_app', false, false, 'crm_ext: a user with one active organization'),
            ('crm_multi', false, false, 'crm_ext: a user looking across all their organizations'),
            ('crm_service', false, false, 'crm_ext: the host application''s backend (platform key)'),
            ('crm_worker', false, false, 'crm_ext: the background worker'),
            ('crm_admin', false, false, 'crm_ext: administration functions, for the DBA'),
            ('crm_owner', false, false, 'crm_ext: owns the tables; the installing role is a member'),
            ('crm_definer', false, false, 'crm_ext: security definer functions run as this role; nobody is a member'),
            ('crm_backup', false, true, 'crm_ext: pg_dump --role=crm_backup; reads past row level security')
        ) as roles (name, may_login, bypasses_rls, purpose)
    loop
        select * into found from pg_catalog.pg_roles where rolname = wanted.name;

        if found.oid is null then
            execute format(
                'create role %I %s %s nosuperuser nocreatedb nocreaterole noreplication %s',
                wanted.name,
                case when wanted.may_login then 'login' else 'nologin' end,
                case when wanted.may_login then 'noinherit' else 'inherit' end,
                case when wanted.bypasses_rls then 'bypassrls' else 'nobypassrls' end
            );
            execute format('alter role %I set allow_system_table_mods = off', wanted.name);
            execute format('comment on role %I is %L', wanted.name, wanted.purpose);

            -- The context of an error quotes what stood around it in a request's body, a password for instance.
            if wanted.name = 'crm_authenticator' then
                execute format('alter role %I set log_error_verbosity = terse', wanted.name);
            end if;

            -- PostgREST applies an API role's settings to each of its requests: none runs, or waits for a lock, for ever.
            if wanted.name in ('crm_anon', 'crm_app', 'crm_multi') then
                execute format(
                    'alter role %I set statement_timeout = %L', wanted.name, case wanted.name when 'crm_anon' then '5s' else '15s' end
                );
            end if;
        elsif not exists (
                select
                from pg_catalog.pg_db_role_setting
                where setrole = found.oid and setdatabase = 0 and marker = any (setconfig)
            )
            or found.rolsuper or found.rolcreaterole or found.rolcreatedb or found.rolreplication
            or found.rolcanlogin <> wanted.may_login
            or found.rolbypassrls <> wanted.bypasses_rls
        then
            raise exception using
                errcode = '42710',
                message = format('cannot install crm_ext: role %I exists already and is not the one crm_ext makes', wanted.name),
                detail = 'Whoever made or changed that role could reach the CRM''s data through it.',
                hint = format('Rename or drop it (ALTER ROLE %1$I RENAME TO …); crm_ext then makes its own.', wanted.name);
        end if;
    end loop;

    -- What our roles may become is ours alone to say.
    select format('%I is a member of %I', m.rolname, g.rolname) into stranger
    from pg_catalog.pg_auth_members as a
    join pg_catalog.pg_roles as m on m.oid = a.member
    join pg_catalog.pg_roles as g on g.oid = a.roleid
    where (m.rolname in ('crm_authenticator', 'crm_anon', 'crm_app', 'crm_multi', 'crm_service',
                'crm_worker', 'crm_admin', 'crm_owner', 'crm_definer', 'crm_backup')
            or g.rolname = 'crm_definer')
        and (m.rolname, g.rolname) not in (
            ('crm_authenticator', 'crm_anon'), ('crm_authenticator', 'crm_app'),
            ('crm_authenticator', 'crm_multi'), ('crm_authenticator', 'crm_service'), ('crm_definer', 'crm_app')
        )
        -- PostgreSQL 16 and later record the creating role as a member of what it created.
        and not (select rolsuper from pg_catalog.pg_roles where oid = a.member)
    order by 1
    limit 1;

    if stranger is not null then
        raise exception using
            errcode = '42710',
            message = format('cannot install crm_ext: role %s', stranger),
            detail = 'The CRM''s roles may be members of nothing but each other, and nobody may become crm_definer.',
            hint = 'Revoke that membership first.';
    end if;
end
$$;

grant crm_anon, crm_app, crm_multi, crm_service to crm_authenticator;
-- Functions that act for a user write through that user's own policies.
grant crm_app to crm_definer;
