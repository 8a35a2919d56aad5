#!/usr/bin/env bash
# A standby, which can write nothing: crm.doctor() and crm.health() answer there as on the primary, to the DBA and to anybody.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

new_cluster primary
sql postgres -c 'create database crm' -c 'create role dba login'
sql crm -c 'create extension crm_ext' -c 'grant crm_owner, crm_admin, crm_backup to dba'
# Something for the doctor to find.
sql crm -c 'alter role crm_app set row_security = off' -c 'grant select on crm.contacts to dba'

# Of the DBA alone, and not of the server.
sql crm -c "alter role dba set statement_timeout = '1h'" -c 'alter role dba set default_transaction_read_only = on'

doctor() { sql_as "$1" crm -c 'select * from crm.doctor()'; }
doctor postgres >"$work/on_primary"
is 'the doctor finds what is wrong on the primary' "$(cut -d '|' -f 1-3 "$work/on_primary" | grep -cE '^(error\|role_settings\|crm_app|warning\|right_of_a_stranger\|crm.contacts)$')" 2
is 'and tells a DBA without superuser the same' "$(doctor dba)" "$(<"$work/on_primary")"
health() { sql_as "$1" crm -c 'set role crm_anon' -c "select h ->> 'status', h #>> '{checks,writable}' from crm.health() as h"; }
is 'the primary is well, and writes' "$(health postgres)" 'ok|true'

# A copy of it that never leaves recovery.
end_postgres "${cluster_process[primary]}"
as_pg cp -a "$work/primary" "$work/standby"
as_pg touch "$work/standby/standby.signal"
cluster=standby
cluster_port[standby]=$(free_port)
CLUSTER_LOG=$work/standby.log cluster_start "$work/standby" "${cluster_port[standby]}" -c fsync=off -c full_page_writes=off
cluster_process[standby]=$CLUSTER_PID

is 'this is a standby' "$(sql crm -c 'select pg_is_in_recovery()')" t
refused 'which cannot write' 'read-only transaction' sql crm -c 'create table public.t ()'
doctor postgres >"$work/on_standby"
same 'the doctor finds the same there' "$work/on_primary" "$work/on_standby"
is 'and tells a DBA without superuser the same' "$(doctor dba)" "$(<"$work/on_standby")"
is 'the standby is degraded: it does not write' "$(health postgres)" 'degraded|false'

finish
