-- A filter by tag reads the caller's organization by an index, and never another one's rows; so does what renames a tag.

begin;
\ir ../actors.psql
select no_plan();

set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
set local min_parallel_table_scan_size = '8MB';
set local jit = off;

select tests.register('ann', 'Acme');
select tests.hire('sam', 'Acme', 'sales');
-- 30 organizations with 1000 contacts each, all with the same tags; Acme has 500.
insert into crm.organizations (slug, name) select 'tags-' || n, 'Organization ' || n from generate_series(1, 30) as n;
insert into crm.contacts (org_id, last_name, tags, owner_id, created_at)
select o.id, 'Contact ' || n, case n % 10 when 0 then '{vip}' when 1 then '{vip,lead}' else '{}' end::text[],
    case when o.id = tests.org_id('Acme') and n % 2 = 0 then tests.user_id('sam') end, now() - n * interval '1 minute'
from crm.organizations as o
cross join lateral generate_series(1, case when o.id = tests.org_id('Acme') then 500 else 1000 end) as n
order by md5(n || o.id::text);
select tests.analyze();
select cmp_ok((select count(*) from crm.contacts), '>=', 30000::bigint, 'there are many contacts of many organizations');

-- The nodes of a plan that was run.
create function tests.nodes(query text) returns setof jsonb language plpgsql as $$
declare
    plan json;
begin
    execute 'explain (analyze, timing off, format json) ' || query into plan;
    return query
        with recursive nodes as (
            select (plan -> 0 -> 'Plan')::jsonb as node
            union all
            select child from nodes cross join lateral jsonb_array_elements(node -> 'Plans') as child
        )
        select node from nodes;
end
$$;

create function tests.reads_one_organization(query text, most numeric, sentence text) returns setof text language plpgsql as $$
declare
    nodes constant jsonb[] := array(select tests.nodes(query));
begin
    return next is_empty(
        format('select 1 from unnest(%L::jsonb[]) as node where node ->> ''Node Type'' in (''Seq Scan'', ''Gather'', ''Gather Merge'') and node ->> ''Relation Name'' = ''contacts''', nodes),
        sentence || ': the table is not read whole'
    );
    return next is_empty(
        format($q$
            select node from unnest(%L::jsonb[]) as node
            where node ->> 'Node Type' in ('Index Scan', 'Index Only Scan', 'Bitmap Index Scan')
                and coalesce(node ->> 'Index Cond', '') !~ '^\(+org_id = '
        $q$, nodes), sentence || ': the index is entered by organization'
    );
    -- What an index scan of one organization finds is kept or filtered out: both together are rows of that organization.
    return next cmp_ok(
        (select max((node ->> 'Actual Rows')::numeric + coalesce((node ->> 'Rows Removed by Filter')::numeric, 0))
         from unnest(nodes) as node where node ->> 'Node Type' in ('Index Scan', 'Index Only Scan', 'Bitmap Index Scan', 'Bitmap Heap Scan')),
        '<=', most, sentence || ': no more rows are looked at than the organization has'
    );
end
$$;

select tests.become('ann', 'Acme');
select is((select count(*) from crm.contacts where tags @> '{vip}'), 100::bigint, 'ann finds hers by tag');
select tests.reads_one_organization($$select * from crm.contacts where tags @> '{vip}'$$, 500, 'ann''s contacts by tag');
select tests.reads_one_organization($$select * from crm.contacts where tags && '{vip,lead}'$$, 500, 'by one of several');
select tests.reads_one_organization($$select * from crm.contacts where tags @> '{nothing}'$$, 500, 'by one that nobody has');
select tests.reads_one_organization($$select * from crm.contacts where tags @> '{vip}' order by created_at desc, id desc limit 50$$, 500, 'a page of them');
select tests.become('sam', 'Acme');
select is((select count(*) from crm.contacts where tags @> '{vip}'), 50::bigint, 'sam finds his');
select tests.reads_one_organization($$select * from crm.contacts where tags @> '{vip}'$$, 500, 'sam''s contacts by tag');
select tests.reads_one_organization($$select * from crm.contacts where tags @> '{vip}' order by created_at desc, id desc limit 50$$, 250, 'a page of them');

select is(
    (select bool_or(p.proleakproof) from pg_operator as o join pg_proc as p on p.oid = o.oprcode where o.oprname in ('@>', '&&') and o.oprleft = 'anyarray'::regtype),
    false, 'an index of tags would be of no use: what the operators do must not be seen of rows that the policies hide'
);

-- What rename_tag does to a table, as its owner and so past the policies; it is planned for each organization.
select tests.nobody();
select tests.reads_one_organization(
    format($$
        update crm.contacts set tags = array(select kept from unnest(tags) as kept where kept <> all ('{vip}')) || '{gold}'::text[]
        where org_id = %L and tags && '{vip}'
    $$, tests.org_id('Acme')), 500, 'what a renamed tag is looked for in'
);
select is((select count(*) from crm.contacts where tags @> '{gold}'), 100::bigint, 'it finds those that have it');

select * from finish();
rollback;
