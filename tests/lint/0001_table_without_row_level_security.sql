-- Without it, or without FORCE for the owner, a grant alone shows every organization's rows.
select
    'table_without_row_level_security' as name,
    'ERROR' as level,
    c.oid::regclass::text as object,
    format('row level security enabled: %s, forced: %s', c.relrowsecurity, c.relforcerowsecurity) as detail,
    format('alter table %s enable row level security, force row level security', c.oid::regclass) as remediation
from pg_class as c
where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    and c.relkind in ('r', 'p')
    and not (c.relrowsecurity and c.relforcerowsecurity);
