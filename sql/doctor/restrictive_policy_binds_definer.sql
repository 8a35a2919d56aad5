-- crm_definer is a member of crm_app, so what closes more for crm_app closes it for the functions too: they miss rows, or the
-- function that a policy asks reads the same table, whose policy asks it again.
select
    'error' as severity,
    pg_catalog.format('%s', p.polrelid::pg_catalog.regclass) as object,
    pg_catalog.format('policy %I holds for crm_definer, too', p.polname) as problem,
    'Write using (current_user = ''crm_definer'' or …), and with check the same, or with check (true).' as fix
from pg_catalog.pg_policy as p
join pg_catalog.pg_class as c on c.oid = p.polrelid
cross join lateral (
    select pg_catalog.pg_get_expr(p.polqual, p.polrelid) as rows, pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as new_rows
) as condition
where c.relnamespace in (pg_catalog.to_regnamespace('crm'), pg_catalog.to_regnamespace('crm_private'))
    and not p.polpermissive
    and exists (
        select
        from pg_catalog.unnest(p.polroles) as role
        cross join pg_catalog.pg_roles as definer
        where definer.rolname = 'crm_definer' and (role = 0 or pg_catalog.pg_has_role(definer.oid, role, 'usage'))
    )
    and not (
        coalesce(rows, 'true') ~ '^(true|\(\(CURRENT_USER = ''crm_definer''::name\) OR .*)$'
        and coalesce(new_rows, 'true') ~ '^(true|\(\(CURRENT_USER = ''crm_definer''::name\) OR .*)$'
    )
