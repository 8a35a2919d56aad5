-- The feed of changes: everything once, in its order, of what the caller may read.

\set world feed
\ir ../audit/world.psql

-- Somebody asks for the changes since a cursor: what they are told, and where to go on.
create table tests.feeds (reader text primary key, cursor text);
grant select, insert, update on tests.feeds to public;
create function tests.feed(reader text, types text[] default null, at_most integer default 100, organization text default 'Acme')
returns text language plpgsql as $$
declare
    answer json;
    since text := (select f.cursor from tests.feeds as f where f.reader = feed.reader);
begin
    perform tests.become(reader, organization);
    answer := crm.changes_since(since, at_most, types);
    perform tests.nobody();
    insert into tests.feeds values (reader, answer ->> 'cursor')
    on conflict on constraint feeds_pkey do update set cursor = excluded.cursor;
    return (
        select coalesce(string_agg(e ->> 'type', ' ' order by at), '')
        from json_array_elements(answer -> 'events') with ordinality as e (e, at)
    ) || case when (answer ->> 'more')::boolean then ' …' else '' end;
end
$$;
create function tests.from_now(reader text, organization text default 'Acme') returns void language plpgsql as $$
declare
    now text;
begin
    perform tests.become(reader, organization);
    now := crm.changes_since('now') ->> 'cursor';
    perform tests.nobody();
    insert into tests.feeds values (reader, now) on conflict on constraint feeds_pkey do update set cursor = excluded.cursor;
end
$$;
select tests.from_now(reader) from unnest('{ann,mia,sam,sid,sue,viewer}'::text[]) as reader;
select tests.from_now('bob', 'Borg');

insert into tests.ids select name, gen_random_uuid() from unnest('{contact,deal,sids,foreign}'::text[]) as name;

select is(tests.feed('ann'), '', 'from now on there is nothing yet');

-- What is told ------------------------------------------------------------------------------------------------------

select tests.change('made', 'sam', $$
    insert into crm.contacts (id, last_name, email) values (tests.id('contact'), 'Bo', 'bo@example.com');
    insert into crm.deals (id, name, amount, contact_id) values (tests.id('deal'), 'Deal', 100.50, tests.id('contact'))
$$);
select tests.change('won', 'sam', $$update crm.deals set status = 'won' where id = tests.id('deal')$$);
select tests.change('more', 'sam', $$update crm.deals set amount = 200, next_step = 'call' where id = tests.id('deal')$$);
select tests.change('sids', 'sid', $$insert into crm.contacts (id, last_name) values (tests.id('sids'), 'Sids')$$);
select tests.change('foreign', 'bob', $$insert into crm.contacts (id, last_name) values (tests.id('foreign'), 'Foreign')$$, 'Borg');

create function tests.events(reader text, since text, types text[] default null) returns table (at bigint, event json) language plpgsql as $$
declare
    answer json;
begin
    perform tests.become(reader, 'Acme');
    answer := crm.changes_since(since, 1000, types);
    perform tests.nobody();
    return query select e.at, e.value from json_array_elements(answer -> 'events') with ordinality as e (value, at);
end
$$;
create table tests.told as
select e.at, e.event::jsonb as event from tests.events('ann', (select cursor from tests.feeds where reader = 'ann')) as e;

select is(
    tests.feed('ann'),
    'contact.created deal_stage_change.created deal.created deal_stage_change.created deal.updated deal.stage_changed deal.won deal.updated contact.created',
    'ann is told everything in the order of history, and what it means'
);
select is(tests.feed('ann'), '', 'and once');
select is(
    (select event -> 'data' ->> 'amount' from tests.told where event ->> 'type' = 'deal.won'), '100.5000',
    'an event tells the record as it was after it, though it changed since'
);
select is(
    (select event -> 'previous' ->> 'status' || ' ' || (event -> 'data' ->> 'status') from tests.told where event ->> 'type' = 'deal.won'),
    'open won', 'and what it was before'
);
select is(
    (select event -> 'changed' from tests.told where event ->> 'type' = 'deal.updated' order by at desc limit 1),
    '["amount", "weighted_amount", "next_step"]', 'which columns changed, in the order of the table'
);
select is(
    (select event -> 'previous' -> 'next_step' from tests.told where event ->> 'type' = 'deal.updated' order by at desc limit 1),
    'null'::jsonb, 'also where there was nothing before'
);
select is(
    (select count(*) from tests.told where event ->> 'type' = 'deal.created' and event -> 'data' ? 'lost_reason' and event -> 'previous' = 'null'),
    1::bigint, 'a new record has all columns, and was nothing before'
);
select is(
    (select array_agg(distinct event -> 'actor' ->> 'user_id') from tests.told where event ->> 'entity' = 'deals'),
    array[tests.user_id('sam')::text], 'who did it is told'
);
select is(
    (select count(distinct event ->> 'id') from tests.told), (select count(*) from tests.told), 'each event has an id of its own'
);
select is(
    (select count(*) from tests.told as t join crm.audit_log as l on l.id = (t.event ->> 'id')::uuid and l.created_at = (t.event ->> 'created_at')::timestamptz),
    7::bigint, 'what became of records has the id of its entry in history, and its time'
);
select is((select array_agg(distinct (event ->> 'schema_version')) from tests.told), '{1}', 'its form has a version');
select is(
    (select array_agg(distinct event ->> 'org_id') from tests.told), array[tests.org_id('Acme')::text], 'all of it is of her organization'
);

-- Who is told -------------------------------------------------------------------------------------------------------

select is(
    tests.feed('sam'), 'contact.created deal_stage_change.created deal.created deal_stage_change.created deal.updated deal.stage_changed deal.won deal.updated',
    'sam is told of his own'
);
select is(tests.feed('sid'), 'contact.created', 'and sid of his');
select is(tests.feed('viewer', '{contact.*}'), 'contact.created contact.created', 'who reads all contacts is told of all of them');
select is(tests.feed('bob', organization => 'Borg'), 'contact.created', 'bob is told of what is his');
select is(tests.said('bob', format('select crm.changes_since(%L)', (select cursor from tests.feeds where reader = 'ann')), 'Borg'),
    '22023 cursor: this is not the history that it was given for', 'the cursor of another organization is none');
select matches(tests.said('max', 'select crm.changes_since()', null), '^42501 no organization', 'who works in several names one');

create function tests.said_by_role(role text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    perform crm.changes_since();
    return 'told';
exception when others then
    return sqlstate;
end
$$;
select is(tests.said_by_role('crm_app'), '42501', 'nobody is told nothing');
select tests.nobody();
select is(tests.said_by_role('crm_anon'), '42501', 'nor is who has not logged in');
select tests.nobody();

select tests.change('given', 'ann', $$update crm.contacts set owner_id = tests.user_id('sam') where id = tests.id('sids')$$);
select is(tests.feed('sam'), 'contact.updated contact.assigned', 'sam is told that he got it');
select is(tests.feed('sid'), '', 'sid, who may not read it any more, is not');

select tests.change('deleted', 'sam', $$delete from crm.contacts where id = tests.id('sids')$$);
select is(tests.feed('sam'), 'contact.deleted', 'who could read a record is told of its end');
select is(tests.feed('sid'), '', 'who could not is not');
select tests.change('reused', 'sid', $$insert into crm.contacts (id, last_name) values (tests.id('sids'), 'New')$$);
select is(tests.feed('sid'), 'contact.created', 'an id that is given again is another record:');
select is(
    (select count(*) from tests.events('sid', null) as e where e.event ->> 'record_id' = tests.id('sids')::text), 1::bigint,
    'of what had it before he is told nothing'
);
select is(tests.feed('sam'), '', 'and sam nothing of the new one');

select is(
    (select count(*) from tests.events('sam', null) as e where e.event ->> 'entity' in ('memberships', 'organizations')), 0::bigint,
    'members and keys are told only with audit.read'
);
select cmp_ok(
    (select count(*) from tests.events('ann', null) as e where e.event ->> 'type' = 'membership.created'), '>', 3::bigint, 'which ann has'
);

-- Pages, types, cursors -----------------------------------------------------------------------------------------------

select tests.from_now('ann');
select tests.change('many', 'sam', $$insert into crm.tasks (title) select 'task ' || n from generate_series(1, 25) as n$$);
select is(tests.feed('ann', at_most => 10), repeat('task.created ', 10) || '…', 'a page ends within a transaction');
select is(tests.feed('ann', at_most => 10), repeat('task.created ', 10) || '…', 'the next goes on there');
select is(tests.feed('ann', at_most => 10), rtrim(repeat('task.created ', 5)), 'to its end');
select is(tests.feed('ann'), '', 'and not beyond');
select is(tests.feed('sam', '{deal.won}'), '', 'of types that are not wanted nothing is told');
select is(tests.said('ann', $$select crm.changes_since(types => '{Deal}')$$), '22023 types: "Deal" is no event like deal.won, deal.*, *.created or *', 'what is no type is refused');
select is(tests.said('ann', format('select crm.changes_since(types => %s)', types)), '22023 types: ' || problem, 'nor does anything fit ' || left(types, 50))
from (values
    ($$'{deal.wonn}'$$, 'there is no event that "deal.wonn" fits'), ($$'{*,*.qwerty}'$$, 'there is no event that "*.qwerty" fits'), ($$'{dael.won}'$$, 'there are no events of dael'),
    ($$'{}'$$, 'must be 1 to 50 patterns like deal.won'), ($$array_fill('*'::text, '{51}')$$, 'must be 1 to 50 patterns like deal.won'), ($$'{*,null}'$$, 'must not hold null')
) as cases (types, problem);
select is(tests.said('ann', $$select crm.changes_since('x')$$), '22023 cursor: is none that changes_since has given', 'and what is no cursor');
select is(tests.said('ann', $$select crm.changes_since(null, 0)$$), '22023 limit: must be between 1 and 1000', 'and no number of events');
select is(
    tests.said('ann', $$select crm.changes_since('999999.00000000')$$), '22023 cursor: this is not the history that it was given for',
    'a cursor of a history that went further is told so'
);
select is(
    (select count(*) from (select count(*) from tests.events('ann', null) as e group by e.event ->> 'id' having count(*) > 1) as twice),
    0::bigint, 'from the beginning everything is told once'
);

-- What was erased, and what is too old --------------------------------------------------------------------------------

select tests.from_now('ann');
select tests.change('person', 'sam', $$update crm.contacts set first_name = 'Secret' where id = tests.id('contact')$$);
select matches(tests.said('ann', format('select crm.erase_person(%L, %L)', 'contacts', tests.id('contact'))), '^{', 'ann erases a person');
select is(
    (select count(*) from tests.events('ann', null) as e where e.event ->> 'record_id' = tests.id('contact')::text and e.event -> 'data' is not null and e.event ->> 'data' is not null),
    0::bigint, 'of whom no event tells anything since'
);
select unalike(string_agg(e.event::text, ''), '%Secret%', 'wherever it stood') from tests.events('ann', null) as e;

update crm.organizations set plan = 'free' where id = tests.org_id('Acme');
create table tests.old as select cursor from tests.feeds where reader = 'sue';
begin;
set local session_replication_role = replica;
delete from crm.audit_transactions where org_id = tests.org_id('Acme') and position <= 10;
commit;
select is(
    tests.said('sue', format('select crm.changes_since(%L)', (select cursor from tests.old))),
    '22023 cursor: what came next is older than history is kept', 'who comes back after history was pruned is told so'
);
select is(left(tests.said('sue', 'select crm.changes_since()'), 10), '{"events":', 'from the beginning there is what is left');

-- Types -----------------------------------------------------------------------------------------------------------

select is((select count(*) from crm.event_types()), (select count(distinct type) from crm.event_types()), 'each type of event is listed once');
select is(
    (select array_agg(type order by type) from crm.event_types() where entity = 'deals'),
    '{deal.assigned,deal.created,deal.deleted,deal.lost,deal.reopened,deal.stage_changed,deal.updated,deal.won}', 'those of deals'
);
select is((select count(*) from tests.told where event ->> 'type' not in (select type from crm.event_types())), 0::bigint, 'what was told is of these types');

\ir ../audit/leave_world.psql
