-- Activities, and what more they are about.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('sid', 'Acme', 'support');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('ann', 'Acme');
insert into crm.accounts (id, name) values ('018f0000-0000-7000-8000-0000000000a1', 'Account'), ('018f0000-0000-7000-8000-0000000000a2', 'Another');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact'), ('018f0000-0000-7000-8000-0000000000c2', 'Colleague');

select tests.become('sam', 'Acme');
insert into crm.activities (id, type, subject, body, direction, duration_minutes, account_id, contact_id) values (
    '018f0000-0000-7000-8000-000000000001', 'call', 'Called', '<b>Yes</b><img src=x onerror=alert(1)>', 'outbound', 12,
    '018f0000-0000-7000-8000-0000000000a1', '018f0000-0000-7000-8000-0000000000c1'
);
select results_eq(
    'select subject, occurred_at, owner_id from crm.activities', format('values (''Called'', now(), %L::uuid)', tests.user_id('sam')),
    'sam notes a call, which is his and happened now'
);
select ok(body !~ 'onerror', 'its text is sanitised') from crm.activities;
select is(
    tests.outcome(format('update crm.activities set %I = %L', name, value)),
    format('23514 new row for relation "activities" violates check constraint "activities_%s_check"', name), format('no %s is %s', name, value)
)
from (values ('type', 'x'), ('direction', 'x'), ('duration_minutes', '-1'), ('occurred_at', 'infinity')) as bad (name, value);

-- Links ------------------------------------------------------------------------------------------------------------------

insert into crm.activity_links (activity_id, contact_id) values ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000c2');
insert into crm.activity_links (activity_id, account_id) values ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000a2');
select results_eq('select distinct owner_id from crm.activity_links', format('values (%L::uuid)', tests.user_id('sam')), 'sam links more, as the activity''s owner');
select matches(
    tests.outcome($$insert into crm.activity_links (activity_id, contact_id) values ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000c2')$$),
    '^23505 .*"activity_links_key"', 'each record once'
);
select is(
    tests.outcome($$insert into crm.activity_links (activity_id, contact_id) values ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000c2')
        on conflict (org_id, activity_id, account_id, contact_id, lead_id, deal_id, ticket_id, project_id) do nothing$$), '0 rows', 'but an upsert may ask again'
);
select matches(
    tests.outcome('insert into crm.activity_links (activity_id' || columns || ') values (''018f0000-0000-7000-8000-000000000001''' || given || ')'),
    '^23514 .*"activity_links_one_record_check"', sentence
)
from (values
    ('', '', 'a link points to something'),
    (', account_id, contact_id', ', ''018f0000-0000-7000-8000-0000000000a1'', ''018f0000-0000-7000-8000-0000000000c1''', 'and to one thing')
) as bad (columns, given, sentence);

-- Others -----------------------------------------------------------------------------------------------------------------

select tests.become('sue', 'Acme');
select is_empty('select id from crm.activities', 'sue, who sees her own, does not see sam''s');
select is_empty('select id from crm.activity_links', 'nor its links');
select matches(
    tests.outcome($$insert into crm.activity_links (activity_id, contact_id) values ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000c1')$$),
    '^42501 ', 'nor adds one'
);
select is(tests.outcome('delete from crm.activity_links'), '0 rows', 'nor removes one');
select tests.become('sid', 'Acme');
select is((select count(*) from crm.activity_links), 2::bigint, 'support sees all of them');
select is(
    tests.outcome('delete from crm.activity_links'), '42501 you may see this row, but activities.update reaches only your own', 'and removes none of sam''s'
);
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.activities), 1::bigint, 'a viewer sees all activities');
select is(tests.outcome($$update crm.activities set subject = 'x'$$), '42501 your role does not permit activities.update', 'and changes none');
select is(
    tests.outcome($$update crm.activity_links set contact_id = '018f0000-0000-7000-8000-0000000000c1'$$), '42501 your role does not permit activities.update', 'nor their links'
);
select tests.become('bob', 'Borg');
select is_empty('select id from crm.activities', 'bob of Borg sees none');
select is_empty('select id from crm.activity_links', 'and no links');
select is(
    tests.outcome(format($$insert into crm.activities (subject, contact_id) values ('x', %L)$$, '018f0000-0000-7000-8000-0000000000c1')) ~ '^23503 ',
    true, 'nor does he note anything about a contact of Acme''s'
);
insert into crm.activities (id, subject) values ('018f0000-0000-7000-8000-0000000000b1', 'Borg''s');
select matches(
    tests.outcome(format('insert into crm.activity_links (activity_id, contact_id) values (%L, %L)', activity, contact)), '^23503 ', 'nor links ' || sentence
)
from (values
    ('018f0000-0000-7000-8000-0000000000b1', '018f0000-0000-7000-8000-0000000000c1', 'a contact of Acme''s'),
    ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-0000000000c1', 'anything to an activity of Acme''s')
) as bad (activity, contact, sentence);

-- Owners, and deletion ------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.activities set owner_id = tests.user_id('sue');
select tests.become('sue', 'Acme');
select is((select count(*) from crm.activity_links), 2::bigint, 'with the activity sue gets its links');
select tests.become('ann', 'Acme');
delete from crm.contacts where last_name = 'Colleague';
select is((select count(*) from crm.activity_links), 1::bigint, 'a link goes with what it points to');
delete from crm.accounts where name = 'Account';
delete from crm.contacts where last_name = 'Contact';
select results_eq('select subject, account_id, contact_id from crm.activities', $$values ('Called', null::uuid, null::uuid)$$, 'an activity stays');
delete from crm.activities;
select is_empty('select id from crm.activity_links', 'links go with their activity');

select * from finish();
rollback;
