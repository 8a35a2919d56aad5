#!/usr/bin/env bash
# Where pg_stat_statements is loaded, with the statements inside of functions: what it keeps for everybody who may read it
# contains no password, token, key or hash.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

if [[ ! -e $PG_TREE/lib/postgresql/$PG/lib/pg_stat_statements.so ]]; then
    say "pg_stat_statements is not installed: skipped"
    exit 0
fi

new_cluster statements
sql postgres -c "alter system set shared_preload_libraries = 'pg_stat_statements'"
end_postgres "${cluster_process[statements]}"
CLUSTER_LOG=$work/statements.log cluster_start "$work/statements" "${cluster_port[statements]}" -c fsync=off -c pg_stat_statements.track=all
cluster_process[statements]=$CLUSTER_PID
sql postgres -c 'create database crm'
sql crm -c 'create extension pg_stat_statements schema public' -c 'create extension crm_ext'

as() { sql crm -c "set role $1" -c "$2"; }
# What a function answers, one member of it.
member() { sql crm -c "select ($2)->>'$1'"; }

password=password-$(random_hex 8) wrong=wrong-$(random_hex 8) new=new-$(random_hex 8)
access=$(member access_token "crm.register('ann@example.com', '$password', 'Acme')")
refresh=$(member refresh_token "crm.login('ann@example.com', '$password')")
next=$(member refresh_token "crm.refresh_token('$refresh')")
as crm_anon "select crm.login('ann@example.com', '$wrong')" >/dev/null
key=$(sql crm -c begin -c 'set local role crm_app' -c "select crm.authenticate('$access') is not null" \
    -c "select crm.create_api_key('x', '{*.*}')->>'key'" -c commit | tail -n 1)
platform=$(member key "crm.create_platform_key('x')")
as crm_service "select crm.authenticate_api_key('$platform')" >/dev/null 2>&1
as crm_anon "select crm.request_password_reset('ann@example.com')" >/dev/null
reset=$(as crm_worker "select token from crm.claim_messages() where kind = 'password_reset'")
as crm_anon "select crm.reset_password('$reset', 'short')" >/dev/null 2>&1 || :
as crm_anon "select crm.reset_password('$reset', '$new')" >/dev/null
hash='$2b$05$'$(random_hex 11 | cut -c1-21)u$(random_hex 15)u # u: the bits that bcrypt leaves over are zero
sql crm -c "select crm.create_user('bo@example.com', password_hash => '$hash')" >/dev/null
sql crm -c "select crm.rotate_signing_key('ES256')" >/dev/null

kept=$(sql crm -c 'select query from public.pg_stat_statements')
is "pg_stat_statements keeps what functions do" "$(grep -c 'crm_private' <<<"$kept" | sed 's/^[1-9][0-9]*$/yes/')" yes
for secret in password wrong new access refresh next key platform reset hash; do
    is "a reader of pg_stat_statements finds no $secret" "$([[ -n ${!secret} ]] && grep -cF -- "${!secret}" <<<"$kept")" 0
done
hidden=$(sql crm -c "select unnest(string_to_array(private_key, chr(10))) from crm_private.signing_keys" \
    -c "select hash from crm_private.passwords" -c "select ltrim(hash::text, '\\x') from crm_private.refresh_tokens" \
    -c "select ltrim(hash::text, '\\x') from crm_private.api_keys" -c "select ltrim(hash::text, '\\x') from crm_private.one_time_tokens" |
    grep -v -e ^- -e '^$')
is "a reader of pg_stat_statements finds no key and no hash" "$(grep -cF -- "$hidden" <<<"$kept")" 0

finish
