#!/usr/bin/env bash
# DROP EXTENSION takes nobody's data, with CASCADE neither; what CASCADE takes where there is none is what docs/lifecycle.md says.
# Installing twice changes nothing.

source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

new_cluster one
sql postgres -c 'create role dba login' -c 'create role other login' -c 'create database crm owner dba'
sql_as dba crm -c 'create extension crm_ext' -c "select crm.load_demo('demo password')" >/dev/null
sql_as dba crm -f "$LIFECYCLE/additions.sql" >/dev/null
sql_as dba crm >/dev/null <<'SQL'
create schema own;
create table own.visits (
    id uuid primary key default crm.uuid_v7(),
    org_id uuid not null references crm.organizations (id),
    fuel crm.fuel default 'petrol',
    note text,
    checked boolean check (checked or crm.current_user_id() is null)
);
insert into own.visits (org_id, note) select id, slug from crm.organizations;
alter table own.visits enable row level security;
create policy visits_mine on own.visits to crm_app using (org_id = (select crm.current_org_id()));
create table own.open (note text);
insert into own.open values ('secret');
alter table own.open enable row level security;
create policy open_all on own.open to crm_app using (true);
create policy open_not_yet on own.open as restrictive to crm_app using ((select crm.current_org_id()) is not null);
create trigger touched before update on own.visits for each row execute function crm_private.stamp();
create view own.people with (security_invoker) as select id, last_name from crm.contacts;
create function own.label(contact crm.contacts) returns text language sql stable as $$ select contact.last_name $$;
create function own.by_text() returns bigint language sql stable as $$ select count(*) from crm.contacts $$;
create materialized view own.sizes as select shoe_size, count(*) from crm.contacts group by shoe_size;
grant usage on schema own to crm_app, crm_backup;
grant select on all tables in schema own to crm_app, crm_backup;
SQL
works 'the DBA dumps it' pg pg_dump -U dba --role=crm_backup -Fc -f "$work/dump_with_sizes" crm
works 'and without what is in a materialized view' pg pg_dump -U dba --role=crm_backup -Fc --exclude-table-data=own.sizes -f "$work/dump" crm
rows crm >"$work/rows"
snapshot crm >"$work/snapshot"
sql crm -f "$LIFECYCLE/elsewhere.sql" >"$work/elsewhere"

# ---------------------------------------------------------------------------------------------- while there is data

refused 'the DBA cannot drop the extension while there is data' 'cannot drop extension crm_ext because other objects depend on it' \
    sql_as dba crm -c 'drop extension crm_ext'
refused 'nor can a superuser' 'cannot drop extension crm_ext because other objects depend on it' sql crm -c 'drop extension crm_ext'
for who in dba postgres other; do
    refused "$who cannot with CASCADE either" 'CASCADE would delete the data of the CRM' sql_as "$who" crm -c 'drop extension crm_ext cascade'
done
refused 'nor together with others' 'CASCADE would delete the data of the CRM' sql crm -c 'drop extension if exists citext, crm_ext cascade'
refused 'nor by dropping all that the DBA owns' 'cannot drop (desired )?object|because other objects depend on it' sql_as dba crm -c 'drop owned by dba'
refused 'with CASCADE neither' 'CASCADE would delete the data of the CRM' sql crm -c 'drop owned by other, dba cascade'
refused 'nor by dropping all that crm_owner owns' 'because extension crm_ext requires it' sql crm -c 'drop owned by crm_owner cascade'
refused 'nor what crm_definer owns' 'because extension crm_ext requires it' sql crm -c 'drop owned by crm_definer cascade'
refused 'the DBA cannot disable what refuses it' 'must be owner of event trigger' sql_as dba crm -c 'alter event trigger crm_ext_guard_drop disable'
refused 'a superuser cannot drop it' 'because extension crm_ext requires it' sql crm -c 'drop event trigger crm_ext_guard_drop'
refused 'and by itself it does nothing' 'guard_drop is an event trigger' sql crm -c 'select crm_private.guard_drop()'
works 'another extension goes as ever' sql crm -c 'create extension citext' -c 'drop extension citext cascade'
works 'what a role owns goes as ever' sql crm -c 'drop owned by other cascade'
refused 'the DBA cannot drop the schema crm' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm'
refused 'nor drop the schema crm with all that is in it' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm cascade'
refused 'nor crm_private' 'because extension crm_ext requires it' sql_as dba crm -c 'drop schema crm_private cascade'
refused 'nor drop a function that the tables need' 'because extension crm_ext requires it' sql_as dba crm -c 'drop function crm.uuid_v7() cascade'
refused 'a second CREATE EXTENSION says that it is there' 'extension "crm_ext" already exists' sql_as dba crm -c 'create extension crm_ext'
refused 'install() says that the tables are there' 'the tables of the CRM exist already' sql_as dba crm -c 'select crm_private.install()'
is 'CREATE EXTENSION IF NOT EXISTS changes nothing' "$(sql_as dba crm -c 'create extension if not exists crm_ext')" ''
is 'an update to the version that is there changes nothing' "$(sql_as dba crm -c 'alter extension crm_ext update')" ''
refused 'the extension cannot be moved to another schema' 'does not support SET SCHEMA' sql_as dba crm -c 'create schema other' -c 'alter extension crm_ext set schema other'
is 'load_demo() a second time says so' "$(sql crm -c "select crm.load_demo('other password')")" '{"already_loaded": true}'
sql_as dba crm -c 'drop schema other'

rows crm >"$work/rows_after"
snapshot crm >"$work/snapshot_after"
same 'after all of this every row is there' "$work/rows" "$work/rows_after"
same 'and every right, policy and function is as before' "$work/snapshot" "$work/snapshot_after"
sql crm -f "$LIFECYCLE/elsewhere.sql" >"$work/elsewhere_after"
same 'and all of the DBA'\''s own' "$work/elsewhere" "$work/elsewhere_after"

# ---------------------------------------------------------------------------------------------- without data

refused 'the CRM is not emptied past tables of the DBA'\''s that point to it' 'Table "(notes|visits)" references "organizations"' \
    sql_as dba crm -f "$LIFECYCLE/empty.sql"
sql_as dba crm -c 'alter table own.visits drop constraint visits_org_id_fkey' -c 'alter table public.notes drop constraint notes_org_id_fkey'
works 'the DBA empties it, when none does' sql_as dba crm -f "$LIFECYCLE/empty.sql"
sql_as dba crm -c 'alter table own.visits add foreign key (org_id) references crm.organizations (id) not valid' \
    -c 'alter table public.notes add foreign key (org_id) references crm.organizations (id) not valid'
rows_elsewhere='select (select count(*) from own.visits), (select count(*) from own.open), (select count(*) from public.notes)'
before=$(sql crm -c "$rows_elsewhere")
is 'what a restrictive policy closes is closed' "$(sql crm -c 'set role crm_app' -c 'select count(*) from own.open')" 0
refused 'DROP EXTENSION refuses without data, too' 'cannot drop extension crm_ext because other objects depend on it' sql_as dba crm -c 'drop extension crm_ext'
works 'with CASCADE it goes' sql_as dba crm -c 'drop extension crm_ext cascade'
sql crm -f "$LIFECYCLE/elsewhere.sql" >"$work/elsewhere_after"
comm -23 "$work/elsewhere" "$work/elsewhere_after" >"$work/taken"
is 'nothing came' "$(comm -13 "$work/elsewhere" "$work/elsewhere_after")" ''
same 'what goes is this' - "$work/taken" <<'TAKEN'
column own.visits.fuel
constraint notes_org_id_fkey of public.notes
constraint visits_checked_check of own.visits
constraint visits_org_id_fkey of own.visits
default of own.visits.fuel
default of own.visits.id
event trigger crm_ext_guard_drop
extension crm_ext
function own.label(crm.contacts)
materialized view own.sizes
policy open_not_yet of own.open
policy visits_mine of own.visits
schema crm
schema crm_private
trigger touched of own.visits
view own.people
TAKEN
is 'of the kinds that the document names, and of no other' "$(sed -n '/^## DROP EXTENSION/,/^## [^D]/s/^| \([a-z ]*\) | .*/\1/p' "$CRM_ROOT/docs/lifecycle.md" | sed '/^kind$/d' | sort)" \
    "$(sed -E 's/^(event trigger|materialized view|[a-z]+).*/\1/' "$work/taken" | sort -u)"
is 'rows stay' "$(sql crm -c "$rows_elsewhere")" "$before"
is 'a table whose permissive policy is gone shows nothing to API roles' "$(sql crm -c 'set role crm_app' -c 'select count(*) from own.visits')" 0
is 'but where a restrictive one is gone what it closed is open, as the document says' "$(sql crm -c 'set role crm_app' -c 'select note from own.open')" secret

# ---------------------------------------------------------------------------------------------- and back

works 'CREATE EXTENSION makes a new CRM' sql_as dba crm -c 'create extension crm_ext'
is 'with nobody in it' "$(sql crm -c 'select (select count(*) from crm.organizations), (select count(*) from crm.users)')" '0|0'
for who in dba postgres; do
    refused "$who cannot restore what is in a materialized view: it is refreshed as its owner, whom row level security binds" \
        'would be affected by row-level security policy' pg pg_restore -U "$who" -d crm --clean --if-exists -1 "$work/dump_with_sizes"
done
works 'without that the dump brings all of it back' pg pg_restore -U dba -d crm --clean --if-exists -1 "$work/dump"
rows crm >"$work/rows_after"
snapshot crm >"$work/snapshot_after"
sql crm -f "$LIFECYCLE/elsewhere.sql" >"$work/elsewhere_after"
same 'every row' "$work/rows" "$work/rows_after"
same 'every right, policy and function' "$work/snapshot" "$work/snapshot_after"
same 'and all of the DBA'\''s own' "$work/elsewhere" "$work/elsewhere_after"

finish
