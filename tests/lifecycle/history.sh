#!/usr/bin/env bash
# History over many transactions: the chain holds under concurrency, tells of every change by hand, outlives retention and
# the erasure of a person; partitions come and go.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

new_cluster history
sql postgres -c 'create database crm'
sql crm -c 'create extension crm_ext' -c "select crm.load_demo('demo password')" >/dev/null
sql crm -c "update crm.plans set limits = limits - 'history_days'"
org=$(sql crm -c "select id from crm.organizations where slug = 'demo'")
token=$(sql crm -c "select crm.login('owner@demo.example', 'demo password') ->> 'access_token'")

# as_owner STATEMENT…: in one transaction, as the organization's owner.
as_owner() {
    local statements=()
    for statement in "$@"; do statements+=(-c "$statement"); done
    sql crm -c 'begin' -c 'set local role crm_app' -c "do \$\$ begin perform crm.authenticate('$token'); end \$\$" "${statements[@]}" -c 'commit'
}
verified() { sql crm -c "select valid || ' ' || waiting || ' ' || problems::text from crm.verify_audit('$org')"; }

# hold STATEMENTS / release: what another session does, and that it commits.
hold() {
    rm -f "$work/held"
    exec {held}> >(sql crm >"$work/held" 2>&1)
    holder=$!
    say "begin; $1; select 'held';" >&"$held"
    until grep -qs held "$work/held"; do kill -0 "$holder" && sleep 0.05; done
}
release() {
    say 'commit;' >&"$held"
    exec {held}>&-
    wait "$holder"
}
# until_waiting PROCESS QUERY: until it waits for somebody with this query, or has ended.
until_waiting() {
    while [[ -e /proc/$1 && $(sql crm -v query="$2" <<<"select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query = :'query'") == 0 ]]; do
        sleep 0.02
    done
}

# ---------------------------------------------------------------------------------------------- the chain

is 'the chain is valid' "$(verified)" 'true 0 {}'
as_owner "update crm.contacts set title = 'changed' where external_id like 'demo-contact-1%'" "insert into crm.tasks (title) values ('one')"
as_owner "savepoint a" "insert into crm.tasks (title) values ('not to be')" "rollback to a" "insert into crm.tasks (title) values ('two')" \
    "savepoint b" "insert into crm.tasks (title) values ('three')" "release b"
as_owner "do \$\$ begin begin insert into crm.tasks (title) values ('four'); raise 'x'; exception when others then null; end; end \$\$" \
    "insert into crm.tasks (title) values ('five')"
is 'with savepoints and blocks that failed' "$(verified)" 'true 0 {}'
is 'each transaction that wrote is one' "$(sql crm -c "select count(*) || ' ' || max(position) from crm.audit_transactions")" '4 4'
checkpoint=$(as_owner 'select crm.audit_checkpoint()')
is 'a checkpoint is part of it' "$(as_owner "select valid from crm.verify_audit(checkpoint => '$checkpoint')")" t

cat >"$work/write.sql" <<SQL
begin;
insert into crm.tasks (org_id, title) values ('$org', 'pgbench');
update crm.accounts set description = random()::text where org_id = '$org' and id = (select id from crm.accounts where org_id = '$org' order by id limit 1);
commit;
SQL
works 'eight at a time write in one organization' pg pgbench -n -c 8 -j 2 -t 100 -U postgres -f "$work/write.sql" crm
is 'the chain is valid' "$(sql crm -c "select valid || ' ' || problems::text from crm.verify_audit()")" 'true {}'
is 'with all transactions' "$(sql crm -c 'select count(*) from crm.audit_transactions')" 804
is 'what they did to one record is in the order of its versions' "$(sql crm <<SQL
select bool_and(version = before + 1) and count(before) >= 800
from (
    select version, lag(version) over (partition by record_id order by id) as before
    from (select id, record_id, (after ->> 'version')::int as version from crm.audit_log where org_id = '$org' and entity = 'accounts') as entries
) as versions
SQL
)" t
sql crm -c 'begin isolation level serializable' -c "insert into crm.tasks (org_id, title) values ('$org', 'serializable')" -c commit
is 'one that does not see others waits for its place' "$(verified)" 'true 1 {}'
sql crm -c 'select crm.maintain_audit()' >/dev/null
is 'and gets it' "$(verified)" 'true 0 {}'
as_owner "insert into crm.tasks (title) values ('after')"
is 'the chain goes on' "$(verified)" 'true 0 {}'

# ---------------------------------------------------------------------------------------------- by hand, past all triggers

# tampered SENTENCE PATTERN STATEMENT
tampered() {
    local problems
    problems=$(sql crm -c begin -c 'set local session_replication_role = replica' -c "$3" \
        -c "select valid || ' ' || problems::text from crm.verify_audit('$org', '$checkpoint')" -c rollback)
    if [[ $problems =~ ^false.*$2 ]]; then ok "told: $1"; else failed "told: $1" "$problems"; fi
}
entry="(select id from crm.audit_log where action = 'update' and entity = 'contacts' limit 1)"
for column in id created_at action entity record_id changed before after actor_id impersonator_id api_key_id database_role login_role \
    request_id address user_agent application; do
    case $column in
        id | record_id | actor_id | impersonator_id | api_key_id) value='gen_random_uuid()' ;;
        created_at) value="created_at + interval '1 microsecond'" ;;
        changed) value="changed || '{x}'" ;;
        before | after) value="(($column::jsonb) || '{\"title\": \"forged\"}')::json" ;;
        action) value="'delete'" ;;
        address) value="'192.0.2.1'" ;;
        *) value="'forged'" ;;
    esac
    tampered "another $column" 'transaction' "update crm.audit_log set $column = $value where id = $entry"
done
tampered 'an entry that is gone' 'instead of' "delete from crm.audit_log where id = $entry"
tampered 'an entry more' 'instead of' "insert into crm.audit_log select org_id, gen_random_uuid(), created_at, action, entity, record_id, changed, before, after, actor_id, impersonator_id, api_key_id,
    database_role, login_role, request_id, address, user_agent, application, transaction_id, erased_at from crm.audit_log where id = $entry"
tampered 'a transaction that is gone' 'follows position' 'delete from crm.audit_transactions where position = 7'
tampered 'a transaction and its entries that are gone' 'follows position' "delete from crm.audit_log where transaction_id = (select id from crm.audit_transactions where position = 7);
    delete from crm.audit_transactions where position = 7"
tampered 'the beginning that is gone' 'follows position' 'delete from crm.audit_log where transaction_id = (select id from crm.audit_transactions where position = 1); delete from crm.audit_transactions where position = 1'
tampered 'another order' 'position' 'update crm.audit_transactions set position = -position where position in (7, 8); update crm.audit_transactions set position = 15 + position where position < 0'
tampered 'another request' 'was changed' "update crm.audit_transactions set request_id = 'forged' where position = 7"
tampered 'a chain that is made anew, by the checkpoint' 'checkpoint' 'delete from crm.audit_transactions; delete from crm.audit_log'
tampered 'an entry that was emptied by hand' 'no note of an erasure' "update crm.audit_log set before = null, after = null, erased_at = now() where id = $entry"
tampered 'an entry that only says so' 'no note of an erasure' "update crm.audit_log set erased_at = now() where id = $entry"
is 'the chain itself is valid' "$(verified)" 'true 0 {}'

# ---------------------------------------------------------------------------------------------- a person

contact=$(sql crm -c "select id from crm.contacts where external_id = 'demo-contact-12'")
as_owner "update crm.contacts set last_name = 'Unforgettable', email = 'unforgettable@example.com' where id = '$contact'" \
    "insert into crm.contact_emails (contact_id, email) values ('$contact', 'unforgettable@home.example')"
as_owner "delete from crm.contact_emails where contact_id = '$contact'"
as_owner "insert into crm.messages (channel, direction, contact_id, from_address, body, status) values ('email', 'inbound', '$contact', 'unforgettable@example.com', 'x', 'received')"
before=$(sql crm -c 'select count(*) from crm.audit_log')
as_owner "select crm.erase_person('contacts', '$contact')" >"$work/erased"
is 'the person is gone' "$(sql crm -c "select count(*) from crm.contacts where id = '$contact'")" 0
is 'and all that history knew' "$(sql crm -c "select count(*) from crm.audit_log as l where l::text ~ '(?i)unforgettable'")" 0
is 'no entry is' "$(sql crm -c "select count(*) > $before from crm.audit_log")" t
is 'the chain is valid' "$(verified)" 'true 0 {}'
tampered 'an erased entry that is filled again' 'were changed' "update crm.audit_log set before = '{\"title\": \"forged\"}' where erased_at is not null"
refused 'nobody erases who was never there' 'id: there is no such record' as_owner 'select crm.erase_person('"'contacts'"', gen_random_uuid())'

# ---------------------------------------------------------------------------------------------- a person, while others write

# person NAME: a contact, and a deal with it.
person() {
    contact=$(as_owner "insert into crm.contacts (last_name) values ('$1') returning id")
    deal=$(as_owner "insert into crm.deals (name, contact_id) values ('$1', '$contact') returning id")
}
# erase [ALSO]: the contact, in the background; goes on when it waits for somebody or has ended.
erase() {
    local query="select crm.erase_person('contacts', '$contact', '{${1:-messages}}')"
    as_owner "$query" >"$work/erased" 2>&1 &
    erasing=$!
    until_waiting "$erasing" "$query"
}
# erased SENTENCE: that has ended well. Only the shell that began it can wait for it, so not below works.
erased() { if wait "$erasing"; then ok "$1"; else failed "$1" "$(cat "$work/erased" "$work/held")"; fi; }
# left TEXT: rows of messages and entries of history that have it.
left() {
    sql crm -c "select (select count(*) from crm.messages where body ~ '$1') || ' ' || (select count(*) from crm.audit_log as l where l::text ~ '$1')"
}
new_message="insert into crm.messages (org_id, channel, direction, status, body"

person Raced
hold "$new_message, contact_id) values ('$org', 'email', 'inbound', 'received', 'secret of race', '$contact')"
erase
release
erased 'while a message is added, its person is erased'
is 'with the message, also from history' "$(left 'secret of race')" '0 0'

person Raced
hold "$new_message, deal_id) values ('$org', 'email', 'inbound', 'received', 'secret of deal', '$deal')"
erase deals,messages
release
erased 'so it is while one is added to what goes with the person'
is 'with the message' "$(left 'secret of deal')" '0 0'

person Other
other=$contact
person Raced
as_owner "insert into crm.messages (channel, direction, status, body, contact_id) values ('email', 'inbound', 'received', 'not of Raced', '$contact')"
hold "update crm.messages set contact_id = '$other' where body = 'not of Raced'"
erase
release
erased 'so it is while a message is moved to somebody else'
is 'who keeps it' "$(sql crm -c "select contact_id = '$other' from crm.messages where body = 'not of Raced'")" t

person Raced
hold "insert into crm.leads (org_id, last_name, status, converted_contact_id) values ('$org', 'Twin of race', 'converted', '$contact')"
erase
release
erased 'so it is while a lead becomes the person'
is 'with the lead' "$(sql crm -c "select (select count(*) from crm.leads where last_name = 'Twin of race') + (select count(*) from crm.audit_log as l where l::text ~ 'Twin of race')")" 0

# gone_person: one whose contact is deleted.
gone_person() {
    person Returned
    as_owner "delete from crm.contacts where id = '$contact'"
    deleting=$(sql crm -c "select transaction_id from crm.audit_log where org_id = '$org' and record_id = '$contact' and action = 'delete'")
}
own="set local role crm_app; do \$\$ begin perform crm.authenticate('$token'); end \$\$"
for how in restore_record undo; do
    returning() { if [[ $how == undo ]]; then say "select crm.undo('$deleting')"; else say "select crm.restore_record('contacts', '$contact')"; fi; }
    gone_person
    hold "$own; $(returning)"
    erase
    release
    erased "so it is while $how brings the person back"
    is 'who is not there again' "$(sql crm -c "select (select count(*) from crm.contacts where last_name = 'Returned')
        + (select count(*) from crm.audit_log where org_id = '$org' and record_id = '$contact' and coalesce(before, after) is not null and action <> 'erase')")" 0

    gone_person
    hold "$own; select crm.erase_person('contacts', '$contact')"
    as_owner "$(returning)" >"$work/returned" 2>&1 &
    returned=$!
    until_waiting "$returned" "$(returning)"
    release
    wait "$returned" || :
    is "who is just erased does not come back by $how" \
        "$(sql crm -c "select count(*) from crm.contacts where last_name = 'Returned'") $(grep -c 'erased from history' "$work/returned")" '0 1'
done

person Raced
hold "update crm.contacts set title = 'held' where id = '$contact'"
query="select crm.erase_person('contacts', '$contact', dry_run => true)"
works 'a dry run waits for nobody' as_owner "set local lock_timeout = '2s'" "$query"
release
is 'the chain is valid' "$(verified)" 'true 0 {}'

# ---------------------------------------------------------------------------------------------- an organization, while others write

# strays: rows of history whose organization is gone.
strays() {
    sql crm -c "select count(*) from (select org_id from crm.audit_log union all select org_id from crm.audit_transactions union all select org_id from crm.deleted_records) as history
        where not exists (select from crm.organizations as o where o.id = history.org_id)"
}
# delete_organization STATEMENT: in the background; goes on when it waits for somebody or has ended.
delete_organization() {
    sql crm -c "$1" >"$work/deleted" 2>&1 &
    deleting=$!
    until_waiting "$deleting" "$1"
}
for how in delete crm.delete_organization; do
    for what in 'update crm.contacts set title = $$held$$' 'delete from crm.contacts' 'update crm.organizations set country = $$DE$$'; do
        gone=$(sql crm -c "insert into crm.organizations (name, slug) values ('Short-lived', 'short-lived') returning id")
        sql crm -c "insert into crm.contacts (org_id, last_name) values ('$gone', 'Short-lived')"
        if [[ $what == *organizations* ]]; then key=id; else key=org_id; fi
        hold "$what where $key = '$gone'"
        if [[ $how == delete ]]; then
            delete_organization "delete from crm.organizations where id = '$gone'"
        else
            delete_organization "select crm.delete_organization('$gone')"
        fi
        release
        if wait "$deleting"; then ok "$how waits for: ${what% set*}"; else failed "$how waits for: ${what% set*}" "$(cat "$work/deleted" "$work/held")"; fi
        is 'and takes all history along' "$(sql crm -c "select count(*) from crm.organizations where id = '$gone'") $(strays)" '0 0'
    done
done
contact=$(sql crm -c "insert into crm.contacts (org_id, last_name) values ('$org', 'Repeated') returning id")
hold "set transaction isolation level repeatable read; select from crm.contacts where id = '$contact'"
sql crm -c "update crm.organizations set name = name || '.' where id = '$org'"
say "update crm.contacts set title = 'seen' where id = '$contact';" >&"$held"
release || :
is 'an older state of the organization does for who writes in it' "$(sql crm -c "select title from crm.contacts where id = '$contact'")" seen
sql crm -c 'create table crm.loose (org_id uuid not null, id uuid not null, content text, primary key (org_id, id))' -c "alter table crm.loose owner to crm_owner" \
    -c "select crm.enroll('crm.loose')" >/dev/null
gone=$(sql crm -c "insert into crm.organizations (name, slug) values ('Short-lived', 'short-lived') returning id")
sql crm -c "insert into crm.loose values ('$gone', gen_random_uuid(), 'old')"
hold "delete from crm.organizations where id = '$gone'"
sql crm -c "update crm.loose set content = 'new'" >"$work/loose" 2>&1 &
writing=$!
until_waiting "$writing" "update crm.loose set content = 'new'"
release
if wait "$writing"; then ok 'who waits for the deletion writes where no foreign key says otherwise'; else failed 'who waits for the deletion writes where no foreign key says otherwise' "$(<"$work/loose")"; fi
is 'and writes no history' "$(strays)" 0
sql crm -c "select crm.unenroll('crm.loose')" -c 'drop table crm.loose' >/dev/null

# ---------------------------------------------------------------------------------------------- what is too much

sql crm -c 'set role crm_owner' -c 'create table crm.heaps (org_id uuid not null, id uuid not null, content text, primary key (org_id, id))' \
    -c "select crm.enroll('crm.heaps')" >/dev/null
refused 'a row that takes more than a value may, written as JSON' 'too large for its history' \
    sql crm -c "insert into crm.heaps values ('$org', gen_random_uuid(), repeat(chr(1), 180000000))"
sql crm -c "select crm.unenroll('crm.heaps')" -c 'drop table crm.heaps' >/dev/null

# ---------------------------------------------------------------------------------------------- retention

is 'without a limit nothing is pruned' "$(sql crm -c "select crm.maintain_audit() ->> 'entries_pruned'")" 0
sql crm -c "select crm.set_plan_override('$org', 'history_days', maximum => 0, reason => 'test')" >/dev/null
first=$(sql crm -c "select crm.maintain_audit(500)")
is 'about so many entries go at a time' "$(sql crm -c "select ('$first'::jsonb ->> 'entries_pruned')::int between 1 and 2500")" t
is 'the rest can be verified' "$(verified)" 'true 0 {}'
for _ in 1 2 3; do sql crm -c 'select crm.maintain_audit()' >/dev/null; done
is 'old history is gone' "$(sql crm -c "select count(*) < 5 from crm.audit_log where org_id = '$org'")" t
is 'what is left can be verified' "$(verified)" 'true 0 {}'
is 'also by an older checkpoint' "$(as_owner "select valid from crm.verify_audit(checkpoint => '$checkpoint')")" t
sql crm -c "select crm.remove_plan_override('$org', 'history_days')" >/dev/null
as_owner "insert into crm.tasks (title) values ('new times')"
is 'and history goes on' "$(verified)" 'true 0 {}'

# The first by its id is the one that writes more than is removed; the other's history is older.
for number in 2 1; do
    sql crm -c "insert into crm.organizations (id, name, slug) values ('00000000-0000-7000-8000-00000000000$number', 'Busy $number', 'busy-$number')" \
        -c "select crm.set_plan_override('00000000-0000-7000-8000-00000000000$number', 'history_days', maximum => 0, reason => 'test')"
    for title in one two three four; do sql crm -c "insert into crm.tasks (org_id, title) values ('00000000-0000-7000-8000-00000000000$number', '$title')"; done
done >/dev/null
first=$(sql crm -c 'select crm.maintain_audit(1)')
is 'who has waited longest is pruned first' "$(sql crm -c "select org_id from crm.audit_log where action = 'prune' order by id desc limit 1")" 00000000-0000-7000-8000-000000000002
is 'it tells how many have to wait' "$(sql crm -c "select '$first'::jsonb ->> 'organizations_postponed'")" 2
sql crm -c 'select crm.maintain_audit()' >/dev/null
is 'and nobody, when all is done' "$(sql crm -c "select crm.maintain_audit() ->> 'organizations_postponed'")" 0

# ---------------------------------------------------------------------------------------------- partitions

partitions() { sql crm -c "select string_agg(c.relname, ' ' order by c.relname) from pg_inherits join pg_class as c on c.oid = inhrelid where inhparent = 'crm.audit_log'::regclass"; }
month() { date -u -d "$(date -u +%Y-%m-01) $1 months" +audit_log_%Y_%m; }
is 'there are partitions for this month and three to come' "$(partitions)" "$(month +0) $(month +1) $(month +2) $(month +3) audit_log_before audit_log_later"

first_of() { date -u -d "$(date -u +%Y-%m-01) $1 months" '+%Y-%m-01 00:00:00+00'; }
# partition NAME FROM TO
partition() {
    echo "create table crm_private.$1 partition of crm.audit_log for values from ($2) to ($3);"
    echo "alter table crm_private.$1 add constraint $1_pkey primary key (org_id, id), owner to crm_owner;"
}
# rebuild FIRST LAST: partitions of the months from the one to the other, counted from this one, and the same rows.
rebuild() {
    local at
    {
        echo 'create temp table kept as table crm.audit_log; set session_replication_role = replica;'
        echo "do \$\$ declare p regclass; begin for p in select inhrelid::regclass from pg_inherits where inhparent = 'crm.audit_log'::regclass loop execute format('drop table %s', p); end loop; end \$\$;"
        partition audit_log_before minvalue "'$(first_of "$1")'"
        for ((at = $1; at <= $2; at++)); do partition "$(month "$at")" "'$(first_of "$at")'" "'$(first_of $((at + 1)))'"; done
        partition audit_log_later "'$(first_of $(($2 + 1)))'" maxvalue
        echo 'insert into crm.audit_log table kept;'
    } | sql crm
}

rebuild 0 1
is 'what is missing is made' "$(sql crm -c "select crm.maintain_audit() ->> 'partitions_made'")" 2
is 'they are as they were' "$(partitions)" "$(month +0) $(month +1) $(month +2) $(month +3) audit_log_before audit_log_later"
is 'and made once' "$(sql crm -c "select crm.maintain_audit() ->> 'partitions_made'")" 0
is 'their owner is the tables'"'" "$(sql crm -c "select distinct relowner::regrole from pg_class where relname like 'audit\_log\_%' and relkind = 'r'")" crm_owner
is 'nobody else has rights' "$(sql crm -c "select distinct a.grantee::regrole from pg_class cross join lateral aclexplode(relacl) as a where relname like 'audit\_log\_%' and relkind = 'r' order by 1")" $'crm_owner\ncrm_backup'
as_owner "insert into crm.tasks (title) values ('in its place')"
is 'the chain is valid' "$(verified)" 'true 0 {}'

# ---------------------------------------------------------------------------------------------- while others work

# maintain: in the background; goes on when it waits for somebody or has ended.
maintain() {
    sql crm -c 'select crm.maintain_audit()' >"$work/report" &
    maintenance=$!
    until_waiting "$maintenance" 'select crm.maintain_audit()'
}
# reported FIELD…: of the maintenance, when it has ended.
reported() {
    local field fields=()
    wait_gone "$maintenance" 60
    for field in "$@"; do fields+=("'$(<"$work/report")'::jsonb ->> '$field'"); done
    (IFS=,; sql crm -c "select concat_ws(' ', ${fields[*]})")
}

rebuild 0 2
sql crm -c "select crm.set_plan_override('$org', 'history_days', maximum => 0, reason => 'test')" >/dev/null
for title in one two three; do as_owner "insert into crm.tasks (title) values ('$title')"; done
hold "select from crm.audit_log where org_id = '$org' order by id limit 1 for update"
maintain
works 'while it prunes, contacts and organizations are made' sql crm -c "set lock_timeout = '2s'" \
    -c "insert into crm.contacts (org_id, first_name, last_name) values ('$org', 'Not', 'Waiting')" -c "insert into crm.organizations (name, slug) values ('Not waiting', 'not-waiting')"
release
is 'then it makes the partition that is missing' "$(reported partitions_made partitions_postponed)" '1 false'

rebuild 0 2
for title in one two three; do as_owner "insert into crm.tasks (title) values ('$title')"; done
hold 'select count(*) from crm.audit_log'
maintain
is 'it waits shortly for who reads' "$(reported partitions_made partitions_postponed)" '0 true'
is 'and prunes all the same' "$(($(reported transactions_pruned) > 0))" 1
release
hold "update crm.organizations set name = name where id = '$org'"
maintain
is 'so it does for who changes an organization' "$(reported partitions_made partitions_postponed)" '0 true'
release
maintain
is 'the next time it makes the partition' "$(reported partitions_made partitions_postponed)" '1 false'
sql crm -c "select crm.remove_plan_override('$org', 'history_days')" >/dev/null

rebuild -2 3
hold "set local session_replication_role = replica; insert into crm_private.$(month -1) select org_id, gen_random_uuid(), created_at - interval '1 month', action, entity, record_id, changed, before, after, actor_id, impersonator_id,
    api_key_id, database_role, login_role, request_id, address, user_agent, application, transaction_id, erased_at from crm_private.$(month +0) where org_id = '$org' limit 1"
maintain
release
wait "$maintenance"
is 'of a month that is over, a late entry is kept' "$(sql crm -c "select count(*) from crm_private.$(month -1)")" 1
sql crm -c 'set session_replication_role = replica' -c "delete from crm_private.$(month -1)"
maintain
wait "$maintenance"
is 'those that are over and empty are dropped' "$(partitions)" "$(month +0) $(month +1) $(month +2) $(month +3) audit_log_before audit_log_later"
is 'the chain is valid' "$(verified)" 'true 0 {}'

# ---------------------------------------------------------------------------------------------- when it was not called for long

rebuild -2 -2
is 'what is written later than all months finds its place' "$(sql crm -c 'select count(*) > 0 from crm_private.audit_log_later')" t
maintain
is 'the months to come are made' "$(reported partitions_made partitions_postponed)" '3 false'
is 'the months since are one partition' "$(partitions)" "$(tr ' ' '\n' <<<"$(month -1)_$(month +0 | tail -c 8) $(month +1) $(month +2) $(month +3) audit_log_before audit_log_later" | sort | paste -sd ' ')"
is 'the chain is valid' "$(verified)" 'true 0 {}'
rebuild 0 0
sql crm -c 'set session_replication_role = replica' -c 'create temp table ahead as table crm_private.'"$(month +0)" -c "update ahead set id = gen_random_uuid(), created_at = created_at + interval '2 months'" -c 'insert into crm.audit_log table ahead'
maintain
is 'entries of a time to come stay where they are' "$(reported partitions_made partitions_postponed)" '0 false'
is 'until then' "$(sql crm -c 'select count(*) > 0 from crm_private.audit_log_later')" t

# ---------------------------------------------------------------------------------------------- of very many organizations

# With few places in the server's lock table.
end_postgres "${cluster_process[history]}"
printf '%s\n' 'max_locks_per_transaction = 10' 'max_connections = 5' 'superuser_reserved_connections = 0' 'autovacuum_max_workers = 1' \
    'max_worker_processes = 1' 'max_wal_senders = 0' | as_pg tee -a "$work/history/postgresql.auto.conf" >/dev/null
run_cluster history
sql crm -c 'set session_replication_role = replica' -c "insert into crm.organizations (name, slug) select 'Many ' || n, 'many-' || n from generate_series(1, 1500) as n"
sql crm -c "insert into crm.tasks (org_id, title) select id, 'one of many' from crm.organizations where slug like 'many-%'"
rebuild 0 2
maintain
is 'the first of many calls makes partitions, and tells how many organizations are left' "$(reported partitions_made organizations_postponed transactions_chained)" '1 1480 20'
calls=1
until [[ $(reported organizations_postponed) =~ ^0?$ ]] || ((calls == 100)); do
    maintain
    calls=$((calls + 1))
done
is 'all have their places in the end' "$calls $(sql crm -c 'select sum(waiting) from crm.verify_audit()')" '75 0'

finish
