# shellcheck shell=bash
# Sourced by the tests of dumps and copies: a CRM in use, with what its DBA added, and what must be true of one that was restored.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# A database crm of the DBA's, with people at work in it, a message and events that wait, and the DBA's own columns, indexes, policies, triggers,
# sequences and tables. Sets token and key.
make_original() {
    sql postgres -c 'create role dba login' -c 'create role other_dba login' -c 'create database crm owner dba'
    sql_as dba crm -c 'create extension crm_ext' -c "select crm.load_demo('demo password')" >/dev/null
    sql crm >/dev/null <<'SQL'
select crm.register(format('person%s@example.com', n), 'some password', format('Organization %s', n % 3)) from generate_series(1, 4) as n;
update crm.organizations set country = 'DE' where slug = 'demo';
select crm.rotate_signing_key('ES256');
SQL
    sql_as dba crm <"$LIFECYCLE/additions.sql" >/dev/null
    token=$(sql crm -c "select crm.login('owner@demo.example', 'demo password')->>'access_token'")
    sql_as dba crm -c "select crm.rotate_signing_key('EdDSA')" >/dev/null
    key=$(sql crm -v token="$token" -f "$LIFECYCLE/use.sql")
    sql crm -o /dev/null -c 'set role crm_worker' -c 'select crm.fan_out_events()'
}

# answers DATABASE: what is asked of it, and what it says.
answers() { sql "$1" -v token="$token" -v key="$key" -f "$LIFECYCLE/restored.sql" 2>&1 || :; }

# How many messages, and how many events for webhooks, wait in DATABASE; and how many are claimed for delivery.
waiting() {
    sql "$1" -c "select (select count(*) from crm_private.messages where finished_at is null and expires_at > now()) || ' '
        || (select count(*) from crm.webhook_deliveries where state = 'pending')"
}
claimed() {
    sql "$1" -c 'set role crm_worker' -c "select (select count(*) from crm.claim_messages(100)) || ' '
        || (select count(*) from crm.claim_webhook_deliveries(100))" 2>&1 || :
}

# remember DATABASE: what its copies are compared with. Writes to it, when its dumps are made.
remember() {
    rows "$1" >"$work/rows"
    snapshot "$1" >"$work/snapshot"
    answers "$1" >"$work/answers"
}

# as_before DATABASE WHERE: it is the original again, and works, but that it delivers nothing.
as_before() {
    rows "$1" >"$work/rows.new"
    same "$2: every row is there, and no other; so are the sequences" "$work/rows" "$work/rows.new"
    snapshot "$1" >"$work/snapshot.new"
    same "$2: tables, policies, rights, owners, triggers and functions are the same" "$work/snapshot" "$work/snapshot.new"
    is "$2: nothing is handed out for delivery" "$(claimed "$1")" '0 0'
    answers "$1" >"$work/answers.new"
    same "$2: passwords, tokens, keys, counters and numbers go on" "$work/answers" "$work/answers.new"
}
