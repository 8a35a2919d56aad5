-- Empties a CRM, its own first rows included. Refused where tables outside of its schemas point to it.
do $$
begin
    execute (
        select 'truncate ' || string_agg(oid::regclass::text, ', ')
        from pg_class
        where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind in ('r', 'p')
    );
end
$$;
