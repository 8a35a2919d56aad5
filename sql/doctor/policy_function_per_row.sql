-- A bare function in a policy is called for every row of every organization, and keeps the plan from using an index.
with recursive expressions as (
    select
        p.oid,
        p.polrelid,
        p.polname,
        -- Texts can look like anything.
        pg_catalog.regexp_replace(
            pg_catalog.concat_ws(' ', pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)),
            '''([^'']|'''')*''', '', 'g'
        ) as text
    from pg_catalog.pg_policy as p
    join pg_catalog.pg_class as c on c.oid = p.polrelid
    where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
),
-- What remains when one innermost (select f(…)) after the other is taken out.
remains as (
    select oid, polrelid, polname, text, false as done
    from expressions
    union all
    select oid, polrelid, polname, stripped, stripped = text
    from remains
    cross join lateral pg_catalog.regexp_replace(text, '\( SELECT [^()]*\([^()]*\)[^()]*\)', 'x', 'g') as stripped
    where not done
)
select
    'warning' as severity,
    pg_catalog.format('%s', polrelid::pg_catalog.regclass) as object,
    pg_catalog.format('policy %I calls %s…) for each row', polname, pg_catalog.substring(text, '[[:alnum:]_."]+\(')) as problem,
    'Write (select f(…)) instead of f(…).' as fix
from remains
where done and text ~ '[[:alnum:]_"]\('
