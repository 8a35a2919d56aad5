#!/usr/bin/env bash
# A dump brings everything back: rows, policies, grants, owners, triggers, functions, and what the DBA added; as custom
# format with parallel jobs, as a plain script, and data only; dumped by the DBA who has none of a superuser's rights and
# by a superuser, restored by a superuser into the same cluster and into a fresh one.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# ---------------------------------------------------------------------------------------------- what is dumped

new_cluster old
sql postgres -c 'create role dba login' -c 'create database crm owner dba'
sql_as dba crm -c 'create extension crm_ext'
sql_as dba crm -c "select crm.load_demo('demo password')" >/dev/null
sql crm >/dev/null <<'SQL'
select crm.register(format('person%s@example.com', n), 'some password', format('Organization %s', n % 3)) from generate_series(1, 4) as n;
update crm.organizations set country = 'DE' where slug = 'demo';
select crm.rotate_signing_key('ES256');
SQL
token=$(sql crm -c "select crm.login('owner@demo.example', 'demo password')->>'access_token'")
sql_as dba crm -c "select crm.rotate_signing_key('EdDSA')" >/dev/null
sql crm >/dev/null <<SQL
begin;
set local role crm_app;
select crm.authenticate('$token');
insert into crm.contacts (last_name, phone, tags, description) values ('National', '030 123456', '{vip,Key account}', e'two\nlines; \\\\ \\t "quoted" ''and'' ünïcödé 😀');
update crm.contacts set title = 'changed' where external_id like 'demo-contact-1%';
delete from crm.contacts where external_id = 'demo-contact-15';
commit;
SQL
sql_as dba crm >/dev/null <<'SQL'
alter table crm.contacts add column shoe_size integer default 42, add constraint contacts_shoe_size_check check (shoe_size > 0);
create index contacts_org_id_shoe_size_idx on crm.contacts (org_id, shoe_size);
comment on column crm.contacts.shoe_size is 'European.';
create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text,
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade
);
comment on table crm.vehicles is 'The DBA''s own.';
select crm.enroll('crm.vehicles', array['plate line 10']);
grant select on crm.vehicles to crm_service;
SQL
sql crm -c "insert into crm.vehicles (org_id, plate) select id, slug from crm.organizations where length(slug) <= 10"
rows crm >"$work/old.rows"
snapshot crm >"$work/old.snapshot"

works 'the DBA dumps in custom format' pg pg_dump -U dba --role=crm_backup -Fc -f "$work/custom" crm
works 'and as a plain script' pg pg_dump -U dba --role=crm_backup -f "$work/plain.sql" crm
# pg_dump warns of accounts that point to accounts.
pg pg_dump -U dba --role=crm_backup --data-only --disable-triggers -f "$work/data.sql" crm 2>/dev/null
pg pg_dump -U dba --role=crm_backup --data-only -f "$work/data_with_triggers.sql" crm 2>/dev/null
functions_of_tables='ON FUNCTION crm\.(parent|subsidiaries)\('
works 'a superuser dumps as a directory, in parallel' pg pg_dump -U postgres -Fd -j 4 -f "$work/directory" crm
is 'the dump brings the extension by its name' "$(grep -c 'CREATE EXTENSION IF NOT EXISTS crm_ext' "$work/plain.sql")" 1
is 'nor repeats the rights of the extension, which only a superuser could give again' "$(grep -E '^(GRANT|REVOKE).* ON (FUNCTION|SCHEMA) ' "$work/plain.sql" | grep -vE "$functions_of_tables")" ''
is 'but those of the functions of accounts' "$(grep -cE "^(GRANT|REVOKE).* $functions_of_tables" "$work/plain.sql")" 6

# ---------------------------------------------------------------------------------------------- the same, in its new place

# same_as_before DATABASE WHERE
same_as_before() {
    rows "$1" >"$work/new.rows"
    snapshot "$1" >"$work/new.snapshot"
    same "$2: every row is there, and no other" "$work/old.rows" "$work/new.rows"
    same "$2: tables, policies, rights, owners, triggers and functions are the same" "$work/old.snapshot" "$work/new.snapshot"
    is "$2: a password still logs in" \
        "$(sql "$1" -c "select crm.login('owner@demo.example', 'demo password')#>>'{organization,slug}'")" demo
    is "$2: an old token is still good" \
        "$(sql "$1" -c "begin; set local role crm_app; select crm.authenticate('$token')->>'role'; commit")" owner
    is "$2: and sees what it saw" "$(sql "$1" -c "begin; set local role crm_app; do \$\$ begin perform crm.authenticate('$token'); end \$\$;
        select count(*) || ' of ' || min(shoe_size) from crm.contacts; commit")" '60 of 42'
}

new_database() { sql postgres -c "create database $1 owner dba"; }

new_database custom
works 'a superuser restores the custom format with four jobs' pg pg_restore -U postgres -j 4 -d custom "$work/custom"
same_as_before custom 'custom format, superuser'

new_database directory
works 'a superuser restores the directory with four jobs' pg pg_restore -U postgres -j 4 -d directory "$work/directory"
same_as_before directory 'directory, superuser'

new_database plain
works 'a superuser runs the plain script' sql plain -o /dev/null -f "$work/plain.sql"
same_as_before plain 'plain script, superuser'

new_database data_only
sql_as dba data_only -c 'create extension crm_ext' 2>/dev/null
sql data_only >/dev/null <<'SQL'
set session_replication_role = replica;
delete from crm_private.signing_keys;
delete from crm_private.settings;
delete from crm_private.identity_providers;
delete from crm_private.schema_version;
delete from crm.plans;
delete from crm.permissions;
delete from crm.built_in_permissions;
delete from crm.built_in_roles;
alter table crm.contacts add column shoe_size integer default 42, add constraint contacts_shoe_size_check check (shoe_size > 0);
SQL
sed '/^COPY crm.vehicles/,/^\\\.$/d; /TABLE crm.vehicles/d' "$work/data.sql" >"$work/data_without_vehicles.sql"
works 'a superuser loads data only, with triggers disabled' sql data_only -o /dev/null -f "$work/data_without_vehicles.sql"
rows data_only >"$work/new.rows"
same 'data only: every row is there, and no other' <(sed '/^== crm.vehicles/,/^== /{/^== crm.vehicles/d;/^== /!d}' "$work/old.rows") "$work/new.rows"
sql data_only -c 'truncate crm.organizations, crm.users cascade' -c 'delete from crm.plans' -c 'delete from crm_private.signing_keys' -c 'delete from crm_private.settings' \
    -c 'delete from crm.permissions' -c 'delete from crm.built_in_permissions' -c 'delete from crm.built_in_roles' -c 'delete from crm_private.schema_version' -c 'delete from crm_private.identity_providers' -c 'delete from crm_private.messages'
sed '/^COPY crm.vehicles/,/^\\\.$/d' "$work/data_with_triggers.sql" >"$work/data_without_vehicles.sql"
works 'a superuser loads data only, with triggers enabled' sql data_only -o /dev/null -f "$work/data_without_vehicles.sql"
rows data_only >"$work/new.rows"
same 'data only, with triggers: every row is there, and none is changed' \
    <(sed '/^== crm.vehicles/,/^== /{/^== crm.vehicles/d;/^== /!d}' "$work/old.rows") "$work/new.rows"

# ---------------------------------------------------------------------------------------------- a fresh cluster

new_cluster fresh
sql postgres -c 'create role dba login'

new_database custom
works 'on a fresh cluster a superuser restores with four jobs' pg pg_restore -U postgres -j 4 -d custom "$work/custom"
same_as_before custom 'fresh cluster, superuser'
is 'the roles are made by the extension' "$(sql postgres -c "select count(*) from pg_roles where rolname like 'crm\_%'")" 10

new_cluster freshest
sql postgres -c 'create role dba login' -c 'create role guest'
# Careless defaults of the new place: rights on tables come with the dump, so PostgreSQL adds these; rows stay unseen.
new_database careless
sql careless -c 'alter default privileges grant all on functions to public' -c 'alter default privileges grant all on schemas to public' \
    -c 'alter default privileges grant all on tables to public'
works 'a superuser restores where default privileges give everything to everybody' pg pg_restore -U postgres -j 4 -d careless "$work/custom"
is 'no schema and no function is open to everybody' "$(sql careless -c "
    select count(*) from pg_proc as p
    where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and has_function_privilege('guest', p.oid, 'execute')
    union all
    select count(*) from pg_namespace where nspname in ('crm', 'crm_private') and has_schema_privilege('guest', oid, 'usage')")" $'0\n0'
is 'and no row is seen' "$(for table in crm.contacts crm.users crm_private.signing_keys; do
    sql careless -c 'grant usage on schema crm, crm_private to guest' -c 'set role guest' -c "select count(*) from $table" 2>&1; done | sort -u)" 0

finish
