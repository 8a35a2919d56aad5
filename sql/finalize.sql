-- The end of the installation: the tables, and who administers them. An update makes neither anew.

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
