create or replace view bench.report as
with pairs as (
    select what, round, max(a_second) filter (where variant = 'plain') as base, max(a_second) filter (where variant = 'ours') as ours
    from bench.timings where what not like '%,%' group by what, round
    union all
    select split_part(what, ',', 1) || ', 200,000 delayed', round, max(a_second) filter (where what like '%empty'), max(a_second) filter (where what like '%delayed')
    from bench.timings where what like '%,%' group by 1, round
)
select what, round(percentile_cont(0.5) within group (order by base)::numeric) as base,
    round(percentile_cont(0.5) within group (order by ours)::numeric) as ours,
    round(percentile_cont(0.5) within group (order by ours / base)::numeric, 2) as ratio, bar,
    percentile_cont(0.5) within group (order by ours / base) >= bar as within
from pairs
join (values (1, 'batch 1', 0.6), (2, 'batch 100', 0.45), (3, 'batch 1, 200,000 delayed', 0.8), (4, 'batch 100, 200,000 delayed', 0.8))
    as bars (ordinal, what, bar) using (what)
group by ordinal, what, bar
order by ordinal;

comment on view bench.report is 'Deliveries a second: of a plain table and of the queue; of an empty queue and of one with deliveries that are not due.';
select * from bench.report;
