-- PostgREST's upsert names columns, not predicates: ON CONFLICT does not find a partial index.
select
    'partial_unique_index' as name,
    'ERROR' as level,
    i.indexrelid::regclass::text as object,
    pg_get_indexdef(i.indexrelid) as detail,
    'Make it whole: NULLs are distinct, so rows without a value do not collide.' as remediation
from pg_index as i
join pg_class as c on c.oid = i.indrelid
where c.relnamespace = 'crm'::regnamespace and i.indisunique and i.indpred is not null;
