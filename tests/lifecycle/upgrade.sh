#!/usr/bin/env bash
# A database of a released version, brought to this one, is the database that this version makes: by ALTER EXTENSION … UPDATE, and where the
# dump of a released version is restored and the operator does what is told. Its rows stay, and so does what the DBA added.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"
source "$CRM_ROOT/tests/upgrade/releases.bash"

use_releases "$work/tree"
new_cluster one
sql postgres -c 'create role dba login' -c 'create role other login' -c 'create role reporting'

new_database() { sql postgres -c "create database $1 owner dba"; }

# released DATABASE OWNER VERSION [PART]: the database as it was with that version, with the present library.
released() {
    new_database "$1"
    options='-c row_security=off' sql_as "$2" "$1" -c "create extension crm_ext version '$3'" 2>/dev/null
    sql "$1" -o /dev/null -f "$RELEASES/crm_ext--${RELEASE:-$3}.${4:-dump}.sql"
}

# A column may stand elsewhere than in a new table.
catalog() { snapshot "$1" | sed -E '/^column /s/: number [0-9]+,/:/'; }

# What there was before is compared: columns DATABASE writes down which those are, rows_of DATABASE shows them.
columns() {
    sql "$1" -c "select format('select %s from %s as t order by t.*::text collate \"C\"', string_agg(format('%I', a.attname), ', ' order by a.attnum), c.oid::regclass)
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace, 'fleet'::regnamespace) and c.relkind = 'r'
            and c.relname not in ('schema_version', 'plans', 'permissions', 'built_in_permissions')
        group by c.oid order by c.oid::regclass::text"
}
# What a version may add to.
given() {
    sql "$1" -c 'select p from crm.plans as p order by 1' -c 'select p from crm.permissions as p order by 1' \
        -c 'select p from crm.built_in_permissions as p order by 1'
}
rows_of() { sql "$1" -f <(sed 's/ order by .*/ as r order by r::text collate "C";/; s/^\(.*\)$/select r from (\1/; s/ as t as r/ as t) as r/' "$work/columns"); }

# ---------------------------------------------------------------------------------------------- what it has to become

new_database fresh
sql_as dba fresh -c 'create extension crm_ext'
sql postgres -c 'grant crm_owner, crm_admin, crm_backup to dba'
sql_as dba fresh -o /dev/null -f "$CRM_ROOT/tests/upgrade/additions.sql"
catalog fresh >"$work/fresh"
new_version=$(sql fresh -c "select extversion from pg_extension where extname = 'crm_ext'")

# works_as_ever DATABASE SENTENCE
works_as_ever() {
    local token
    token=$(sql "$1" -c "select crm.login('owner@demo.example', 'demo password')->>'access_token'")
    is "$2: the owner logs in and sees what there was" "$(sql "$1" -c "begin; set local role crm_app; do \$\$ begin perform crm.authenticate('$token'); end \$\$;
        select count(*) > 10 from crm.contacts; select count(*) from crm.vehicle_services; commit")" $'t\n1'
    refused "$2: a vehicle goes the steps that the DBA gave it" 'no step from new to stolen' sql "$1" -c "begin; set local role crm_app;
        do \$\$ begin perform crm.authenticate('$token'); end \$\$; update crm.vehicles set status = 'stolen'; commit"
}

for version in $(released_versions); do
    before=$version
    for who in postgres dba; do
        database=by_$who
        released "$database" "$who" "$version"
        is "$version: the functions are those of $version" "$(sql "$database" -c "select extversion from pg_extension where extname = 'crm_ext'")" "$version"
        refused "$version: the library of $new_version refuses to work with it" 'Run: alter extension crm_ext update' sql "$database" -c "begin; select crm.authenticate('x')"
        columns "$database" >"$work/columns"
        rows_of "$database" >"$work/rows"

        works "$version: $who updates" sql_as "$who" "$database" -c 'alter extension crm_ext update'
        catalog "$database" >"$work/updated"
        same "$version, $who: tables, policies, rights, owners, triggers and functions are those of a new database" "$work/fresh" "$work/updated"
        rows_of "$database" >"$work/rows_after"
        same "$version, $who: every row is there, and none is changed" "$work/rows" "$work/rows_after"
        given "$database" >"$work/given"
        same "$version, $who: plans, permissions and what the built-in roles have are those of a new database" <(given fresh) "$work/given"
        is "$version, $who: the tables say their version" \
            "$(sql "$database" -c 'select string_agg(version, $$ $$ order by version) from crm_private.schema_version')" "$before $new_version"
        works_as_ever "$database" "$version, $who"

        works "$version, $who: a second update does nothing" sql_as "$who" "$database" -c 'alter extension crm_ext update' \
            -c "alter extension crm_ext update to '$new_version'" -c 'select crm_private.upgrade_tables()'
        catalog "$database" >"$work/updated"
        same "$version, $who: and the catalog is the same" "$work/fresh" "$work/updated"
        sql postgres -c "drop database $database"
    done

    # ------------------------------------------------------------------------------------------ a dump, restored here

    new_database restored
    works "$version: its dump is restored where $new_version is installed" sql restored -o /dev/null -f "$RELEASES/crm_ext--$version.dump.sql"
    is "$version: the functions are those of $new_version" "$(sql restored -c "select extversion from pg_extension where extname = 'crm_ext'")" "$new_version"
    refused "$version: a SQL client is refused" 'PT503.*the service is being updated.*Try again in a few minutes' sql restored -c '\set VERBOSITY verbose' \
        -c "begin; set session authorization crm_authenticator; set local role crm_app; select crm.authenticate('x')"
    refused "$version: with an API key, too" 'the service is being updated' sql restored \
        -c "begin; set local role crm_app; select crm.authenticate_api_key('x')"
    refused "$version: a superuser is told what to run" 'Run: select crm_private.upgrade_tables\(\)' sql restored \
        -c "begin; select crm.authenticate('x')"
    sql postgres -c "alter role crm_authenticator password 'x'"
    port=$(free_port)
    api_start "$port" "postgresql://crm_authenticator:x@127.0.0.1:${cluster_port[$cluster]}/restored" "$work/postgrest.log"
    for _ in {1..100}; do
        answer=$(curl --noproxy '*' -si -m 5 "http://127.0.0.1:$port/rpc/jwks") && [[ $answer == *PT503* ]] && break
        sleep 0.1
    done
    is "$version: a request is 503, and told when to come again" "$(tr -d '\r' <<<"$answer" | grep -ciE '^HTTP/1.1 503|^retry-after: 30$|the service is being updated')" 3
    is "$version: and nothing else" "$(grep -c "$version\|upgrade" <<<"$answer")" 0
    is "$version: the server's log tells what to run" "$(grep -c "requests (library $new_version, extension $new_version, tables $version). Run: select crm_private.upgrade_tables();" "$work/one.log" | sed 's/[1-9][0-9]*/some/')" some

    columns restored >"$work/columns"
    rows_of restored >"$work/rows"
    works "$version: the DBA, no superuser, runs it" sql_as dba restored -c 'select crm_private.upgrade_tables()'
    is "$version: the API serves, on the connections it has" "$(curl --noproxy '*' -s -o /dev/null -w '%{http_code}' -m 5 "http://127.0.0.1:$port/rpc/jwks")" 200
    api_stop
    catalog restored >"$work/updated"
    same "$version, restored: tables, policies, rights, owners, triggers and functions are those of a new database" "$work/fresh" "$work/updated"
    rows_of restored >"$work/rows_after"
    same "$version, restored: every row is there, and none is changed" "$work/rows" "$work/rows_after"
    works_as_ever restored "$version, restored"
    works "$version, restored: a second time it does nothing" sql_as dba restored -c 'select crm_private.upgrade_tables()'
    catalog restored >"$work/updated"
    same "$version, restored: and the catalog is the same" "$work/fresh" "$work/updated"
    sql postgres -c 'drop database restored'
done

# ---------------------------------------------------------------------------------------------- what is refused

newest=$(released_versions | tail -n 1)
released refusing dba "$newest"
for role in dba postgres; do
    refused "$role cannot call what the script of an update calls" 'function crm_private.upgrade\(\) does not exist' sql_as $role refusing -c 'select crm_private.upgrade()'
done
sql_as dba refusing -c 'create function crm_private.upgrade() returns void language sql as $$select$$'
for role in dba postgres; do
    refused "no function of the DBA's is taken for the extension's when $role updates" 'function "upgrade" already exists' sql_as $role refusing -c 'alter extension crm_ext update'
done
sql_as dba refusing -c 'drop function crm_private.upgrade()' -c 'create function crm_private.upgrade_tables() returns void language sql as $$select$$'
refused 'nor made into one' 'is not a member of extension "crm_ext"' sql_as postgres refusing -c 'alter extension crm_ext update'
sql_as dba refusing -c 'drop function crm_private.upgrade_tables()'
works 'without it, the update works' sql_as dba refusing -c 'alter extension crm_ext update'
refused 'the DBA cannot call it now' 'permission denied' sql_as dba refusing -c 'select crm_private.upgrade()'
refused 'and a superuser is told how it is called' 'only an update of the extension' sql refusing -c 'select crm_private.upgrade()'
refused 'nobody else updates the tables' 'permission denied' sql refusing -c 'set role crm_app' -c 'select crm_private.upgrade_tables()'

sql_as dba refusing -c "insert into crm_private.schema_version (version) values ('99.0.0')"
refused 'tables of a later version are not touched' 'tables of the CRM are of version 99.0.0, and the library of' sql_as dba refusing -c 'select crm_private.upgrade_tables()'
refused 'and it is told what they need' 'Install the library of version 99.0.0 or later' sql_as dba refusing -c 'select crm_private.upgrade_tables()'
refused 'nor worked with' 'the service is being updated' sql refusing -c "begin; set local role crm_app; select crm.authenticate('x')"
is 'a connection that was refused goes on when they are gone, and stops when they come' "$(sql refusing -v ON_ERROR_STOP=0 2>/dev/null <<'SQL'
begin; set local role crm_anon; select 'served' from crm.pre_request(); rollback;
delete from crm_private.schema_version where version = '99.0.0';
begin; set local role crm_anon; select 'served now' from crm.pre_request(); commit;
insert into crm_private.schema_version (version) values ('99.0.0');
begin; set local role crm_anon; select 'served still' from crm.pre_request(); rollback;
SQL
)" 'served now'
sql postgres -c 'drop database refusing'

new_database without
options='-c row_security=off' sql_as postgres without -c 'create extension crm_ext'
refused 'where there are no tables, there is nothing to update' 'there are no tables of the CRM' sql without -c 'select crm_private.upgrade_tables()'
refused 'and the way to make them is told' 'crm_private.install\(\)' sql without -c 'select crm_private.upgrade_tables()'

new_database renamed
sql renamed -o /dev/null -f "$RELEASES/crm_ext--$newest.dump.sql"
sql_as dba renamed -c 'alter table crm.vehicles rename to cars' -c 'alter table crm.vehicle_services rename to car_services' -c 'alter schema fleet rename to park'
works 'tables that were renamed since they were enrolled are brought here' sql_as dba renamed -c 'select crm_private.upgrade_tables()'
is 'under the permissions they had' "$(sql renamed -c "select string_agg(distinct split_part(encode(tgargs, 'escape'), '\000', 1), ' ') from pg_trigger
    where tgname = '_300_guard' and tgrelid in ('crm.cars'::regclass, 'crm.car_services'::regclass, 'park.depots'::regclass)")" 'depots vehicles'
sql renamed -c 'update crm.cars set owner_id = null, status = $$sold$$' -c "insert into crm.car_services (org_id, vehicle_id) select org_id, id from crm.cars"
is 'with all that belongs to them' "$(sql renamed -c "select count(*) = 2 * count(distinct org_id) from crm.car_services" -c 'select count(sold_at) = count(*) from crm.cars')" $'t\nt'
sql postgres -c 'drop database renamed'

new_database partitioned
sql partitioned -o /dev/null -f "$RELEASES/crm_ext--$newest.dump.sql"
sql_as dba partitioned -o /dev/null -c 'create table crm.readings (org_id uuid, id uuid, primary key (org_id, id)) partition by hash (org_id)' \
    -c 'create table crm.readings_0 partition of crm.readings for values with (modulus 1, remainder 0)' \
    -c "select crm.enroll('crm.readings')"
snapshot partitioned | grep readings >"$work/readings"
works 'a table in partitions is brought here' sql_as dba partitioned -c 'select crm_private.upgrade_tables()'
same 'and is as it was' "$work/readings" <(snapshot partitioned | grep readings)
sql postgres -c 'drop database partitioned'

new_database theirs
sql theirs -o /dev/null -f "$RELEASES/crm_ext--$newest.dump.sql"
sql theirs -c 'alter table fleet.depots owner to other'
refused 'an enrolled table of somebody else is not for the DBA to change' 'fleet.depots belongs to other, whose rights you do not have' \
    sql_as dba theirs -c 'select crm_private.upgrade_tables()'
works 'but for a superuser' sql theirs -c 'select crm_private.upgrade_tables()'
sql theirs -c 'alter table fleet.depots owner to dba'
catalog theirs >"$work/updated"
same 'and it stays theirs, with all the rest as new' "$work/fresh" "$work/updated"
sql postgres -c 'drop database theirs'

# ---------------------------------------------------------------------------------------------- a version with other functions

# Some of which are gone by now, others return something else, call an argument otherwise, or were for more roles.
sed -e 's/^create function crm.jwks()$/&/; /^create function crm.jwks()$/,/;$/s/returns jsonb/returns json/' \
    -e 's/^create function crm.authenticate(token text)$/create function crm.authenticate(jwt text)/' \
    -e 's/^grant execute on function crm.jwks() to .*/grant execute on function crm.jwks() to crm_anon, crm_backup;/' \
    "$RELEASES/crm_ext--$newest.sql" >"$EXTENSIONS/crm_ext--0.0.1.sql"
for gone in crm.gone crm.gone_but_needed; do
    say "create function $gone() returns uuid language c volatile set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'uuid_v7_wrapper';
        alter function $gone() owner to crm_definer; revoke all on function $gone() from public; grant execute on function $gone() to crm_owner;"
done >>"$EXTENSIONS/crm_ext--0.0.1.sql"
cp "$EXTENSIONS/crm_ext--0.1.0--0.2.0.sql" "$EXTENSIONS/crm_ext--0.0.1--0.2.0.sql"
RELEASE=$newest released other dba 0.0.1
is 'the older version differs' "$(sql other -c "select pg_get_function_result('crm.jwks()'::regprocedure), proargnames from pg_proc where oid = 'crm.authenticate(text)'::regprocedure")" 'json|{jwt}'
sql_as dba other -c 'alter table fleet.depots alter column id set default crm.gone_but_needed()'
# What a superuser, and the owner of a schema, have decided since.
sql other -c 'revoke execute on function crm.register(text, text, text, text) from crm_anon' \
    -c 'grant execute on function crm.whoami() to reporting with grant option' -c 'grant execute on function crm.gone() to reporting' \
    -c 'alter default privileges grant all on functions to public' -c 'alter default privileges grant all on functions to crm_app'
sql_as dba other -c 'grant usage on schema crm to reporting' -c 'grant select on crm.contacts to reporting' -c 'revoke delete on crm.contacts from crm_app' \
    -c 'alter default privileges for role crm_owner grant all on tables to public' -c 'grant select on fleet.fuel_prices to crm_anon'
is 'a function that is needed is told' "$(sql_as dba other -c 'alter extension crm_ext update' 2>&1 | grep -o 'WARNING.*')" \
    'WARNING:  crm.gone_but_needed() is no function of this version, and stays because other objects depend on it'
is 'the other one is gone' "$(sql other -c "select to_regprocedure('crm.gone()'), to_regprocedure('crm.gone_but_needed()')")" '|crm.gone_but_needed()'
is 'functions return what they return in this version, and call their arguments so' \
    "$(sql other -c "select pg_get_function_result('crm.jwks()'::regprocedure), proargnames from pg_proc where oid = 'crm.authenticate(text)'::regprocedure")" 'jsonb|{token}'
may() { sql other -c "select has_function_privilege('$1', '$2', 'execute')"; }
is 'registration stays closed' "$(may crm_anon 'crm.register(text, text, text, text)')" f
is 'what a superuser granted stays granted' "$(may reporting 'crm.whoami()')" t
is 'a right that this version does not give is gone' "$(may crm_backup 'crm.jwks()')" f
is 'a new function is open to nobody by default' "$(may reporting 'crm_private.upgrade_tables()')$(may crm_app 'crm_private.upgrade_tables()')" ff
is 'rights that the DBA gave and took stay so' "$(sql other -c "select has_schema_privilege('reporting', 'crm', 'usage'), has_table_privilege('reporting', 'crm.contacts', 'select'),
    has_table_privilege('crm_app', 'crm.contacts', 'delete'), has_table_privilege('crm_anon', 'fleet.fuel_prices', 'select')")" 't|t|f|t'
dump=$(pg pg_dump -U postgres --schema-only other)
is 'and a dump has them' "$(grep -cE '^(REVOKE ALL ON FUNCTION crm.register.* FROM crm_anon|GRANT ALL ON FUNCTION crm.whoami\(\) TO reporting WITH GRANT OPTION|GRANT USAGE ON SCHEMA crm TO reporting);$' <<<"$dump")" 3
is 'and no other' "$(grep -E '^(GRANT|REVOKE).* ON (FUNCTION|SCHEMA) crm' <<<"$dump" | grep -vE ' (crm.parent|crm.subsidiaries)\(|reporting|fleet|crm.register')" ''
sql other -c 'alter default privileges revoke all on functions from public' -c 'alter default privileges revoke all on functions from crm_app' \
    -c 'alter default privileges grant execute on functions to public'
sql_as dba other -c 'alter default privileges for role crm_owner revoke all on tables from public'
sql postgres -c 'drop database other'

# ---------------------------------------------------------------------------------------------- the way to superuser

# Whatever the DBA attached to tables that an update writes to runs as crm_owner, and what it sets is not believed.
for who in dba postgres; do
    released hostile dba "$newest"
    sql_as dba hostile >/dev/null <<'SQL'
create schema trap;
create table trap.log (who text);
grant usage on schema trap to public;
grant insert on trap.log to public;
create function trap.caught() returns void language plpgsql as $$
begin
    insert into trap.log values (current_user);
    begin alter role dba superuser; exception when others then null; end;
end
$$;
create function trap.equal(oid, oid) returns boolean language plpgsql as $$ begin perform trap.caught(); return $1 operator(pg_catalog.=) $2; end $$;
create operator trap.= (leftarg = oid, rightarg = oid, function = trap.equal);
create function trap.to_regnamespace(text) returns regnamespace language plpgsql as $$ begin perform trap.caught(); return pg_catalog.to_regnamespace($1); end $$;
create function trap.to_regprocedure(text) returns regprocedure language plpgsql as $$ begin perform trap.caught(); return pg_catalog.to_regprocedure($1); end $$;
create function trap.fire() returns trigger language plpgsql as $$
begin
    perform trap.caught();
    perform set_config('search_path', 'trap, pg_catalog', false);
    return coalesce(new, old);
end
$$;
create function trap.value() returns boolean language plpgsql as $$
begin
    perform trap.caught();
    perform set_config('search_path', 'trap, pg_catalog', false);
    return true;
end
$$;
grant execute on all functions in schema trap to public;
do $$
declare
    one regclass;
begin
    for one in select oid from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind = 'r' loop
        execute format('create policy trap on %s as restrictive using (trap.value())', one);
        execute format('alter table %s add constraint trap check (trap.value()) not valid', one);
        execute format('create trigger a_trap before insert or update or delete on %s for each row execute function trap.fire()', one);
        execute format('create trigger z_trap after insert or update or delete on %s for each statement execute function trap.fire()', one);
        execute format('create constraint trigger d_trap after insert or update or delete on %s deferrable initially deferred for each row execute function trap.fire()', one);
    end loop;
end
$$;
SQL
    sql_as "$who" hostile -c 'alter extension crm_ext update' >/dev/null 2>&1 || :
    is "$who updates tables with the DBA's triggers: they do not run as a superuser" \
        "$(sql hostile -c "select string_agg(distinct who, ' ' order by who) from trap.log where who not in ('crm_owner', 'crm_definer', 'dba')")" ''
    is 'and dba is none' "$(sql hostile -c "select rolsuper from pg_roles where rolname = 'dba'")" f
    sql_as dba hostile -c 'do $$ declare t record; begin for t in select tgname, tgrelid::regclass as at from pg_trigger where tgname = $q$d_trap$q$ loop
        execute format($q$drop trigger d_trap on %s$q$, t.at); end loop; end $$'
    is "$who keeps the search path" "$(sql_as "$who" hostile -c 'alter extension crm_ext update' -c 'show search_path')" '"$user", public'
    is "without those that wait for the end, $who updates" "$(sql hostile -c "select extversion, string_agg(distinct who, ' ' order by who)
        from pg_extension, trap.log where extname = 'crm_ext' and who <> 'dba' group by 1")" "$new_version|crm_definer crm_owner"
    is 'and dba is no superuser' "$(sql hostile -c "select rolsuper from pg_roles where rolname = 'dba'")" f
    sql postgres -c 'drop database hostile'
done

# ---------------------------------------------------------------------------------------------- after all of this

sql_as dba fresh -c 'drop extension crm_ext cascade' -c 'drop schema fleet cascade'
works 'the DBA installs anew' sql_as dba fresh -c 'create extension crm_ext'
sql_as dba fresh -o /dev/null -f "$CRM_ROOT/tests/upgrade/additions.sql"
catalog fresh >"$work/again"
same 'and has what there was at first' "$work/fresh" "$work/again"

finish
