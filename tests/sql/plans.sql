-- The plans of the common reads under row level security are those of a hand-written "where org_id = …": an index scan
-- that begins with the organization, and a page that ends after its rows, without sorting.

begin;
\ir actors.psql
select no_plan();

-- As in production, whatever this server was told: forced parallel plans are another test's concern.
set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
set local min_parallel_table_scan_size = '8MB';
set local jit = off;

-- ann sees all of Acme, mia what her team has, sam his own; nobody is special to the planner.
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');

-- 60 organizations of very uneven size: the n-th has about 5000 / n records of each kind. Ann's is in the middle.
insert into crm.organizations (id, slug, name)
select tests.uuid, 'plan-' || n, 'Organization ' || n
from generate_series(1, 60) as n
cross join lateral (select md5('organization ' || n)::uuid as uuid) as tests;
create table tests.sizes as
select id as org_id, 5000 / substring(slug from '\d+$')::int as records from crm.organizations where slug like 'plan-%'
union all
select tests.org_id('Acme'), 900
union all
select tests.org_id('Borg'), 3;

-- Ten people in each, of whom each owns as much; and 20 groups of three people.
insert into crm.users (email) select 'plan-' || n || '@example.com' from generate_series(1, 10) as n;
insert into crm.memberships (org_id, user_id, role)
select s.org_id, u.id, 'sales' from tests.sizes as s cross join crm.users as u where u.email like 'plan-%';
create table tests.owners as
select org_id, user_id, row_number() over (partition by org_id order by user_id) - 1 as nth, count(*) over (partition by org_id) as people
from crm.memberships;
create function tests.owner(org_id uuid, nth bigint) returns uuid language sql stable as $$
    select o.user_id from tests.owners as o where o.org_id = owner.org_id and o.nth = owner.nth % o.people
$$;
create index on tests.owners (org_id, nth);
analyze tests.owners;
insert into crm.groups (org_id, id, name)
select org_id, md5(org_id || 'group' || n)::uuid, 'Group ' || n from tests.sizes cross join generate_series(1, 20) as n;
insert into crm.group_members (org_id, group_id, user_id)
select s.org_id, md5(s.org_id || 'group' || n)::uuid, o.user_id
from tests.sizes as s cross join generate_series(1, 20) as n join tests.owners as o on o.org_id = s.org_id and (o.nth + n) % o.people < 3;
insert into crm.group_permissions (org_id, group_id, permission) select org_id, id, 'contacts.read' from crm.groups where id <> all (
    select group_id from crm.group_members where user_id in (tests.user_id('mia'), tests.user_id('sam'))
);
insert into crm.group_roles (org_id, group_id, role) select org_id, group_id, 'read_only' from crm.group_permissions;
insert into crm.roles (org_id, name) select org_id, 'role_' || n from tests.sizes cross join generate_series(1, 10) as n;
insert into crm.role_permissions (org_id, role, permission) select org_id, name, 'contacts.read' from crm.roles where not built_in;
insert into crm.custom_fields (org_id, entity, key, label, type)
select org_id, entity, 'field_' || n, 'Field', 'text' from tests.sizes cross join generate_series(1, 10) as n cross join unnest('{accounts,contacts}'::text[]) as entity;

insert into crm.accounts (org_id, id, name, domain, external_id, owner_id, created_at)
select org_id, md5(org_id || 'account' || n)::uuid, 'Account ' || n, 'example' || n || '.com', 'a' || n, tests.owner(org_id, n), now() - n * interval '7 minutes'
from tests.sizes
cross join lateral generate_series(1, records / 3 + 1) as n
order by md5(n || org_id::text);
insert into crm.contacts (org_id, id, last_name, email, account_id, external_id, phone, owner_id, created_at)
select org_id, md5(org_id || 'contact' || n)::uuid, 'Contact ' || n, 'contact' || n || '@example.com',
    md5(org_id || 'account' || n % (records / 3 + 1) + 1)::uuid, 'c' || n, null, tests.owner(org_id, n),
    now() - n * interval '5 minutes'
from tests.sizes
cross join lateral generate_series(1, records) as n
order by md5(n || org_id::text);

-- Many of everything else that is enrolled, past its triggers: in every column of a foreign key something, and what must not be null.
create table tests.contents (target text, column_name text, expression text);
insert into tests.contents values
    ('crm.appointments', 'ends_at', 'now() + interval ''1 hour'''), ('crm.automations', 'trigger_event', '''contact.created'''), ('crm.saved_filters', 'visibility', '''team'''),
    ('crm.custom_fields', 'type', '''text'''), ('crm.leads', 'last_name', '''Lead '' || n'), ('crm.deals', 'stage_id', 'md5(''stage'' || n)::uuid'),
    ('crm.estimates', 'number', '''EST-'' || n'), ('crm.estimates', 'currency', '''EUR'''), ('crm.invoices', 'currency', '''EUR'''), ('crm.payments', 'currency', '''EUR'''),
    ('crm.integration_rules', 'event_name', '''form.sent_'' || n'), ('crm.integration_events', 'event_name', '''form.sent''');
create function tests.fill(target regclass) returns void language plpgsql as $$
declare
    columns text;
    expressions text;
begin
    select string_agg(quote_ident(c.name), ', ' order by c.name), string_agg(c.expression, ', ' order by c.name)
    into columns, expressions
    from (
        select a.attname as name, coalesce(given.expression, case
            when a.attname = 'org_id' then 's.org_id'
            when a.attname = 'id' then format('md5(s.org_id || %L || n)::uuid', fill.target::text)
            when a.attname = 'created_at' then 'now() - n * interval ''5 minutes'''
            when a.attname = 'owner_id' then 'tests.owner(s.org_id, n)'
            when f.confrelid = 'crm.memberships'::regclass then 'tests.owner(s.org_id, n)'
            when f.confrelid is not null then format('case when n %% %s = %s then md5(s.org_id || %L || n)::uuid end', coalesce(one.of, 1), coalesce(one.nth, 0), f.confrelid::regclass)
            when not a.attnotnull or a.atthasdef then null
            when a.atttypid = 'text'::regtype then '''x'' || n'
            when a.atttypid = 'uuid'::regtype then 'md5(''x'' || n)::uuid'
            when a.atttypid = 'jsonb'::regtype then '''{}''::jsonb'
            when a.atttypid = 'date'::regtype then 'current_date - n'
            when a.atttypid = 'timestamptz'::regtype then 'now() - n * interval ''1 hour'''
            else 'n'
        end) as expression
        from pg_attribute as a
        left join pg_constraint as f on f.conrelid = a.attrelid and f.contype = 'f' and f.conkey[2] = a.attnum and cardinality(f.conkey) = 2
        -- Of several of which one is set, each in turn.
        left join lateral (
            select cardinality(o.conkey) as of, array_position(o.conkey, a.attnum) - 1 as nth
            from pg_constraint as o
            where o.conrelid = a.attrelid and a.attnum = any (o.conkey) and pg_get_constraintdef(o.oid) ~ 'num_nonnulls\(.*\) = 1\)'
        ) as one on true
        left join tests.contents as given on given.target = fill.target::text and given.column_name = a.attname
        where a.attrelid = fill.target and a.attnum > 0 and not a.attisdropped
    ) as c
    where c.expression is not null;
    execute format(
        'insert into %s (%s) select %s from tests.sizes as s cross join lateral generate_series(1, s.records / 3 + 1) as n order by md5(n || s.org_id::text)',
        fill.target, columns, expressions
    );
end
$$;
create function tests.has_few(target regclass) returns boolean language plpgsql as $$
declare
    rows bigint;
begin
    execute format('select count(*) from %s', target) into rows;
    return rows < 300;
end
$$;
set local session_replication_role = replica;
-- Of these there are three in each organization; so there are more organizations.
insert into crm.number_series (org_id, kind) select gen_random_uuid(), kind from generate_series(1, 2000), unnest('{invoice,estimate,ticket}'::text[]) as kind;
select tests.fill(t.tgrelid) from pg_trigger as t
where t.tgfoid = 'crm_private.guard()'::regprocedure and tests.has_few(t.tgrelid);
set local session_replication_role = origin;
select tests.analyze();

select cmp_ok((select count(*) from crm.contacts), '>=', 20000::bigint, 'there are many contacts of many organizations');

-- The nodes of a plan, from the top.
create function tests.nodes(query text) returns setof jsonb language plpgsql as $$
declare
    plan json;
begin
    execute 'explain (format json' || coalesce(', ' || substring(query from '^\((\w+)\) '), '') || ') ' || regexp_replace(query, '^\(\w+\) ', '') into plan;
    return query
        with recursive nodes as (
            select (plan -> 0 -> 'Plan')::jsonb as node
            union all
            select child from nodes cross join lateral jsonb_array_elements(node -> 'Plans') as child
        )
        select node from nodes;
end
$$;

create function tests.kinds(query text) returns text[] language sql as $$
    select array_agg(node ->> 'Node Type' order by node ->> 'Node Type') from tests.nodes(query) as node
    where node ->> 'Node Type' <> 'Result'
$$;

-- The condition of the plan's index scan.
create function tests.index_condition(query text) returns text language sql as $$
    select string_agg(node ->> 'Index Cond', '; ') from tests.nodes(query) as node where node ? 'Index Cond'
$$;

-- The condition of an index scan that is entered otherwise than by organization, be it for one scope alone.
create function tests.entered_otherwise(query text) returns text language sql as $$
    select coalesce(node ->> 'Index Cond', 'the whole index')
    from tests.nodes(query) as node
    where node ->> 'Node Type' in ('Index Scan', 'Index Only Scan', 'Bitmap Index Scan')
        and coalesce(node ->> 'Index Cond', '') !~ '^\(+org_id = (\$\d+|\(InitPlan)'
    limit 1
$$;

create function tests.reads_one_organization_by_index(query text, sentence text) returns setof text language plpgsql as $$
declare
    kinds constant text[] := tests.kinds(query);
begin
    return next ok(
        kinds && '{Index Scan,Index Only Scan,Bitmap Index Scan}' and not kinds && '{Seq Scan,Gather,Gather Merge}', sentence || ': an index scan ' || kinds::text
    );
    return next is(tests.entered_otherwise(query), null, sentence || ': the index is entered by organization');
end
$$;

-- A page is read by an index for each scope (a team's, by one for few people or for many), of which one is read. Only one's own rows
-- may be sorted: nothing is, where an index has them in order.
create function tests.pages_by_index(query text, sentence text, sorts_own boolean default false) returns setof text language plpgsql as $$
declare
    kinds constant text[] := tests.kinds(query);
    page constant text[] := '{Limit,"Custom Scan","Index Scan"}';
begin
    return next ok(
        kinds @> page and kinds <@ case when sorts_own then page || '{Sort}' else page end and array_length(array_positions(kinds, 'Index Scan'), 1) = 4,
        sentence || ': index scans with a limit, and no sort ' || kinds::text
    );
    return next is(tests.entered_otherwise(query), null, sentence || ': the index is entered by organization');
    return next is_empty(
        format($q$select 1 from tests.nodes(%L) as node where node ->> 'Node Type' = 'Sort' and coalesce(node #>> '{Plans,0,Index Cond}', '') !~ 'owner_id = .*\[1\]'$q$, query),
        sentence || ': nobody else''s rows are sorted'
    );
    return next is(
        (select count(*) from tests.nodes('(analyze) ' || query) as node where node ->> 'Node Type' = 'Index Scan' and (node ->> 'Actual Loops')::numeric > 0),
        1::bigint, sentence || ': one of them is read'
    );
end
$$;

select tests.become('ann', 'Acme');
select is((select count(*) from crm.contacts), 900::bigint, 'ann sees her organization''s');

select tests.pages_by_index(format('select * from crm.%s order by %s limit 50', target, ordering), format('ann''s first page of %s by %s', target, ordering), ordering !~ 'created_at')
from unnest('{contacts,accounts}'::text[]) as target,
    unnest(array['created_at desc, id desc', 'created_at, id', 'updated_at desc, id desc', 'id desc', 'id']) as ordering;
select tests.pages_by_index('select * from crm.contacts order by last_name, first_name limit 50', 'ann''s first page of contacts by name', true);
select tests.pages_by_index('select * from crm.accounts order by name limit 50', 'ann''s first page of accounts by name', true);
select tests.pages_by_index(
    $$select * from crm.contacts where (created_at, id) < (now() - interval '1 day', '00000000-0000-0000-0000-000000000000') order by created_at desc, id desc limit 50$$,
    'ann''s next page of contacts by keyset'
);

select tests.reads_one_organization_by_index(format('select * from crm.%s where %s', target, condition), format('ann''s %s by %s', target, condition))
from (values
    ('contacts', $$id = '018f0000-0000-7000-8000-000000000001'$$),
    ('contacts', $$email = 'contact7@example.com'$$),
    ('contacts', $$external_id = 'c7'$$),
    ('contacts', $$account_id = '018f0000-0000-7000-8000-000000000001'$$),
    ('contacts', $$phone_normalized = '+16502530000'$$),
    ('contacts', $$last_name = 'Contact 7'$$),
    ('contacts', $$email in ('contact7@example.com', 'contact8@example.com')$$),
    ('accounts', $$id = '018f0000-0000-7000-8000-000000000001'$$),
    ('accounts', $$external_id = 'a7'$$),
    ('accounts', $$name = 'Account 7'$$),
    ('accounts', $$domain = 'example7.com'$$),
    ('accounts', $$parent_id = '018f0000-0000-7000-8000-000000000001'$$)
) as reads (target, condition);

-- The condition itself is used to enter the index, not only the organization.
select matches(
    tests.index_condition('select * from crm.contacts where ' || condition), '\(' || column_name || ' = ', 'and so is ' || column_name
)
from (values
    ('id', $$id = '018f0000-0000-7000-8000-000000000001'$$),
    ('email', $$email = 'contact7@example.com'$$),
    ('external_id', $$external_id = 'c7'$$),
    ('account_id', $$account_id = '018f0000-0000-7000-8000-000000000001'$$)
) as reads (column_name, condition);

select tests.reads_one_organization_by_index($$update crm.contacts set title = 'x' where id = '018f0000-0000-7000-8000-000000000001'$$, 'ann changes a contact by id');
select tests.reads_one_organization_by_index($$delete from crm.contacts where id = '018f0000-0000-7000-8000-000000000001'$$, 'ann removes a contact by id');

-- PostgREST asks for embedded rows with a lateral join.
select ok(
    not tests.kinds($$
        select c.*, row_to_json(a.*)
        from (select * from crm.contacts order by created_at desc, id desc limit 50) as c
        left join lateral (select * from crm.accounts as a where a.org_id = c.org_id and a.id = c.account_id) as a on true
    $$) && '{Seq Scan,Sort}',
    'ann''s page of contacts with their accounts reads no table whole'
);

-- Whatever reaches as far as it may: every enrolled table, by id and by what it points to.
select tests.nobody();
select isnt(
    tests.entered_otherwise($$select * from tests.owners where org_id = '018f0000-0000-7000-8000-000000000001'$$), null, 'an index that is entered otherwise is noticed'
);
create table tests.reads as
select t.tgrelid::regclass as target, a.attname as column_name,
    case a.atttypid when 'uuid'::regtype then '018f0000-0000-7000-8000-000000000001' else 'role_1' end as value
from pg_trigger as t
join pg_attribute as a on a.attrelid = t.tgrelid
where t.tgfoid = 'crm_private.guard()'::regprocedure and (a.attname = 'id' or exists (
    select from pg_constraint as c where c.conrelid = t.tgrelid and c.contype = 'f' and c.conkey[2] = a.attnum
));
create table tests.owned as
select distinct target from tests.reads
where column_name = 'owner_id'
    -- What somebody sees of these is little, and said by more than scopes: it may be sorted.
    and target not in (select polrelid from pg_policy where not polpermissive);
grant select on tests.reads, tests.owned to public;
select cmp_ok((select count(*) from tests.reads), '>=', 17::bigint, 'every enrolled table is read by id, and by what it points to');
create function tests.reads_by_index(person text, reach text) returns setof text language plpgsql as $$
declare
    r tests.reads;
    query text;
begin
    perform tests.become(person, 'Acme');
    for r in select * from tests.reads order by target::text, column_name loop
        query := format('select * from %s where %I = %L', r.target, r.column_name, r.value);
        return query select tests.reads_one_organization_by_index(query, format('%s, who reaches %s, reads %s by %s', person, reach, r.target, r.column_name));
        return next is(tests.called_per_row(query), null, 'no function is called for each row');
    end loop;
    for r in select o.target from tests.owned as o loop
        query := format('select * from %s order by created_at desc, id desc limit 50', r.target);
        return query select tests.pages_by_index(query, format('%s reads a page of %s', person, r.target));
        return next is(tests.called_per_row(query), null, 'no function is called for each row');
    end loop;
end
$$;
-- A function of ours, or a sub-plan, in the conditions of a scan or a join.
create function tests.called_per_row(query text) returns text language sql as $$
    select string_agg(condition, '; ')
    from tests.nodes(query) as node, jsonb_each_text(node) as part (name, condition)
    where (name ~ ' Cond$|Filter$|^Sort Key$' and condition ~ '\mcrm(_private)?\.|SubPlan') or (name = 'Parent Relationship' and condition = 'SubPlan')
$$;
-- What is asked of ours before the scans begin: all that one node asks, in one line.
create function tests.questions(query text) returns text[] language sql as $$
    select array_agg(asked order by asked collate "C")
    from tests.nodes('(verbose) ' || query) as node,
        lateral (
            select string_agg(substring(output from 'crm\.(.*)::text'), ' ' order by output collate "C") from jsonb_array_elements_text(node -> 'Output') as output
        ) as asks (asked)
    where node ->> 'Parent Relationship' = 'InitPlan'
$$;
select tests.reads_by_index('ann', 'all');
select isnt(
    tests.called_per_row('select * from crm.contacts where title = crm.current_user_id()::text'), null, 'a function that is called for each row is noticed'
);
select is((select count(distinct owner_id) from crm.contacts), 13::bigint, 'ann sees everybody''s contacts');
select tests.reads_by_index('mia', 'her team''s');
select cmp_ok((select count(distinct owner_id) from crm.contacts), '<', 13::bigint, 'mia sees only her team''s');
select cmp_ok((select count(distinct owner_id) from crm.contacts), '>', 1::bigint, 'and not only her own');
select tests.reads_by_index('sam', 'his own');
select is((select array_agg(distinct owner_id) from crm.contacts), array[tests.user_id('sam')], 'sam sees his own contacts');
select tests.become('mia');
select ok(
    not tests.kinds(format('select * from %s where %I = %L', r.target, r.column_name, r.value)) && '{Seq Scan,Gather,Gather Merge}',
    format('mia, across her organizations, reads %s by %s without going through all', r.target, r.column_name)
)
from tests.reads as r join tests.owned using (target);

-- A huge and a tiny organization get the same plan, by generic plans too.
select tests.become('ann', 'Borg');
select tests.pages_by_index('select * from crm.contacts order by created_at desc, id desc limit 50', 'in a tiny organization, ann''s newest contacts');
set local plan_cache_mode = force_generic_plan;
prepare newest (int) as select * from crm.contacts order by created_at desc, id desc limit $1;
select tests.pages_by_index('execute newest (50)', 'ann''s newest contacts by a generic plan');

-- Each question is asked once per statement, and all of them by one node.
select is(
    tests.questions('select * from crm.contacts'), array[$$all_scope_org_id('contacts.read' permitted_org_id('contacts.read' scope_user_ids('contacts.read'$$],
    'what is permitted is asked once per statement'
);
select is(
    tests.questions('select c.id from crm.contacts as c join crm.accounts as a using (org_id)'),
    array[$$all_scope_org_id('accounts.read' all_scope_org_id('contacts.read' permitted_org_id('accounts.read' permitted_org_id('contacts.read' scope_user_ids('accounts.read' scope_user_ids('contacts.read'$$],
    'also of several tables'
);
select is(
    cardinality(tests.questions('update crm.contacts set title = title where id = org_id returning id')), 1, 'and of a change'
);
select tests.become('ann');
select is(
    tests.questions('select * from crm.contacts'), array[
        $$all_scope_org_ids('contacts.read'$$, $$permitted_org_ids('contacts.read'$$, $$team_scope_keys('contacts.read'$$, null
    ], 'also across organizations'
);
select is(tests.called_per_row('select * from crm.contacts'), null, 'and never per row');

select * from finish();
rollback;
