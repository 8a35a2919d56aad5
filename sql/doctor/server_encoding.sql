-- The library reads every text as UTF-8: in another encoding letters are refused or mistaken.
select
    'error' as severity,
    pg_catalog.quote_ident(pg_catalog.current_database()) as object,
    pg_catalog.format('the encoding is %s', $1 ->> 'encoding') as problem,
    'Dump it and restore it into: create database … encoding ''UTF8'' template template0' as fix
where $1 ->> 'encoding' <> 'UTF8'
