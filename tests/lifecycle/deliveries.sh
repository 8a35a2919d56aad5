#!/usr/bin/env bash
# Three workers deliver 10,000 events, while workers and the server itself are killed: every event arrives at least once, what arrives
# again has the same webhook-id, and the events of each record come in their order.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

RECORDS=2000 STEPS=5

# As in crash.sh: fsync is of the machine's failures, not of the server's.
new_cluster deliveries
sql postgres -c 'create database crm'
password=$(random_hex)
sql crm -c 'create extension crm_ext' -c "create role crm_worker_login login password '$password' in role crm_worker"
org=$(sql crm -c "insert into crm.organizations (slug, name, plan) values ('busy', 'Busy', 'enterprise') returning id")

received=$work/received.jsonl
: >"$received"
exec {port_of}< <(exec python3 "$LIFECYCLE/receiver.py" "$received")
helpers[receiver]=$!
read -r port <&"$port_of"

# One that keeps the order of each record; the other takes what comes.
sql crm -c "insert into crm.webhooks (org_id, name, url, events, ordered) values
    ('$org', 'ordered', 'http://127.0.0.1:$port/ordered', '{task.updated}', true),
    ('$org', 'other', 'http://127.0.0.1:$port/other', '{task.created}', false)"

worker() { # NUMBER
    worker_start "postgresql://crm_worker_login:$password@127.0.0.1:${cluster_port[$cluster]}/crm" "$work/worker.$1.log" CRM_WORKER_LISTEN= CRM_WORKER_ALLOW_HTTP=true \
        CRM_WORKER_ALLOWED_NETWORKS=127.0.0.1 CRM_WORKER_JOBS=deliveries CRM_WORKER_LEASE=4s CRM_WORKER_DELIVERY_TIMEOUT=2s CRM_WORKER_CONNECT_TIMEOUT=1s \
        CRM_WORKER_ENDPOINT_CONCURRENCY=16
    helpers[$1]=$WORKER_PID
}
for number in 1 2 3; do worker "$number"; done

# What is written while all of that happens: each record is made, and then changed step by step.
sql crm -c "insert into crm.tasks (org_id, title) select '$org', 'r' || n || ' 0' from generate_series(1, $RECORDS) as n"
for ((step = 1; step < STEPS; step++)); do
    sql crm -c "update crm.tasks set title = split_part(title, ' ', 1) || ' $step' where org_id = '$org'"
done

left() { sql crm -c 'select count(*) from crm.webhook_deliveries' 2>/dev/null || echo unknown; }
restart_server() {
    local tries
    kill -9 "$(head -n 1 "$work/deliveries/postmaster.pid")"
    # Until the last of its children has noticed, and ended, it does not start.
    for ((tries = 0; tries < 100; tries++)); do
        CLUSTER_LOG=$work/deliveries.log cluster_start "$work/deliveries" "${cluster_port[deliveries]}" -c fsync=off 2>/dev/null && break
        sleep 0.2
    done
    cluster_process[deliveries]=$CLUSTER_PID
}
disturbed=0
for ((round = 1; round <= 6; round++)); do
    sleep 1.5
    [[ $(left) != 0 ]] && disturbed=$((disturbed + 1))
    if ((round % 3)); then
        number=$((round % 3 + 1))
        kill -KILL "${helpers[$number]}" 2>/dev/null || :
        worker "$number"
    else
        restart_server
    fi
done
for ((tries = 0; tries < 600; tries++)); do
    [[ $(left) == 0 && $(sql crm -c "select (crm.fan_out_events() ->> 'entries')::integer") == 0 ]] && break
    sleep 0.2
done

tell() {
    python3 - "$received" "$RECORDS" "$STEPS" <<'PYTHON'
import collections, json, sys
received = [json.loads(line) for line in open(sys.argv[1])]
records, steps = int(sys.argv[2]), int(sys.argv[3])
first = {}
for one in received:
    first.setdefault(one["id"], one)
twice = len(received) - len(first)
same = all((one["hook"], one["record"], one["step"]) == (first[one["id"]]["hook"], first[one["id"]]["record"], first[one["id"]]["step"]) for one in received)
events = {(one["record"], one["step"]) for one in received}
order = collections.defaultdict(list)
for one in first.values():
    if one["hook"] == "/ordered":
        order[one["record"]].append(one["step"])
print("events", len(events), "ids", len(first))
print("the same", same)
print("in order", sum(steps == sorted(steps) for steps in order.values()))
print(f"of {len(received)} that arrived {twice} came again", file=sys.stderr)
PYTHON
}
is 'they were disturbed while there was something to deliver' "$((disturbed >= 3))" 1
is 'every event arrived, what came again had the same id, and each record'"'"'s came in order' "$(tell)" \
    "events $((RECORDS * STEPS)) ids $((RECORDS * STEPS))
the same True
in order $RECORDS"
is 'nothing is left, and nothing was given up' "$(sql crm -c 'select count(*) from crm.webhook_deliveries')" 0
is 'the log has a delivery of each event' "$(sql crm -c "select count(distinct event_id) from crm.webhook_attempts where outcome = 'delivered'")" "$((RECORDS * STEPS))"

finish
