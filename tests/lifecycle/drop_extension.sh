#!/usr/bin/env bash
# DROP EXTENSION takes no data, and installing twice changes none.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

new_cluster one
sql postgres -c 'create role dba login' -c 'create database crm owner dba'
sql_as dba crm -c 'create extension crm_ext' -c "select crm.load_demo('demo password')" >/dev/null
rows crm >"$work/rows"
snapshot crm >"$work/snapshot"

refused 'the DBA cannot drop the extension while there is data' 'cannot drop extension crm_ext because other objects depend on it' \
    sql_as dba crm -c 'drop extension crm_ext'
refused 'nor can a superuser' 'cannot drop extension crm_ext because other objects depend on it' sql crm -c 'drop extension crm_ext'
refused 'nor drop the schema crm' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm'
refused 'nor drop the schema crm with all that is in it' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm cascade'
refused 'nor crm_private' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm_private cascade'
refused 'nor drop a function that the tables need' 'because extension crm_ext requires it' sql_as dba crm -c 'drop function crm.uuid_v7() cascade'
refused 'a second CREATE EXTENSION says that it is there' 'extension "crm_ext" already exists' sql_as dba crm -c 'create extension crm_ext'
refused 'install() says that the tables are there' 'the tables of the CRM exist already' sql_as dba crm -c 'select crm_private.install()'
is 'CREATE EXTENSION IF NOT EXISTS changes nothing' "$(sql_as dba crm -c 'create extension if not exists crm_ext')" ''
is 'an update to the version that is there changes nothing' "$(sql_as dba crm -c 'alter extension crm_ext update')" ''
refused 'the extension cannot be moved to another schema' 'does not support SET SCHEMA' sql_as dba crm -c 'create schema other' -c 'alter extension crm_ext set schema other'
is 'load_demo() a second time says so' "$(sql crm -c "select crm.load_demo('other password')")" '{"already_loaded": true}'

rows crm >"$work/rows_after"
snapshot crm >"$work/snapshot_after"
same 'after all of this every row is there' "$work/rows" "$work/rows_after"
same 'and every right, policy and function is as before' "$work/snapshot" "$work/snapshot_after"

finish
