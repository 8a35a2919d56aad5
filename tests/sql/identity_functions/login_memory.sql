-- The memory that a password's hash takes (19 MB) is given back after each log-in: it does not stay behind in pieces.

begin;
\ir ../actors.psql
select no_plan();

-- In kB.
create function tests.resident() returns integer language sql volatile as $$
    select (regexp_match(pg_read_file('/proc/self/status'), 'VmRSS:\s+(\d+)'))[1]::integer
$$;
select tests.resident() as before \gset
select tests.register('ann', 'Acme');
create table tests.log_ins as
select $$select crm.login('ann@example.com', 'password of ann') ->> 'code'$$ as statement from generate_series(1, 40);
\o /dev/null
select statement from tests.log_ins \gexec
\o
select cmp_ok(tests.resident() - :before, '<', 60000, 'forty log-ins leave next to nothing behind');

select * from finish();
rollback;
