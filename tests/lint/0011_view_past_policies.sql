-- A view without security_invoker asks the policies about its owner; a materialized one has asked them long ago.
select
    'view_past_policies' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    case c.relkind when 'm' then 'materialized view' else 'view without security_invoker' end as detail,
    case c.relkind
        when 'm' then 'Make it a function that applies the policies.'
        else format('alter view %s set (security_invoker = on)', c.oid::regclass)
    end as remediation
from pg_class as c
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and (
        c.relkind = 'm'
        or (c.relkind = 'v' and not coalesce(c.reloptions && '{security_invoker=on,security_invoker=true,security_invoker=1}', false))
    );
