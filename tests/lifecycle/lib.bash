# shellcheck shell=bash
# Sourced by the life-cycle tests: clusters of their own, and sentences that are checked.

source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
LIFECYCLE=$CRM_ROOT/tests/lifecycle

work=$(private_dir)
declare -A cluster_port=() cluster_process=()
# What else was started, and is to be ended.
declare -A helpers=()
cluster=
failures=0

clean_up() {
    local status=$? process
    trap '' INT TERM HUP
    for process in "${helpers[@]}"; do kill -KILL "$process" 2>/dev/null || :; done
    for process in "${cluster_process[@]}"; do end_postgres "$process"; done
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# new_cluster NAME: makes it, starts it, and works with it from there.
new_cluster() {
    cluster_init "$work/$1" --no-sync
    run_cluster "$1"
}

# run_cluster NAME: one whose files are there.
run_cluster() {
    cluster=$1
    cluster_port[$cluster]=$(free_port)
    CLUSTER_LOG=$work/$cluster.log cluster_start "$work/$cluster" "${cluster_port[$cluster]}" -c fsync=off -c full_page_writes=off
    cluster_process[$cluster]=$CLUSTER_PID
}

# The programs of the private tree, with the socket and the port of the cluster.
pg() {
    local program=$1
    shift
    PGOPTIONS="-c client_min_messages=warning ${options:-}" "$PG_BIN/$program" -h "$(cluster_socket "$work/$cluster")" -p "${cluster_port[$cluster]}" "$@"
}

# sql_as ROLE DATABASE [psql arguments]: unaligned rows; statements come from arguments or standard input.
sql_as() {
    local role=$1 database=$2
    shift 2
    pg psql -X -q -A -t -v ON_ERROR_STOP=1 -U "$role" -d "$database" "$@"
}
# A superuser looks nowhere but where it is told to: some of these databases belong to hostile owners.
sql() { options='-c search_path=pg_catalog' sql_as postgres "$@"; }

ok() { say "ok   $1"; }
failed() {
    say "FAIL $1"
    [[ -z ${2:-} ]] || sed 's/^/       /' <<<"$2"
    failures=$((failures + 1))
}

# is SENTENCE GOT WANTED
is() {
    if [[ $2 == "$3" ]]; then ok "$1"; else failed "$1" "$(printf 'have: %s\nwant: %s' "$2" "$3")"; fi
}

# same SENTENCE FILE FILE
same() {
    local difference
    if difference=$(diff "$2" "$3"); then ok "$1"; else failed "$1" "$(head -n 40 <<<"$difference" | cut -c 1-300)"; fi
}

# works SENTENCE COMMAND…: it succeeds, and without a word on standard error.
works() {
    local sentence=$1 output
    shift
    if output=$("$@" 2>&1 >/dev/null) && [[ -z $output ]]; then ok "$sentence"; else failed "$sentence" "$output"; fi
}

# refused SENTENCE PATTERN COMMAND…: it fails, saying something that the pattern matches.
refused() {
    local sentence=$1 pattern=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        failed "$sentence" "it was not refused: $output"
    elif [[ $output =~ $pattern ]]; then
        ok "$sentence"
    else
        failed "$sentence" "$(printf 'refused with: %s\nwant: %s' "$output" "$pattern")"
    fi
}

snapshot() { sql "$1" -f "$LIFECYCLE/snapshot.sql"; }

# Every table's rows as text, the DBA's own among them, in one order; and where the sequences are.
rows() {
    sql "$1" <<'SQL'
select format('select %L || t::text from only %s as t order by t::text collate "C"', c.oid::regclass || ' ', c.oid::regclass)
from pg_class as c
where c.relnamespace in (select oid from pg_namespace where nspname in ('crm', 'crm_private', 'public')) and c.relkind = 'r'
order by c.oid::regclass::text collate "C"
\gexec
select format('%I.%I %s', schemaname, sequencename, last_value) from pg_sequences order by schemaname, sequencename;
SQL
}

finish() {
    ((failures == 0)) || die "$failures sentence(s) are not true"
}
