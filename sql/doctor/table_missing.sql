-- A restore that failed half-way, or a table that somebody dropped: whatever touches it answers 500.
select
    'error' as severity,
    wanted.name as object,
    'there is no such table' as problem,
    case
        when pg_catalog.to_regclass('crm_private.schema_version') is null then 'select crm_private.install()'
        else 'Restore it from a dump: pg_restore --schema … --table ….'
    end as fix
from pg_catalog.jsonb_array_elements_text($1 -> 'tables') as wanted (name)
where pg_catalog.to_regclass(wanted.name) is null
