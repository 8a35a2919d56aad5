-- PostgREST's upsert names columns, not predicates: ON CONFLICT does not find a partial index.
select
    'info' as severity,
    pg_catalog.format('%s', i.indexrelid::pg_catalog.regclass) as object,
    pg_catalog.format('upserts do not find it: %s', pg_catalog.pg_get_indexdef(i.indexrelid)) as problem,
    'Make it whole: NULLs are distinct, so rows without a value do not collide.' as fix
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indrelid
where c.relnamespace = pg_catalog.to_regnamespace('crm') and i.indisunique and i.indpred is not null
