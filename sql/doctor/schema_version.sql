-- The library, the functions in the catalog and the tables are of one version, or requests fail: a dump brings the tables of the
-- version it was made with, and a package brings a new library.
select 'error' as severity, found.object, found.problem, found.fix
from (
    values
        ($1 ->> 'schema_state' = 'missing', 'crm_private.schema_version',
            'nothing says of which version the tables are', 'Restore the tables from a dump, or, where there are none: select crm_private.install()'),
        ($1 ->> 'schema_state' = 'behind', 'crm_private.schema_version',
            pg_catalog.format('the tables are of version %s, the library of %s', $1 ->> 'schema', $1 ->> 'library'),
            $1 ->> 'advice'),
        ($1 ->> 'schema_state' = 'ahead', 'crm_private.schema_version',
            pg_catalog.format('the tables are of version %s, the library of %s', $1 ->> 'schema', $1 ->> 'library'),
            pg_catalog.format('Install the library of version %s.', $1 ->> 'schema')),
        ($1 ->> 'catalog_state' = 'behind', 'crm_ext',
            pg_catalog.format('the functions in the catalog are of version %s, the library of %s', $1 ->> 'catalog', $1 ->> 'library'),
            'alter extension crm_ext update'),
        ($1 ->> 'catalog_state' = 'ahead', 'crm_ext',
            pg_catalog.format('the functions in the catalog are of version %s, the library of %s', $1 ->> 'catalog', $1 ->> 'library'),
            pg_catalog.format('Install the library of version %s.', $1 ->> 'catalog')),
        ($1 ->> 'catalog_state' = 'missing', 'crm_ext',
            'the extension is not in pg_extension, so no dump and no update knows of it', 'create extension crm_ext, in a new database, and restore the data into it')
) as found (is_so, object, problem, fix)
where found.is_so
