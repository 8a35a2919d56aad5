# shellcheck shell=bash
# Sourced by every script and by the tests: where things are, who runs PostgreSQL, and the one way to make,
# start and stop a cluster.

set -euo pipefail
umask 022

CRM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CRM_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/crm_ext
PG=${PG:-15}

PG_SYSTEM=/usr/lib/postgresql/$PG            # Debian's installation: only read

# .crm may be a symlink (see ensure_home) out of a place that PostgreSQL's user cannot enter, so its target is what counts.
set_paths() {
    CRM_HOME=$(readlink -f "$CRM_ROOT/.crm") || CRM_HOME=$CRM_ROOT/.crm
    PG_TREE=$CRM_HOME/pg$PG                  # our mirror of it, made by scripts/build: the extension is installed here
    PG_BIN=$PG_TREE/lib/postgresql/$PG/bin
    PG_CONFIG=$PG_BIN/pg_config
    WORKER=$CRM_HOME/worker/crm-worker
    export PGRX_HOME=$CRM_HOME/pgrx
}
set_paths

PGRX_VERSION=0.18.1                      # the same as pgrx in Cargo.toml
PGSPOT_VERSION=0.9.4
STANDARDWEBHOOKS_PYPI_VERSION=1.1.0
STANDARDWEBHOOKS_NPM_VERSION=1.1.1
POSTGREST_MINIMUM=12
POSTGREST_NPM_VERSION=12.0.2-2
POSTGREST_SHA512=61da035929e8cc7af9a103bea0d3de13753c5fe2b38f287c5d45bf8f5a7d3bf2f2e776b92e5deb1bddc2b42878d88b798dfff7e3bd26b0c3d445443d06d59bae

# The caller's libpq settings must not redirect our own clients to another server.
unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE PGOPTIONS \
    PGDATA PGAPPNAME PGSSLMODE PGCLIENTENCODING PGTZ PGDATESTYLE PGTARGETSESSIONATTRS

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# rustup's folder is often missing from a non-login shell's PATH.
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# ---------------------------------------------------------------------------------------------- tools

# A cargo-pgrx of another version refuses to build, so one that is installed for another project is passed over.
find_cargo_pgrx() {
    local found
    for found in "$(type -P cargo-pgrx)" "$CRM_CACHE/cargo-pgrx-$PGRX_VERSION/bin/cargo-pgrx"; do
        if [[ -x $found && $("$found" pgrx --version 2>/dev/null) == "cargo-pgrx $PGRX_VERSION" ]]; then
            printf '%s\n' "$found"
            return
        fi
    done
    return 1
}

find_postgrest() {
    local found version
    for found in "$(type -P postgrest)" "$CRM_CACHE/postgrest-$POSTGREST_NPM_VERSION/postgrest"; do
        if [[ -x $found ]] && version=$("$found" --version 2>/dev/null); then
            version=${version#PostgREST }
            if [[ ${version%%.*} =~ ^[0-9]+$ ]] && ((${version%%.*} >= POSTGREST_MINIMUM)); then
                printf '%s\n' "$found"
                return
            fi
        fi
    done
    return 1
}

find_pgspot() {
    local found=$CRM_CACHE/pgspot-$PGSPOT_VERSION/bin/pgspot
    [[ -x $found ]] && printf '%s\n' "$found"
}

# The reference libraries of the Standard Webhooks specification, in Python and JavaScript, that our signatures are verified with.
WEBHOOK_LIBRARIES=$CRM_CACHE/standardwebhooks-$STANDARDWEBHOOKS_PYPI_VERSION-$STANDARDWEBHOOKS_NPM_VERSION
has_webhook_libraries() {
    [[ -x $WEBHOOK_LIBRARIES/python/bin/python && -d $WEBHOOK_LIBRARIES/node/node_modules/standardwebhooks ]]
}

# ---------------------------------------------------------------------------------------------- who and where

# PostgreSQL refuses to run as root; then Debian's own unprivileged user runs it. Paths given to as_pg must be absolute:
# it leaves the current directory, which that user may not be allowed to enter. A backtrace in the server's
# environment would reach clients in error details.
AS_PG=(env -C / -u RUST_BACKTRACE -u RUST_LIB_BACKTRACE)
if ((EUID == 0)); then
    AS_PG+=(HOME=/nonexistent setpriv --reuid=postgres --regid=postgres --init-groups)
else
    AS_PG+=(setpriv)
fi
as_pg() { "${AS_PG[@]}" -- "$@"; }

# Makes .crm. Where root's checkout lies in a folder that the postgres user cannot enter (a clone under /root), .crm
# becomes a symlink to a place it can.
ensure_home() {
    local link=$CRM_ROOT/.crm away
    if [[ ! -e $link ]]; then
        [[ ! -L $link ]] || rm "$link"
        if as_pg test -x "$CRM_ROOT"; then
            mkdir "$link"
        else
            away=/var/lib/crm_ext/$(printf '%s' "$CRM_ROOT" | sha256sum | cut -c1-16)
            mkdir -p "$away"
            printf '%s\n' "$CRM_ROOT" >"$away/checkout"
            ln -s "$away" "$link"
        fi
        set_paths
    fi
    [[ -w $CRM_HOME ]] || die "$CRM_HOME belongs to another user: run as that user, or remove it"
    as_pg test -x "$CRM_HOME" || die "the user postgres cannot enter $CRM_HOME: remove .crm and run again"
}

# A new folder for a temporary cluster, that the user who runs PostgreSQL owns and nobody else can enter.
private_dir() {
    local base=${TMPDIR:-/tmp}
    as_pg test -w "$base" || base=/tmp
    as_pg mktemp -d "$base/crm_ext.XXXXXX"
}

# Prints a path from which the user who runs PostgreSQL can read FILE: itself, or a copy under .crm.
readable_by_pg() {
    local copy=$CRM_HOME/shared/${1##*/}
    if as_pg test -r "$1"; then
        printf '%s\n' "$1"
    else
        mkdir -p "$CRM_HOME/shared"
        cmp -s "$1" "$copy" || install -m 755 "$1" "$copy"
        printf '%s\n' "$copy"
    fi
}

random_hex() { od -An -N "${1:-24}" -tx1 /dev/urandom | tr -d ' \n'; }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the ports that the kernel gives to outgoing connections, so that it stays free until it is taken.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + SRANDOM % 12000))
        if port_is_free "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free port found between 20000 and 32000"
}

# ---------------------------------------------------------------------------------------------- processes

# Ends PID and everything below it.
kill_tree() {
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null || :); do
        kill_tree "$child"
    done
    kill -TERM "$1" 2>/dev/null || :
}

# Runs a long command so that a signal to this shell is acted on at once: bash would delay its trap until a foreground
# command has ended. Background commands ignore SIGINT and lose their input unless told otherwise. It ends with this shell, even
# when that is killed.
STEP=''
step() {
    local status=0
    (
        trap - INT QUIT
        exec setpriv --pdeathsig=TERM -- "$@"
    ) <&0 &
    STEP=$!
    wait "$STEP" || status=$?
    STEP=''
    return "$status"
}
stop_step() {
    if [[ -n $STEP ]]; then
        kill_tree "$STEP"
        wait "$STEP" 2>/dev/null || :
        STEP=''
    fi
}

# Waits up to SECONDS for a child or any other process to end.
wait_gone() {
    local pid=$1 tries=$(($2 * 20))
    while ((tries-- > 0)); do
        [[ -e /proc/$pid ]] && [[ $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) != Z ]] || return 0
        sleep 0.05
    done
    return 1
}

# ---------------------------------------------------------------------------------------------- clusters

# cluster_init DIR [initdb options]. The superuser postgres can be reached over the private socket only (it has no password).
cluster_init() {
    local dir=$1 output
    shift
    [[ -x $PG_BIN/initdb ]] || die "PostgreSQL's private copy is missing: run scripts/build first"
    [[ -d $dir ]] || mkdir -p -m 700 "$dir"
    ((EUID != 0)) || chown postgres: "$dir"
    if ! output=$(as_pg "$PG_BIN/initdb" -D "$dir" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --no-instructions "$@" 2>&1); then
        printf '%s\n' "$output" >&2
        return 1
    fi
    as_pg tee "$dir/pg_hba.conf" >/dev/null <<'HBA'
# The socket lies in a folder that only the cluster's own user can enter.
local   all     all                     trust
host    all     all     127.0.0.1/32    scram-sha-256
HBA
}

# The private folder of the cluster's socket: its data directory, unless a socket's path would be too long there
# (107 bytes, a limit of the kernel).
cluster_socket() {
    local dir user
    dir=$(readlink -f "$1")
    if ((${#dir} > 90)); then
        user=$(as_pg id -un)
        dir=/tmp/crm_ext.$user.$(printf '%s' "$dir" | sha256sum | cut -c1-16)
        as_pg mkdir -m 700 "$dir" 2>/dev/null || :
        [[ $(stat -c '%F %U %a' "$dir") == "directory $user 700" ]] || die "$dir is in the way: remove it"
    fi
    printf '%s\n' "$dir"
}

cluster_pid() {
    local pid
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 1
    # After a crash the file may name a process that has nothing to do with us.
    [[ -n $pid && $(readlink "/proc/$pid/cwd") == "$(readlink -f "$1")" ]] || return 1
    printf '%s\n' "$pid"
}

# cluster_start DIR PORT [-c option=value …]: a child of this shell (CLUSTER_PID) that shuts down when this shell ends, however
# it ends; so not to be called from a subshell that is over sooner. Logs go to CLUSTER_LOG, by default DIR.log.
cluster_start() {
    local dir=$1 port=$2 log=${CLUSTER_LOG:-$1.log} socket started=$SECONDS
    shift 2
    if cluster_pid "$dir" >/dev/null; then
        warn "PostgreSQL runs already in $dir"
        return 1
    fi
    socket=$(cluster_socket "$dir")
    (
        trap - INT # ignored in the background otherwise, until PostgreSQL listens to it
        exec setsid "${AS_PG[@]}" --pdeathsig=INT -- "$PG_BIN/postgres" -D "$dir" -p "$port" \
            -c listen_addresses=127.0.0.1 -c "unix_socket_directories=\"$socket\"" "$@" </dev/null >>"$log" 2>&1
    ) &
    CLUSTER_PID=$!
    until [[ $(sed -n '1p;8p' "$dir/postmaster.pid" 2>/dev/null | tr -d ' \n') =~ ^${CLUSTER_PID}(ready|standby)$ ]]; do
        if [[ ! -e /proc/$CLUSTER_PID ]] || ((SECONDS - started > 120)); then
            kill -INT "$CLUSTER_PID" 2>/dev/null || :
            warn "PostgreSQL did not start in $dir"
            [[ ! -f $log ]] || tail -n 15 "$log" >&2
            return 1
        fi
        sleep 0.05
    done
}

# Sessions are ended, what is committed stays. A server that does not end in a minute is ended as by a crash.
cluster_stop() {
    local pid
    pid=$(cluster_pid "$1") || return 0
    end_postgres "$pid"
}
end_postgres() {
    local pid=$1
    kill -INT "$pid" 2>/dev/null || return 0
    wait_gone "$pid" 60 || { kill -QUIT "$pid" && wait_gone "$pid" 10; } || warn "PostgreSQL (process $pid) does not end"
}

# cluster_psql DIR PORT [psql arguments]: as superuser; stops at the first error.
cluster_psql() {
    local dir=$1 port=$2
    shift 2
    "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$(cluster_socket "$dir")" -p "$port" -U postgres "$@"
}

# cluster_database DIR PORT NAME PASSWORD [DEMO_PASSWORD [WORKER_PASSWORD]]: the database with the extension, made or brought up to date.
cluster_database() {
    local dir=$1 port=$2 name=$3 socket
    socket=$(cluster_socket "$dir")
    if [[ $(cluster_psql "$dir" "$port" -d postgres -Atc "select count(*) from pg_database where datname = '$name'") == 0 ]]; then
        cluster_psql "$dir" "$port" -d postgres -c "create database $name"
    fi
    (
        export PATH=$PG_BIN:$PATH PGHOST=$socket PGPORT=$port PGUSER=postgres PGDATABASE=$name CRM_AUTHENTICATOR_PASSWORD=$4
        [[ -z ${5:-} ]] || export CRM_DEMO_PASSWORD=$5
        [[ -z ${6:-} ]] || export CRM_WORKER_LOGIN_PASSWORD=$6
        exec "$CRM_ROOT/scripts/database"
    )
}

# ---------------------------------------------------------------------------------------------- PostgREST

# api_start PORT DB_URI LOG [NAME=value …]: PostgREST with the shipped postgrest.conf, as a child of this shell (API_PID). The
# URI carries the password, so it is handed over in the environment, which only the same user can read.
api_start() {
    local port=$1 uri=$2 log=$3 binary conf
    shift 3
    binary=$(find_postgrest) || die "PostgREST is missing: run scripts/setup"
    binary=$(readable_by_pg "$binary")
    conf=$(readable_by_pg "$CRM_ROOT/postgrest.conf")
    (
        export PGRST_DB_URI=$uri PGRST_SERVER_HOST=127.0.0.1 PGRST_SERVER_PORT=$port "$@"
        exec setsid "${AS_PG[@]}" --pdeathsig=TERM -- "$binary" "$conf" </dev/null >>"$log" 2>&1
    ) &
    API_PID=$!
}

# Ready = anonymous callers get the key set: the database's configuration is read and the schema is known.
api_wait() {
    local started=$SECONDS
    sleep 0.3 # it needs that long; asking sooner only fills its log with refusals
    until curl --noproxy '*' -fs -m 5 -o /dev/null "http://127.0.0.1:$1/rpc/jwks"; do
        if [[ ! -e /proc/$API_PID ]] || ((SECONDS - started > 30)); then
            return 1
        fi
        sleep 0.1
    done
}

api_stop() {
    [[ -n ${API_PID:-} ]] || return 0
    kill -TERM "$API_PID" 2>/dev/null || :
    wait_gone "$API_PID" 10 || kill -KILL "$API_PID" 2>/dev/null || :
    API_PID=''
}

# ---------------------------------------------------------------------------------------------- the worker

# worker_start DB_URI LOG [NAME=value …]: a child of this shell (WORKER_PID). The rest of its settings are the caller's CRM_WORKER_….
worker_start() {
    local uri=$1 log=$2
    shift 2
    (
        unset CRM_WORKER_LOGIN_PASSWORD # scripts/database's, and no setting
        export CRM_WORKER_DATABASE_URL=$uri "$@"
        exec setsid "${AS_PG[@]}" --pdeathsig=TERM -- "$WORKER" </dev/null >>"$log" 2>&1
    ) &
    WORKER_PID=$!
}

# It waits for deliveries that are under way, and gives back what takes too long.
worker_stop() {
    [[ -n ${WORKER_PID:-} ]] || return 0
    kill -TERM "$WORKER_PID" 2>/dev/null || :
    wait_gone "$WORKER_PID" 40 || kill -KILL "$WORKER_PID" 2>/dev/null || :
    WORKER_PID=''
}
