-- Messages, of any channel.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('sam', 'Acme');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact');
insert into crm.messages (id, subject, to_addresses, body, body_html, contact_id) values (
    '018f0000-0000-7000-8000-000000000001', 'Hello', array[' eve@example.com ', ' ', 'max@example.com'], E'Two\nlines', '<p>Two<script>x</script></p>',
    '018f0000-0000-7000-8000-0000000000c1'
);
select results_eq(
    'select channel, direction, status, to_addresses, cc_addresses, body, body_html, owner_id from crm.messages',
    format(
        $$values ('email', 'outbound', 'draft', '{eve@example.com,max@example.com}'::text[], '{}'::text[], E'Two\nlines', '<p>Two</p>', %L::uuid)$$,
        tests.user_id('sam')
    ),
    'sam drafts an e-mail'
);
select is(
    tests.outcome(format('update crm.messages set %I = %L', name, value)), '22023 ' || name || ': ' || problem, format('no message has %s %s', name, to_json(left(value, 20)))
)
from (values
    ('to_addresses', array[E'a\tb'], 'line breaks and control characters are not allowed'),
    ('cc_addresses', array[repeat('x', 321)], 'too long: 321 characters, at most 320 are allowed'),
    ('to_addresses', array_fill('x'::text, array[101]), 'too many: 101 entries, at most 100 are allowed')
) as bad (name, lines, problem)
cross join lateral (select lines::text as value) as text;
select is(
    tests.outcome(format('update crm.messages set %I = %L', name, value)),
    format('23514 new row for relation "messages" violates check constraint "messages_%s_check"', name), format('no %s is %s', name, value)
)
from (values ('channel', 'x'), ('direction', 'x'), ('sent_at', 'infinity'), ('received_at', '-infinity')) as bad (name, value);

-- What came in ---------------------------------------------------------------------------------------------------------------

insert into crm.messages (channel, direction, status, source_id, from_address, received_at)
values ('email', 'inbound', 'received', '<1@example.com>', 'eve@example.com', '2026-01-01T00:00:00Z');
select matches(
    tests.outcome(format('insert into crm.messages (direction, status) values (%L, %L)', direction, status)), '^23514 .*"messages_status_of_direction_check"',
    format('nothing %s is %s', direction, status)
)
from (values ('inbound', 'draft'), ('inbound', 'sent'), ('outbound', 'received')) as bad (direction, status);
select matches(
    tests.outcome($$insert into crm.messages (direction, status, source_id) values ('inbound', 'received', '<1@example.com>')$$),
    '^23505 .*"messages_org_id_channel_source_id_key"', 'a message of a channel is stored once'
);
select is(
    tests.outcome($$insert into crm.messages (direction, status, source_id) values ('inbound', 'read', '<1@example.com>')
        on conflict (org_id, channel, source_id) do update set status = excluded.status$$), '1 rows', 'delivered again, it is brought up to date'
);
select is(
    tests.outcome($$insert into crm.messages (channel, direction, status, source_id) values ('sms', 'inbound', 'received', '<1@example.com>')$$), '1 rows',
    'another channel may call one of its messages the same'
);

-- Others ---------------------------------------------------------------------------------------------------------------------

select tests.become('sue', 'Acme');
select is_empty('select id from crm.messages', 'sue, who sees her own, sees none of sam''s');
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.messages), 2::bigint, 'a viewer sees all');
select is(tests.outcome($$update crm.messages set status = 'queued'$$), '42501 your role does not permit messages.update', 'and sends none');
select tests.become('bob', 'Borg');
select is_empty('select id from crm.messages', 'bob of Borg sees none');
select is(tests.outcome('delete from crm.messages'), '0 rows', 'and deletes none');
select is(
    tests.outcome($$insert into crm.messages (direction, status, source_id) values ('inbound', 'received', '<1@example.com>')$$), '1 rows',
    'he may have had the same message'
);

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
delete from crm.contacts;
select is(contact_id, null, 'a message outlives the contact it is about') from crm.messages where subject = 'Hello';

select * from finish();
rollback;
