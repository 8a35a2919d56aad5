-- The states of what people work with: every step that docs/entities/work.md names is made, and every other one refused with
-- those that are named.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.hire('sam', 'Acme', 'sales');

\set document `cat docs/entities/work.md`
create table tests.lines as
select n, line, max(entity) over (order by n) as nth, entity is not null as heads
from (
    select n, line, case when line ~ '^\*\*[a-z]+\*\* begin ' then n end as entity
    from string_to_table(substring(:'document' from '## States(.*?)\n## '), E'\n') with ordinality as l (line, n)
) as numbered;
create table tests.entities as
select nth, substring(line from '\*\*([a-z]+)\*\*') as entity,
    case when line ~ 'begin in any state' then null
    else regexp_split_to_array(substring(line from ' begin ([a-z_, ]+)'), ',? or |, ') end as begins
from tests.lines where heads;
-- What names no state there is falls out: "completed (what is noted …)".
update tests.entities set begins = array(select trim(state) from unnest(begins) as state);
create table tests.steps as
select e.entity, trim(split_part(line, '|', 2)) as from_state,
    case trim(split_part(line, '|', 3)) when '–' then '{}' else regexp_split_to_array(trim(split_part(line, '|', 3)), ', ') end as allowed
from tests.lines as l join tests.entities as e using (nth)
where line ~ '^\|' and line !~ '^\| from|^\|-';
update tests.entities as e set begins = array(select from_state from tests.steps as s where s.entity = e.entity)
where begins is null or begins = '{}';
grant select on tests.entities, tests.steps to public;

select set_eq(
    'select entity from tests.entities',
    $$select c.relname::text from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
      where t.tgname = '_100_normalize' and encode(t.tgargs, 'escape') like '%status steps %'
          and c.relname in ('tasks', 'appointments', 'messages', 'tickets', 'projects', 'jobs', 'activities')$$,
    'the document tells of every one of them that has steps'
);
select cmp_ok((select count(*) from tests.steps), '>=', 33::bigint, 'and of all their states');

-- What a row needs beside its state.
create function tests.content(entity text, state text) returns jsonb language sql immutable as $$
    select case entity
        when 'projects' then jsonb_build_object('name', 'x')
        when 'tickets' then jsonb_build_object('subject', 'x')
        when 'messages' then jsonb_build_object('direction', case state when 'received' then 'inbound' else 'outbound' end)
        when 'appointments' then jsonb_build_object('title', 'x', 'starts_at', '2026-01-01T10:00:00Z', 'ends_at', '2026-01-01T11:00:00Z')
        else jsonb_build_object('title', 'x')
    end || jsonb_build_object('status', state)
$$;
create function tests.insertion(entity text, state text) returns text language sql immutable as $$
    select format(
        'insert into crm.%1$I (%2$s) select %2$s from jsonb_populate_record(null::crm.%1$I, %3$L)',
        entity, (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(tests.content(entity, state)) as key), tests.content(entity, state)
    )
$$;
create table tests.rows as
select entity, from_state, gen_random_uuid() as id from tests.steps;
grant select on tests.rows to public;
create procedure tests.make() language plpgsql as $$
declare
    r tests.rows;
    content jsonb;
begin
    for r in select * from tests.rows loop
        content := tests.content(r.entity, r.from_state)
            || jsonb_build_object('org_id', tests.org_id('Acme'), 'id', r.id, 'owner_id', tests.user_id('sam'));
        execute format(
            'insert into crm.%1$I (%2$s) select %2$s from jsonb_populate_record(null::crm.%1$I, %3$L)',
            r.entity, (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(content) as key), content
        );
    end loop;
end
$$;
call tests.make();

create function tests.said(column_name text, from_state text, to_state text, allowed text[]) returns text language sql immutable as $$
    select format(
        '23514 status: %s / {"column":"status","from":%s,"to":"%s","allowed":%s}',
        case when from_state is null then 'a new one cannot be ' || to_state else format('there is no step from %s to %s', from_state, to_state) end,
        coalesce(to_json(from_state)::text, 'null'), to_state, replace(to_json(allowed)::text, ', ', ',')
    )
$$;

select tests.become('sam', 'Acme');

select is(
    tests.outcome(tests.insertion(s.entity, s.from_state)),
    case when s.from_state = any (e.begins) then '1 rows' else tests.said('status', null, s.from_state, e.begins) end,
    format('sam begins one of his %s as %s', s.entity, s.from_state)
)
from tests.steps as s join tests.entities as e using (entity)
order by s.entity, s.from_state;

select is(
    tests.outcome(format('update crm.%I set status = %L where id = %L', s.entity, t.from_state, r.id)),
    case when t.from_state = any (s.allowed) or t.from_state = s.from_state then '1 rows'
    else tests.said('status', s.from_state, t.from_state, s.allowed) end,
    format('sam takes one of his %s from %s to %s', s.entity, s.from_state, t.from_state)
)
from tests.steps as s
join tests.rows as r using (entity, from_state)
join tests.steps as t on t.entity = s.entity
order by s.entity, s.from_state, t.from_state;

select matches(
    tests.outcome(format('update crm.%I set status = ''gone'' where id = %L', entity, id)), '^23514 status: there is no step from ',
    format('there is no such state of %s', entity)
)
from tests.rows
where (entity, from_state) in (select entity, min(from_state) from tests.rows group by entity);

-- The DBA brings what is old as it is, and the columns allow what the steps know.
select tests.nobody();
select is(
    tests.outcome(format('insert into crm.%I (org_id, %s) values (tests.org_id(''Acme''), %s)', entity,
        case entity when 'projects' then 'name, status' when 'tickets' then 'subject, status' else 'title, status' end,
        '''x'', ''completely new''')),
    '23514 status: a new one cannot be completely new / '
        || format('{"column":"status","from":null,"to":"completely new","allowed":%s}', replace(to_json(begins)::text, ', ', ',')),
    format('nor does the DBA invent one for %s', entity)
)
from tests.entities
where entity in ('tasks', 'tickets', 'projects', 'jobs')
order by entity;

select * from finish();
rollback;
