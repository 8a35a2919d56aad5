-- Events of other systems: who may send them, what they become, when they are known again, and what is told of those that fail.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

\ir inbound.psql
select tests.make_key('website', 'ann', 'Acme', '{integration_events.create,leads.read,leads.create,leads.update}');
select tests.make_key('form', 'ann', 'Acme', '{integration_events.create,leads.create}');
select tests.make_key('blind', 'ann', 'Acme', '{integration_events.create,leads.create,leads.update}');
select tests.make_key('sender', 'ann', 'Acme', '{integration_events.create}');
select tests.make_key('leads', 'ann', 'Acme', '{leads.*}');
select tests.make_key('all', 'ann', 'Acme', '{*.*}');
select tests.make_key('borg', 'bob', 'Borg', '{*.*}');

-- Of Acme, whoever asks.
create function tests.leads() returns setof text language sql security definer as $$
    select concat_ws(' ', first_name, last_name, company, email, phone_normalized, source, external_id, tags::text, version)
    from crm.leads
    where org_id = tests.org_id('Acme')
    order by id
$$;
create function tests.events(organization text default 'Acme') returns table (id uuid, line text) language sql security definer as $$
    select id, concat_ws(' ', event_name, event_key, status, error_code, entity, record_id is not null, attempts, processed_at is not null, version)
    from crm.integration_events
    where org_id = tests.org_id(organization)
    order by id
$$;

-- Who may send ----------------------------------------------------------------------------------------------------

select tests.become_key('website');
select is(
    tests.ingest('lead.captured', '{"first_name": "Ada", "last_name": "Lovelace", "email": " Ada@Example.com ", "phone": "+1 650 253 0000", "source": "website", "unknown": 1}'),
    'processed; leads', 'a key with the permissions makes a lead'
);
select results_eq('select tests.leads()', $$values ('Ada Lovelace ada@example.com +16502530000 website {} 1')$$, 'with all that is done to a lead');
select results_eq('select line from tests.events()', $$values ('lead.captured processed leads t 1 t 2')$$, 'and the event is kept');
select results_eq(
    $$select payload ->> 'unknown', api_key_id, e.created_by, e.record_id = l.id from crm.integration_events as e, crm.leads as l$$,
    $$select '1'::text, id, null::uuid, true from tests.keys where name = 'website'$$, 'as it came, and who sent it'
) from tests.become_key('all');
select is((select created_by from crm.leads), null, 'a key''s lead is made by nobody');

select tests.become('ann', 'Acme');
select is(tests.ingest('lead.captured', '{"name": "Charles Babbage"}'), 'processed; leads', 'who has the permission may send, too');
select results_eq(
    $$select created_by, owner_id from crm.leads where last_name = 'Babbage'$$, $$select tests.user_id('ann'), tests.user_id('ann')$$, 'what becomes theirs'
);

select tests.nobody();
create function tests.refused(sentence text, wanted text default '^42501 your (role|key) does not permit integration_events\.create$') returns setof text language sql as $$
    select matches(tests.outcome($do$select crm.ingest_event('lead.captured', '{"last_name": "Denied"}')$do$), wanted, sentence)
$$;
select tests.become_key('leads');
select tests.refused('a key without the permission sends nothing');
select tests.become('mia', 'Acme');
select tests.refused('nor does a manager');
select tests.become('sam', 'Acme');
select tests.refused('nor a salesperson');
select tests.become('viewer', 'Acme');
select tests.refused('nor who may only read');
select tests.become_role('crm_app');
select tests.refused('nor who has no identity', '^42501 nobody is logged in');
select tests.become_role('crm_anon');
select tests.refused('nor the anonymous role', '^42501 permission denied for function');
select tests.become_role('crm_service');
select tests.refused('nor the platform', '^42501 permission denied for function');

select tests.become_key('sender');
select is(
    tests.ingest('lead.captured', '{"last_name": "Kept"}'), 'failed; leads; 42501; your key does not permit leads.create',
    'who may send, but not make leads, makes none: the event is kept'
);
select tests.become_key('blind');
select is(
    tests.ingest('lead.captured', '{"email": "ada@example.com"}'),
    'failed; leads; 42501; your key does not permit leads.read, which it takes to find what is there already', 'who changes leads has to see them'
);
select tests.nobody();
select is((select count(*) from tests.leads()), 2::bigint, 'none came of these');
select tests.become_key('form');
select is(tests.ingest('lead.captured', '{"email": "ada@example.com"}'), 'processed; leads', 'who may only add leads adds one');
select tests.nobody();
select is((select array_agg(line) from tests.leads() as line where line ~ 'ada@'), '{"Ada Lovelace ada@example.com +16502530000 website {} 1","ada@example.com ada@example.com {} 1"}', 'beside the one that is there');
delete from crm.leads where last_name = 'ada@example.com';

-- Who sees, who changes --------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is((select count(*) from crm.integration_events), 5::bigint, 'an owner sees the events');
select tests.become('mia', 'Acme');
select is_empty('select 1 from crm.integration_events', 'a manager, who sees the leads of their team, does not');
select tests.become('sam', 'Acme');
select is_empty('select 1 from crm.integration_events', 'a salesperson does not');
select tests.become('bob', 'Borg');
select is_empty('select 1 from crm.integration_events', 'nor another organization');
select tests.become('ann', 'Acme');
select matches(tests.outcome(statement), '^42501 permission denied for table integration_events', statement)
from unnest(array[
    $$insert into crm.integration_events (event_name, payload) values ('a.b', '{}')$$, $$update crm.integration_events set status = 'processed'$$
]) as statement;
select tests.become('mia', 'Acme');
select matches(tests.outcome('delete from crm.integration_events'), '^42501 your role does not permit integration_events.delete', 'a manager deletes none');
select tests.become_key('website');
select matches(tests.outcome('delete from crm.integration_events'), '^42501 your key does not permit integration_events.delete', 'nor who sends them');
select tests.become('bob', 'Borg');
select is(tests.outcome('delete from crm.integration_events'), '0 rows', 'nor another organization');
select tests.become('ann', 'Acme');
select is(tests.outcome('delete from crm.integration_events'), '5 rows', 'an owner may');
delete from crm.integration_events where payload ->> 'last_name' = 'Lovelace';
select is_empty(
    $$select 1 from crm.audit_log where entity = 'integration_events' and (before::text || after::text) ~ 'Lovelace'$$, 'history does not repeat payloads'
);
select isnt_empty($$select 1 from crm.audit_log where entity = 'integration_events'$$, 'but tells of events');

-- What is no event -------------------------------------------------------------------------------------------------

select tests.become_key('website');
select matches(
    tests.outcome(format('select crm.ingest_event(%L, %L, %L)', name, payload, id)), '^23514 ' || wanted || ': .* / \{"column":"' || wanted || '"\}$',
    coalesce(name, 'no name') || ' ' || coalesce(left(payload, 20), 'nothing') || ' ' || coalesce(left(id, 10), '')
)
from (values
    (null, '{}', null, 'event_name'), ('lead', '{}', null, 'event_name'), ('Lead.captured', '{}', null, 'event_name'), ('lead.1', '{}', null, 'event_name'),
    ('lead..captured', '{}', null, 'event_name'), ('a.' || repeat('b', 99), '{}', null, 'event_name'),
    ('lead.captured', null, null, 'payload'), ('lead.captured', '[]', null, 'payload'), ('lead.captured', '"x"', null, 'payload'), ('lead.captured', 'null', null, 'payload'),
    ('lead.captured', '{}', '', 'event_id'), ('lead.captured', '{}', ' ', 'event_id'), ('lead.captured', '{}', repeat('x', 256), 'event_id'),
    ('lead.captured', '{}', e'a\u0001b', 'event_id')
) as bad (name, payload, id, wanted);
select matches(
    tests.outcome($$select crm.ingest_event('lead.captured', jsonb_build_object('notes', repeat('x', 262144)))$$), '^54000 the payload is larger than 256 kB',
    'a payload has a size'
);
select is(tests.ingest('any.thing', jsonb_build_object('notes', repeat('x', 262000))), 'ignored', 'just below it is taken; without a rule it becomes nothing');
select matches(
    tests.outcome($$with x as (select set_config('transaction_read_only', 'on', true)) select crm.ingest_event('a.b', '{}') from x$$), '^25006 ', 'sending writes'
);

-- Sent again -------------------------------------------------------------------------------------------------------

select tests.nobody();
delete from crm.integration_events;
select tests.become_key('website');
select is(tests.ingest('lead.captured', '{"last_name": "Once", "n": 1.50}', 'evt-1'), 'processed; leads', 'sent once');
select is(tests.ingest('lead.captured', '{"n": 1.5, "last_name": "Once"}', ' evt-1 '), 'processed; duplicate; leads', 'sent again it is known again');
select is(
    (select jsonb_agg(a - 'duplicate') -> 0 from crm.ingest_event('lead.captured', '{"n": 1.5, "last_name": "Once"}', 'evt-1') as a),
    (select jsonb_agg(a - 'duplicate') -> 0 from crm.ingest_event('lead.captured', '{"n": 1.5, "last_name": "Once"}', 'evt-1') as a), 'with the same answer'
);
select is((select count(*) from tests.leads() as l where l ~ 'Once'), 1::bigint, 'and one lead came of it');
select matches(
    tests.outcome($$select crm.ingest_event('lead.captured', '{"last_name": "Twice"}', 'evt-1')$$), '^23514 payload: another one was sent under the same event id',
    'another event needs another id'
);
select is(tests.ingest('lead.other', '{"last_name": "Twice"}', 'evt-1'), 'ignored', 'ids are those of one name');
select is(tests.ingest('lead.captured', '{"last_name": "Once", "n": 1.50}'), 'processed; leads', 'without an id it is another one');
select tests.become_key('borg');
select is(tests.ingest('lead.captured', '{"last_name": "Borg"}', 'evt-1'), 'processed; leads', 'ids of another organization are no matter');
select tests.become_key('website');
select is(
    tests.ingest('lead.captured', '{"title": "Nobody"}', 'evt-2'), 'failed; leads; 23514; last_name, company: at least one of them is needed', 'an event fails, and says what is missing'
);
select is(
    tests.ingest('lead.captured', '{"title": "Nobody"}', 'evt-2'), 'failed; leads; 23514; last_name, company: at least one of them is needed', 'sent again it is tried again'
);
select matches(
    tests.outcome($$select crm.ingest_event('lead.captured', '{"title": "Somebody"}', 'evt-2')$$), '^23514 payload: another one was sent under the same event id', 'as it was sent'
);
select set_config('request.headers', '{"idempotency-key": "evt-3"}', true);
select tests.ingest('any.thing', '{}');
select tests.nobody();
select is((select array_agg(event_key order by id) from crm.integration_events where org_id = tests.org_id('Acme')), '{evt-1,evt-1,NULL,evt-2,NULL}', 'a header that no request brought is none');

select tests.become_key('sender');
select is(tests.ingest('lead.captured', '{"last_name": "Later"}', 'evt-4'), 'failed; leads; 42501; your key does not permit leads.create', 'another one fails');
select tests.become_key('website');
select is(tests.ingest('lead.captured', '{"last_name": "Later"}', 'evt-4'), 'processed; leads', 'sent again when nothing is in its way any more, it becomes a lead');
select is(tests.ingest('lead.captured', '{"last_name": "Later"}', 'evt-4'), 'processed; duplicate; leads', 'and that once');
select tests.nobody();
select is((select count(*) from tests.leads() as l where l ~ 'Later'), 1::bigint, 'there is one');
select results_eq(
    $$select line from tests.events() where line ~ 'evt-[24]'$$,
    $$values ('lead.captured evt-2 failed 23514 leads f 2 t 3'), ('lead.captured evt-4 processed leads t 2 t 3')$$, 'of one event each'
);

-- lead.captured ----------------------------------------------------------------------------------------------------

delete from crm.leads;
select tests.become_key('website');
select tests.ingest('lead.captured', payload)
from unnest(array[
    '{"name": "Ada King Lovelace", "email": "ada@example.com", "company": "Engines", "title": "Countess", "message": "Hello", "tags": ["vip"], "source": "web"}',
    '{"email": "ADA@example.com", "phone": " ", "company": null, "tags": "new", "source": "fair"}',
    '{"email": "new@example.com", "notes": "Newsletter"}', '{"email": "new@example.com"}', '{"phone": "+1 650 253 0001"}',
    '{"external_id": 17, "email": "ada@example.com", "last_name": "Other"}', '{"external_id": "17", "last_name": "Same", "company": "Co"}'
]::jsonb[]) as payload;
select results_eq(
    'select tests.leads()',
    $$values ('Ada King Lovelace Engines ada@example.com fair {new,vip} 2'), ('new@example.com new@example.com {} 2'), ('+1 650 253 0001 +16502530001 {} 1'),
        ('Same Co ada@example.com 17 {} 2')$$,
    'it is found by its external id or else by its e-mail; what is missing stays'
);
select is((select array_agg(description order by id) from crm.leads), '{Hello,Newsletter,NULL,NULL}', 'a message becomes the description');
select tests.nobody();
update crm.leads set status = 'converted' where external_id is null and email = 'ada@example.com';
delete from crm.leads where external_id = '17';
select tests.become_key('website');
select is(tests.ingest('lead.captured', '{"last_name": "Back", "email": "ada@example.com"}'), 'processed; leads', 'who was converted');
select is((select array_agg(last_name order by id) from crm.leads where email = 'ada@example.com'), '{Lovelace,Back}', 'and comes back is a new lead');

select is(tests.ingest('lead.captured', payload::jsonb), 'failed; leads; 22023; ' || wanted, wanted)
from (values
    ('{"last_name": "X", "email": "nobody"}', 'email: not a valid e-mail address'), ('{"last_name": {"a": 1}}', 'last_name: the payload has an object where one value is needed'),
    ('{"last_name": ["a"]}', 'last_name: the payload has a list where one value is needed'),
    ('{"last_name": "X", "custom_fields": {"nothing": 1}}', 'custom_fields.nothing: there is no such field')
) as bad (payload, wanted);
select is(
    tests.ingest('lead.captured', '{"last_name": "X", "company": "a\u0001b"}') ~ '^failed; leads; 22023; company: ', true, 'the rules of the table are the rules'
);

-- Limits -----------------------------------------------------------------------------------------------------------

select tests.nobody();
insert into crm.plans values ('tiny', 'Tiny', null, '{}', '{"leads": 4}');
select crm.set_plan(tests.org_id('Acme'), 'tiny') \g /dev/null
select tests.become_key('website');
select is(
    (select a - 'id' from crm.ingest_event('lead.captured', '{"last_name": "Too many"}', 'limit') as a),
    '{"event_name": "lead.captured", "status": "failed", "duplicate": false, "entity": "leads", "record_id": null, "error": "the plan''s limit is reached: leads"}',
    'at a limit of the plan the event is kept'
);
select tests.nobody();
select crm.set_plan(tests.org_id('Acme'), 'free') \g /dev/null

-- What is old goes -------------------------------------------------------------------------------------------------

select is((select count(*) > 5 from crm.integration_events), true, 'there are events');
select tests.make_key('ages', 'bob', 'Borg', '{*.*}');
select tests.become_key('ages');
select tests.ingest('any.thing', '{"n": 1}', 'old'), tests.ingest('any.thing', '{"n": 2}', 'new');
select tests.nobody();
create function tests.ages(event uuid, age interval) returns uuid language sql as $$
    -- An id begins with the milliseconds since 1970.
    select (lpad(to_hex((extract(epoch from now() - age) * 1000)::bigint), 12, '0') || substr(replace(event::text, '-', ''), 13))::uuid
$$;
set local session_replication_role = replica;
update crm.integration_events set id = tests.ages(id, '89 days') where event_key = 'new';
update crm.integration_events set id = tests.ages(id, '91 days') where event_key = 'old';
update crm.integration_events as e set id = tests.ages(e.id, '91 days')
from (select id from crm.integration_events where org_id = tests.org_id('Acme') order by id limit 3) as old where e.id = old.id;
set local session_replication_role = origin;
create temporary table aged as select id from crm.integration_events where id < tests.ages('ffffffff-ffff-ffff-ffff-ffffffffffff', '90 days');
create temporary table before as select count(*) as events from crm.integration_events;
grant select on aged, before to public;
select is((select count(*) from aged), 4::bigint, 'four of two organizations are older than 90 days');
create function tests.removes(batch integer) returns integer language plpgsql as $$
begin
    perform tests.become_role('crm_worker');
    return crm.maintain_webhooks(batch) ->> 'integration_events_removed';
end
$$;
select is(tests.removes(3), 3, 'they are removed, so many at a time');
select is(tests.removes(3), 1, 'to the end');
select is(tests.removes(3), 0, 'and no more');
select tests.nobody();
select is_empty('select id from crm.integration_events where id in (select id from aged)', 'they are gone');
select is((select count(*) from crm.integration_events), (select events - 4 from before), 'and nothing else');
select results_eq(
    $$select count(*), count(before), count(after) from crm.audit_log where entity = 'integration_events' and action = 'delete' and record_id in (select id from aged)$$,
    $$values (4::bigint, 0::bigint, 0::bigint)$$, 'history tells that they went, and not what they were'
);

select finish();
rollback;
