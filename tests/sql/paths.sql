-- Plans under row scopes: each scope is read by the index an expert would choose for it, by one plan for all, and whatever the
-- plan, the rows are the policy's, each once.

begin;
\ir actors.psql
select no_plan();

set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
set local min_parallel_table_scan_size = '8MB';
set local jit = off;

-- A table with the policies of an enrolled one, whose scopes are settings: also what no identity can have.
create function tests.scope(name text) returns text language plpgsql stable parallel restricted as $$
begin
    return nullif(current_setting('scope.' || name, true), '');
end
$$;
create function tests.id(kind text, n bigint) returns uuid language sql immutable as $$ select md5(kind || n)::uuid $$;
create table tests.scoped (
    org_id uuid not null, id uuid not null, owner_id uuid, account_id uuid, status text, created_at timestamptz not null, primary key (org_id, id)
);
insert into tests.scoped
select tests.id('org', o), tests.id('row' || o, n), case when n % 11 > 0 then tests.id('owner', n % (1 + n % 7)) end, tests.id('account', n % 300),
    case when n % 10 = 0 then 'inactive' else 'active' end, timestamptz '2026-01-01' + (n % 900) * interval '1 hour'
from unnest('{12000,900,40,3,1}'::int[]) with ordinality as organizations (size, o)
cross join lateral generate_series(1, size) as n
order by md5(n || ' ' || o);
create index on tests.scoped (org_id, created_at, id);
create index on tests.scoped (org_id, owner_id, created_at, id);
create index on tests.scoped (org_id, account_id);
create index on tests.scoped (org_id, lower(status));
analyze tests.scoped;
alter table tests.scoped enable row level security;
grant select, update on tests.scoped to crm_app;
create function tests.scope_id(name text) returns uuid language plpgsql stable parallel restricted as $$
begin
    return tests.scope(name)::uuid;
end
$$;
create function tests.owners() returns uuid[] language plpgsql stable parallel restricted as $$
begin
    return tests.scope('owners')::uuid[];
end
$$;
create policy scoped_select on tests.scoped for select to crm_app using (
    org_id = (select tests.scope_id('permitted'))
    and (owner_id = any ((select tests.owners())::uuid[]) or org_id = (select tests.scope_id('all')))
);
create policy scoped_update on tests.scoped for update to crm_app using (
    org_id = (select tests.scope_id('permitted'))
    and (owner_id = any ((select tests.owners())::uuid[]) or org_id = (select tests.scope_id('all')))
);
create table tests.scopes as
select row_number() over ()::int as n, scopes.* from (values
    ('one''s own', tests.id('org', 1), array[tests.id('owner', 3)], null::uuid),
    ('all', tests.id('org', 1), null, tests.id('org', 1)),
    ('the team''s', tests.id('org', 1), array[tests.id('owner', 1), tests.id('owner', 5)], null),
    ('nobody''s team', tests.id('org', 1), '{}', null),
    ('one''s own of a small one', tests.id('org', 3), array[tests.id('owner', 2)], null),
    ('the team''s of a small one', tests.id('org', 2), array[tests.id('owner', 2), tests.id('owner', 4), tests.id('owner', 6)], null),
    ('all of a small one', tests.id('org', 3), null, tests.id('org', 3)),
    ('nothing', null, null, null),
    ('not permitted', null, array[tests.id('owner', 3)], tests.id('org', 1)),
    ('another organization''s', tests.id('org', 1), array[tests.id('owner', 2)], tests.id('org', 2)),
    ('all of another organization', tests.id('org', 1), null, tests.id('org', 2)),
    ('those of unknown people', tests.id('org', 1), array[null, tests.id('owner', 2)]::uuid[], null),
    ('those of one unknown', tests.id('org', 1), array[null]::uuid[], null),
    ('many people''s', tests.id('org', 1), (select array_agg(tests.id('owner', n)) from generate_series(1, 12) as n), null),
    ('everything at once', tests.id('org', 2), array[tests.id('owner', 2)], tests.id('org', 2))
) as scopes (name, permitted, owners, everything);
create function tests.take(scope int) returns text language plpgsql as $$
declare
    taken tests.scopes;
begin
    select * into taken from tests.scopes where n = scope;
    perform set_config('scope.n', scope::text, true);
    perform set_config('scope.permitted', coalesce(taken.permitted::text, ''), true);
    perform set_config('scope.owners', coalesce(taken.owners::text, ''), true);
    perform set_config('scope.all', coalesce(taken.everything::text, ''), true);
    return taken.name;
end
$$;

-- The same by hand.
create table tests.rows as
select s.n as scope, r.*
from tests.scopes as s
join tests.scoped as r
    on (r.org_id = s.permitted) is true
    and ((r.owner_id = any (s.owners)) is true or (r.org_id = s.everything) is true);
create index on tests.rows (scope, created_at, id);
analyze tests.rows;
create view tests.by_hand as select * from tests.rows where scope = (select current_setting('scope.n')::int);

create table tests.queries (n serial, query text, is_branched boolean);
insert into tests.queries (query, is_branched) values
    ('select id from %s order by created_at desc, id desc limit 50', true),
    ('select id, owner_id from %s order by created_at, id limit 7 offset 20', true),
    ($$select id from %s where (created_at, id) < ('2026-01-20', '80000000-0000-0000-0000-000000000000') order by created_at desc, id desc limit 9$$, true),
    ($$select id from %s where created_at >= '2026-01-05' and status = 'active' order by created_at, id limit 9$$, true),
    ('select id from %s order by id limit 30', true),
    -- What is made for each row, and thrown away after it.
    ($$select id from %s where status ilike 'a%%' order by created_at desc, id desc limit 300$$, true),
    ('select t.status, (t).id from (select t, t.* from %s as t order by created_at desc, id desc limit 200) as t', true),
    ('select count(t.id), count(t.*) from %s as t', true),
    ('select count(*) from %s', true),
    ($$select count(*), count(account_id) from %s where status = 'active'$$, true),
    ('select max(created_at), min(created_at) from %s', true),
    ($$select count(*) from %s where account_id = md5('account7')::uuid$$, false),
    ($$select count(*) from %s where id = md5('row17')::uuid$$, false),
    ($$select a.id, b.id from %1$s as a join %1$s as b on b.org_id = a.org_id and b.account_id = a.account_id
       where a.created_at = '2026-01-03' order by a.created_at, a.id, b.id$$, null),
    ($$select count(*) from %1$s as a cross join lateral (
           select id from %1$s as b where b.created_at > a.created_at order by b.created_at, b.id limit 2
       ) as b where a.created_at < '2026-01-02'$$, null);

create function tests.answer(query text) returns text[] language plpgsql as $$
declare
    answer text[];
begin
    execute format('select array_agg(row::text) from (%s) as row', query) into answer;
    return answer;
end
$$;
create function tests.executed(query text) returns text language sql as $$
    select tests.explain(query, 'analyze, costs off, timing off, summary off')
$$;
grant select on tests.scopes, tests.queries to crm_app;

-- Every query in every scope, by the policy and by hand.
create function tests.is_right(sentence text) returns setof text language plpgsql as $$
declare
    wrong text[] := '{}';
    scope record;
    asked record;
    given text[];
begin
    for scope in select n from tests.scopes loop
        for asked in select query from tests.queries loop
            perform tests.take(scope.n);
            set local role crm_app;
            given := tests.answer(format(asked.query, 'tests.scoped'));
            reset role;
            if given is distinct from tests.answer(format(asked.query, 'tests.by_hand')) then
                wrong := wrong || format('%s: %s', tests.take(scope.n), asked.query);
            end if;
        end loop;
    end loop;
    return next is(wrong, '{}', sentence);
end
$$;
create function tests.differs(scope int) returns boolean language plpgsql as $$
declare
    given uuid[];
    wanted uuid[];
begin
    perform tests.take(scope);
    set local role crm_app;
    execute 'execute page' into given;
    reset role;
    select array_agg(id) into wanted from (select id from tests.by_hand order by created_at desc, id desc limit 40) as page;
    return given is distinct from wanted;
end
$$;
-- The library is loaded by the first of its functions.
select crm.current_user_id();

select tests.is_right('every scope sees its rows');
set local enable_seqscan = off;
select tests.is_right('every scope sees its rows by indexes');
set local enable_indexscan = off;
select tests.is_right('every scope sees its rows by bitmaps');
reset enable_indexscan;
set local enable_bitmapscan = off;
select tests.is_right('every scope sees its rows without bitmaps');
reset enable_bitmapscan;
set local enable_nestloop = off;
set local enable_sort = off;
select tests.is_right('every scope sees its rows by other joins');
reset enable_nestloop;
reset enable_sort;
reset enable_seqscan;
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local min_parallel_index_scan_size = 0;
select tests.is_right('every scope sees its rows by parallel plans');
-- Where workers take part, all processes know of the same nodes: EXPLAIN ANALYZE adds up what each has done.
create function tests.executed_in_parallel(query text) returns text language plpgsql as $$
declare
    plan text;
begin
    set local role crm_app;
    plan := tests.executed(query);
    reset role;
    return plan;
end
$$;
grant usage on schema tests to crm_app;
select tests.take(3);
select matches(
    string_agg(tests.executed_in_parallel(format(query, 'tests.scoped')), e'\n'), 'Gather.*\n *-> .*Row Scope', 'plans with workers are explained'
)
from tests.queries;
set local enable_parallel_hash = off;
set local parallel_tuple_cost = 5;
set local enable_nestloop = off;
set local enable_mergejoin = off;
select matches(
    tests.executed_in_parallel($$
        select count(*) from tests.scoped as a join tests.scoped as b using (org_id, id, owner_id) where b.status = 'inactive'
    $$), 'Gather.*Hash Join.*-> +Hash .*Custom Scan \(Row Scope\) on scoped b [^\n]*\n *-> +Bitmap Heap Scan', 'also where each worker reads one side whole'
);
reset enable_nestloop;
reset enable_mergejoin;
reset enable_parallel_hash;
set local parallel_setup_cost = 1000;
set local parallel_tuple_cost = 0.1;
reset min_parallel_table_scan_size;
reset min_parallel_index_scan_size;

-- Which plans: a branch for each scope where an organization would be walked through.
select tests.take(1);
set local enable_seqscan = off;
set local role crm_app;
select is(
    tests.explain(format(query, 'tests.scoped')) like '%Custom Scan (Row Scope)%', is_branched, 'a branch for each scope, or none: ' || query
)
from tests.queries where is_branched is not null;
select unalike(tests.explain('select id from tests.scoped order by created_at desc, id desc limit 50'), '%Sort  %', 'a page is not sorted');
select matches(
    tests.explain('select id from tests.scoped order by created_at desc, id desc limit 50'),
    'Row Scope.*scoped_org_id_owner_id_created_at_id_idx.*owner_id = .*\[1\]', 'one''s own page is entered by owner'
);
select unalike(
    tests.explain('select id from tests.scoped order by created_at desc, id desc limit 50 for update'), '%Custom Scan (Row Scope)%',
    'rows that are locked are read by one scan'
);
select unalike(
    tests.explain($$update tests.scoped set status = 'x' where created_at > '2026-01-02'$$), '%Custom Scan (Row Scope)%', 'and so are rows that are changed'
);

-- One plan for all scopes, also backwards.
set local plan_cache_mode = force_generic_plan;
prepare page as select array_agg(id) from (select id from tests.scoped order by created_at desc, id desc limit 40) as page;
reset role;
select is(
    (select array_agg(name) from tests.scopes as s where tests.differs(s.n)), null, 'a plan that is kept is right for every scope'
);
select tests.take(2);
set local role crm_app;
declare newest scroll cursor for select id from tests.scoped order by created_at desc, id desc limit 3;
move all from newest;
fetch backward 1 from newest \gset
select is(:'id'::uuid, (select id from tests.scoped order by created_at desc, id desc limit 1 offset 2), 'a cursor goes backwards');
reset role;

-- Of an order that is no index's for one owner, and of an expression, the own rows are sorted.
close newest;
create index on tests.scoped (org_id, md5(id::text));
analyze tests.scoped;
select tests.take(1);
set local role crm_app;
set local plan_cache_mode = auto;
select matches(
    tests.explain('select created_at from tests.scoped order by md5(id::text) limit 5'), 'Row Scope.*Sort.*owner_id = .*\[1\]', 'one''s own are sorted'
);
select is(
    tests.answer('select created_at from tests.scoped order by md5(id::text) limit 5'),
    (select array_agg(row::text) from (select created_at from tests.scoped where owner_id = tests.id('owner', 3) order by md5(id::text), created_at limit 5) as row),
    'and come without what they were sorted by'
);

-- Of the branches only one is read.
select alike(tests.executed('select id from tests.scoped order by created_at desc, id desc limit 5'), '%scoped_org_id_owner_id_created_at_id_idx%', 'one''s own: by owner');
select unalike(
    tests.executed('select id from tests.scoped order by created_at desc, id desc limit 5'), '%scoped_org_id_created_at_id_idx on scoped (actual%', 'and nothing else is read'
);

-- A scan that is repeated with the same scope goes on with its branch.
select is(
    tests.answer('select n, page.id from generate_series(1, 3) as n cross join lateral (
        select id from tests.scoped where n > 0 order by created_at desc, id desc limit 2
    ) as page'),
    tests.answer('select n, page.id from generate_series(1, 3) as n cross join (
        select id from tests.scoped order by created_at desc, id desc limit 2
    ) as page'),
    'a scan is repeated'
);

-- The row that a cursor stands on can be changed; where it is not known, that is said.
declare here cursor for select id, status from tests.scoped order by created_at desc, id desc;
fetch 3 from here;
update tests.scoped set status = 'here' where current of here returning id as changed \gset
select is(
    :'changed'::uuid, (select id from tests.scoped order by created_at desc, id desc limit 1 offset 2), 'where a cursor stands, is known'
);
declare there cursor for select id from tests.scoped order by created_at desc, id desc;
fetch 3 from there;
prepare change_there as update tests.scoped set status = 'there' where current of there;
select throws_ok('change_there', '24000', null, 'of a cursor that reads an index alone it is not');
reset role;

-- The tables of the extension.
select tests.register('ann', 'Acme');
select tests.become('ann', 'Acme');
set local plan_cache_mode = auto;
-- Of an empty table one index is as good as another.
set local enable_sort = off;
select matches(
    tests.explain('select * from crm.contacts order by created_at desc, id desc limit 50'),
    'contacts_org_id_owner_id_created_at_id_idx.*contacts_org_id_created_at_id_idx', 'contacts have a branch for each scope'
);

-- What can have no row is not planned anew: its indexes do not know yet what their scans have to look at.
reset role;
close here;
close there;
alter table tests.scoped add constraint scoped_status_check check (status in ('active', 'inactive', 'here'));
select tests.take(6);
set local role crm_app;
set local constraint_exclusion = on;
set local enable_seqscan = off;
set local enable_bitmapscan = off;
set local enable_sort = off;
select is(
    (select count(*) from (select org_id, id from tests.scoped where account_id is null and account_id is not null order by org_id, id offset 0) as none),
    0::bigint, 'a contradiction finds nothing'
);
select is(
    (select count(*) from (select org_id, id from tests.scoped where status = 'none' order by org_id, id offset 0) as none), 0::bigint,
    'nor does what a constraint rules out'
);
reset role;
insert into crm.contacts (org_id, last_name) select tests.org_id('Acme'), 'Contact ' || n from generate_series(1, 5000) as n;
analyze crm.contacts;
select tests.register('bob', 'Borg');
select tests.become('bob', 'Borg');
select is(
    (select count(*) from (select org_id, id from crm.contacts where status = 'none' order by org_id, id offset 0) as none), 0::bigint,
    'that is nobody''s, and not everybody''s'
);
reset constraint_exclusion;
reset enable_seqscan;
reset enable_bitmapscan;
reset enable_sort;
reset role;

-- What merely looks like a policy is planned by the server alone, and right.
create table tests.plain as select n % 3 as a, n % 10 as b, n as c from generate_series(1, 9000) as n;
create index on tests.plain (a, b, c);
create index on tests.plain (a, c);
analyze tests.plain;
select is((select count(*) from tests.plain where a = 1 and (b = any ('{2,3}') or a = 1)), 3000::bigint, 'both arms are true');
select is((select count(*) from tests.plain where a = 1 and (b = any ('[0:0]={3}'::int[]) or a = 2)), 300::bigint, 'an array begins elsewhere');
prepare plain (int, int[], int) as select count(*) as found from tests.plain where a = $1 and (b = any ($2) or a = $3);
set local plan_cache_mode = force_generic_plan;
execute plain (1, '{3}', 1) \gset
select is(:'found'::int, 3000, 'parameters make both arms true');
execute plain (1, '{{3}}', 2) \gset
select is(:'found'::int, 300, 'an array has two dimensions');
reset plan_cache_mode;
select is(
    (select array_agg((
        select array_agg(c) from (select c from tests.plain as p where p.a = o.x and (p.b = any (o.arr) or p.a = o.y) order by p.c limit 2) as s
    )) from (values (1, '{1,2,3}'::int[], null::int), (1, '{4,5,6}', null), (2, '{7,8,9}', null)) as o (x, arr, y)),
    '{{1,13},{4,16},{8,17}}', 'and another for each row of another table'
);
-- Sub-selects that look like a policy's, whatever they give.
select is(
    (select count(*) from tests.plain where a = (select 1) and (b = any ((select array_agg(n) from generate_series(lo, hi) as n)::int[]) or a = (select y))), wanted,
    format('%s to %s, or all of %s', lo, hi, y)
)
from (values (0, 9, 1, 3000::bigint), (3, 3, 1, 3000), (3, 3, 2, 300), (1, 9, null, 2700), (2, 5, null, 1200)) as given (lo, hi, y, wanted);

select * from finish();
rollback;
