-- The sweep nobody can forget: owners, and no right that was not given on purpose.
--
-- Default privileges that the platform or a careless administrator set earlier apply to everything an install script
-- makes (GRANT ALL … TO PUBLIC is common); so whatever was granted to anybody but the CRM's own roles is taken back. Run again by
-- every update, for the functions that are new then.

do $$
declare
    routine record;
    grantee text;
begin
    for routine in
        select p.oid::pg_catalog.regprocedure as signature, p.proacl, p.proowner
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
        join pg_catalog.pg_extension as e on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.refobjid = e.oid
        where e.extname = 'crm_ext' and d.deptype = 'e' and p.proowner <> 'crm_definer'::pg_catalog.regrole
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
