-- Deleting what is pointed at then reads the pointing table whole.
select
    'foreign_key_without_index' as name,
    'ERROR' as level,
    k.conrelid::regclass || ', ' || k.conname as object,
    pg_get_constraintdef(k.oid) as detail,
    'Make an index that begins with these columns.' as remediation
from pg_constraint as k
where k.connamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and k.contype = 'f'
    and not exists (
        select
        from pg_index as i
        where i.indrelid = k.conrelid
            -- What points nowhere need not be in it.
            and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%s IS NOT NULL)', (
                select quote_ident(a.attname) from pg_attribute as a
                where a.attrelid = k.conrelid and a.attnum = k.conkey[cardinality(k.conkey)]
            )))
            and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
            and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] <@ k.conkey
    );
