-- Deleting what is pointed at then reads the pointing table whole.
select
    'warning' as severity,
    pg_catalog.format('%s', k.conrelid::pg_catalog.regclass) as object,
    pg_catalog.format('%I: %s', k.conname, pg_catalog.pg_get_constraintdef(k.oid)) as problem,
    pg_catalog.format('create index concurrently on %s (%s)', k.conrelid::pg_catalog.regclass, (
        select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by key.place)
        from pg_catalog.unnest(k.conkey) with ordinality as key (attnum, place)
        join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = key.attnum
    )) as fix
from pg_catalog.pg_constraint as k
where k.connamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and k.contype = 'f'
    and not exists (
        select
        from pg_catalog.pg_index as i
        where i.indrelid = k.conrelid
            -- What points nowhere need not be in it.
            and (i.indpred is null or pg_catalog.pg_get_expr(i.indpred, i.indrelid) = pg_catalog.format('(%s IS NOT NULL)', (
                select pg_catalog.quote_ident(a.attname) from pg_catalog.pg_attribute as a
                where a.attrelid = k.conrelid and a.attnum = k.conkey[pg_catalog.cardinality(k.conkey)]
            )))
            and (i.indkey::smallint[])[0:pg_catalog.cardinality(k.conkey) - 1] @> k.conkey
            and (i.indkey::smallint[])[0:pg_catalog.cardinality(k.conkey) - 1] <@ k.conkey
    )
