-- crm.doctor as a whole: what a healthy installation has, who may ask, that asking changes nothing, and that every check is
-- described. What each check finds is in the files beside this one.

begin;
\ir patient.psql
select no_plan();

select set_eq(
    $$select severity, name, object from tests.healthy where object not like 'tests.%'$$,
    -- The tests' cluster forgets everything on a crash, to be fast.
    $$values ('warning', 'server_settings', 'fsync'), ('warning', 'server_settings', 'full_page_writes'),
        ('info', 'settings', 'crm_private.settings'), ('info', 'library_not_preloaded', 'session_preload_libraries')$$,
    'a healthy installation has nothing but its beginner''s settings'
);
select is(
    (select array_agg(severity) from (select severity from crm.doctor()) as all_of_them),
    (select array_agg(severity order by array_position('{error,warning,info}', severity)) from tests.healthy),
    'what is worst comes first'
);

-- Who may ask ------------------------------------------------------------------------------------------------------

create role tests_dba_of_doctor in role crm_owner, crm_admin, crm_backup;
grant usage on schema tests to tests_dba_of_doctor;

create function tests.asks(role text) returns text language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', role, true);
    if current_user <> role then
        raise exception 'this is not %', role;
    end if;
    return tests.outcome('select * from crm.doctor()');
end
$$;
select is(tests.asks(role), '42501 permission denied for function doctor', role || ' is not told')
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_owner,crm_backup}'::text[]) as role;
select tests.nobody();
select is(tests.asks('crm_authenticator'), '42501 permission denied for schema crm', 'nor is crm_authenticator');
select tests.nobody();

-- A DBA without superuser is told the same, also of what only a superuser can look up.
alter role crm_authenticator password null;
alter role crm_app set row_security = off;
create table tests.told_to_superuser as select * from crm.doctor();
grant select on all tables in schema tests to tests_dba_of_doctor;
set local role tests_dba_of_doctor;
select is(current_user, 'tests_dba_of_doctor', 'this is a DBA without superuser');
select set_eq(
    $$select severity, name, object, problem, fix from crm.doctor()$$,
    $$select * from tests.told_to_superuser where name <> 'role_member'
      union all
      select 'info', 'role_member', 'tests_dba_of_doctor', 'is a member of ' || role || meaning, format('revoke %I from tests_dba_of_doctor', role)
      from (values ('crm_owner', ': it owns the tables'), ('crm_admin', ': it administers the platform'), ('crm_backup', ': it reads every organization')) as m (role, meaning)$$,
    'they are told the same'
);
select tests.nobody();

-- Asking --------------------------------------------------------------------------------------------------------------

select ok(pg_catalog.current_setting('transaction_read_only') = 'off', 'this transaction writes');
select is_empty(
    $$select from crm.doctor() where severity not in ('error', 'warning', 'info') or problem = '' or fix = '' or object = ''$$,
    'every finding is whole'
);

-- docs/operations.md ---------------------------------------------------------------------------------------------

\set document `cat docs/operations.md`
\set checks `ls sql/doctor | sed 's/\.sql$//'`
create table tests.described as
select (regexp_match(line, '^\| `([a-z_]+)` \|'))[1] as name
from string_to_table(:'document', E'\n') as line
where line ~ '^\| `[a-z_]+` \| (error|warning|info)';
select set_eq(
    'select name from tests.described', format('select unnest(%L::text[])', string_to_array(:'checks', E'\n')),
    'docs/operations.md describes every check, and no other'
);
select is(
    (select string_agg(name, ', ') from (select name from tests.described group by name having count(*) > 1) as twice), null, 'each of them once'
);

select finish();
rollback;
