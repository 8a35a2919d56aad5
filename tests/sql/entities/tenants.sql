-- tenants: all organizations, for the platform alone.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');

select tests.become_role('crm_service');
select results_eq(
    $$select slug, name, status, members from crm.tenants where name in ('Acme', 'Borg') order by name$$, $$values ('acme', 'Acme', 'active', 1::bigint), ('borg', 'Borg', 'active', 1)$$,
    'the platform''s backend sees all tenants, filters and sorts them'
);
select matches(tests.outcome($$update crm.tenants set name = 'x'$$), '^55000 cannot update view "tenants"', 'and changes them with functions only');
select is(tests.outcome('select from crm.organizations'), '42501 permission denied for table organizations', 'the table is no second door');
select tests.become_role('crm_admin');
select is((select count(*) from crm.tenants where name in ('Acme', 'Borg')), 2::bigint, 'so does the DBA');
select tests.become('ann', 'Acme');
select is(tests.outcome('select from crm.tenants'), '42501 permission denied for view tenants', 'ann, who owns one, does not see the others by it');
select tests.become_role('crm_anon');
select is(tests.outcome('select from crm.tenants'), '42501 permission denied for view tenants', 'nor does a stranger');
-- A member who set the platform's role in SQL of their own.
select tests.become('ann', 'Acme');
set local role crm_service;
select is(tests.outcome('select from crm.tenants'), '42501 only for the platform: needs organizations.read', 'who only has the role, and not its rights, sees none either');

select * from finish();
rollback;
