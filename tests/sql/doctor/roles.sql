-- What crm.doctor finds of roles, memberships and rights.

begin;
\ir patient.psql
select no_plan();

create role tests_stranger_of_doctor;
create role "tests Odd; role of doctor" login;

insert into tests.cases (sentence, broken, wanted) values
    ('an API role that is a superuser', 'alter role crm_app superuser', 'error role_attributes crm_app'),
    ('one that bypasses row level security', 'alter role crm_multi bypassrls', 'error role_attributes crm_multi'),
    ('roles that may create roles or databases, or replicate', 'alter role crm_service createrole; alter role crm_worker createdb; alter role crm_anon replication',
        'error role_attributes crm_anon + error role_attributes crm_service + error role_attributes crm_worker'),
    ('an owner that can log in', 'alter role crm_owner login', 'error role_attributes crm_owner'),
    ('a login role that inherits, or cannot log in', 'alter role crm_authenticator inherit nologin', 'error role_attributes crm_authenticator'),
    ('a backup role that does not bypass', 'alter role crm_backup nobypassrls', 'error role_attributes crm_backup'),
    ('an API role that can become the owner', 'grant crm_owner to crm_app', 'error role_membership crm_app'),
    ('one that can by way of another', 'grant crm_owner to tests_stranger_of_doctor; grant tests_stranger_of_doctor to crm_anon',
        'error role_membership crm_anon + info role_member tests_stranger_of_doctor'),
    ('somebody who can become crm_definer', 'grant crm_definer to "tests Odd; role of doctor"', 'error role_membership "tests Odd; role of doctor"'),
    ('PostgREST cannot become crm_app', 'revoke crm_app from crm_authenticator', 'error role_membership crm_authenticator'),
    ('a worker of the platform''s own', 'grant crm_worker to "tests Odd; role of doctor"', 'info role_member "tests Odd; role of doctor"'),
    ('who can pass for PostgREST', 'grant crm_authenticator to tests_stranger_of_doctor', 'warning role_member tests_stranger_of_doctor'),
    ('who can pass the owner on', 'grant crm_owner to tests_stranger_of_doctor with admin option', 'warning role_member tests_stranger_of_doctor'),
    ('an API role with settings that break it',
        'alter role crm_app set row_security = off; alter role crm_multi set session_replication_role = replica; alter role crm_anon set search_path = public',
        'error role_settings crm_app + error role_settings crm_multi + warning role_settings crm_anon'),
    ('a login role that begins as another', 'alter role crm_authenticator set role = crm_app', 'error role_settings crm_authenticator'),
    ('an API role without statement_timeout', 'alter role crm_app reset statement_timeout', 'warning role_settings crm_app'),
    ('one whose statement_timeout is none', 'alter role crm_multi set statement_timeout = 0', 'warning role_settings crm_multi'),
    ('one with a setting in this database', format('alter role crm_app in database %I set row_security = off', current_database()), 'error role_settings crm_app'),
    ('a database without triggers', format('alter database %I set session_replication_role = replica', current_database()),
        'error role_settings database ' || current_database()),
    ('a stranger who may read a table', 'grant select on crm.contacts to tests_stranger_of_doctor', 'warning right_of_a_stranger crm.contacts'),
    ('one who may read a column', 'grant select (email), update (email) on crm.contacts to "tests Odd; role of doctor"', 'warning right_of_a_stranger crm.contacts'),
    ('one who may execute a function', 'grant execute on function crm.issue_token(uuid, uuid) to "tests Odd; role of doctor"',
        'warning right_of_a_stranger crm.issue_token(uuid,uuid)'),
    ('one who may look into a schema', 'grant usage on schema crm_private to tests_stranger_of_doctor', 'warning right_of_a_stranger crm_private'),
    ('a stranger past row level security', 'alter role tests_stranger_of_doctor bypassrls; grant crm_backup to tests_stranger_of_doctor; grant select on crm.contacts to tests_stranger_of_doctor',
        'info bypasses_row_level_security tests_stranger_of_doctor + info role_member tests_stranger_of_doctor + warning right_of_a_stranger crm.contacts'),
    ('everybody may read a private table', 'grant select on crm_private.settings to public', 'error open_to_everybody crm_private.settings'),
    ('anybody on the network may read a column of one', 'grant select (issuer) on crm_private.settings to crm_anon', 'error open_to_everybody crm_private.settings'),
    ('anybody on the network may read a view', 'grant select on crm.tenants to crm_anon', 'error open_to_everybody crm.tenants'),
    ('everybody may look into a schema', 'grant usage on schema crm_private to public', 'error open_to_everybody crm_private'),
    ('everybody may create in public', 'grant create on schema public to public', 'warning may_create public'),
    ('an API role may create in crm', 'grant create on schema crm to crm_app', 'error may_create crm'),
    ('an API role may make schemas', format('grant create on database %I to crm_anon', current_database()), 'error may_create ' || current_database()),
    ('what is made is open to everybody', 'alter default privileges grant select on tables to public', 'warning default_privileges postgres'),
    ('what crm_owner makes is open to an API role', 'alter default privileges for role crm_owner in schema crm grant execute on functions to crm_app',
        'warning default_privileges crm_owner'),
    ('what is made elsewhere is open', 'alter default privileges in schema public grant select on tables to crm_anon', 'info default_privileges postgres'),
    ('PostgREST has no password', 'alter role crm_authenticator password null', 'warning login_role crm_authenticator'),
    ('an API role owns a function', 'create function public.owned_by_api() returns int language sql return 1; grant create on schema public to crm_app; alter function public.owned_by_api() owner to crm_app; revoke create on schema public from crm_app',
        'error role_owns_objects crm_app');
update tests.cases set mended = false where sentence in ('PostgREST has no password', 'an API role owns a function');
insert into tests.cases (sentence, broken, wanted, mended) values
    ('a role that is gone', 'alter role crm_worker rename to tests_worker_of_doctor',
        'error role_attributes crm_worker + warning right_of_a_stranger crm + ' || (
            select string_agg('warning right_of_a_stranger ' || p.oid::regprocedure, ' + ') from pg_proc as p
            where p.pronamespace = 'crm'::regnamespace and has_function_privilege('crm_worker', p.oid, 'execute')
        ), false),
    ('a password that has expired', 'alter role crm_authenticator valid until ''2020-01-01''', 'error login_role crm_authenticator', true),
    ('a login role with few connections', 'alter role crm_authenticator connection limit 2', 'warning login_role crm_authenticator', true),
    ('a password kept as a weak hash', 'alter role crm_authenticator password ''md5'' || repeat(''0'', 32)', 'warning login_role crm_authenticator', false),
    ('PostgREST''s hook is out of reach', 'revoke execute on function crm.pre_request() from crm_app', 'error postgrest_functions crm.pre_request()', true),
    ('its configuration is', 'revoke usage on schema crm_private from crm_authenticator', 'error postgrest_functions crm_private.postgrest_config()', true);
update tests.cases set broken = 'alter role crm_authenticator password ''md5' || repeat('0', 32) || '''' where sentence = 'a password kept as a weak hash';

select tests.examined();

-- In words.
create function tests.words(broken text) returns text language plpgsql as $$
declare
    said text;
begin
    execute broken;
    select string_agg(problem || ' / ' || fix, '; ' order by problem) into said from (select problem, fix from crm.doctor() except select problem, fix from tests.healthy) as d;
    raise exception using errcode = 'UNDO1';
exception
    when sqlstate 'UNDO1' then
        return said;
end
$$;
select is(
    tests.words('grant crm_owner to "tests Odd; role of doctor"; grant "tests Odd; role of doctor" to crm_worker; revoke crm_owner from "tests Odd; role of doctor"; grant crm_backup to "tests Odd; role of doctor"'),
    'is a member of "tests Odd; role of doctor", and so reaches crm_backup / revoke "tests Odd; role of doctor" from crm_worker; '
        'is a member of crm_backup: it reads every organization / revoke crm_backup from "tests Odd; role of doctor"',
    'what can be reached, and names that need quotes'
);
select is(
    tests.words('grant update (email) on crm.contacts to "tests Odd; role of doctor"'),
    '"tests Odd; role of doctor" may update(email) / revoke all on table crm.contacts from "tests Odd; role of doctor"', 'a right on a column'
);

select finish();
rollback;
