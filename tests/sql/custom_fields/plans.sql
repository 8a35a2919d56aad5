-- Custom fields by index under row level security: who filters reads what they may, by the index, and never a row more. In a
-- database of its own: other tests of plans have tables that nothing was in.

\set ON_ERROR_STOP on
set client_min_messages = error;
select current_database() as home, current_database() || '_custom_plans' as world \gset
drop database if exists :"world" with (force);
create database :"world";
\connect :"world"
set client_min_messages = error;
create extension crm_ext;
create extension pgtap;

begin;
\ir ../actors.psql
select no_plan();

set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
set local min_parallel_table_scan_size = '8MB';
set local jit = off;

-- ann sees all of Acme, mia what her team has, sam his own; zoe owns another organization, with the same fields.
select tests.register('ann', 'Acme');
select tests.register('zoe', 'Zoo');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
select tests.join('sam', 'Zoo', 'sales');
insert into crm.groups (org_id, name) values (tests.org_id('Acme'), 'Team');
insert into crm.group_members (org_id, group_id, user_id)
select org_id, id, tests.user_id(person) from crm.groups, unnest('{mia,sam}'::text[]) as person where name = 'Team';

insert into crm.custom_fields (org_id, entity, key, label, type)
select org_id, 'contacts', f.* from tests.organizations, (values ('tier', 'Tier', 'text'), ('score', 'Score', 'number'), ('since', 'Since', 'date')) as f;
insert into crm.contacts (org_id, last_name, owner_id, created_at, custom_fields)
select o.org_id, 'Contact ' || n, case when n % 3 = 0 then tests.user_id('sam') else tests.user_id(case o.name when 'Acme' then 'ann' else 'zoe' end) end,
    now() - n * interval '1 minute',
    case when n % 10 > 0 then jsonb_build_object('tier', 't' || n % 400, 'score', n % 500, 'since', date '2026-01-01' + n % 300) else '{}' end
from tests.organizations as o cross join generate_series(1, 6000) as n;

create function tests.answer(query text) returns text[] language plpgsql as $$
declare
    answer text[];
begin
    execute format('select array_agg(id::text order by id) from (%s) as row', query) into answer;
    return answer;
end
$$;

-- Who makes indexes ---------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(
    tests.outcome($$select crm.index_custom_field('contacts', 'tier')$$), '42501 permission denied for function index_custom_field', 'indexes are the DBA''s'
);
select tests.become_role('crm_admin');
select is(crm.index_custom_field('contacts', 'tier'), '{contacts_custom_tier_text_idx}', 'the DBA makes an index');
select is(crm.index_custom_field('contacts', 'tier'), '{contacts_custom_tier_text_idx}', 'once');
select is(crm.index_custom_field('contacts', 'score'), '{contacts_custom_score_number_idx}', 'of numbers by their value');
select is(crm.index_custom_field('contacts', 'since'), '{contacts_custom_since_text_idx}', 'of dates');
select is(
    tests.outcome(format('select crm.index_custom_field(%L, %L)', entity, key)), '22023 key: no organization has a custom field of this key here', 'but not of what there is not'
)
from (values ('contacts', 'nope'), ('accounts', 'tier'), ('nothing', 'tier'), ('contacts', ''' || x')) as unknown (entity, key);
select tests.nobody();
analyze crm.contacts;

-- Everybody, every filter: by index, and the rows that there would be without -------------------------------------------------------

create table tests.filters (n serial, condition text, index text);
insert into tests.filters (condition, index) values
    ($$custom_fields ->> 'tier' = 't7'$$, 'contacts_custom_tier_text_idx'),
    ($$custom_fields ->> 'tier' in ('t7', 't8')$$, 'contacts_custom_tier_text_idx'),
    ($$custom_fields ->> 'tier' >= 't397' and custom_fields ->> 'tier' < 't399'$$, 'contacts_custom_tier_text_idx'),
    ($$custom_fields -> 'score' = '77'$$, 'contacts_custom_score_number_idx'),
    ($$custom_fields -> 'score' > '9' and custom_fields -> 'score' <= '12'$$, 'contacts_custom_score_number_idx'),
    ($$custom_fields ->> 'since' >= '2026-10-20' and custom_fields ->> 'since' < '2026-10-23'$$, 'contacts_custom_since_text_idx'),
    ($$custom_fields ->> 'since' = '2026-10-22' and title is null$$, 'contacts_custom_since_text_idx');
-- The same by hand: what a person may see.
create table tests.seen as
select p.person, p.role, c.*
from (values ('ann', 'Acme'), ('mia', 'Acme'), ('sam', 'Acme'), ('sam', null), ('zoe', 'Zoo')) as p (person, role)
join crm.contacts as c on case
    when p.person in ('ann', 'zoe') then c.org_id = tests.org_id(p.role)
    when p.person = 'mia' then c.org_id = tests.org_id('Acme') and c.owner_id = tests.user_id('sam')
    when p.role is null then c.owner_id = tests.user_id('sam')
    else c.org_id = tests.org_id('Acme') and c.owner_id = tests.user_id('sam')
end;
create view tests.by_hand as
select * from tests.seen where person = current_setting('by.person') and role is not distinct from nullif(current_setting('by.role'), '');
grant select on tests.filters to public;

create function tests.is_right(sentence text, by_index boolean default true) returns setof text language plpgsql as $$
declare
    wrong text[] := '{}';
    unindexed text[] := '{}';
    who record;
    asked tests.filters;
    given text[];
    plan text;
begin
    for who in select distinct person, role from tests.seen loop
        for asked in select * from tests.filters loop
            perform set_config('by.person', who.person, true), set_config('by.role', coalesce(who.role, ''), true);
            perform tests.become(who.person, who.role);
            given := tests.answer('select * from crm.contacts where ' || asked.condition);
            plan := tests.explain('select * from crm.contacts where ' || asked.condition);
            perform tests.nobody();
            if given is distinct from tests.answer('select * from tests.by_hand where ' || asked.condition) or given is null then
                wrong := wrong || format('%s: %s', who, asked.condition);
            end if;
            if plan not like '%' || asked.index || '%' then
                unindexed := unindexed || format('%s: %s: %s', who, asked.condition, plan);
            end if;
        end loop;
    end loop;
    return next is(wrong, '{}', sentence || ': everybody sees what they may');
    if by_index then
        return next is(unindexed, '{}', sentence || ': by the index');
    end if;
end
$$;
select tests.is_right('a filter');
set local enable_bitmapscan = off;
select tests.is_right('a filter without bitmaps');
reset enable_bitmapscan;
set local enable_indexscan = off;
select tests.is_right('a filter by bitmaps');
reset enable_indexscan;
set local plan_cache_mode = force_generic_plan;
select tests.is_right('a filter with kept plans');
reset plan_cache_mode;
set local enable_indexscan = off;
set local enable_bitmapscan = off;
select tests.is_right('a filter without indexes', false);
reset enable_indexscan;
reset enable_bitmapscan;
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local min_parallel_index_scan_size = 0;
select tests.is_right('a filter by workers', false);
set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
set local min_parallel_table_scan_size = '8MB';
reset min_parallel_index_scan_size;

-- The index is entered by the organization and the value, whoever asks; the rest of the policy is looked at in each row.
select tests.become('sam', 'Acme');
select matches(
    tests.explain($$select * from crm.contacts where custom_fields ->> 'tier' = 't7'$$),
    'Filter: \(+owner_id = ANY.*Index Cond: \(\(org_id = \$\d+\) AND \(\(custom_fields ->> ''tier''::text\) = ''t7''::text\)\)', 'one''s own are read by index'
);
select tests.become('ann', 'Acme');
select matches(
    tests.explain($$select * from crm.contacts where custom_fields -> 'score' > '490'$$),
    'Cond: \(\(org_id = \$\d+\) AND \(\(custom_fields -> ''score''::text\) > ''490''::jsonb\)\)', 'ranges too'
);
select matches(
    tests.explain($$select * from crm.contacts where custom_fields -> 'score' > '490' order by custom_fields -> 'score' limit 20$$),
    '^Limit\s+(InitPlan[^>]*)?.*Index Scan using contacts_custom_score_number_idx', 'and the order of the index'
);
select unalike(
    tests.explain($$select * from crm.contacts where custom_fields -> 'score' > '490' order by custom_fields -> 'score' desc limit 20$$), '%Sort%', 'backwards as well'
);
select alike(
    tests.explain($$select * from crm.contacts where custom_fields -> 'score' is not null order by custom_fields -> 'score' desc limit 20$$),
    '%contacts_custom_score_number_idx%', 'a whole order, of those that have a value'
);
prepare by_tier (text) as select count(*) from crm.contacts where custom_fields ->> 'tier' = $1;
set local plan_cache_mode = force_generic_plan;
select matches(tests.explain('execute by_tier (''t7'')'), 'custom_fields ->> ''tier''::text\) = \$1', 'a plan for any value is entered by it');
reset plan_cache_mode;
select alike(
    tests.explain($$update crm.contacts set title = 'x' where custom_fields ->> 'tier' = 't7'$$), '%contacts_custom_tier_text_idx%', 'what is changed is found by index'
);
select alike(tests.explain($$delete from crm.contacts where custom_fields ->> 'tier' = 't7'$$), '%contacts_custom_tier_text_idx%', 'what is deleted too');
select alike(
    tests.explain($$select id from crm.contacts where custom_fields ->> 'tier' = 't7' for update$$), '%contacts_custom_tier_text_idx%', 'and what is locked'
);

-- As PostgREST asks: the key is a parameter too. A plan for any key could not use an index, and so is not kept.
prepare by_key as select count(*) from crm.contacts where custom_fields ->> $1 = $2;
prepare by_number as select id from crm.contacts where custom_fields -> $1 > $2 order by custom_fields -> $3 desc limit 20;
do $$
begin
    for n in 1..8 loop
        execute 'execute by_key (''tier'', ''t7'')';
        execute 'execute by_number (''score'', ''490'', ''score'')';
    end loop;
end
$$;
select alike(tests.explain('execute by_key (''tier'', ''t7'')'), '%contacts_custom_tier_text_idx%', 'so a filter over HTTP is one by index');
select alike(tests.explain('execute by_number (''score'', ''490'', ''score'')'), '%contacts_custom_score_number_idx%', 'and an order');

-- What could tell of rows by its errors or its side effects is asked only of rows that one may read. -----------------------------------

select tests.nobody();
create function tests.listen(what text) returns boolean language plpgsql cost 0.0001 as $$
begin
    if what like 'Secret%' then
        raise exception 'heard %', what;
    end if;
    return true;
end
$$;
insert into crm.contacts (org_id, last_name, custom_fields) values (tests.org_id('Zoo'), 'Secret', '{"tier": "t7", "score": 77}'),
    (tests.org_id('Acme'), 'Secret of nobody', '{"tier": "t7", "score": 77}');
select tests.become('sam', 'Acme');
select is(tests.outcome(query), wanted, query)
from (values
    ($$select from crm.contacts where custom_fields ->> 'tier' = 't7' and tests.listen(last_name)$$, '5 rows'),
    ($$select from crm.contacts where custom_fields -> 'score' = '77' and tests.listen(last_name)$$, '4 rows'),
    ($$select from crm.contacts where tests.listen(last_name) and custom_fields ->> 'tier' between 't7' and 't7'$$, '5 rows'),
    ($$update crm.contacts set title = 'x' where custom_fields ->> 'tier' = 't7' and tests.listen(last_name)$$, '5 rows')
) as attempts (query, wanted);
-- Not what only looks like it.
select unalike(tests.explain(query), '%contacts_custom%', 'by no index: ' || query)
from unnest(array[
    $$select from crm.contacts where (custom_fields ->> 'score')::int = 77$$,
    $$select from crm.contacts where custom_fields ->> lower(last_name) = 't7'$$,
    $$select from crm.contacts where custom_fields ->> 'tier' = last_name$$,
    $$select from crm.contacts where custom_fields ->> 'tier' like 't7%'$$,
    $$select from crm.contacts where custom_fields ->> 'tier' = 't7' or tests.listen(last_name)$$,
    $$select from crm.contacts where custom_fields @> '{"tier": "t7"}'$$
]) as query;

-- Where a constraint rules out all rows, there are none.
select tests.nobody();
alter table crm.contacts add constraint contacts_tests_check check (last_name <> 'Nobody');
set local constraint_exclusion = on;
select tests.become('sam', 'Acme');
select is((select count(*) from crm.contacts where custom_fields ->> 'tier' = 't7' and last_name = 'Nobody'), 0::bigint, 'what a constraint rules out is not there');
select is((select count(*) from crm.contacts where custom_fields ->> 'tier' = 't7'), 5::bigint, 'and what it does not rule out, is');
reset constraint_exclusion;

-- A table with policies and such a column that was not enrolled is left to PostgreSQL.
select tests.nobody();
create table tests.plain (org_id uuid, id uuid, custom_fields jsonb);
insert into tests.plain select org_id, id, custom_fields from crm.contacts;
create index plain_idx on tests.plain (org_id, (custom_fields ->> 'tier'));
alter table tests.plain enable row level security;
create policy plain on tests.plain to crm_app using (org_id = (select crm.permitted_org_id('contacts.read')));
grant select on tests.plain to crm_app;
analyze tests.plain;
select tests.become('ann', 'Acme');
select unalike(tests.explain($$select * from tests.plain where custom_fields ->> 'tier' = 't7'$$), '%Index Cond%tier%', 'no other table is touched');

select tests.become_role('crm_admin');
select is(crm.drop_custom_field_index('contacts', 'tier'), '{contacts_custom_tier_text_idx}', 'the DBA drops an index');
select is(crm.drop_custom_field_index('contacts', 'tier'), '{}', 'once');
select tests.nobody();
delete from crm.contacts where last_name like 'Secret%';
select tests.is_right('a filter that has no index', false);

select * from finish();
rollback;
\connect :"home"
set client_min_messages = error;
drop database :"world" with (force);
