-- Without its index a query reads all rows of an organization, or of all of them; without a unique one something is there twice.
-- Told by what is in it, for a DBA may have made another of its kind. One that was not finished: not_valid.
with listed as (
    select true as is_wanted, pg_catalog.to_regclass(w.relation)::oid as oid, w.statement ~ '^create unique' as is_unique,
        pg_catalog.substr(w.statement, pg_catalog.strpos(w.statement, '(')) as definition, w.relation, w.name, w.statement
    from pg_catalog.jsonb_to_recordset($1 -> 'indexes') as w (relation text, name text, statement text)
    union all
    select false, i.indrelid, i.indisunique, pg_catalog.substring(pg_catalog.pg_get_indexdef(i.indexrelid), ' USING btree (.*)$'), null, null, null
    from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indrelid
    where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
),
-- Without how it is stored, what is only carried along, and the signs that the catalog adds.
compared as (
    select listed.*, definition.parts[1] as keys, definition.parts[2] as predicate
    from listed
    cross join lateral (
        values (pg_catalog.string_to_array(pg_catalog.regexp_replace(
            pg_catalog.regexp_replace(pg_catalog.lower(listed.definition), '\s(with|include) \([^)]*\)', '', 'g'), '[\s()"]|::text', '', 'g'
        ), 'where'))
    ) as definition (parts)
)
select
    case when w.is_unique then 'error' else 'warning' end as severity,
    w.relation as object,
    pg_catalog.format('there is no index like %I', w.name) as problem,
    pg_catalog.format(
        'create %sindex %s%son %s', case when w.is_unique then 'unique ' else '' end,
        -- What has partitions cannot have it made so.
        case c.relkind when 'p' then '' else 'concurrently ' end,
        case when pg_catalog.to_regclass(pg_catalog.format('%s.%I', c.relnamespace::pg_catalog.regnamespace, w.name)) is null
            then pg_catalog.format('%I ', w.name) else '' end,
        pg_catalog.substr(w.statement, pg_catalog.strpos(w.statement, w.relation || ' ('))
    ) as fix
from compared as w
join pg_catalog.pg_class as c on c.oid = w.oid
where w.is_wanted
    and not exists (
        select
        from compared as there
        where not there.is_wanted and there.oid = w.oid and there.keys = w.keys and there.is_unique >= w.is_unique
            -- One of all rows serves for those of some.
            and (there.predicate is not distinct from w.predicate or (there.predicate is null and not w.is_unique))
    )
