-- Rules: what an event becomes, what no rule may say, and working again on what failed.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
\ir inbound.psql
select tests.make_key('shop', 'ann', 'Acme', '{integration_events.create,contacts.*,deals.*}');
select tests.make_key('retrier', 'ann', 'Acme', '{integration_events.update,contacts.*}');
select tests.make_key('borg', 'bob', 'Borg', '{*.*}');

create function tests.contacts() returns setof text language sql security definer as $$
    select concat_ws(' ', first_name, last_name, email, external_id, title, tags::text, custom_fields, version)
    from crm.contacts
    where org_id = tests.org_id('Acme')
    order by id
$$;

-- Made ------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.custom_fields (entity, key, label, type) values ('contacts', 'total', 'Total', 'number');
insert into crm.integration_rules (name, event_name, entity, mapping, match_on, id_path) values (
    'Shop', 'order.paid', 'contacts',
    '{"email": "$.customer.email", "last_name": ["$.customer.name", {"value": "unknown"}], "title": ["$.job", {"value": "Customer"}],
      "external_id": "$.customer.id", "tags": "$.items[*].kind ? (@ starts with \"a\")", "custom_fields": "$.fields", "department": {"value": "Shop"}}',
    '{email}', '$.event.id'
);
select is((select count(*) from crm.integration_rules), 1::bigint, 'an owner makes a rule');
select tests.become('mia', 'Acme');
select is((select count(*) from crm.integration_rules), 1::bigint, 'a manager sees it');
select matches(tests.outcome('update crm.integration_rules set enabled = false'), '^42501 your role does not permit integration_rules.update', 'and does not change it');
select tests.become('sam', 'Acme');
select is_empty('select 1 from crm.integration_rules', 'a salesperson does not see it');
select tests.become('bob', 'Borg');
select is_empty('select 1 from crm.integration_rules', 'nor another organization');

select tests.become_key('shop');
select is(
    tests.ingest('order.paid', '{"event": {"id": 71}, "customer": {"email": "Eve@Example.com", "name": "Eve", "id": 12345678901234567890}, "items": [{"kind": "book"}, {"kind": "art"}, {"kind": "air"}],
        "fields": {"total": 19.90}}'),
    'processed; contacts', 'an order becomes a contact'
);
select results_eq('select tests.contacts()', $$values ('Eve eve@example.com 12345678901234567890 Customer {air,art} {"total": 19.9} 1')$$, 'with all that the paths lead to of lists, and constants');
select is(
    tests.ingest('order.paid', '{"event": {"id": 71}, "customer": {"email": "Eve@Example.com", "name": "Eve", "id": 12345678901234567890}, "items": [{"kind": "book"}, {"kind": "art"}, {"kind": "air"}],
        "fields": {"total": 19.9}}'),
    'processed; duplicate; contacts', 'known again by the id that it has itself'
);
select is((select array_agg(event_key) from crm.integration_events), null, 'a key that may not read events reads none');
select is(tests.ingest('order.paid', '{"event": {"id": "72"}, "customer": {"email": " EVE@example.com "}, "items": [{"kind": "ale"}]}'), 'processed; contacts', 'another order of the same customer');
select results_eq(
    'select tests.contacts()', $$values ('Eve eve@example.com 12345678901234567890 Customer {air,ale,art} {"total": 19.9} 2')$$,
    'changes what it tells: constants that stand in for something are for new ones'
);
select is(tests.ingest('order.paid', '{"event": {"id": {"a": 1}}, "customer": {}}'), 'processed; contacts', 'without the column it is found by it is a new one');
select results_eq('select tests.contacts() offset 1', $$values ('unknown Customer {} {} 1')$$, 'with what stands in');
select tests.nobody();
select is((select array_agg(event_key order by id) from crm.integration_events), '{71,72,NULL}', 'an id is text or a number');

select tests.become_key('borg');
select is(tests.ingest('order.paid', '{"customer": {"email": "eve@example.com"}}'), 'ignored', 'a rule is its organization''s alone');

-- What no rule may say ---------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select matches(
    tests.outcome(format(
        'insert into crm.integration_rules (name, event_name, entity, mapping, match_on, id_path) values (%L, %L, %L, %L, %L, %L)', 'Bad', 'some.event', entity, mapping, match_on, id_path
    )),
    '^22023 ' || wanted, wanted
)
from (values
    ('nothing', '{"a": "$.a"}', '{}', null, 'entity: must be a table of records'), ('audit_log', '{"action": "$.a"}', '{}', null, 'entity: must be'),
    ('daily_metrics', '{"day": "$.a"}', '{}', null, 'entity: must be'), ('users', '{"email": "$.a"}', '{}', null, 'entity: must be'),
    ('memberships', '{"role": "$.a"}', '{}', null, 'entity: must be'), ('crm_private.api_keys', '{"name": "$.a"}', '{}', null, 'entity: must be'),
    ('contacts', '{"nothing": "$.a"}', '{}', null, 'mapping: contacts has no column nothing'), ('contacts', '{"org_id": "$.a"}', '{}', null, 'mapping: contacts has no column org_id'),
    ('contacts', '{"id": "$.a"}', '{}', null, 'mapping: contacts has no column id'), ('contacts', '{"created_by": "$.a"}', '{}', null, 'mapping: contacts has no column created_by'),
    ('contacts', '{"phone_normalized": "$.a"}', '{}', null, 'mapping: contacts has no column phone_normalized'), ('invoices', '{"total": "$.a"}', '{}', null, 'mapping: invoices has no column total'),
    ('contacts', '{"last_name": 1}', '{}', null, 'mapping: last_name: must be a path'), ('contacts', '{}', '{}', null, 'mapping: must have 1 to 100 columns'),
    ('contacts', '{"last_name": "$.a ?"}', '{}', null, 'mapping: last_name: syntax error'), ('contacts', '{"last_name": "$.**.a"}', '{}', null, 'mapping: last_name: \*\* is not available'),
    ('contacts', '{"last_name": "$.a ? (@ == $x)"}', '{}', null, 'mapping: last_name: variables are not available'),
    ('contacts', '{"last_name": "$.a ? (@ like_regex \"(a*)\\\\1\")"}', '{}', null, 'mapping: last_name: back-references are not available'),
    ('contacts', '{"last_name": "$.a ? (@ like_regex \"(a*)\\u005c\\u0031\")"}', '{}', null, 'mapping: last_name: '),
    ('contacts', jsonb_build_object('last_name', '$.' || repeat('a', 300))::text, '{}', null, 'mapping: last_name: a path begins'),
    ('contacts', '{"last_name": "$.a"}', '{email}', null, 'match_on: email must be a column of the mapping'), ('contacts', '{"tags": "$.a"}', '{tags}', null, 'match_on: tags must be'),
    ('contacts', '{"last_name": "$.a"}', '{NULL}', null, 'match_on: must not contain null'),
    ('contacts', '{"last_name": "$.a"}', '{last_name,last_name,last_name,last_name,last_name,last_name}', null, 'match_on: must be at most 5'),
    ('contacts', '{"last_name": "$.a"}', '{}', 'id', 'id_path: a path begins'), ('contacts', '{"last_name": "$.a"}', '{}', '$.id ?', 'id_path: syntax error')
) as bad (entity, mapping, match_on, id_path, wanted);
select matches(
    tests.outcome($$insert into crm.integration_rules (name, event_name, entity, mapping) values ('Bad', 'order.paid', 'contacts', '{"last_name": "$.a"}')$$), '^23505 ', 'one rule for each event'
);
select is(
    tests.outcome($$insert into crm.integration_rules (name, event_name, entity, mapping) values ('Fine', 'a.b', 'contacts', '{"last_name": "$.a[*] ? (@ like_regex \"^x.*$\")"}')$$), '1 rows',
    'a filter is fine'
);

-- What fails, and is mended ----------------------------------------------------------------------------------------

select tests.nobody();
delete from crm.integration_events;
delete from crm.contacts;
select tests.become_key('shop');
select is(
    tests.ingest('order.paid', '{"customer": {"name": "Fay", "email": "fay@example.com"}, "fields": {"tier": "gold"}}', 'fay'),
    'failed; contacts; 22023; custom_fields.tier: there is no such field', 'what the organization''s records do not have fails'
);
select is(tests.ingest('order.refunded', '{"customer": {"name": "Gil"}}', 'gil'), 'ignored', 'what has no rule is kept');
select tests.nobody();
select id as fay from crm.integration_events where event_key = 'fay' \gset
select id as gil from crm.integration_events where event_key = 'gil' \gset
select is_empty('select tests.contacts()', 'nothing came of either');

create function tests.retry(event uuid) returns text language sql as $$
    select concat_ws('; ', a ->> 'status', case when (a ->> 'duplicate')::boolean then 'duplicate' end, a ->> 'entity', tests.code(a), a ->> 'error') from crm.retry_event(event) as a
$$;
select tests.become_key('shop');
select matches(tests.outcome(format('select crm.retry_event(%L)', id)), '^42501 your key does not permit integration_events.update', 'who may send may not try again')
from unnest(array[:'fay', gen_random_uuid()]::uuid[]) as id;
select matches(tests.outcome('select crm.retry_events()'), '^42501 your key does not permit integration_events.update', 'nor all of them');
select tests.become('mia', 'Acme');
select matches(tests.outcome(format('select crm.retry_event(%L)', :'fay')), '^42501 your role does not permit integration_events.update', 'nor a manager');
select tests.become_role('crm_anon');
select matches(tests.outcome(format('select crm.retry_event(%L)', :'fay')), '^42501 permission denied', 'nor the anonymous role');
select tests.become_key('borg');
select is(tests.outcome(format('select crm.retry_event(%L)', id)), '22023 id: there is no such event', 'another organization has no such event')
from unnest(array[:'fay', gen_random_uuid()]::uuid[]) as id;
select is(crm.retry_events() - 'last', '{"processed": 0, "failed": 0, "ignored": 0}', 'nor several');

select tests.become_key('retrier');
select is(tests.retry(:'fay'), 'failed; contacts; 22023; custom_fields.tier: there is no such field', 'as long as nothing was mended, it fails again');
select tests.become('ann', 'Acme');
update crm.integration_rules set mapping = mapping - 'custom_fields' where event_name = 'order.paid';
select tests.become_key('retrier');
select is(tests.retry(:'fay'), 'processed; contacts', 'once the rule was mended it becomes a contact');
select results_eq('select tests.contacts()', $$values ('Fay fay@example.com Customer {} {} 1')$$, 'which is there');
select is(tests.retry(:'fay'), 'processed; contacts', 'it is worked on once');
select results_eq('select tests.contacts()', $$values ('Fay fay@example.com Customer {} {} 1')$$, 'and stays as it is');
select is(tests.outcome('select crm.retry_event(null)'), '22023 id: is missing', 'which one?');
select tests.become_key('shop');
select is(tests.ingest('order.paid', '{"customer": {"name": "Fay", "email": "fay@example.com"}, "fields": {"tier": "gold"}}', 'fay'), 'processed; duplicate; contacts', 'sent again it tells what came of it');
select tests.nobody();
select is((select row(status, error, error_code, attempts, version)::text from crm.integration_events where id = :'fay'), '(processed,,,3,4)', 'and how often it was worked on');

select tests.become('ann', 'Acme');
update crm.integration_rules set enabled = false where event_name = 'order.paid';
select tests.become_key('shop');
select is(tests.ingest('order.paid', '{"customer": {"name": "Hal"}}', 'hal'), 'ignored', 'a rule that is not enabled makes nothing');
select is(tests.ingest('order.paid', '{"customer": {"name": "Ivy"}}', 'ivy'), 'ignored', 'of any event');
select tests.become('ann', 'Acme');
update crm.integration_rules set enabled = true where event_name = 'order.paid';
select is(
    (crm.retry_events('order.paid', 'ignored') ->> 'last')::uuid, (select id from crm.integration_events where event_key = 'ivy'), 'an owner works again on those of a name'
);
select is((select array_agg(last_name order by id) from crm.contacts), '{Fay,Hal,Ivy}', 'in the order they came');
select is(crm.retry_events(status => 'ignored', since => now() + interval '1 hour') ->> 'last', null, 'none is as new as that');
select is(crm.retry_events(status => 'ignored', after => :'gil') ->> 'last', null, 'nor after the last one');
select is(crm.retry_events(status => 'ignored') - 'last', '{"processed": 0, "failed": 0, "ignored": 1}', 'what has no rule stays');
select is(tests.outcome($$select crm.retry_events(status => 'processed')$$), '22023 status: must be failed or ignored', 'what was processed is not worked on again');

-- A rule for what is built in, and one for a table of somebody's own ------------------------------------------------

insert into crm.integration_rules (name, event_name, entity, mapping) values ('Own', 'lead.captured', 'contacts', '{"last_name": "$.name"}');
select is(tests.ingest('lead.captured', '{"name": "Jo"}'), 'processed; contacts', 'a rule of one''s own takes the place of the built-in one');
update crm.integration_rules set enabled = false where event_name = 'lead.captured';
select is(tests.ingest('lead.captured', '{"name": "Jo"}'), 'ignored', 'also to switch it off');

select tests.nobody();
create table crm.vehicles (
    org_id uuid not null references crm.organizations on delete cascade, id uuid not null default crm.uuid_v7(), plate text not null, wheels integer check (wheels < 20), built date,
    primary key (org_id, id)
);
select crm.enroll('crm.vehicles', array['plate required line 10']);
select tests.become('ann', 'Acme');
insert into crm.integration_rules (name, event_name, entity, mapping, match_on)
values ('Cars', 'car.seen', 'vehicles', '{"plate": "$.plate", "wheels": "$.wheels", "built": "$.built"}', '{plate,wheels}');
select is(tests.ingest('car.seen', '{"plate": " M-AB 1 ", "wheels": 4}'), 'processed; vehicles', 'a table that was enrolled is one, too');
select is(tests.ingest('car.seen', '{"plate": "M-AB 1", "wheels": 4, "built": "2020-02-01"}'), 'processed; vehicles', 'found by two columns');
select is(tests.ingest('car.seen', '{"plate": "M-AB 1", "wheels": 3}'), 'processed; vehicles', 'or not');
select is(tests.ingest('car.seen', '{"plate": "M-AB 1", "wheels": "many"}'), 'failed; vehicles; 22P02; invalid input syntax for type integer: "many"', 'what is no number');
select is(tests.ingest('car.seen', '{"wheels": 3}') ~ '^failed; vehicles; 23502; ', true, 'and what is missing');
select is(tests.ingest('car.seen', '{"plate": "M-AB 9", "wheels": 99}'), 'failed; vehicles; 23514; wheels: this value is not allowed', 'and what a check refuses');
select results_eq('select plate, wheels, built from crm.vehicles order by id', $$values ('M-AB 1', 4, date '2020-02-01'), ('M-AB 1', 3, null)$$, 'make nothing');

-- What an event did can be undone; the event stays.
select is(tests.ingest('car.seen', '{"plate": "UNDO", "wheels": 9}', 'undone'), 'processed; vehicles', 'one more');
select tests.nobody();
drop table crm.vehicles;
select tests.become('ann', 'Acme');
select is(tests.ingest('car.seen', '{"plate": "M-AB 1"}'), 'failed; vehicles; 22023; entity: must be a table of records, like leads', 'a table that is gone');
select is(tests.outcome($$update crm.integration_rules set enabled = false where event_name = 'car.seen'$$), '1 rows', 'its rule can be switched off');

select finish();
rollback;
