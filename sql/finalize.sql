-- The sweep nobody can forget: owners, and no right that was not given on purpose.
--
-- Default privileges that the platform or a careless administrator set earlier apply to everything an install script
-- makes (GRANT ALL … TO PUBLIC is common); so whatever was granted to anybody but the CRM's own roles is taken back.

do $$
declare
    routine record;
    grantee text;
begin
    for routine in
        select p.oid::pg_catalog.regprocedure as signature, p.proacl, p.proowner
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('crm', 'crm_private')
    loop
        -- Before the last REVOKE: pg_dump takes the rights as they were then for the extension's own, and would repeat what
        -- differs from them in every dump, where only a superuser could restore it.
        execute format('alter function %s owner to crm_definer', routine.signature);
        execute format('revoke all on function %s from public', routine.signature);

        for grantee in
            select r.rolname
            from pg_catalog.aclexplode(routine.proacl) as a
            join pg_catalog.pg_roles as r on r.oid = a.grantee
            where a.grantee <> routine.proowner and r.rolname not like 'crm\_%'
        loop
            execute format('revoke all on function %s from %I', routine.signature, grantee);
        end loop;
    end loop;
end
$$;

-- The DBA's own tables go into crm too, and a restore makes ours there; foreign keys are checked as their owner.
alter schema crm owner to crm_owner;
alter schema crm_private owner to crm_owner;

do $$
declare
    grantee text;
begin
    for grantee in
        select distinct r.rolname
        from pg_catalog.pg_namespace as n
        cross join lateral pg_catalog.aclexplode(n.nspacl) as a
        join pg_catalog.pg_roles as r on r.oid = a.grantee
        where n.nspname in ('crm', 'crm_private') and a.grantee <> n.nspowner
    loop
        execute format('revoke all on schema crm, crm_private from %I', grantee);
    end loop;
end
$$;

revoke all on schema crm, crm_private from public;
grant usage on schema crm to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin, crm_definer, crm_backup;
grant usage on schema crm_private to crm_authenticator, crm_definer, crm_backup;

-- A dump brings its own tables: its script runs with row_security = off, and then none are made here.
do $$
begin
    if pg_catalog.current_setting('row_security') = 'on' then
        perform crm_private.install();
    else
        raise notice using
            message = 'crm_ext made no tables: row_security is off, as in the script of a dump that brings them',
            hint = 'If this is no restore, run: select crm_private.install();';
    end if;
end
$$;

-- An installing role that is no superuser administers the CRM as a member of crm_owner, crm_admin and crm_backup.
-- Roles are shared by the whole cluster: where crm_owner already owns another database's data that this role could
-- connect to, membership would hand over that data too, so a superuser has to decide.
do $$
declare
    installer constant pg_catalog.regrole := '@extowner@';
    elsewhere text;
    others text;
begin
    if not (select rolsuper from pg_catalog.pg_roles where oid = installer) then
        select string_agg(distinct format('%I', d.datname), ', ') into elsewhere
        from pg_catalog.pg_shdepend as s
        join pg_catalog.pg_database as d on d.oid = s.dbid
        where s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
            and s.refobjid = 'crm_owner'::pg_catalog.regrole
            and d.datname <> pg_catalog.current_database()
            and pg_catalog.has_database_privilege(installer, d.oid, 'connect');

        if pg_catalog.pg_has_role(installer, 'crm_owner', 'member') then
            null;
        elsif elsewhere is null then
            execute format('grant crm_owner, crm_admin, crm_backup to %s', installer);
        else
            raise warning using
                message = format('%s was not made an administrator of the CRM', installer),
                detail = format('The roles are shared by the cluster, and crm_owner also owns data in database %s, to which %s can connect.', elsewhere, installer),
                hint = format('A superuser can REVOKE CONNECT on that database from PUBLIC, or accept it, and then GRANT crm_owner, crm_admin, crm_backup TO %s.', installer);
        end if;
    end if;

    select string_agg(distinct format('%I', m.rolname), ', ') into others
    from pg_catalog.pg_auth_members as a
    join pg_catalog.pg_roles as m on m.oid = a.member
    where a.roleid in ('crm_owner'::pg_catalog.regrole, 'crm_backup'::pg_catalog.regrole)
        and m.oid <> installer
        and m.oid <> (select datdba from pg_catalog.pg_database where datname = pg_catalog.current_database())
        and not m.rolsuper
        and pg_catalog.has_database_privilege(m.oid, pg_catalog.current_database(), 'connect');

    if others is not null then
        raise warning using
            message = format('%s, who administer(s) the CRM in another database of this cluster, can connect to this one and will administer this CRM too', others),
            hint = format('To prevent that: REVOKE CONNECT ON DATABASE %I FROM PUBLIC.', pg_catalog.current_database());
    end if;
end
$$;
