#!/usr/bin/env bash
# Two databases of one cluster, with an owner each: both can have the CRM, and neither gets at the other's data, although
# the roles are shared.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

register() { sql "$1" -c "select crm.register('$2@example.com', 'password of $2', '$3')->>'access_token'"; }
# What somebody gets to see as any of the roles they can become: rows, or nothing.
reach() {
    local role=$1 database=$2 as seen=0 got
    for as in "$role" crm_owner crm_backup crm_admin crm_app crm_definer crm_service; do
        for table in crm.contacts crm.users crm_private.passwords crm_private.signing_keys; do
            got=$(sql_as "$role" "$database" -c "set role $as" -c "select count(*) from $table" 2>/dev/null) || got=0
            seen=$((seen + ${got:-0}))
        done
    done
    say "$seen"
}
memberships() { sql postgres -c "select count(*) from pg_auth_members where member = '$1'::regrole"; }
install_as() { sql_as "$1" "$2" -c 'create extension crm_ext' 2>&1; }

# ---------------------------------------------------------------------------------------------- a superuser's, then another owner's

new_cluster one
sql postgres -c 'create role owner1 login' -c 'create role owner2 login' -c 'create role owner3 login' \
    -c 'create database first owner owner1' -c 'create database second owner owner2' -c 'create database third owner owner3'
works 'a superuser installs in the first database' sql first -c 'create extension crm_ext'
ann=$(register first ann Acme)
sql first -c "insert into crm.contacts (org_id, last_name) select id, 'Contact of Acme' from crm.organizations"
works 'and in a second one' sql second -c 'create extension crm_ext'
snapshot first >"$work/first"
snapshot second >"$work/second"
same 'with the same catalog' "$work/first" "$work/second"
sql second -c 'drop extension crm_ext cascade' 2>/dev/null

output=$(install_as owner2 second)
if [[ $output == *WARNING*"owner2 was not made an administrator"*"database first"* ]]; then
    ok 'the owner of the second database, who can connect to the first, installs and is told that this makes no administrator'
else
    failed 'the owner of the second database, who can connect to the first, installs and is told that this makes no administrator' "$output"
fi
is 'owner2 is a member of nothing' "$(memberships owner2)" 0
is 'owner2 reaches nothing in the first database' "$(reach owner2 first)" 0
is 'the CRM of the second database works' "$(register second bob Borg | cut -c1-3)" eyJ
snapshot second >"$work/second"
same 'and has the same catalog as the first' "$work/first" "$work/second"

# ---------------------------------------------------------------------------------------------- closed to the other

sql postgres -c 'revoke connect on database first, second from public'
is 'an owner who cannot connect to the databases of others installs without a word' "$(install_as owner3 third)" ''
is 'and administers its own' "$(memberships owner3)" 3
works 'owner3 loads the demo data' sql_as owner3 third -c "select crm.load_demo('demo password')"
refused 'owner3 cannot connect to the first database' 'permission denied for database' sql_as owner3 first -c 'select 1'

# ---------------------------------------------------------------------------------------------- tokens

carl=$(register third carl Carls)
authenticate() { sql "$1" -c "begin; set local role crm_app; select crm.authenticate('$2')->>'authenticated'; commit" 2>&1; }
is 'a token works in its own database' "$(authenticate first "$ann")" true
refused 'and in no other' 'the access token is not valid' authenticate second "$ann"
refused 'nor does one of the third in the first' 'the access token is not valid' authenticate first "$carl"
is 'every database has a key of its own' "$(for database in first second third; do sql $database -c 'select kid from crm_private.signing_keys'; done | sort -u | wc -l)" 3
is 'a password works in no other database' "$(sql second -c "select crm.login('ann@example.com', 'password of ann')->>'code'")" 28P01

# ---------------------------------------------------------------------------------------------- later rights

output=$(sql first -c 'truncate crm.organizations, crm.users cascade' -c 'drop extension crm_ext cascade' 2>/dev/null; sql first -c 'create extension crm_ext' 2>&1)
is 'a superuser who installs where no other administrator can connect is told nothing' "$output" ''
sql postgres -c 'create database fourth'
output=$(sql fourth -c 'create extension crm_ext' 2>&1)
if [[ $output == *WARNING*"owner3, who administer"*"will administer this CRM too"*"REVOKE CONNECT ON DATABASE fourth FROM PUBLIC"* && $output != *"owner3, owner3"* ]]; then
    ok 'one who installs where owner3 can connect is told so, once'
else
    failed 'one who installs where owner3 can connect is told so, once' "$output"
fi
sql postgres -c 'revoke connect on database fourth from public'
is 'after the REVOKE that the warning names, owner3 reaches nothing there' "$(reach owner3 fourth)" 0

# ---------------------------------------------------------------------------------------------- odd names

sql postgres -c 'create role "Odd Owner; drop" login' -c 'create database "Odd database""" owner "Odd Owner; drop"'
sql postgres -c 'revoke connect on database third, "Odd database""" from public'
works 'an owner and a database with odd names are no trouble' sql_as 'Odd Owner; drop' 'Odd database"' -c 'create extension crm_ext'
is 'that owner administers the CRM' "$(sql postgres -c "select count(*) from pg_auth_members as a join pg_roles as r on r.oid = a.member where r.rolname = 'Odd Owner; drop'")" 3

finish
