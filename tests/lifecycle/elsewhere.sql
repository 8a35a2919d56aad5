-- What there is outside of the CRM's schemas and the server's own, one thing a line.
with own as (
    select oid, nspname from pg_namespace where nspname !~ '^(pg_|information_schema$|crm$|crm_private$)'
),
relations as (
    select c.* from pg_class as c where c.relnamespace in (select oid from own)
)
select fact
from (
    select format('%s %s', case c.relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view' when 'i' then 'index' when 'S' then 'sequence' end, c.oid::regclass)
    from relations as c
    union all
    select format('column %s.%I', a.attrelid::regclass, a.attname)
    from pg_attribute as a
    join relations as c on c.oid = a.attrelid and c.relkind = 'r'
    where a.attnum > 0 and not a.attisdropped
    union all
    select format('default of %s.%I', d.adrelid::regclass, a.attname)
    from pg_attrdef as d
    join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid in (select oid from relations)
    union all
    select format('constraint %I of %s', conname, conrelid::regclass) from pg_constraint where conrelid in (select oid from relations)
    union all
    select format('policy %I of %s', polname, polrelid::regclass) from pg_policy where polrelid in (select oid from relations)
    union all
    select format('trigger %I of %s', tgname, tgrelid::regclass) from pg_trigger where tgrelid in (select oid from relations) and not tgisinternal
    union all
    select format('function %s', oid::regprocedure) from pg_proc where pronamespace in (select oid from own)
    union all
    select format('row level security of %s', oid::regclass) from relations where relrowsecurity
    union all
    select format('schema %I', nspname) from pg_namespace where nspname ~ '^crm|^public$'
    union all
    select format('event trigger %I', evtname) from pg_event_trigger
    union all
    select format('extension %I', extname) from pg_extension
    union all
    select format('role %I', rolname) from pg_roles where rolname like 'crm\_%'
) as facts (fact)
order by fact collate "C";
