#!/usr/bin/env bash
# Somebody was there before: a schema or a role of ours that is not ours stops the installation, with a clear error, and
# leaves nothing behind. Without it the installation works.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# CREATEROLE is what a squatter on a managed platform may well have.
new_cluster one
sql postgres -c 'create role dba login' -c 'create role squatter login createrole' -c 'create database crm owner dba'
sql crm -c 'grant create on database crm to squatter'

leftovers() {
    sql crm -c "select 'schema ' || nspname from pg_namespace where nspname in ('crm', 'crm_private')
        union all select 'role ' || rolname from pg_roles where rolname like 'crm\_%'
        union all select 'extension ' || extname from pg_extension where extname = 'crm_ext'
        order by 1"
}
is 'before, there is nothing of ours' "$(leftovers)" ''

for who in dba postgres; do
    for schema in crm crm_private; do
        sql_as squatter crm -c "create schema $schema" -c "create table $schema.users (email text)"
        refused "$who cannot install over somebody's schema $schema" "cannot install crm_ext: schema $schema exists already" \
            sql_as $who crm -c 'create extension crm_ext'
        is "and nothing is left behind" "$(leftovers)" "schema $schema"
        sql_as squatter crm -c "drop schema $schema cascade"
    done
done
sql_as dba crm -c 'create schema crm'
refused 'nor over a schema of their own' 'schema crm exists already' sql_as dba crm -c 'create extension crm_ext'
sql_as dba crm -c 'drop schema crm'

roles='crm_authenticator crm_anon crm_app crm_multi crm_service crm_worker crm_admin crm_owner crm_definer crm_backup'
for role in $roles; do
    for attributes in nologin login "login in role pg_read_all_data" "nologin role squatter"; do
        sql_as squatter postgres -c "create role $role $attributes"
        refused "dba cannot install over somebody's role $role ($attributes)" "cannot install crm_ext: role $role exists already" \
            sql_as dba crm -c 'create extension crm_ext'
        is "and nothing is left behind" "$(leftovers)" "role $role"
        sql_as squatter postgres -c "drop role $role"
    done
done
sql postgres -c 'create role crm_backup bypassrls'
refused 'a role of a superuser without our mark is refused, too' 'role crm_backup exists already' sql crm -c 'create extension crm_ext'
sql postgres -c 'drop role crm_backup'

# The mark is a superuser's to set.
sql_as squatter postgres -c 'create role crm_owner'
refused 'a squatter cannot forge the mark on a role' 'permission denied to set parameter' \
    sql_as squatter postgres -c 'alter role crm_owner set allow_system_table_mods = off'
sql_as squatter postgres -c 'alter role crm_owner set search_path = x'
refused 'and any other setting is not the mark' 'role crm_owner exists already' sql_as dba crm -c 'create extension crm_ext'
sql_as squatter postgres -c 'drop role crm_owner'

# Rights that would be given to our roles behind the script's back.
sql crm -c 'create role crm_evil' -c 'alter default privileges grant all on tables to crm_evil'
refused 'default privileges for a role named like ours are refused' 'default privileges of role postgres grant rights to crm_ roles' \
    sql_as dba crm -c 'create extension crm_ext'
is 'and nothing is left behind' "$(leftovers)" 'role crm_evil'
sql crm -c 'alter default privileges revoke all on tables from crm_evil' -c 'drop role crm_evil'

works 'when everything is out of the way, the DBA installs' sql_as dba crm -c 'create extension crm_ext'
sql_as dba crm -c "select crm.load_demo('demo password')" >/dev/null
is 'and it works' "$(sql crm -c "select (crm.login('owner@demo.example', 'demo password')) ? 'access_token'")" t

# Our own roles, changed after an installation.
sql postgres -c 'create database other owner dba'
try() {
    sql postgres -c "$2"
    refused "no other database is given the CRM while $1" "cannot install crm_ext: role" sql other -c 'create extension crm_ext'
    sql postgres -c "$3"
}
try 'somebody has become crm_definer' 'grant crm_definer to dba' 'revoke crm_definer from dba'
try 'crm_app has become a member of something' 'grant pg_read_all_data to crm_app' 'revoke pg_read_all_data from crm_app'
try 'crm_owner can log in' 'alter role crm_owner login' 'alter role crm_owner nologin'
try 'crm_app reads past policies' 'alter role crm_app bypassrls' 'alter role crm_app nobypassrls'
try 'crm_definer creates roles' 'alter role crm_definer createrole' 'alter role crm_definer nocreaterole'
works 'set right again, it is' sql_as dba other -c 'create extension crm_ext'

finish
