#!/usr/bin/env bash
# An ordinary role with CREATE on a database installs crm_ext: it gets the same CRM as from a superuser, administers it,
# and has no more rights on anything else than before. Hostile preparations and afterthoughts included.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# What a superuser's installation looks like.
new_cluster reference
sql postgres -c 'create database crm'
sql crm -c 'create extension crm_ext'
snapshot crm >"$work/reference.snapshot"

new_cluster one
sql postgres <<'SQL'
create role dba login;
create role guest login;
create role platform;
create database crm owner postgres;
create database elsewhere owner postgres;
\c crm
grant create on database crm to dba;
grant create on schema public to dba;
-- As some platforms do; and as somebody careless might.
alter default privileges grant all on tables to public;
alter default privileges grant all on functions to public;
alter default privileges grant all on schemas to public;
alter default privileges grant all on types to public;
alter default privileges grant all on sequences to public;
alter default privileges grant all on tables to platform, dba;
alter default privileges grant all on functions to platform, dba with grant option;
alter default privileges grant all on schemas to platform, dba;
-- What others protect with policies alone.
create table public.salaries (who name, amount integer);
insert into public.salaries values ('ann', 1), ('bob', 2);
alter table public.salaries enable row level security;
create policy own on public.salaries using (who = current_user);
grant all on public.salaries to public;
\c elsewhere
create table public.salaries (who name, amount integer);
insert into public.salaries values ('ann', 1), ('bob', 2);
alter table public.salaries enable row level security;
create policy own on public.salaries using (who = current_user);
grant all on public.salaries to public;
SQL

# ---------------------------------------------------------------------------------------------- hostile preparations

# Operators, functions, types and temporary objects by which a careless script would run the DBA's code as superuser.
cat >"$work/plant.sql" <<'SQL'
create table public.log (who text, what text);
grant all on public.log to public;
create function public.caught(what text) returns void language plpgsql as $$
begin
    insert into public.log values (current_user, what);
    begin
        execute 'alter role dba superuser';
    exception
        when others then null;
    end;
end
$$;
create function public.format(text, text) returns text language plpgsql as $$ begin perform public.caught('format'); return 'select 1'; end $$;
create function public.format(text, name) returns text language plpgsql as $$ begin perform public.caught('format'); return 'select 1'; end $$;
create function public.now() returns timestamptz language plpgsql as $$ begin perform public.caught('now'); return pg_catalog.now(); end $$;
create function public.lower(text) returns text language plpgsql as $$ begin perform public.caught('lower'); return pg_catalog.lower($1); end $$;
create function public.char_length(text) returns int language plpgsql as $$ begin perform public.caught('char_length'); return 1; end $$;
create function public.current_setting(text) returns text language plpgsql as $$ begin perform public.caught('current_setting'); return 'on'; end $$;
create function public.string_agg(text) returns text language plpgsql as $$ begin perform public.caught('string_agg'); return ''; end $$;
create function public.same(text, text) returns boolean language plpgsql as $$ begin perform public.caught('='); return true; end $$;
create function public.same(name, text) returns boolean language plpgsql as $$ begin perform public.caught('='); return true; end $$;
create function public.same(oid, regrole) returns boolean language plpgsql as $$ begin perform public.caught('='); return true; end $$;
create operator public.= (leftarg = text, rightarg = text, function = public.same);
create operator public.= (leftarg = name, rightarg = text, function = public.same);
create operator public.= (leftarg = oid, rightarg = regrole, function = public.same);
create operator public.~~ (leftarg = name, rightarg = text, function = public.same);
create operator public.|| (leftarg = text, rightarg = text, function = public.same);
create type public.jsonb as (x text);
create domain public.uuid as text;
create table public.pg_roles (oid oid, rolname name);
create schema "$user";
create schema dba;
create temp table pg_roles (oid oid, rolname name, rolsuper boolean);
create temp table pg_namespace (oid oid, nspname name);
create function pg_temp.format(text, text) returns text language plpgsql as $$ begin perform public.caught('pg_temp.format'); return 'select 1'; end $$;
create function pg_temp.now() returns timestamptz language plpgsql as $$ begin perform public.caught('pg_temp.now'); return pg_catalog.now(); end $$;
alter default privileges grant all on tables to public;
alter default privileges grant all on functions to public;
alter default privileges grant all on schemas to public;
set search_path = public, pg_temp, pg_catalog;
create extension crm_ext;

-- Out of the way of this test's own queries.
set search_path = pg_catalog;
drop operator public.= (text, text), public.= (name, text), public.= (oid, regrole), public.~~ (name, text), public.|| (text, text);
drop type public.jsonb;
drop domain public.uuid;
drop table public.pg_roles;
SQL
refused 'dba cannot make an event trigger' 'permission denied to create event trigger' \
    sql_as dba crm -c 'create function public.spy() returns event_trigger language plpgsql as $$begin end$$' \
    -c 'create event trigger spy on ddl_command_end execute function public.spy()'
sql_as dba crm -c 'drop function if exists public.spy()'
refused 'guest, who may not create in the database, cannot install' 'permission denied to create extension' \
    sql_as guest crm -c 'create extension crm_ext'

works 'dba, who may, installs, among hostile objects' sql_as dba crm -f "$work/plant.sql"
is 'and none of those objects was touched' "$(sql crm -c 'select string_agg(distinct who || what, chr(10)) from public.log')" ''
is 'dba is no superuser' "$(sql crm -c "select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication from pg_roles where rolname = 'dba'")" f

# ---------------------------------------------------------------------------------------------- the same CRM

snapshot crm >"$work/one.snapshot"
same 'the catalog is the same as when a superuser installs' "$work/reference.snapshot" "$work/one.snapshot"
is 'dba owns the extension' "$(sql crm -c "select extowner::regrole from pg_extension where extname = 'crm_ext'")" dba
is 'dba is a member of the administering roles' \
    "$(sql crm -c "select string_agg(roleid::regrole::text, ' ' order by roleid::regrole::text) from pg_auth_members where member = 'dba'::regrole")" \
    'crm_admin crm_backup crm_owner'
is 'and an administrator of none' "$(sql crm -c "select count(*) from pg_auth_members where member = 'dba'::regrole and admin_option")" 0
is 'no superuser owns anything in the schemas' "$(sql crm -c "
    select string_agg(what, ', ') from (
        select oid::regprocedure::text, proowner from pg_proc where pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
        union all select oid::regclass::text, relowner from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
        union all select oid::regtype::text, typowner from pg_type where typnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
        union all select nspname, nspowner from pg_namespace where nspname in ('crm', 'crm_private')
    ) as owned (what, owner)
    join pg_roles as r on r.oid = owner where r.rolsuper")" ''
is 'guest and PUBLIC can do nothing with it' "$(sql crm -c "
    select string_agg(what, ', ') from (
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and has_function_privilege('guest', p.oid, 'execute')
        union all
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and c.relkind = 'r'
            and has_table_privilege('guest', c.oid, 'select, insert, update, delete, truncate, references, trigger')
        union all
        select nspname from pg_namespace where nspname in ('crm', 'crm_private') and has_schema_privilege('guest', oid, 'usage, create')
    ) as reachable (what)")" ''

# ---------------------------------------------------------------------------------------------- administering it

# What the platform has left open for what is made later, and who administers the CRM.
doctor() { "$@" crm -c 'select * from crm.doctor()'; }
doctor sql >"$work/doctor"
is 'the doctor finds the default privileges, the DBA, and no error' "$(cut -d '|' -f 1,2 "$work/doctor" | grep -v server_settings | sort -u | tr '\n' ' ')" \
    'info|library_not_preloaded info|role_member info|settings warning|default_privileges warning|login_role '
is 'and tells dba the same as a superuser' "$(doctor sql_as dba)" "$(<"$work/doctor")"

works 'dba loads the demo data' sql_as dba crm -c "select crm.load_demo('demo password')"
is 'with accounts and contacts' "$(sql crm -c 'select (select count(*) from crm.accounts) > 0 and (select count(*) from crm.contacts) >= 10')" t
works 'dba adds a column and an index' sql_as dba crm -c 'alter table crm.contacts add column shoe_size integer' \
    -c 'create index contacts_shoe_size_idx on crm.contacts (org_id, shoe_size)'
works 'dba rotates the signing key' sql_as dba crm -c "select crm.rotate_signing_key('ES256')"
works 'dba changes the settings' sql_as dba crm -c "update crm_private.settings set access_token_ttl = '5 minutes'"
is 'and they are changed' "$(sql crm -c 'select access_token_ttl from crm_private.settings')" 00:05:00
works 'dba enrolls a table' sql_as dba crm -c "create table crm.vehicles (org_id uuid, id uuid, primary key (org_id, id))" -c "select crm.enroll('crm.vehicles')"
works 'dba dumps it all' pg pg_dump -U dba --role=crm_backup -Fc -n crm -n crm_private -f "$work/dump" crm
for role in crm_definer crm_app crm_service crm_authenticator crm_worker platform postgres; do
    refused "dba cannot become $role" 'permission denied to set role' sql_as dba crm -c "set role $role"
done
refused 'dba cannot pass its memberships on' 'must have admin option' sql_as dba crm -c 'grant crm_owner to guest'
refused 'nor as crm_owner' 'must have admin option' sql_as dba crm -c 'set role crm_owner' -c 'grant crm_owner to guest'
refused 'nor change the roles' 'permission denied' sql_as dba crm -c 'alter role crm_owner login'

# ---------------------------------------------------------------------------------------------- more rights than before?

# crm_backup is the one that reads past row level security, as docs/security.md says.
for role in dba crm_owner crm_admin; do
    for database in crm elsewhere; do
        is "dba, who saw no salary before, sees none in $database as $role" \
            "$(sql_as dba "$database" -c "set role $role" -c 'select count(*) from public.salaries')" 0
    done
done

# ---------------------------------------------------------------------------------------------- the way to superuser

# Whatever runs the DBA's code tells as whom, and tries to use it.
sql_as dba crm <<'SQL'
truncate public.log;
create or replace function public.trap() returns trigger language plpgsql as $$
begin
    perform public.caught(tg_table_name || ' ' || tg_op);
    return coalesce(new, old);
end
$$;
create function public.trap_value() returns boolean language plpgsql as $$ begin perform public.caught('value'); return true; end $$;
grant execute on all functions in schema public to public;
-- On every table of the CRM: row and statement triggers, and constraints, defaults and policies that call a function.
do $$
declare
    one regclass;
begin
    for one in
        select oid from pg_catalog.pg_class
        where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind in ('r', 'p') and not relispartition
    loop
        execute pg_catalog.format('create trigger a_trap before insert or update or delete on %s for each row execute function public.trap()', one);
        execute pg_catalog.format('create trigger z_trap after insert or update or delete on %s for each row execute function public.trap()', one);
        execute pg_catalog.format('create trigger s_trap before insert or update or delete on %s for each statement execute function public.trap()', one);
        execute pg_catalog.format('alter table %s add constraint trap check (public.trap_value()) not valid', one);
        execute pg_catalog.format('alter table %s add column trap boolean', one);
        execute pg_catalog.format('alter table %s alter column trap set default public.trap_value()', one);
        execute pg_catalog.format('create policy trap on %s as restrictive using (public.trap_value())', one);
    end loop;
end
$$;
SQL

# Everything that writes, run by a superuser, as scripts and people do; each in a transaction of its own.
everything=("select crm.register('trap@example.com', 'some password', 'Trap')"
    "select crm.login('trap@example.com', 'some password')"
    "select crm.issue_token(id) from crm_users"
    "select crm.rotate_signing_key()"
    "select crm.create_platform_key('trap')"
    "select crm.create_organization('Trapped', null, 'trapped@example.com')"
    "select crm.create_user('trap2@example.com', null, 'some password')"
    "select crm.request_password_reset('trap@example.com')"
    "select crm.grant_platform_role(id, 'support') from crm_users"
    "select * from crm.claim_messages()"
    "select crm.fan_out_events()"
    "select * from crm.claim_webhook_deliveries()"
    "select crm.maintain_webhooks()"
    "select crm.clear_expired()"
    "select crm.unbind_deployment(), crm.bind_deployment()"
    "select crm.list_organizations(), crm.list_users()"
    "begin; select crm.authenticate('x'); commit"
    "select crm.load_demo('x')")
run_everything() {
    local statement
    for statement in "${everything[@]}"; do
        statement=${statement/from crm_users/"from (select '$trap_user'::uuid as id) as one"}
        sql crm -c "$statement" >/dev/null 2>&1 || :
    done
}
sql_as dba crm -c 'truncate public.log'
sql crm -c "select crm.register('first@example.com', 'some password', 'First')" >/dev/null
trap_user=$(sql crm -c "set row_security = on; select id from crm.users where email = 'first@example.com'")
run_everything
is 'triggers, checks, defaults and policies of the DBA, met by what a superuser calls, run as crm_definer or crm_owner' \
    "$(sql crm -c "select string_agg(distinct who, ' ' order by who) from public.log where who not in ('crm_definer', 'crm_owner')")" ''
is 'they did run' "$(sql crm -c 'select count(*) > 20 from public.log')" t
is 'and dba is no superuser' "$(sql crm -c "select rolsuper from pg_roles where rolname = 'dba'")" f

sql_as dba crm <<'SQL'
do $$
declare
    one regclass;
begin
    for one in
        select oid from pg_catalog.pg_class
        where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind = 'r'
    loop
        execute pg_catalog.format('create constraint trigger d_trap after insert or update or delete on %s deferrable initially deferred for each row execute function public.trap()', one);
    end loop;
end
$$;
truncate public.log;
SQL
sql crm -c 'alter role dba nosuperuser' 2>/dev/null
everything[0]="select crm.register('deferred@example.com', 'some password', 'Deferred')"
run_everything
is 'deferred triggers, which wait for the end of the transaction, do not run as the superuser either' \
    "$(sql crm -c "select string_agg(distinct who, ' ' order by who) from public.log where who not in ('crm_definer', 'crm_owner')")" ''
is 'and dba is still no superuser' "$(sql crm -c "select rolsuper from pg_roles where rolname = 'dba'")" f
sql crm -c 'alter role dba nosuperuser'

# What a cursor that outlives the transaction selects is run at its end.
sql_as dba crm <<'SQL'
do $$
declare
    one record;
begin
    for one in select tgname, tgrelid::regclass as target from pg_catalog.pg_trigger where tgname = 'd_trap' loop
        execute pg_catalog.format('drop trigger d_trap on %s', one.target);
    end loop;
end
$$;
truncate public.log;
create function public.holdable() returns trigger language plpgsql as $$
begin
    execute 'declare later cursor with hold for select public.trap_value()';
    return new;
end
$$;
create trigger a_hold before insert on crm_private.sessions for each row execute function public.holdable();
SQL
refused 'a cursor of the DBA cannot outlive what a superuser calls' 'cannot create a cursor WITH HOLD' \
    sql crm -c "select crm.login('first@example.com', 'some password')"
is 'so it does not run as the superuser' "$(sql crm -c "select string_agg(distinct who, ' ') from public.log where who not in ('crm_definer', 'crm_owner')")" ''
is 'and dba is no superuser by that either' "$(sql crm -c "select rolsuper from pg_roles where rolname = 'dba'")" f
sql_as dba crm -c 'drop trigger a_hold on crm_private.sessions'

for function in 'crm.authenticate(text)' 'crm_private.postgrest_config()' 'crm.register(text, text, text, text)'; do
    refused "dba cannot replace $function" 'must be owner|cannot change' sql_as dba crm -c "alter function $function owner to dba"
    refused "nor take $function out of the extension" 'must be owner' sql_as dba crm -c "alter extension crm_ext drop function $function"
done
refused 'nor redefine it' 'must be owner' sql_as dba crm -c 'create or replace function crm_private.postgrest_config() returns void language sql as $$select$$'
refused 'nor make a function of the library its own' 'permission denied for language c' \
    sql_as dba crm -c "create function public.mine() returns uuid language c as '\$libdir/crm_ext', 'current_user_id_wrapper'"
refused 'nor set the identity' 'permission denied to set parameter' sql_as dba crm -c 'select crm.whoami()' -c "set crm.identity = '{}'"
refused 'nor give the right to set it' 'permission denied' sql_as dba crm -c 'grant set on parameter crm.identity to dba'
refused 'nor have it set at the start of sessions' 'permission denied' sql_as dba crm -c 'select crm.whoami()' -c "alter role dba set crm.identity = '{}'"

# Overloads and operators of the DBA's own in the schemas, next to ours.
sql_as dba crm <<'SQL'
truncate public.log;
create function crm_private.postgrest_config(x int default 1) returns void language plpgsql as $$ begin perform public.caught('postgrest_config'); end $$;
create function crm.authenticate(x int default 1) returns jsonb language plpgsql as $$ begin perform public.caught('authenticate'); return null; end $$;
create function crm.whoami(x int default 1) returns jsonb language plpgsql as $$ begin perform public.caught('whoami'); return null; end $$;
create function crm.jwks(x int default 1) returns jsonb language plpgsql as $$ begin perform public.caught('jwks'); return null; end $$;
SQL
sql crm -c 'begin; set local role crm_anon; select crm.pre_request(); commit' >/dev/null 2>&1 || :
# "value" is what the DBA's own policies say when our functions read the tables, as crm_definer.
is 'functions that the DBA makes in the schemas are not called in place of ours' \
    "$(sql crm -c "select string_agg(distinct what, ' ') from public.log where (what, who) <> ('value', 'crm_definer')")" ''

# A second installation, prepared from inside.
sql_as dba crm -c 'truncate crm.organizations, crm.users cascade' -c 'drop extension crm_ext cascade' >/dev/null 2>&1 || :
is 'after DROP EXTENSION … CASCADE' "$(sql crm -c "select count(*) from pg_extension where extname = 'crm_ext'")" 0
sql_as dba crm -c 'truncate public.log'
works 'dba installs again' sql_as dba crm -c 'create extension crm_ext'
is 'and nothing of theirs ran in it' "$(sql crm -c "select string_agg(distinct what, ' ') from public.log")" ''
snapshot crm >"$work/again.snapshot"
same 'the catalog is the same as at first' "$work/reference.snapshot" "$work/again.snapshot"

finish
