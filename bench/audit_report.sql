create or replace view bench.report as
with rounds as (
    select what, round, max(microseconds) filter (where variant in ('bare', '10000')) as base,
        max(microseconds) filter (where variant in ('audit', '1000000')) as ours, max(microseconds) filter (where variant = 'generic') as generic
    from bench.timings
    group by what, round
),
medians as (
    select what, percentile_cont(0.5) within group (order by base) as base, percentile_cont(0.5) within group (order by ours) as ours,
        percentile_cont(0.5) within group (order by ours / base) as ratio, percentile_cont(0.5) within group (order by generic / base) as generic_ratio
    from rounds
    group by what
)
select what, round(base::numeric, 1) as base, round(ours::numeric, 1) as ours, round(ratio::numeric, 2) as ratio, bar,
    round(((generic_ratio - 1) / nullif(ratio - 1, 0))::numeric, 1) as generic_costs_times, at_least,
    coalesce(ratio <= bar, true) and coalesce((generic_ratio - 1) / nullif(ratio - 1, 0) >= at_least, true) as within
from medians
join (values
    (1, 'insert 1, committed', 1.5, 10), (2, 'insert 1', 1.5, 10), (3, 'update 1', 1.8, 10), (4, 'insert 50k', 1.75, 10),
    (5, 'update 11k', null, 10), (6, 'delete 50k', null, 10), (7, 'insert, first', null, null),
    (8, 'read newest 50', 2, null), (9, 'read history of a record', 2, null), (10, 'read by actor', 2, null), (11, 'read what was deleted', 2, null)
) as bars (ordinal, what, bar, at_least) using (what)
order by ordinal;

comment on view bench.report is 'Microseconds. Of writing: without any trigger, and with history. Of reading: with 10,000 entries, and with 1,000,000.';
select * from bench.report;
