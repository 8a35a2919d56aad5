#!/usr/bin/env bash
# A dump in any form brings everything back: rows, policies, rights, owners, triggers, functions, and what the DBA added; dumped by
# the DBA who has none of a superuser's rights, restored by that DBA and by a superuser, into the same cluster and into fresh ones.

source "$(dirname "${BASH_SOURCE[0]}")/dump_restore.bash"

new_cluster old
make_original

# ---------------------------------------------------------------------------------------------- dumps

# dump SENTENCE FILE [pg_dump arguments]: as the DBA, and without a word.
dump() {
    local sentence=$1 file=$2
    shift 2
    works "the DBA dumps $sentence" pg pg_dump -U dba --role=crm_backup -f "$work/$file" "$@" crm
}
dump 'in custom format' custom -Fc
dump 'as a directory, four tables at a time' directory -Fd -j4
dump 'as a tar file' tar -Ft
dump 'as a script' script.sql
dump 'as a script of INSERT' inserts.sql --inserts
dump 'as a script of INSERT with columns' columns.sql --column-inserts --rows-per-insert=50
dump 'as a script that drops first' clean.sql --clean --if-exists
dump 'what comes before the data' pre_data.sql --section=pre-data
dump 'the data' data.sql --section=data
dump 'what comes after the data' post_data.sql --section=post-data
dump 'definitions alone' schema.sql --schema-only
works 'a superuser dumps as a script' pg pg_dump -U postgres -f "$work/superuser.sql" crm
# Each has a random word of its own for \restrict.
same 'which is the same as that of the DBA' <(grep -v restrict "$work/script.sql") <(grep -v restrict "$work/superuser.sql")
works 'a superuser dumps the roles' pg pg_dumpall -U postgres --globals-only -f "$work/globals.sql"
# pg_dump warns of accounts that point to accounts.
pg pg_dump -U dba --role=crm_backup --data-only -f "$work/data_only.sql" crm 2>/dev/null

refused 'without --role the DBA dumps nothing: row level security binds the tables'\'' owner' 'row-level security' \
    pg pg_dump -U dba -f "$work/refused.sql" crm
is 'the dump brings the extension by its name' "$(grep -c 'CREATE EXTENSION IF NOT EXISTS crm_ext' "$work/script.sql")" 1
functions_of_tables='ON FUNCTION crm\.(parent|subsidiaries)\('
is 'nor repeats the rights of the extension, which only a superuser could give again' \
    "$(grep -E '^(GRANT|REVOKE).* ON (FUNCTION|SCHEMA) ' "$work/script.sql" | grep -vE "$functions_of_tables")" ''
is 'but those of the functions of accounts' "$(grep -cE "^(GRANT|REVOKE).* $functions_of_tables" "$work/script.sql")" 6
is 'and no event trigger, which only a superuser could make' "$(grep -c 'EVENT TRIGGER' "$work/script.sql")" 0

remember crm

# ---------------------------------------------------------------------------------------------- restores

# What follows takes the role that restores, then what the form needs: all of it fails at the first error.
archive() { pg pg_restore -U "$1" -d "$database" "${@:3}" "$work/$2"; }
script() { sql_as "$1" "$database" -o /dev/null "${@:3}" -f "$work/$2"; }
sections() {
    archive "$1" "$2" --section=pre-data
    archive "$1" "$2" --section=data -j4
    archive "$1" "$2" --section=post-data "${@:3}"
}
section_scripts() {
    script "$1" pre_data.sql
    script "$1" data.sql
    script "$1" post_data.sql
}
definitions_then_data() { script "$1" schema.sql && script "$1" data_only.sql; }
# The CRM's triggers leave what a dump brings as it is; the DBA's own have to be kept from it.
with_triggers() {
    script "$1" schema.sql
    sql_as "$1" "$database" -c 'alter table crm.contacts disable trigger _950_note'
    script "$1" data_only.sql
    sql_as "$1" "$database" -c 'alter table crm.contacts enable trigger _950_note'
}
# No trigger at work, and no foreign key.
as_replica() {
    archive "$1" "$2" --schema-only
    options='-c session_replication_role=replica' archive "$1" "$2" --data-only "${@:3}"
}
# pg_restore enables all triggers afterwards, also those that were disabled or are to fire always: they are made anew.
triggers_disabled() {
    archive "$1" "$2" --schema-only
    archive "$1" "$2" --data-only --disable-triggers
    pg pg_restore --list "$work/$2" | grep ' TRIGGER ' >"$work/triggers"
    archive "$1" "$2" --clean --if-exists --use-list="$work/triggers"
}
twice() {
    "$2" "$1" "${@:3}"
    "$2" "$1" "${@:3}"
}
# Into a CRM just installed, whose own rows have to go first.
into_installed() {
    sql_as dba "$database" -c 'create extension crm_ext' -f "$LIFECYCLE/additions.sql" >/dev/null
    sql_as dba "$database" -c 'alter table public.notes drop constraint notes_org_id_fkey' -f "$LIFECYCLE/empty.sql" \
        -c 'alter table public.notes add foreign key (org_id) references crm.organizations (id)'
    options='-c session_replication_role=replica' script "$1" data_only.sql
}

# form ROLE SENTENCE COMMAND…: into a new database of the DBA's.
forms=0
form() {
    local role=$1 sentence="$2, by $1" command=$3
    shift 3
    database=form_$((forms += 1))
    sql postgres -c "create database $database owner dba"
    works "$sentence: restores without a word" "$command" "$role" "$@"
    as_before "$database" "$sentence"
    sql postgres -c "drop database $database"
}

for role in dba postgres; do
    form "$role" 'script' script script.sql
    form "$role" 'script, one transaction' script script.sql -1
    form "$role" 'script that drops first, twice' twice script clean.sql
    form "$role" 'script of INSERT' script inserts.sql
    form "$role" 'script of INSERT with columns' script columns.sql
    form "$role" 'custom format' archive custom
    form "$role" 'custom format, one transaction' archive custom -1
    form "$role" 'custom format, drops first, one transaction' archive custom --clean --if-exists -1
    form "$role" 'custom format, drops first, twice' twice archive custom --clean --if-exists
    form "$role" 'tar file' archive tar
    form "$role" 'sections, the data four tables at a time' sections directory
    form "$role" 'scripts of sections' section_scripts
done
form postgres 'custom format, four jobs' archive custom -j4
form postgres 'directory, four jobs' archive directory -j4
form postgres 'sections, four jobs' sections directory -j4
form postgres 'definitions, then data' with_triggers
form postgres 'definitions, then data as a replica, four tables at a time' as_replica custom -j4
form postgres 'definitions, then data with triggers disabled' triggers_disabled custom
form postgres 'data into an installed CRM' into_installed

# ---------------------------------------------------------------------------------------------- what does not go

# cannot SENTENCE PATTERN ROLE COMMAND…: into a new database of the DBA's.
cannot() {
    database=form_$((forms += 1))
    sql postgres -c "create database $database owner ${owner:-dba}"
    refused "$@"
}
cannot 'the DBA cannot have several jobs make keys: PostgreSQL checks them past no forced row level security' 'would be affected by row-level security policy' \
    archive dba custom -j4
cannot 'nor load data where the definitions, row level security among them, are there already' 'would be affected by row-level security policy' \
    definitions_then_data dba
cannot 'nor restore as crm_owner, which may not create in the database' 'permission denied to create extension' archive dba custom --role=crm_owner
owner=other_dba cannot 'a DBA who could connect to the original and does not administer it restores nothing' 'permission denied for schema crm' \
    script other_dba script.sql

database=no_owner
sql postgres -c "create database $database owner dba"
works 'the DBA restores without owners' archive dba custom --no-owner
rows "$database" >"$work/rows.new"
same 'without owners: every row is there' "$work/rows" "$work/rows.new"
is 'but the tables belong to who restored' "$(sql "$database" -c "select distinct relowner::regrole from pg_class where relnamespace = 'crm'::regnamespace and relkind = 'r'")" dba
works 'and are given back' sql_as dba "$database" -f "$LIFECYCLE/owners.sql"
is 'so that none is left' "$(sql "$database" -c "select distinct relowner::regrole from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)")" crm_owner
answers "$database" >"$work/answers.new"
same 'and all of it goes on' "$work/answers" "$work/answers.new"
database=no_privileges
sql postgres -c "create database $database owner dba"
works 'the DBA restores without privileges' archive dba custom --no-privileges
rows "$database" >"$work/rows.new"
same 'without privileges: every row is there' "$work/rows" "$work/rows.new"
refused 'but nobody may read it' 'permission denied for table contacts' sql "$database" -c 'set role crm_app' -c 'select from crm.contacts'

# ---------------------------------------------------------------------------------------------- in the place of the original

waiting=$(waiting crm)
is 'messages and events wait' "$((${waiting% *} > 0 && ${waiting#* } > 0))" 1
database=crm
works 'the DBA restores over the original, which went on' archive dba custom --clean --if-exists -1
as_before crm 'over the original'
is 'the DBA binds it' "$(sql_as dba crm -c 'select crm.bind_deployment()')" t
is 'over the original, bound: what waits is handed out' "$(claimed crm)" "$waiting"

# ---------------------------------------------------------------------------------------------- fresh clusters

members="select string_agg(roleid::regrole || ' to ' || member::regrole, ', ' order by roleid::regrole::text, member::regrole::text)
    from pg_auth_members where roleid::regrole::text like 'crm\_%'"
members_before=$(sql postgres -c "$members")

new_cluster fresh
sql postgres -c 'create role dba login'
form dba 'on a fresh cluster, custom format' archive custom
is 'on a fresh cluster: the extension makes the roles, and the DBA their member' "$(sql postgres -c "$members")" "$members_before"
form postgres 'on a fresh cluster, directory, four jobs' archive directory -j4

new_cluster with_roles
# It repeats the role of initdb.
is 'a dump of the roles is restored' "$(pg psql -X -q -U postgres -d postgres -f "$work/globals.sql" 2>&1 >/dev/null | grep -v 'role "postgres" already exists')" ''
is 'with its roles: who is a member of what is the same' "$(sql postgres -c "$members")" "$members_before"
form dba 'on a fresh cluster with its roles, script' script script.sql
form postgres 'on a fresh cluster with its roles, custom format, four jobs' archive custom -j4
database=postgres
works 'a superuser restores with the database itself' archive postgres custom --create
as_before crm 'with the database itself'

new_cluster careless
sql postgres -c 'create role dba login' -c 'create role guest' -c 'create database careless owner dba'
# Careless defaults of the new place: rights on tables come with the dump, so PostgreSQL adds these; rows stay unseen.
database=careless
sql careless -c 'alter default privileges grant all on functions to public' -c 'alter default privileges grant all on schemas to public' \
    -c 'alter default privileges grant all on tables to public'
works 'a superuser restores where default privileges give everything to everybody' archive postgres custom -j4
is 'no schema and no function is open to everybody' "$(sql careless -c "
    select count(*) from pg_proc as p
    where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and has_function_privilege('guest', p.oid, 'execute')
    union all
    select count(*) from pg_namespace where nspname in ('crm', 'crm_private') and has_schema_privilege('guest', oid, 'usage')")" $'0\n0'
is 'and no row is seen' "$(for table in crm.contacts crm.users crm_private.signing_keys; do
    sql careless -c 'grant usage on schema crm, crm_private to guest' -c 'set role guest' -c "select count(*) from $table" 2>&1; done | sort -u)" 0

finish
