create or replace view bench.report as
with medians as (
    select what, variant, percentile_cont(0.5) within group (order by microseconds) as microseconds from bench.timings group by what, variant
),
written as (
    select what, max(microseconds) filter (where variant = 'bare') as bare, max(microseconds) filter (where variant = 'audit') as audit,
        max(microseconds) filter (where variant = 'generic') as generic
    from medians
    group by what
),
ratios as (
    select 'write: ' || what as what, round(bare::numeric, 1) as without, round(audit::numeric, 1) as with_history,
        round((audit / bare)::numeric, 2) as ratio, bar, round(((generic - bare) / nullif(audit - bare, 0))::numeric, 1) as generic_costs_times,
        10 as at_least
    from written
    join (values
        ('insert 1, committed', 1.5), ('insert 1', 1.5), ('update 1', 1.8), ('insert 50k', 1.75), ('update 11k', null), ('delete 50k', null)
    ) as bars (what, bar) using (what)
    union all
    select 'read: ' || s.what, round(s.microseconds::numeric, 1), round(l.microseconds::numeric, 1), round((l.microseconds / s.microseconds)::numeric, 2), 2, null, null
    from medians as s
    join medians as l on l.what = s.what and l.variant = '1000000'
    where s.variant = '10000'
)
select *, coalesce(ratio <= bar, true) and coalesce(generic_costs_times >= at_least, true) as within from ratios;

comment on view bench.report is 'Microseconds. write: without any trigger, and with history. read: with 10,000 entries, and with 1,000,000.';
select * from bench.report order by what desc;
