-- What crm.doctor finds of tables, policies, keys, indexes, views and triggers.

begin;
\ir patient.psql
select no_plan();

create role tests_table_owner_of_doctor login;

insert into tests.cases (sentence, broken, wanted, mended) values
    ('a private table without row level security', 'alter table crm_private.settings disable row level security',
        'error table_without_row_level_security crm_private.settings', true),
    ('a private table that does not force it', 'alter table crm_private.settings no force row level security',
        'error table_without_row_level_security crm_private.settings', true),
    ('a table of organizations elsewhere, that requests read',
        'create schema tests_elsewhere; grant usage on schema tests_elsewhere to crm_app; create table tests_elsewhere.rows (org_id uuid); grant select on tests_elsewhere.rows to crm_app',
        'error table_without_row_level_security tests_elsewhere.rows', true),
    ('a table of the CRM without row level security', 'alter table crm.contacts disable row level security', 'error enrollment crm.contacts', true),
    ('a table that is not enrolled', 'create table crm.broken (org_id uuid, id uuid, primary key (org_id, id)); alter table crm.broken enable row level security, force row level security, owner to crm_owner',
        'error enrollment crm.broken', false),
    ('a trigger that was dropped', 'drop trigger _400_scope on crm.contacts', 'error enrollment crm.contacts', true),
    ('the guard of a table that was dropped', 'drop trigger _300_guard on crm.estimate_items', 'error enrollment crm.estimate_items', true),
    ('a trigger that was disabled', 'alter table crm.deals disable trigger _500_stamp', 'error enrollment crm.deals', true),
    ('a policy that was dropped', 'drop policy contacts_select_app on crm.contacts', 'error enrollment crm.contacts + warning right_without_policy crm.contacts', true),
    ('a policy that was changed', 'alter policy contacts_select_app on crm.contacts using (org_id = (select crm.current_org_id()))', 'error enrollment crm.contacts', true),
    ('everybody may read a table', 'grant select on crm.accounts to public', 'error enrollment crm.accounts', true),
    ('anybody on the network may change a column', 'grant update (name) on crm.accounts to crm_anon', 'error enrollment crm.accounts', true),
    ('a trigger of ours that was dropped', 'drop trigger _900_announce on crm.memberships', 'error trigger_missing crm.memberships', true),
    ('history of members that is not written', 'drop trigger _700_audit_update on crm.memberships', 'error trigger_missing crm.memberships', true),
    ('history of keys that is not written', 'drop trigger _700_audit_insert on crm_private.api_keys', 'error trigger_missing crm_private.api_keys', true),
    ('a partition of history that can be emptied', 'drop trigger _300_append_only_truncate on crm_private.audit_log_later', 'error trigger_missing crm_private.audit_log_later', true),
    ('history that can be changed', 'drop trigger _300_append_only on crm.audit_log', 'error trigger_missing crm.audit_log', true),
    ('a webhook that may lead anywhere', 'drop trigger _600_webhook on crm.webhooks', 'error trigger_missing crm.webhooks', true),
    ('one that does not fire', 'alter table crm_private.sessions disable trigger _900_announce', 'error trigger_missing crm_private.sessions', true),
    ('one that does not fire on a replica', 'alter table crm_private.sessions enable trigger _900_announce', 'error trigger_missing crm_private.sessions', true),
    ('a trigger of an entity that was disabled', 'alter table crm.estimate_items disable trigger all',
        'error enrollment crm.estimate_items + error trigger_missing crm.estimate_items', false),
    ('a policy of history that was changed', 'alter policy audit_log_select_app on crm.audit_log using (org_id is not null)', 'error policy_changed crm.audit_log', true),
    ('a policy of members that was changed', 'alter policy memberships_select_multi on crm.memberships using (org_id is not null)', 'error policy_changed crm.memberships', true),
    ('a policy of the functions that was changed', 'alter policy users_all_definer on crm.users using (full_name <> ''x'')', 'error policy_changed crm.users', true),
    ('a policy for others', 'alter policy organizations_select_platform on crm.organizations to crm_anon', 'error policy_changed crm.organizations + warning right_without_policy crm.organizations', true),
    ('a policy that was dropped from what is deleted', 'drop policy deleted_records_select_app on crm.deleted_records', 'error policy_changed crm.deleted_records + warning right_without_policy crm.deleted_records', true),
    ('a policy of what is on its way to webhooks that was changed', 'alter policy webhook_deliveries_select_app on crm.webhook_deliveries using (org_id is not null)', 'error policy_changed crm.webhook_deliveries', true),
    ('one of what was tried that was dropped', 'drop policy webhook_attempts_select_app on crm.webhook_attempts', 'error policy_changed crm.webhook_attempts + warning right_without_policy crm.webhook_attempts', true),
    ('a policy of a private table that was dropped', 'drop policy sessions_all_definer on crm_private.sessions', 'error policy_changed crm_private.sessions + warning right_without_policy crm_private.sessions', true),
    ('a restrictive policy of roles that was dropped', 'drop policy roles_not_above on crm.roles', 'error policy_changed crm.roles', true),
    ('one that is permissive now', 'drop policy roles_not_above on crm.roles; create policy roles_not_above on crm.roles to crm_app, crm_multi using (current_user = ''crm_definer'' or rank <= (select crm.current_rank())) with check (true)',
        'error enrollment crm.roles + error policy_always_true crm.roles + error policy_changed crm.roles + warning several_permissive_policies crm.roles', false),
    ('one more policy of history', 'create policy for_support on crm.audit_log for all to crm_service using (org_id is not null)', 'error policy_changed crm.audit_log', true),
    ('a policy of a partition', 'create policy for_support on crm_private.audit_log_before for select to crm_app using (org_id is not null)', 'error policy_changed crm_private.audit_log_before', true),
    ('one more that only forbids, and one for others', 'create role tests_reports_of_doctor; create policy no_reads on crm.audit_log as restrictive for select to crm_app using (current_user = ''crm_definer'' or entity <> ''x''); create policy for_reports on crm.audit_log for select to tests_reports_of_doctor using (org_id is not null)', null, false),
    ('a policy that lets in everything', 'create policy for_support on crm.contacts for select using (true)',
        'error enrollment crm.contacts + error policy_always_true crm.contacts + warning several_permissive_policies crm.contacts', false),
    ('a policy for inserts that is always true', 'create policy any_new on crm.memberships for insert to crm_app with check (true)', 'error policy_always_true crm.memberships + error policy_changed crm.memberships', false),
    ('two policies', 'create policy more on crm.memberships for select to crm_app using (user_id = (select crm.current_user_id()))', 'error policy_changed crm.memberships + warning several_permissive_policies crm.memberships', false),
    ('a policy that binds the functions', 'create policy of_this_year on crm.memberships as restrictive to crm_app using (created_at > (select current_date))',
        'error restrictive_policy_binds_definer crm.memberships', false),
    ('a policy''s function that is frozen', 'alter function crm.permitted_org_id(text) immutable', 'error policy_function_of_wrong_kind crm.permitted_org_id(text)', true),
    ('a policy that asks for each row', 'alter policy contacts_select_app on crm.contacts using (org_id = (select crm.permitted_org_id(''contacts.read'')) and owner_id = crm.current_user_id())',
        'error enrollment crm.contacts + warning policy_function_per_row crm.contacts', false),
    ('a right without a policy', 'grant delete on crm.memberships to crm_app', 'warning right_without_policy crm.memberships', true),
    ('a view with its owner''s rights', 'create view crm.firms as select * from crm.accounts; alter view crm.firms owner to crm_owner', 'error view_past_policies crm.firms', true),
    ('one elsewhere', 'create view public.firms as select * from crm.accounts; grant select on public.firms to crm_app', 'error view_past_policies public.firms', true),
    ('a materialized one', 'create materialized view public.firms as select * from crm.accounts; grant select (id) on public.firms to crm_multi', 'error view_past_policies public.firms', false),
    ('a key that points into other organizations', 'create unique index accounts_id_key on crm.accounts (id); alter table crm.contacts add constraint broken foreign key (account_id) references crm.accounts (id)',
        'error foreign_key_without_org_id crm.contacts + error index_not_by_organization crm.accounts_id_key + warning foreign_key_without_index crm.contacts', false),
    ('a key without an index', 'drop index crm.contacts_org_id_account_id_idx', 'warning foreign_key_without_index crm.contacts + warning index_missing crm.contacts', true),
    ('an index that is gone', 'drop index crm.contacts_org_id_created_at_id_idx', 'warning index_missing crm.contacts', true),
    ('an index of some rows that is gone', 'drop index crm.tickets_org_id_sla_due_at_idx', 'warning index_missing crm.tickets', true),
    ('one of fewer rows in its place', 'drop index crm.contacts_org_id_created_at_id_idx; create index contacts_org_id_created_at_id_idx on crm.contacts (org_id, created_at, id) where phone is not null', 'warning index_missing crm.contacts', true),
    ('a unique index that is gone', 'drop index crm_private.signing_keys_active_idx', 'error index_missing crm_private.signing_keys', true),
    ('one that is not unique in its place', 'drop index crm_private.signing_keys_active_idx; create index signing_keys_active_idx on crm_private.signing_keys ((retired_at is null)) where retired_at is null', 'error index_missing crm_private.signing_keys', true),
    ('an index of an expression that is gone', 'drop index crm_private.sessions_end_idx', 'warning index_missing crm_private.sessions', true),
    ('an index of history that is gone', 'drop index crm.audit_log_org_id_actor_id_created_at_id_idx', 'warning index_missing crm.audit_log', true),
    ('one that partitions do not have', 'drop index crm.audit_log_org_id_created_at_id_idx; create index audit_log_org_id_created_at_id_idx on only crm.audit_log (org_id, created_at, id)',
        'warning not_valid crm.audit_log_org_id_created_at_id_idx', true),
    ('an index of another name, and one of all rows in place of some', 'alter index crm.contacts_org_id_created_at_id_idx rename to by_age; drop index crm.tickets_org_id_sla_due_at_idx; create index by_due on crm.tickets (org_id, sla_due_at) include (status) with (fillfactor = 70)', null, false),
    ('the queue''s index that is gone', 'drop index crm.webhook_deliveries_run_at_id_idx', 'warning index_missing crm.webhook_deliveries', true),
    ('an index without the organization', 'create index contacts_birthday_idx on crm.contacts (birthday)', 'warning index_not_by_organization crm.contacts_birthday_idx', false),
    ('a value unique across organizations', 'alter table crm.contacts add constraint contacts_email_key unique (email)', 'error index_not_by_organization crm.contacts_email_key', false),
    ('a primary key without the organization', 'create table crm.broken (id uuid primary key, org_id uuid not null); alter table crm.broken owner to crm_owner, enable row level security, force row level security',
        'error enrollment crm.broken + error key_without_organization crm.broken', false),
    ('another primary key than all have', 'create table crm.broken (org_id uuid, day date, primary key (org_id, day)); alter table crm.broken owner to crm_owner, enable row level security, force row level security',
        'error enrollment crm.broken + warning key_without_organization crm.broken', false),
    ('an index that upserts do not find', 'create unique index contacts_phone_idx on crm.contacts (org_id, phone_normalized) where status = ''active''', 'info partial_unique_index crm.contacts_phone_idx', false),
    ('an index that was not finished', 'update pg_index set indisvalid = false where indexrelid = ''crm.contacts_org_id_account_id_idx''::regclass',
        'warning not_valid crm.contacts_org_id_account_id_idx', true),
    ('a constraint for new rows only', 'alter table crm.contacts add constraint tall check (birthday > ''1900-01-01'') not valid', 'warning not_valid crm.contacts', true),
    ('a table that no dump has', 'alter extension crm_ext add table crm.contacts', 'error table_belongs_to_extension table crm.contacts', true),
    ('a table of a superuser''s', 'alter table crm.contacts owner to postgres', 'error wrong_owner crm.contacts', true),
    ('a table of somebody who logs in', 'grant create on schema crm to tests_table_owner_of_doctor; alter table crm.contacts owner to tests_table_owner_of_doctor; revoke create on schema crm from tests_table_owner_of_doctor',
        'error wrong_owner crm.contacts', true),
    ('a schema of a superuser''s', 'alter schema crm_private owner to postgres', 'error wrong_owner crm_private', true),
    ('a function of a superuser''s', 'alter function crm.register(text, text, text, text) owner to postgres', 'error wrong_owner crm.register(text,text,text,text)', true),
    ('a function of ours with another path', 'alter function crm.authenticate(text) set search_path = crm, pg_temp', 'error function_without_search_path crm.authenticate(text)', true),
    ('a definer function without one', 'create function public.lends() returns int language sql security definer stable return 1; revoke all on function public.lends() from public; grant execute on function public.lends() to crm_app',
        'warning function_without_search_path public.lends()', true),
    ('a definer function for everybody', 'create function public.lends() returns int language sql security definer stable set search_path = pg_catalog, pg_temp return 1', 'warning function_for_public public.lends()', true),
    ('a function of the API for everybody', 'create function crm.broken() returns int language sql set search_path = pg_catalog, pg_temp return 1; alter function crm.broken() owner to crm_owner',
        'error function_for_public crm.broken()', true),
    ('a superuser''s function that requests call', 'create function public.lends() returns int language sql security definer set search_path = pg_catalog, pg_temp return 1; revoke all on function public.lends() from public; grant execute on function public.lends() to crm_app',
        'warning definer_with_power public.lends()', true),
    ('one that a trigger calls', $$create function public.watches() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as 'begin return new; end';
        revoke all on function public.watches() from public; create trigger a before insert on crm.contacts for each row execute function public.watches()$$,
        'error definer_with_power public.watches()', true),
    ('a table that was dropped', 'drop table crm.saved_filters', 'error table_missing crm.saved_filters', false),
    ('tables of an earlier version', 'update crm_private.schema_version set version = ''0.0.1''', 'error schema_version crm_private.schema_version', false),
    ('tables of a later version', 'insert into crm_private.schema_version values (''99.0.0'', now() + interval ''1 day'')', 'error schema_version crm_private.schema_version', false),
    ('tables of no version', 'delete from crm_private.schema_version', 'error schema_version crm_private.schema_version', false),
    ('functions of an earlier version', 'update pg_extension set extversion = ''0.0.1'' where extname = ''crm_ext''', 'error schema_version crm_ext', false),
    ('functions of a later version', 'update pg_extension set extversion = ''99.0.0'' where extname = ''crm_ext''', 'error schema_version crm_ext', false);
select tests.examined();

-- However broken it is, it is told, and what else is wrong too.
create function tests.still_told(broken text) returns text language plpgsql as $$
declare
    told text;
begin
    execute broken;
    execute 'alter role crm_app createdb';
    select string_agg(distinct name, ', ' order by name) into told from crm.doctor() where severity = 'error' and object not like 'tests.%';
    raise exception using errcode = 'UNDO1';
exception
    when sqlstate 'UNDO1' then
        return told;
end
$$;
select is(tests.still_told('drop table crm_private.schema_version'), 'role_attributes, schema_version, table_missing', 'the version is gone');
select is(
    tests.still_told('drop table crm_private.settings, crm_private.signing_keys'), 'postgrest_settings, role_attributes, settings, signing_key, table_missing', 'settings and keys are gone'
);
select is(
    tests.still_told('do $d$ declare r regclass; begin
        for r in select oid from pg_class where relnamespace in (''crm''::regnamespace, ''crm_private''::regnamespace) and relkind = ''r'' loop execute format(''drop table if exists %s cascade'', r); end loop; end $d$'),
    'audit_partitions, identity_provider_keys, postgrest_settings, role_attributes, schema_version, settings, signing_key, table_missing', 'every table is gone'
);
select is(
    tests.still_told('revoke all on crm_private.signing_keys from crm_definer; drop policy settings_all_definer on crm_private.settings'),
    'policy_changed, postgrest_settings, role_attributes, settings, signing_key', 'the functions cannot read'
);

select finish();
rollback;
