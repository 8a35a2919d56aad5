-- What is counted, and what is refused: whatever way rows come and go.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.org_id('Acme') as acme, tests.org_id('Borg') as borg \gset
insert into crm.plans values ('tiny', 'Tiny', null, '{}', '{"users": 3, "records": 5, "accounts": 2}');
select crm.set_plan(:'acme', 'tiny') \gset

create function tests.kept(resource text, organization text default 'Acme') returns bigint language sql as $$
    select sum(n)::bigint
    from (
        select current as n from crm_private.usage as u where u.org_id = tests.org_id(organization) and u.resource = kept.resource
        union all
        select delta from crm_private.usage_deltas as d where d.org_id = tests.org_id(organization) and d.resource = kept.resource
    ) as counted
$$;
-- By the superuser, who acts from then on.
create function tests.agree(resource text, n bigint, sentence text) returns setof text language plpgsql as $$
begin
    perform tests.nobody();
    return next is(tests.kept(resource), n, sentence);
    return next is_empty('select * from crm.check_usage()', sentence || ': that is what there is');
end
$$;
create function tests.limit_of(resource text, n int, m int) returns text language sql as $$
    select format('53400 the plan''s limit is reached: %s / {"limit":"%1$s","current":%s,"maximum":%s,"plan":"tiny"}', resource, n, m)
$$;

-- Records ----------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.contacts (last_name) select 'C' || n from generate_series(1, 6) as n$$), tests.limit_of('contacts', 0, 5), 'six contacts are too many');
select is(tests.outcome($$insert into crm.contacts (last_name, email) select 'C' || n, n || '@example.com' from generate_series(1, 4) as n$$, undo => false), '4 rows', 'four are not');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('C5'), ('C6')$$), tests.limit_of('contacts', 4, 5), 'two more are: none comes');
select is((select count(*) from crm.contacts), 4::bigint, 'neither of them');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('C5')$$), '1 rows', 'one more is not');
select tests.agree('contacts', 4, 'undone with its savepoint, its place is free');
select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('C5')$$, undo => false), '1 rows', 'for another');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('C6')$$), tests.limit_of('contacts', 5, 5), 'there it ends');
select is(tests.outcome($$insert into crm.accounts (name) values ('A1'), ('A2'), ('A3')$$), tests.limit_of('accounts', 0, 2), 'accounts have a limit of their own');
select is(tests.outcome($$update crm.contacts set title = 'x'$$), '5 rows', 'what is there can be changed');
select is(tests.outcome($$insert into crm.contacts (last_name) select 'x' where false$$), '0 rows', 'nothing adds nothing');

select is(
    tests.outcome($$insert into crm.contacts (last_name, email) values ('C1', '1@example.com') on conflict (org_id, email) do nothing$$), '0 rows',
    'what is there already is not added'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name, email) values ('C1', '1@example.com') on conflict (org_id, email) do update set last_name = 'new'$$, undo => false),
    '1 rows', 'an upsert that updates adds nothing'
);
select tests.agree('contacts', 5, 'after the upserts');
select tests.become('ann', 'Acme');
select is(
    tests.outcome($$insert into crm.contacts (last_name, email) values ('C1', '1@example.com'), ('new', 'new@example.com')
        on conflict (org_id, email) do update set last_name = 'new'$$),
    tests.limit_of('contacts', 5, 5), 'one that adds does'
);
select is(tests.outcome($$delete from crm.contacts where email in ('1@example.com', '2@example.com')$$, undo => false), '2 rows', 'two go');
select tests.agree('contacts', 3, 'after the deletion');
select tests.become('ann', 'Acme');
select is(tests.outcome($$with gone as (delete from crm.contacts returning 1) insert into crm.contacts (last_name) select 'x' from generate_series(1, 6)$$), tests.limit_of('contacts', 3, 5), 'whoever deletes and adds at once, adds first');
select is(tests.outcome($$with gone as (delete from crm.contacts returning 1) insert into crm.contacts (last_name) select 'x' from generate_series(1, 2)$$, undo => false), '2 rows', 'and is counted with both');
select tests.agree('contacts', 2, 'after both');

-- A cascade of the record itself.
select tests.become('ann', 'Acme');
insert into crm.accounts (name) values ('Parent');
update crm.contacts set account_id = (select id from crm.accounts);
delete from crm.accounts;
select tests.agree('accounts', 0, 'an account that contacts pointed at is gone');
select tests.agree('contacts', 2, 'and the contacts stay');

-- Who is bound -----------------------------------------------------------------------------------------------------

create role tests_dba_of_counting in role crm_owner;
select tests.nobody();
insert into crm.contacts (org_id, last_name) select :'acme', 'D' || n from generate_series(1, 10) as n;
select tests.agree('contacts', 12, 'what a superuser loads is counted');
savepoint dump;
set local row_security = off;
insert into crm.contacts (org_id, last_name) values (:'acme', 'x');
select is(tests.kept('contacts'), 12::bigint, 'in the script of a dump, which brings the counters, it is not');
rollback to dump;
select tests.become('ann', 'Acme');
set local row_security = off;
select matches(tests.outcome($$insert into crm.contacts (last_name) values ('x')$$), '^(53400|42501) ', 'ann cannot say that hers is one');
set local row_security = on;
select is(tests.outcome($$insert into crm.contacts (last_name) values ('x')$$), tests.limit_of('contacts', 12, 5), 'and adds nothing to that');
select is(tests.outcome($$delete from crm.contacts where last_name like 'D%'$$, undo => false), '10 rows', 'and may remove of it');
select tests.nobody();
insert into crm.accounts (org_id, name) values (:'acme', 'A1'), (:'acme', 'A2'), (:'borg', 'B1'), (:'borg', 'B2'), (:'borg', 'B3');
select is(tests.kept('accounts') || ' ' || tests.kept('accounts', 'Borg'), '2 3', 'a load for several organizations is counted for each');
select is(tests.outcome(format('update crm.contacts set org_id = %L', :'borg')), '42501 org_id cannot be changed', 'records do not change sides');

-- Seats ------------------------------------------------------------------------------------------------------------

select tests.nobody();
insert into crm.users (email) select 'user' || n || '@example.com' from generate_series(1, 4) as n;
select is(tests.kept('users'), 1::bigint, 'ann has the first seat');
insert into crm.memberships (org_id, user_id, role, status, ended_at)
select :'acme', id, 'sales', case email when 'user3@example.com' then 'ended' else 'active' end, case email when 'user3@example.com' then now() end
from crm.users where email ~ '^user[123]@';
select tests.agree('users', 3, 'active members are counted, ended ones not');
select tests.become_role('crm_service');
select is(
    tests.outcome(format($$select crm.create_user('new@example.com', org_id => %L, role => 'sales')$$, :'acme')), tests.limit_of('users', 3, 3),
    'the platform is bound'
);
select tests.become_role('crm_admin');
select is(
    tests.outcome(format($$select crm.create_user('new@example.com', org_id => %L, role => 'sales')$$, :'acme')), tests.limit_of('users', 3, 3),
    'and so is an administrator who is no DBA of the tables'
);
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = (select id from crm.users where email = 'user1@example.com');
update crm.memberships set role = 'manager' where org_id = :'acme' and role <> 'owner';
select tests.agree('users', 2, 'who leaves gives the seat back; another role takes none');
select tests.become_role('crm_service');
select is(tests.outcome(format($$select crm.create_user('new@example.com', org_id => %L, role => 'sales')$$, :'acme')), '1 rows', 'so somebody else may come');
select tests.nobody();
update crm.memberships set status = 'active', ended_at = null where user_id = (select id from crm.users where email = 'user1@example.com');
select tests.agree('users', 3, 'who comes back takes a seat');
delete from crm.users where email in ('user1@example.com', 'user3@example.com');
select tests.agree('users', 2, 'a person who is deleted gives it back, an ended member had none');

-- Without a limit --------------------------------------------------------------------------------------------------

delete from crm.contacts where org_id = :'acme';
delete from crm_private.usage where org_id = :'acme' and resource = 'contacts';
delete from crm_private.usage_deltas where org_id = :'acme' and resource = 'contacts';
select crm.set_plan(:'acme', 'enterprise') \gset
select tests.become('ann', 'Acme');
insert into crm.contacts (last_name) select 'E' || n from generate_series(1, 20) as n;
delete from crm.contacts where last_name like 'E1%';
select tests.nobody();
select is((select array_agg(delta order by id) from crm_private.usage_deltas where resource = 'contacts'), '{20,-11}', 'each statement is noted, and locks nothing');
select tests.agree('contacts', 9, 'and counted');
select tests.become('ann', 'Acme');
select is((select current || ' ' || coalesce(maximum::text, 'none') from crm.usage() where limit_name = 'contacts'), '9 none', 'as ann sees');
select tests.nobody();
savepoint noted;
insert into crm_private.plan_overrides (org_id, name, kind, maximum, reason) values (:'acme', 'contacts', 'limit', 10, 'x');
select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('x')$$), '1 rows', 'notes count under a limit');
select matches(tests.outcome($$insert into crm.contacts (last_name) values ('x'), ('y')$$), '^53400 .*"current":9,"maximum":10,"plan":"enterprise"', 'exactly');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('x')$$, undo => false), '1 rows', 'who adds then adds them up');
select tests.nobody();
select is((select count(*) from crm_private.usage_deltas where resource = 'contacts'), 0::bigint, 'so that the next need not');
select tests.agree('contacts', 10, 'all of them');
rollback to noted;
insert into crm_private.plan_overrides (org_id, name, kind, maximum, reason) values (:'acme', 'contacts', 'limit', 10, 'x');
delete from crm.contacts where last_name = 'E2';
select tests.agree('contacts', 8, 'and what goes is taken off');
select tests.nobody();
rollback to noted;
select is((crm.clear_expired(1) ->> 'usage_deltas')::int, 1, 'they are added up, so many at a time');
select tests.agree('contacts', 9, 'which changes nothing');
select crm.set_plan(:'acme', 'tiny') \gset
select is((select count(*) from crm_private.usage_deltas), 0::bigint, 'another plan adds up the rest');
select tests.agree('contacts', 9, 'a smaller plan takes nothing away');
select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.contacts (last_name) values ('x')$$), tests.limit_of('contacts', 9, 5), 'and lets nothing come');

-- Tables of the DBA's, and the end of them ----------------------------------------------------------------------------

select tests.nobody();
create schema tests_app;
create table tests_app.vehicles (org_id uuid not null, id uuid not null default crm.uuid_v7(), primary key (org_id, id));
alter table tests_app.vehicles owner to tests_dba_of_counting;
grant usage on schema tests_app to tests_dba_of_counting, crm_app;
insert into tests_app.vehicles (org_id) select :'acme' from generate_series(1, 4);
insert into tests_app.vehicles (org_id) values (:'borg'), (gen_random_uuid());
select set_config('role', 'tests_dba_of_counting', true);
select crm.enroll('tests_app.vehicles');
select tests.agree('vehicles', 4, 'a table is counted when it is enrolled');
select crm.enroll('tests_app.vehicles');
select tests.agree('vehicles', 4, 'and not twice when that is done again');
select tests.become('ann', 'Acme');
select is(tests.outcome('insert into tests_app.vehicles (id) values (default), (default)'), tests.limit_of('vehicles', 4, 5), 'and limited');
select tests.nobody();
alter table tests_app.vehicles rename to cars;
select crm.enroll('tests_app.cars');
select tests.agree('vehicles', null, 'renamed, it is another resource');
select tests.agree('cars', 4, 'with the same rows');
truncate tests_app.cars;
select tests.agree('cars', null, 'emptied, it counts nothing');
insert into tests_app.cars (org_id) values (:'acme');
select crm.unenroll('tests_app.cars');
select tests.agree('cars', null, 'and what is not enrolled is not counted');

-- Set right --------------------------------------------------------------------------------------------------------

update crm_private.usage set current = 99 where org_id = :'acme' and resource = 'contacts';
insert into crm_private.usage_deltas (org_id, resource, delta) values (:'acme', 'contacts', 1), (:'borg', 'accounts', -3);
select tests.become_role('crm_admin');
select bag_eq(
    'select * from crm.check_usage()',
    format($$values (%L::uuid, 'contacts', 100::bigint, 9::bigint), (%L, 'accounts', 0, 3)$$, :'acme', :'borg'), 'the DBA sees what is wrong'
);
select results_eq(
    format('select * from crm.recount_usage(%L)', :'acme'), format($$values (%L::uuid, 'contacts', 100::bigint, 9::bigint)$$, :'acme'),
    'sets one organization right'
);
select results_eq('select * from crm.recount_usage()', format($$values (%L::uuid, 'accounts', 0::bigint, 3::bigint)$$, :'borg'), 'and the others');
select is_empty('select * from crm.recount_usage()', 'then nothing is wrong');

-- The end of an organization ---------------------------------------------------------------------------------------

select tests.nobody();
select crm.set_plan(:'borg', 'enterprise') \gset
insert into crm.contacts (org_id, last_name) values (:'borg', 'x');
select crm.delete_organization(:'acme'), crm.delete_organization(:'borg') \gset
select is(
    (select count(*) from crm_private.usage where org_id in (:'acme', :'borg')) + (select count(*) from crm_private.usage_deltas where org_id in (:'acme', :'borg')),
    0::bigint, 'with an organization goes what was counted of it, limited or not'
);
select is_empty('select * from crm.check_usage()', 'and nothing is wrong');

select * from finish();
rollback;
