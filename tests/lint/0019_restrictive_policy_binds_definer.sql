-- crm_definer is a member of crm_app, so what closes more for crm_app closes it for the functions too: they miss rows, or the
-- function that a policy asks reads the same table, whose policy asks it again.
select
    'restrictive_policy_binds_definer' as name,
    'ERROR' as level,
    p.polrelid::regclass || ', policy ' || p.polname as object,
    'holds for crm_definer, too' as detail,
    'Write using (current_user = ''crm_definer'' or …), and with check the same, or with check (true).' as remediation
from pg_policy as p
join pg_class as c on c.oid = p.polrelid
cross join lateral (
    select pg_get_expr(p.polqual, p.polrelid) as rows, pg_get_expr(p.polwithcheck, p.polrelid) as new_rows
) as condition
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and not p.polpermissive
    and exists (
        select
        from unnest(p.polroles) as role
        where role = 0 or pg_has_role('crm_definer', role, 'usage')
    )
    and not (
        coalesce(rows, 'true') ~ '^(true|\(\(CURRENT_USER = ''crm_definer''::name\) OR .*)$'
        and coalesce(new_rows, 'true') ~ '^(true|\(\(CURRENT_USER = ''crm_definer''::name\) OR .*)$'
    );
