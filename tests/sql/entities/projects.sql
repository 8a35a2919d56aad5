-- Projects and jobs.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('sam', 'Acme');
insert into crm.accounts (id, name) values ('018f0000-0000-7000-8000-0000000000a1', 'Account');
insert into crm.projects (id, name, account_id, starts_on, ends_on, budget, currency) values (
    '018f0000-0000-7000-8000-000000000001', 'Relaunch', '018f0000-0000-7000-8000-0000000000a1', '2026-01-01', '2026-06-30', 12000.5, 'eur'
);
insert into crm.jobs (id, title, project_id, scheduled_start, scheduled_end, price, currency, country) values (
    '018f0000-0000-7000-8000-000000000002', 'Installation', '018f0000-0000-7000-8000-000000000001', '2026-02-01T08:00:00Z', '2026-02-01T12:00:00Z', 400, 'chf', 'ch'
);
select results_eq(
    'select status, budget, currency, owner_id from crm.projects', format($$values ('planned', 12000.5::numeric(19, 4), 'EUR', %L::uuid)$$, tests.user_id('sam')),
    'sam plans a project'
);
select results_eq('select status, currency, country, assignee_id from crm.jobs', $$values ('scheduled', 'CHF', 'CH', null::uuid)$$, 'and a job in it');
select is(
    tests.outcome(format('update crm.%I set %s', target, change)),
    format('23514 new row for relation "%s" violates check constraint "%1$s_%s_check"', target, rule), format('no %s have %s', target, change)
)
from (values
    ('projects', $$ends_on = '2025-12-31'$$, 'ends_after_start'), ('projects', $$starts_on = '-infinity'$$, 'starts_on'), ('projects', 'budget = -1', 'budget'),
    ('projects', $$budget = 'NaN'$$, 'budget'), ('jobs', 'scheduled_end = scheduled_start', 'ends_after_start'), ('jobs', $$scheduled_end = 'infinity'$$, 'scheduled_end'),
    ('jobs', $$price = 'NaN'$$, 'price'), ('jobs', $$priority = 'x'$$, 'priority')
) as bad (target, change, rule);

-- Completed ------------------------------------------------------------------------------------------------------------------

update crm.projects set status = 'active', completed_at = '2001-01-01';
select is(completed_at, null, 'sam cannot say when a project was completed') from crm.projects;
update crm.projects set status = 'completed';
update crm.jobs set status = 'completed';
select is(completed_at, now(), 'a project that is completed has its time') from crm.projects;
select is(completed_at, now(), 'so has a job') from crm.jobs;
update crm.projects set status = 'active';
update crm.jobs set status = 'in_progress';
select is(completed_at, null, 'a project that goes on has none') from crm.projects;
select is(completed_at, null, 'nor has a job') from crm.jobs;

-- Assignees ------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.jobs set assignee_id = tests.user_id('sue');
select is(owner_id, tests.user_id('sue'), 'who does a job owns it') from crm.jobs;
select tests.become('sue', 'Acme');
select is((select count(*) from crm.jobs), 1::bigint, 'and sees it');
select is_empty('select id from crm.projects', 'without the project, which is sam''s');
select matches(
    tests.outcome(format('update crm.jobs set assignee_id = %L', tests.user_id('sam'))), '^42501 new row violates row-level security', 'sue cannot pass it on: her permission reaches her own'
);
select tests.become('ann', 'Acme');
update crm.jobs set owner_id = tests.user_id('sam');
select is(assignee_id, tests.user_id('sam'), 'who gets a job is assigned') from crm.jobs;

-- Others ---------------------------------------------------------------------------------------------------------------------

select tests.become('viewer', 'Acme');
select is((select count(*) from crm.projects) + (select count(*) from crm.jobs), 2::bigint, 'a viewer sees all');
select is(tests.outcome(format('update crm.%I set status = status', target)), format('42501 your role does not permit %s.update', target), 'and changes no ' || target)
from unnest('{projects,jobs}'::text[]) as target;
select tests.become('bob', 'Borg');
select is((select count(*) from crm.projects) + (select count(*) from crm.jobs), 0::bigint, 'bob of Borg sees none');
select is(tests.outcome(format('delete from crm.%I', target)), '0 rows', 'and deletes none of the ' || target) from unnest('{projects,jobs}'::text[]) as target;
select matches(
    tests.outcome($$insert into crm.jobs (title, project_id) values ('x', '018f0000-0000-7000-8000-000000000001')$$), '^23503 ', 'nor adds a job to a project of Acme''s'
);

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.attachments (file_name, size_bytes, storage_key, project_id) values ('plan.pdf', 1, 'k', '018f0000-0000-7000-8000-000000000001');
delete from crm.accounts;
select is(account_id, null, 'a project outlives its account') from crm.projects;
delete from crm.projects;
select is(project_id, null, 'a job outlives its project') from crm.jobs;
select is_empty('select id from crm.attachments', 'whose files go with it');

select * from finish();
rollback;
