-- What history needs of a backend's memory does not grow with the rows of a statement.

begin;
\ir ../actors.psql
select plan(3);

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
select finish();
rollback;
