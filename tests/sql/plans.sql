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

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'admin');

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

insert into crm.accounts (org_id, id, name, domain, external_id, created_at)
select org_id, md5(org_id || 'account' || n)::uuid, 'Account ' || n, 'example' || n || '.com', 'a' || n, now() - n * interval '7 minutes'
from tests.sizes
cross join lateral generate_series(1, records / 3 + 1) as n
order by md5(n || org_id::text);
insert into crm.contacts (org_id, id, last_name, email, account_id, external_id, phone, created_at)
select org_id, md5(org_id || 'contact' || n)::uuid, 'Contact ' || n, 'contact' || n || '@example.com',
    md5(org_id || 'account' || n % (records / 3 + 1) + 1)::uuid, 'c' || n, null, now() - n * interval '5 minutes'
from tests.sizes
cross join lateral generate_series(1, records) as n
order by md5(n || org_id::text);
analyze;

select cmp_ok((select count(*) from crm.contacts), '>=', 20000::bigint, 'there are many contacts of many organizations');

-- The nodes of a plan, from the top.
create function tests.nodes(query text) returns setof jsonb language plpgsql as $$
declare
    plan json;
begin
    execute 'explain (format json) ' || query into plan;
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

create function tests.reads_one_organization_by_index(query text, sentence text) returns setof text language plpgsql as $$
declare
    kinds constant text[] := tests.kinds(query);
begin
    return next ok(
        kinds && '{Index Scan,Index Only Scan,Bitmap Index Scan}' and not kinds && '{Seq Scan,Gather,Gather Merge}', sentence || ': an index scan ' || kinds::text
    );
    return next matches(tests.index_condition(query), '^\(+org_id = (\$\d+|\(InitPlan)', sentence || ': the index is entered by organization');
end
$$;

create function tests.pages_by_index(query text, sentence text) returns setof text language plpgsql as $$
begin
    return next is(tests.kinds(query), '{Index Scan,Limit}', sentence || ': an index scan with a limit, and no sort');
    return next matches(tests.index_condition(query), '^\(+org_id = (\$\d+|\(InitPlan)', sentence || ': the index is entered by organization');
end
$$;

select tests.become('ann', 'Acme');
select is((select count(*) from crm.contacts), 900::bigint, 'ann sees her organization''s');

select tests.pages_by_index(format('select * from crm.%s order by %s limit 50', target, ordering), format('ann''s first page of %s by %s', target, ordering))
from unnest('{contacts,accounts}'::text[]) as target,
    unnest(array['created_at desc, id desc', 'created_at, id', 'updated_at desc, id desc', 'id desc', 'id']) as ordering;
select tests.pages_by_index('select * from crm.contacts order by last_name, first_name limit 50', 'ann''s first page of contacts by name');
select tests.pages_by_index('select * from crm.accounts order by name limit 50', 'ann''s first page of accounts by name');
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

-- A huge and a tiny organization get the same plan, by generic plans too.
select tests.become('ann', 'Borg');
select tests.pages_by_index('select * from crm.contacts order by created_at desc, id desc limit 50', 'in a tiny organization, ann''s newest contacts');
set local plan_cache_mode = force_generic_plan;
prepare newest (int) as select * from crm.contacts order by created_at desc, id desc limit $1;
select tests.pages_by_index('execute newest (50)', 'ann''s newest contacts by a generic plan');

-- The policies' functions are asked once per statement.
select is(
    (select count(*) from tests.nodes('select * from crm.contacts') as node where node ->> 'Parent Relationship' = 'InitPlan'),
    1::bigint, 'the permission is asked for once per statement'
);
select tests.become('ann');
select is(
    (select count(*) from tests.nodes('select * from crm.contacts') as node where node ->> 'Parent Relationship' = 'InitPlan'),
    1::bigint, 'also across organizations'
);
select is(
    (select array_agg(distinct node ->> 'Parent Relationship') from tests.nodes('select * from crm.contacts') as node
     where node ->> 'Parent Relationship' = 'SubPlan'),
    null, 'and never per row'
);

select * from finish();
rollback;
