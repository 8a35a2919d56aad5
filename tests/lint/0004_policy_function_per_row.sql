-- A bare function in a policy is called for every row of every organization, and keeps the plan from using an index.
with recursive expressions as (
    select
        p.oid,
        p.polrelid,
        p.polname,
        -- Texts can look like anything.
        regexp_replace(
            coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''),
            '''([^'']|'''')*''', '', 'g'
        ) as text
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
),
-- What remains when one innermost (select f(…)) after the other is taken out.
remains as (
    select oid, polrelid, polname, text, false as done
    from expressions
    union all
    select oid, polrelid, polname, stripped, stripped = text
    from remains
    cross join lateral regexp_replace(text, '\( SELECT [^()]*\([^()]*\)[^()]*\)', 'x', 'g') as stripped
    where not done
)
select
    'policy_function_per_row' as name,
    'ERROR' as level,
    polrelid::regclass || ', policy ' || polname as object,
    'calls ' || substring(text from '[[:alnum:]_."]+\(') || '…) for each row' as detail,
    'Write (select f(…)) instead of f(…).' as remediation
from remains
where done and text ~ '[[:alnum:]_"]\(';
