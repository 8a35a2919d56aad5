-- Appointments, and who is invited.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('ann', 'Acme');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact');

select tests.become('sam', 'Acme');
insert into crm.appointments (id, title, starts_at, ends_at, time_zone, meeting_url, contact_id) values (
    '018f0000-0000-7000-8000-000000000001', 'Demo', '2026-03-01T09:00:00Z', '2026-03-01T10:00:00Z', 'Europe/Berlin', 'https://meet.example/1',
    '018f0000-0000-7000-8000-0000000000c1'
);
select results_eq(
    'select status, all_day, owner_id from crm.appointments', format($$values ('confirmed', false, %L::uuid)$$, tests.user_id('sam')), 'sam makes an appointment'
);
select matches(
    tests.outcome(format('update crm.appointments set %s', change)), said, 'no appointment has ' || change
)
from (values
    ('ends_at = starts_at', '^23514 .*"appointments_ends_after_start_check"'), ($$ends_at = '2026-02-01'$$, '^23514 .*"appointments_ends_after_start_check"'),
    ($$ends_at = 'infinity'$$, '^23514 .*"appointments_ends_at_check"'), ($$starts_at = '-infinity'$$, '^23514 .*"appointments_starts_at_check"'),
    ($$time_zone = 'Europe/Atlantis'$$, '^22023 time_zone: there is no such time zone'), ($$meeting_url = 'javascript:alert(1)'$$, '^22023 meeting_url: ')
) as bad (change, said);

-- Attendees ----------------------------------------------------------------------------------------------------------------

insert into crm.appointment_attendees (appointment_id, contact_id, user_id, email, name, attendance)
select '018f0000-0000-7000-8000-000000000001'::uuid, contact_id::uuid, user_id::uuid, email, name, attendance
from (values
    ('018f0000-0000-7000-8000-0000000000c1', null, null, null, 'required'), (null, tests.user_id('sue')::text, null, null, 'optional'),
    (null, null, ' Eve@Example.com ', 'Eve', 'required')
) as people (contact_id, user_id, email, name, attendance);
select results_eq(
    $$select email, name, answer, answered_at, owner_id from crm.appointment_attendees where email is not null$$,
    format($$values ('eve@example.com', 'Eve', 'needs_action', null::timestamptz, %L::uuid)$$, tests.user_id('sam')),
    'he invites a contact, a colleague and somebody else; nobody has answered'
);
select matches(
    tests.outcome(format($$insert into crm.appointment_attendees (appointment_id, %s) values ('018f0000-0000-7000-8000-000000000001', %L)$$, column_name, value)), said, sentence
)
from (values
    ('name', 'Nobody', '^23514 .*"appointment_attendees_is_somebody_check"', 'an attendee is somebody'),
    ('contact_id', '018f0000-0000-7000-8000-0000000000c1', '^23505 ', 'a contact is invited once'),
    ('user_id', tests.user_id('sue')::text, '^23505 ', 'so is a colleague'),
    ('email', 'eve@example.com', '^23505 ', 'and an e-mail address'),
    ('user_id', tests.user_id('bob')::text, '^23503 ', 'bob of Borg is no colleague')
) as bad (column_name, value, said, sentence);
update crm.appointment_attendees set answer = 'accepted', answered_at = '2001-01-01' where email is not null;
select is(answered_at, now(), 'an answer has its time, whatever is said') from crm.appointment_attendees where email is not null;
update crm.appointment_attendees set answer = 'needs_action' where email is not null;
select is(answered_at, null, 'which goes with it') from crm.appointment_attendees where email is not null;
select is(
    tests.outcome($$update crm.appointment_attendees set answer = 'maybe'$$),
    '23514 new row for relation "appointment_attendees" violates check constraint "appointment_attendees_answer_check"', 'there is no such answer'
);

-- Others ---------------------------------------------------------------------------------------------------------------------

select tests.become('sue', 'Acme');
select is_empty('select id from crm.appointments', 'sue is invited, and her permission reaches her own: she does not see it');
select is_empty('select id from crm.appointment_attendees', 'nor who is');
select is(tests.outcome($$update crm.appointment_attendees set answer = 'declined'$$), '0 rows', 'nor answers');
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.appointment_attendees), 3::bigint, 'a viewer sees all');
select is(tests.outcome(statement), '42501 your role does not permit appointments.update', 'and cannot: ' || statement)
from unnest(array[
    $$insert into crm.appointment_attendees (appointment_id, email) values ('018f0000-0000-7000-8000-000000000001', 'x@example.com')$$,
    $$update crm.appointment_attendees set answer = 'declined'$$, 'delete from crm.appointment_attendees', $$update crm.appointments set title = 'x'$$
]) as statement;
select tests.become('bob', 'Borg');
select is_empty('select id from crm.appointments', 'bob of Borg sees none');
select is_empty('select id from crm.appointment_attendees', 'and nobody invited');
select is(tests.outcome('delete from crm.appointments'), '0 rows', 'and deletes none');
select matches(
    tests.outcome($$insert into crm.appointment_attendees (appointment_id, email) values ('018f0000-0000-7000-8000-000000000001', 'x@example.com')$$),
    '^23503 ', 'nor invites anybody'
);

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.appointments set owner_id = tests.user_id('sue');
select tests.become('sue', 'Acme');
select is((select count(*) from crm.appointment_attendees), 3::bigint, 'with the appointment sue gets its attendees');
select tests.become('ann', 'Acme');
delete from crm.contacts;
select results_eq('select title, contact_id from crm.appointments', $$values ('Demo', null::uuid)$$, 'an appointment outlives the contact it is about');
select is((select count(*) from crm.appointment_attendees), 2::bigint, 'whose place in it goes');
select tests.nobody();
delete from crm.memberships where user_id = tests.user_id('sue');
select results_eq(
    'select email, owner_id from crm.appointment_attendees', $$values ('eve@example.com', null::uuid)$$, 'so does a member''s with the membership'
);
delete from crm.appointments;
select is_empty('select id from crm.appointment_attendees', 'attendees go with their appointment');

select * from finish();
rollback;
