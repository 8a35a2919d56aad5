-- An index that CREATE INDEX CONCURRENTLY did not finish costs every write and serves no query, and does not keep values unique;
-- a constraint that is NOT VALID says nothing of the rows that were there before.
select
    case when i.indisunique then 'error' else 'warning' end as severity,
    pg_catalog.format('%s', i.indexrelid::pg_catalog.regclass) as object,
    'an index that is not valid' as problem,
    -- One of a table with partitions is not valid while a partition has none of its kind.
    case x.relkind
        when 'I' then pg_catalog.format('drop index %s; %s', i.indexrelid::pg_catalog.regclass,
            pg_catalog.replace(pg_catalog.pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '))
        else pg_catalog.format('reindex index concurrently %s', i.indexrelid::pg_catalog.regclass)
    end as fix
from pg_catalog.pg_index as i
join pg_catalog.pg_class as x on x.oid = i.indexrelid
join pg_catalog.pg_class as c on c.oid = i.indrelid
where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and not (i.indisvalid and i.indisready and i.indislive)
union all
select
    'warning',
    pg_catalog.format('%s', k.conrelid::pg_catalog.regclass),
    pg_catalog.format('%I holds for new rows only: %s', k.conname, pg_catalog.pg_get_constraintdef(k.oid)),
    pg_catalog.format('alter table %s validate constraint %I', k.conrelid::pg_catalog.regclass, k.conname)
from pg_catalog.pg_constraint as k
where k.connamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private')) and not k.convalidated
