-- The schemas: what everything else stands on.
--
-- The script runs as a superuser even when an ordinary role installs the extension (trusted = true), inside a
-- database that role may own. So nothing here may be resolved through a schema that somebody else can write to,
-- and nothing that exists already is taken over unless a superuser provably made it for us.

set local search_path = pg_catalog, pg_temp;

do $$
declare
    taken text;
begin
    select string_agg(nspname, ', ' order by nspname) into taken
    from pg_catalog.pg_namespace
    where nspname in ('crm', 'crm_private');

    if taken is not null then
        raise exception using
            errcode = '42P06',
            message = format('cannot install crm_ext: schema %s exists already', taken),
            hint = 'crm_ext makes the schemas crm and crm_private itself. Rename or drop the existing ones first.';
    end if;

    if pg_catalog.getdatabaseencoding() <> 'UTF8' then
        raise exception using
            errcode = '0A000',
            message = format('cannot install crm_ext: the encoding of this database is %s', pg_catalog.getdatabaseencoding()),
            hint = 'crm_ext needs UTF8: CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0.';
    end if;

    -- Default privileges that name our roles would open what this script closes.
    if exists (
        select
        from pg_catalog.pg_default_acl as d
        cross join lateral pg_catalog.aclexplode(d.defaclacl) as a
        join pg_catalog.pg_roles as r on r.oid = a.grantee
        where d.defaclrole = (select oid from pg_catalog.pg_roles where rolname = current_user)
            and r.rolname like 'crm\_%'
    ) then
        raise exception using
            errcode = '55000',
            message = format('cannot install crm_ext: default privileges of role %I grant rights to crm_ roles', current_user),
            hint = 'Remove them with ALTER DEFAULT PRIVILEGES … REVOKE, install, then add them again.';
    end if;
end
$$;

create schema crm;
create schema crm_private;

comment on schema crm is 'crm_ext: a headless, multi-tenant CRM. Log in with /rpc/login, then send the token as "Authorization: Bearer …".';
comment on schema crm_private is 'crm_ext: keys, password hashes, sessions and helpers; never exposed';
