#!/usr/bin/env bash
# A backend or the whole server is killed in the middle of mixed writes, twenty times: what was committed is in history, what is in
# history was committed, and the chain is whole.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

ROUNDS=20

# With a log that survives: fsync is of the machine's failures, not of the server's.
new_cluster crash
sql postgres -c 'create database crm'
sql crm -c 'create extension crm_ext' -c "select crm.load_demo('demo password')" >/dev/null
org=$(sql crm -c "select id from crm.organizations where slug = 'demo'")
sql crm -c "update crm.organizations set plan = 'enterprise' where id = '$org'"

# Each client numbers its transactions and notes a number once the server has said that it committed.
cat >"$work/write.sql" <<SQL
\set kind random(1, 5)
\if :kind = 1
insert into crm.tasks (org_id, title) values ('$org', 'one');
\elif :kind = 2
insert into crm.tasks (org_id, title) select '$org', 'many ' || n from generate_series(1, 200) as n;
\elif :kind = 3
update crm.tasks set description = random()::text where org_id = '$org' and id = any (array(select id from crm.tasks where org_id = '$org' limit 50));
\elif :kind = 4
begin;
delete from crm.tasks where org_id = '$org' and id = (select id from crm.tasks where org_id = '$org' order by random() limit 1);
insert into crm.contacts (org_id, last_name) values ('$org', 'x');
savepoint s;
insert into crm.contacts (org_id, last_name) values ('$org', 'y');
rollback to s;
commit;
\else
insert into crm.contacts (org_id, last_name) values ('$org', 'z');
\endif
SQL

# Every record is what its entries say: there when the last is no delete, at the version that it tells; and none without entries.
differences() {
    sql crm <<'SQL'
with last as (
    select distinct on (l.entity, l.record_id) l.entity, l.record_id, l.action, (l.after ->> 'version')::int as version
    from crm.audit_log as l
    where l.entity in ('tasks', 'contacts')
    order by l.entity, l.record_id, l.id desc
),
noted as (select entity, record_id, version from last where action <> 'delete'),
stored as (select 'tasks' as entity, id, version from crm.tasks union all select 'contacts', id, version from crm.contacts)
select 'noted and not stored', count(*) from (table noted except table stored) as difference
union all
select 'stored and not noted', count(*) from (table stored except table noted) as difference
union all
select 'not valid', count(*) from crm.verify_audit() where not valid
union all
select 'counted wrong', count(*) from crm.check_usage()
order by 1;
SQL
}
none=$'counted wrong|0\nnot valid|0\nnoted and not stored|0\nstored and not noted|0'
is 'before all of it history and records agree' "$(differences)" "$none"

for ((round = 1; round <= ROUNDS; round++)); do
    pg pgbench -n -c 4 -j 2 -T 30 -U postgres -f "$work/write.sql" crm >/dev/null 2>&1 &
    writers=$!
    sleep "0.$((RANDOM % 7 + 2))"
    if ((round % 2)); then
        # The postmaster ends all sessions and recovers.
        victim=$(sql crm -c "select pid from pg_stat_activity where application_name = 'pgbench' order by random() limit 1" || :)
        what='a backend'
        [[ -z $victim ]] || kill -9 "$victim"
    else
        what='the server'
        server=$(head -n 1 "$work/crash/postmaster.pid")
        # Its children notice, and end.
        kill -9 "$server"
    fi
    wait "$writers" || :
    if ! ((round % 2)); then
        # Until the last of its children has noticed, and ended, it does not start.
        for ((tries = 0; tries < 100; tries++)); do
            CLUSTER_LOG=$work/crash.log cluster_start "$work/crash" "${cluster_port[crash]}" -c fsync=off 2>/dev/null && break
            sleep 0.2
        done
        cluster_process[crash]=$CLUSTER_PID
    fi
    for ((tries = 0; tries < 200; tries++)); do
        sql crm -c 'select 1' >/dev/null 2>&1 && break
        sleep 0.1
    done
    is "round $round, $what killed: history and records agree, the chain is whole" "$(differences)" "$none"
done
is 'there was something to lose' "$(sql crm -c 'select count(*) > 1000 from crm.audit_log')" t
is 'every transaction has its place in the end' "$(sql crm -c 'select crm.maintain_audit()' >/dev/null; sql crm -c 'select sum(waiting) from crm.verify_audit()')" 0

finish
