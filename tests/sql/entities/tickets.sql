-- Tickets: their numbers, whose they are, when they were solved.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sid', 'Acme', 'support');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

-- Numbers ------------------------------------------------------------------------------------------------------------------

select tests.become('sid', 'Acme');
insert into crm.tickets (subject) values ('first');
insert into crm.tickets (subject, number) values ('second', 99);
insert into crm.tickets (subject) values ('third'), ('fourth');
select results_eq(
    'select subject, number from crm.tickets order by number', $$values ('first', 1::bigint), ('second', 2), ('third', 3), ('fourth', 4)$$,
    'tickets are numbered, whatever is said'
);
update crm.tickets set number = 99 where subject = 'first';
select is(number, 1::bigint, 'and keep their numbers') from crm.tickets where subject = 'first';
select tests.become('bob', 'Borg');
insert into crm.tickets (subject) values ('first of Borg');
select is(number, 1::bigint, 'every organization counts its own') from crm.tickets;
select is(
    tests.outcome(format($$insert into crm.tickets (org_id, subject) values (%L, 'x')$$, tests.org_id('Acme'))),
    tests.outcome($$insert into crm.tickets (org_id, subject) values (gen_random_uuid(), 'x')$$), 'bob takes no number of Acme''s, nor learns that it has any'
);
select tests.nobody();
select is(
    tests.outcome($$insert into crm.tickets (org_id, subject, number) values (tests.org_id('Acme'), 'old', 4711)$$), '1 rows', 'the DBA brings old tickets with their numbers'
);
select matches(
    tests.outcome($$insert into crm.tickets (org_id, subject, number) values (tests.org_id('Acme'), 'old', 1)$$), '^23505 .*"tickets_org_id_number_key"', 'each once'
);

-- Times --------------------------------------------------------------------------------------------------------------------

select tests.become('sid', 'Acme');
update crm.tickets set resolved_at = '2001-01-01', closed_at = '2001-01-01' where subject = 'first';
select is(num_nulls(resolved_at, closed_at), 2, 'sid cannot say when it was solved') from crm.tickets where subject = 'first';
update crm.tickets set status = 'solved' where subject = 'first';
select results_eq($$select resolved_at, closed_at from crm.tickets where subject = 'first'$$, 'values (now(), null::timestamptz)', 'solved, it has its time');
update crm.tickets set status = 'closed' where subject = 'first';
select results_eq($$select resolved_at, closed_at from crm.tickets where subject = 'first'$$, 'values (now(), now())', 'closed, it has both');
update crm.tickets set status = 'open' where subject = 'first';
select results_eq($$select resolved_at, closed_at from crm.tickets where subject = 'first'$$, 'values (null::timestamptz, null::timestamptz)', 'reopened, none');
update crm.tickets set first_response_at = '2026-01-01T10:00:00Z', satisfaction = 5 where subject = 'first';
select is(first_response_at, timestamptz '2026-01-01T10:00:00Z', 'when the customer was answered, sid tells') from crm.tickets where subject = 'first';
select is(
    tests.outcome(format('update crm.tickets set %I = %L', name, value)),
    format('23514 new row for relation "tickets" violates check constraint "tickets_%s_check"', name), format('no %s is %s', name, value)
)
from (values ('priority', 'x'), ('channel', 'x'), ('type', 'x'), ('satisfaction', '6'), ('sla_due_at', 'infinity'), ('first_response_at', 'infinity')) as bad (name, value);

-- Assignees ------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.tickets set assignee_id = tests.user_id('sam') where subject = 'first';
select is(owner_id, tests.user_id('sam'), 'who is assigned owns it') from crm.tickets where subject = 'first';
select tests.become('sid', 'Acme');
select is(
    tests.outcome($$update crm.tickets set status = 'solved' where subject = 'first'$$),
    '42501 you may see this row, but tickets.update reaches only your own', 'support sees what is another''s, and does not solve it'
);
select tests.become('ann', 'Acme');
update crm.tickets set owner_id = tests.user_id('sid') where subject = 'first';
select is(assignee_id, tests.user_id('sid'), 'who gets it is assigned') from crm.tickets where subject = 'first';

-- Others ---------------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is_empty('select id from crm.tickets', 'sam, who sees his own, sees none');
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.tickets), 4::bigint, 'a viewer sees all');
select is(tests.outcome(statement), '42501 your role does not permit tickets.' || action, 'a viewer cannot: ' || statement)
from (values
    ('create', $$insert into crm.tickets (subject) values ('x')$$), ('update', $$update crm.tickets set subject = 'x'$$), ('delete', 'delete from crm.tickets')
) as tries (action, statement);
select tests.become('bob', 'Borg');
select is((select count(*) from crm.tickets), 1::bigint, 'bob of Borg sees his own alone');
select is(tests.outcome($$update crm.tickets set status = 'closed' where subject = 'first'$$), '0 rows', 'and closes none of Acme''s');

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact');
insert into crm.accounts (id, name) values ('018f0000-0000-7000-8000-0000000000a1', 'Account');
update crm.tickets set contact_id = '018f0000-0000-7000-8000-0000000000c1', account_id = '018f0000-0000-7000-8000-0000000000a1' where subject = 'first';
insert into crm.messages (subject, ticket_id) select 'about', id from crm.tickets where subject = 'first';
delete from crm.contacts;
delete from crm.accounts;
select is(num_nulls(contact_id, account_id), 2, 'a ticket outlives its requester and their account') from crm.tickets where subject = 'first';
delete from crm.tickets where subject = 'first';
select is(ticket_id, null, 'and what was written about it outlives the ticket') from crm.messages;
insert into crm.tickets (subject) values ('fifth');
select is(number, 5::bigint, 'whose number is not given again') from crm.tickets where subject = 'fifth';

select * from finish();
rollback;
