-- Tasks: whose they are, when they were completed, how they repeat, what they are about.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('sam', 'Acme');
insert into crm.tasks (id, title, due_at) values ('018f0000-0000-7000-8000-000000000001', ' Call back ', '2026-03-01T09:00:00Z');
select results_eq(
    'select title, type, status, priority, assignee_id, owner_id, completed_at, version from crm.tasks',
    format($$values ('Call back', 'todo', 'open', 'normal', null::uuid, %L::uuid, null::timestamptz, 1)$$, tests.user_id('sam')),
    'sam adds a task, which is his'
);

-- Completed, and open again -----------------------------------------------------------------------------------------------

update crm.tasks set completed_at = '2001-01-01';
select is(completed_at, null, 'sam cannot say when it was completed') from crm.tasks;
update crm.tasks set status = 'completed', completed_at = '2001-01-01';
select is(completed_at, now(), 'completed, it has its time, whatever is said') from crm.tasks;
update crm.tasks set title = 'Called back';
select is(completed_at, now(), 'which stays') from crm.tasks;
update crm.tasks set status = 'open';
select is(completed_at, null, 'and goes when the task is reopened') from crm.tasks;
insert into crm.tasks (title, status) values ('noted when it was done', 'completed');
select is(completed_at, now(), 'a task can be completed from the beginning') from crm.tasks where title like 'noted%';

-- Assignees ----------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.tasks set assignee_id = tests.user_id('sue') where title = 'Called back';
select is(owner_id, tests.user_id('sue'), 'ann assigns it to sue, who owns it') from crm.tasks where title = 'Called back';
select tests.become('sam', 'Acme');
select is_empty($$select id from crm.tasks where title = 'Called back'$$, 'sam, who sees his own, does not see it any more');
select is(tests.outcome($$update crm.tasks set title = 'x' where title = 'Called back'$$), '0 rows', 'nor finds it to change');
select matches(
    tests.outcome(format($$insert into crm.tasks (title, assignee_id) values ('for sue', %L)$$, tests.user_id('sue'))),
    '^42501 new row violates row-level security', 'nor gives sue another: his permission reaches his own'
);
select tests.become('ann', 'Acme');
update crm.tasks set owner_id = tests.user_id('sam') where title = 'Called back';
select is(assignee_id, tests.user_id('sam'), 'a new owner is the assignee') from crm.tasks where title = 'Called back';
select is(
    tests.outcome(format('update crm.tasks set assignee_id = %L', tests.user_id('bob'))),
    tests.outcome(format('update crm.tasks set assignee_id = %L', gen_random_uuid())), 'bob of Borg is nobody in Acme'
);
select matches(
    tests.outcome(format('update crm.tasks set assignee_id = %L', tests.user_id('bob'))),
    '^23503 .*"tasks_org_id_(assignee|owner)_id_fkey"', 'and cannot be assigned'
);

-- Repetition, and other columns ------------------------------------------------------------------------------------------------

update crm.tasks set repeat = ' rrule:freq=weekly;byday=mo,th ' where title = 'Called back';
select is(repeat, 'FREQ=WEEKLY;BYDAY=MO,TH', 'a recurrence rule is stored in its form') from crm.tasks where title = 'Called back';
select is(
    tests.outcome(format('update crm.tasks set repeat = %L', rule)), '22023 repeat: not a recurrence rule like FREQ=WEEKLY;BYDAY=MO,TH', 'no rule: ' || rule
)
from unnest('{every Monday,FREQ=NEVER,FREQ=DAILY;COUNT=1;UNTIL=20260101}'::text[]) as rule;
update crm.tasks set description = '<p onclick="x()">Hi<script>alert(1)</script></p>' where title = 'Called back';
select is(description, '<p>Hi</p>', 'a description is sanitised') from crm.tasks where title = 'Called back';
select is(
    tests.outcome(format('update crm.tasks set %I = %L', name, value)),
    format('23514 new row for relation "tasks" violates check constraint "tasks_%s_check"', name), format('no %s is %s', name, value)
)
from (values ('type', 'x'), ('priority', 'x'), ('due_at', 'infinity'), ('remind_at', '-infinity')) as bad (name, value);

-- Others -------------------------------------------------------------------------------------------------------------------------

select tests.become('viewer', 'Acme');
select is((select count(*) from crm.tasks), 2::bigint, 'a viewer sees all tasks');
select is(tests.outcome(statement), '42501 your role does not permit tasks.' || action, 'a viewer cannot: ' || statement)
from (values
    ('create', $$insert into crm.tasks (title) values ('x')$$), ('update', $$update crm.tasks set title = 'x'$$), ('delete', 'delete from crm.tasks')
) as tries (action, statement);
select tests.become('bob', 'Borg');
select is_empty('select id from crm.tasks', 'bob of Borg sees none');
select is(tests.outcome($$update crm.tasks set status = 'completed'$$), '0 rows', 'completes none');
select is(tests.outcome('delete from crm.tasks'), '0 rows', 'and deletes none');

-- Deletion -------------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.accounts (id, name) values ('018f0000-0000-7000-8000-0000000000a1', 'Account');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact');
insert into crm.projects (id, name) values ('018f0000-0000-7000-8000-0000000000f1', 'Project');
insert into crm.tickets (id, subject) values ('018f0000-0000-7000-8000-0000000000e1', 'Ticket');
insert into crm.tasks (title, account_id, contact_id, project_id, ticket_id) values (
    'about', '018f0000-0000-7000-8000-0000000000a1', '018f0000-0000-7000-8000-0000000000c1', '018f0000-0000-7000-8000-0000000000f1',
    '018f0000-0000-7000-8000-0000000000e1'
);
delete from crm.accounts;
delete from crm.contacts;
delete from crm.projects;
delete from crm.tickets;
select is(num_nulls(account_id, contact_id, project_id, ticket_id), 4, 'what a task was about is gone, and the task is about it no more')
from crm.tasks where title = 'about';
insert into crm.tasks (title, assignee_id) values ('hers', tests.user_id('sue'));
select tests.nobody();
delete from crm.memberships where user_id = tests.user_id('sue');
select is(num_nulls(assignee_id, owner_id), 2, 'a task outlives the membership of its assignee') from crm.tasks where title = 'hers';
delete from crm.organizations where id = tests.org_id('Acme');
select is_empty('select id from crm.tasks', 'tasks go with their organization');

select * from finish();
rollback;
