-- What history needs of a backend's memory does not grow with the rows of a statement.

begin;
\ir ../actors.psql
select plan(5);

create function tests.peak() returns bigint language sql as $$
    select (regexp_match(pg_read_file('/proc/self/status'), 'VmHWM:\s+(\d+)'))[1]::bigint
$$;
select tests.register('ann', 'Acme');
update crm.organizations set plan = 'enterprise' where id = tests.org_id('Acme');
create table crm.papers (
    org_id uuid not null, id uuid not null default crm.uuid_v7(), body text, owner_id uuid,
    created_at timestamptz not null, created_by uuid, updated_at timestamptz not null, updated_by uuid, version integer not null,
    primary key (org_id, id), foreign key (org_id) references crm.organizations (id) on delete cascade
);
alter table crm.papers owner to crm_owner;
select crm.enroll('crm.papers');

-- 600 rows of 100 kB each, which lie compressed.
create temporary table peaks (step text, peak bigint);
insert into crm.papers (org_id, body) select tests.org_id('Acme'), repeat('word ', 20000) from generate_series(1, 20);
insert into peaks values ('before', tests.peak());
insert into crm.papers (org_id, body) select tests.org_id('Acme'), repeat('word ', 20000) from generate_series(1, 600);
insert into peaks values ('insert', tests.peak());
update crm.papers set body = repeat('other ', 16000) where org_id = tests.org_id('Acme');
insert into peaks values ('update', tests.peak());
delete from crm.papers where org_id = tests.org_id('Acme');
insert into peaks values ('delete', tests.peak());
select cmp_ok(peak - (select peak from peaks where step = 'before'), '<', 25000::bigint, step || ' of 600 rows of 100 kB takes less than 25 MB')
from peaks where step <> 'before';

-- Nor where entries are stored out of line, because they are large and do not get smaller.
insert into crm.papers (org_id, body) select tests.org_id('Acme'), (select string_agg(md5(n || '-' || part), '') from generate_series(1, 50) as part) from generate_series(1, 10000) as n;
-- All of the server's shared memory counts as the session's once it has touched it: so it does before.
set session_replication_role = replica;
do $$
begin
    for n in 1..ceil(pg_size_bytes(current_setting('shared_buffers')) / 14e6) loop
        update crm.papers set body = reverse(body) where org_id = tests.org_id('Acme');
    end loop;
end
$$;
set session_replication_role = origin;
insert into peaks values ('before large', tests.peak());
update crm.papers set body = reverse(body) where org_id = tests.org_id('Acme');
select cmp_ok(tests.peak() - (select peak from peaks where step = 'before large'), '<', 12000::bigint, 'an update of 10,000 rows whose entries are stored out of line takes less than 12 MB');

-- What is kept from one statement to the next is thrown away when tables are altered.
create table tests.other (a integer);
do $$
begin
    for n in 1..30 loop
        execute format('alter table tests.other alter a set statistics %s', n);
        insert into crm.papers (org_id, body) values (tests.org_id('Acme'), 'x');
    end loop;
end
$$;
select cmp_ok((select count(*) from pg_backend_memory_contexts where name = 'crm_ext append'), '<', 5::bigint, 'what was kept for writing history is not kept twice');
select finish();
rollback;
