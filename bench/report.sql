\pset tuples_only off
\pset format aligned
\pset footer off
select what, round(owner, 1) as "owner µs", round(app, 1) as "crm_app µs", round(app / owner, 2) as ratio
from (
    select what, min(ordinal) as ordinal,
        percentile_cont(0.5) within group (order by microseconds) filter (where variant = 'owner')::numeric as owner,
        percentile_cont(0.5) within group (order by microseconds) filter (where variant = 'crm_app')::numeric as app
    from timings
    group by what
) as medians
order by ordinal;
