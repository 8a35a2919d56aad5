-- Gives what was restored with --no-owner back to crm_owner, by whom it was restored.
do $$
declare
    one record;
begin
    for one in
        select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind, c.oid::regclass::text as name
        from pg_class as c
        where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm')
            and c.relowner = current_user::regrole
        union all
        select 'function', p.oid::regprocedure::text
        from pg_proc as p
        where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and p.proowner = current_user::regrole
    loop
        execute format('alter %s %s owner to crm_owner', one.kind, one.name);
    end loop;
end
$$;
