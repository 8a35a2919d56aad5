#!/usr/bin/env bash
# A copy of a CRM has all of it, and delivers nothing until it is bound; the original goes on. What a copy of the files is, only
# people know.

source "$(dirname "${BASH_SOURCE[0]}")/dump_restore.bash"

# How much DATABASE hands out, letting them go again, and what it says.
handed_out() { options='-c client_min_messages=notice' sql_as postgres "$1" -c "begin; set local role crm_worker; $claim; rollback" 2>&1 || :; }
claim='select count(*) from crm.claim_messages(100)'
nothing='NOTICE:  nothing is handed out for delivery: this CRM was restored or copied, or was released
HINT:  Only where it takes the original'\''s place: select crm.bind_deployment();
0'

new_cluster one
make_original
works 'the DBA dumps' pg pg_dump -U dba --role=crm_backup -Fc -f "$work/dump" crm
works 'a superuser copies the database' sql postgres -c 'create database template_copy template crm owner dba'
waiting=$(waiting crm)
events=${waiting#* } waiting=${waiting% *}
is 'messages and events wait' "$((waiting > 0 && events > 0))" 1
remember crm

is 'the original hands them out' "$(handed_out crm)" "$waiting"
as_before template_copy 'copied in the cluster'
is 'copied in the cluster: it says why nothing is handed out' "$(handed_out template_copy)" "$nothing"
claim='select count(*) from crm.claim_oauth_exchanges(100)'
is 'copied in the cluster: nor is a sign-in, and it says why' "$(handed_out template_copy)" "$nothing"
claim='select count(*) from crm.claim_webhook_deliveries(100)'
is 'the original hands out events for webhooks' "$(handed_out crm)" "$events"
is 'copied in the cluster: it does not, and says why' "$(handed_out template_copy)" "$nothing"
claim='select count(*) from crm.claim_messages(100)'
works 'copied in the cluster: the DBA takes away what waits' sql_as dba template_copy -c 'truncate crm_private.messages, crm_private.oauth_flows, crm.webhook_deliveries'
is 'and binds it, to try out messages of its own' "$(sql_as dba template_copy -c 'select crm.bind_deployment()')" t
is 'nothing of the original is handed out' "$(handed_out template_copy)" 0
sql template_copy -c "select crm.register('new@example.com', 'some password', 'New')" >/dev/null
is 'but what is new' "$(handed_out template_copy)" 1

sql postgres -c 'create database restored owner dba'
works 'the DBA restores' pg pg_restore -U dba -d restored "$work/dump"
is 'restored: it says why nothing is handed out' "$(handed_out restored)" "$nothing"
refused 'the worker cannot bind it' 'permission denied for function bind_deployment' sql restored -c 'set role crm_worker' -c 'select crm.bind_deployment()'
refused 'nor can a request of a user' 'permission denied for function bind_deployment' sql restored -c 'set role crm_app' -c 'select crm.bind_deployment()'
is 'the DBA binds it' "$(sql_as dba restored -c 'select crm.bind_deployment()')" t
is 'it hands out what waits' "$(handed_out restored)" "$waiting"
is 'and knows who bound it, and that it was bound elsewhere before' \
    "$(sql_as dba restored -c "select number, database_oid = (select oid from pg_database where datname = 'crm'), bound_by from crm_private.deployments")" \
    $'1|t|dba\n2|f|dba'
is 'the original goes on' "$(handed_out crm)" "$waiting"
works 'a superuser renames the original' sql postgres -c 'alter database crm rename to renamed'
is 'it goes on under another name' "$(handed_out renamed)" "$waiting"
sql postgres -c 'alter database renamed rename to crm'
is 'the DBA releases the original' "$(sql_as dba crm -c 'select crm.unbind_deployment()')" t
is 'it hands out nothing any more' "$(handed_out crm)" "$nothing"
is 'the DBA binds it again' "$(sql_as dba crm -c 'select crm.bind_deployment()')" t
is 'and it hands out what waits' "$(handed_out crm)" "$waiting"

# ---------------------------------------------------------------------------------------------- the files

as_pg tee -a "$work/one/pg_hba.conf" <<<'local replication all trust' >/dev/null
sql postgres -c 'select pg_reload_conf()' >/dev/null
# It warns of the socket among the files.
as_pg "$PG_BIN/pg_basebackup" -h "$(cluster_socket "$work/one")" -p "${cluster_port[one]}" -U postgres \
    -D "$work/replica" -c fast -R 2>/dev/null
run_cluster replica
is 'a replica says that it hands out nothing' "$(handed_out crm)" 'ERROR:  nothing is handed out for delivery in a transaction that only reads, nor by a replica'
is 'it is promoted' "$(sql postgres -c 'select pg_promote()')" t
is 'and hands out what waits, as after a failover it has to' "$(handed_out crm)" "$waiting"
is 'the DBA, who wants to try something with it, releases it' "$(sql_as dba crm -c 'select crm.unbind_deployment()')" t
is 'it hands out nothing any more' "$(handed_out crm)" "$nothing"
cluster=one
is 'and the original goes on' "$(handed_out crm)" "$waiting"

finish
