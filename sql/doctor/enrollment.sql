-- crm.enroll gives a table its policies, its triggers and its rights; one that was dropped, disabled or changed since, or a table
-- that never was enrolled, leaves a gap that nobody sees. crm.check_enrollment asks the same.
with tables as (
    select c.oid, pg_catalog.format('%s', c.oid::pg_catalog.regclass) as relation, c.relacl,
        c.relrowsecurity and c.relforcerowsecurity as forced,
        guarded.yes and exists (
            select from pg_catalog.pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
        ) as enrolled,
        -- With its rules, so that nothing is lost: those of the CRM's own tables are known.
        coalesce($1 -> 'enrollments' ->> pg_catalog.format('%s', c.oid::pg_catalog.regclass), pg_catalog.format('select crm.enroll(%L, …)', c.oid::pg_catalog.regclass))
            as enrolled_by
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    cross join lateral (
        select exists (
            select from pg_catalog.pg_trigger as t
            join pg_catalog.pg_proc as p on p.oid = t.tgfoid
            where t.tgrelid = c.oid and p.pronamespace = pg_catalog.to_regnamespace('crm_private') and p.proname = 'guard'
        ) as yes
    ) as guarded
    where c.relkind in ('r', 'p') and (n.nspname = 'crm' or guarded.yes)
),
-- What belongs to the CRM as a whole, and what is written through functions alone.
others (name) as (
    values ('organizations'), ('users'), ('memberships'), ('permissions'), ('built_in_roles'), ('built_in_permissions'), ('plans'), ('audit_log'),
        ('audit_transactions'), ('deleted_records'),
        -- Written by whoever delivers: nobody changes them by hand, and they are no history of their own.
        ('webhook_deliveries'), ('webhook_attempts')
)
select 'error' as severity, relation as object, 'is not enrolled: see crm.enroll' as problem,
    enrolled_by as fix
from tables
where not enrolled and oid not in (
    select c.oid from others
    join pg_catalog.pg_class as c on c.relname = others.name
    where c.relnamespace = pg_catalog.to_regnamespace('crm')
)
union all
select 'error', relation, 'row level security is not enabled and forced',
    pg_catalog.format('alter table %s enable row level security, force row level security', relation)
from tables
where not forced
union all
select 'error', relation, pg_catalog.format('the policy of %s for %s is missing or was changed: enroll it again', command.name, r.rolname),
    enrolled_by
from tables
cross join (values ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) as command (name, code)
join pg_catalog.pg_roles as r on r.rolname in ('crm_app', 'crm_multi')
where enrolled and not exists (
    select from pg_catalog.pg_policy as p
    where p.polrelid = tables.oid and p.polpermissive and p.polcmd = command.code::pg_catalog."char" and p.polroles = array[r.oid]
        and pg_catalog.obj_description(p.oid, 'pg_policy') = 'crm_ext ' || pg_catalog.md5(pg_catalog.concat_ws(
            ' with check ', pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
        ))
)
union all
select 'error', relation, pg_catalog.format('policy %s lets in more than the table''s own: drop it, or make it restrictive', p.polname),
    pg_catalog.format('drop policy %I on %s', p.polname, relation)
from tables
join pg_catalog.pg_policy as p on p.polrelid = tables.oid and p.polpermissive
where enrolled
    and (0 = any (p.polroles) or exists (
        select from pg_catalog.pg_roles as r where r.oid = any (p.polroles) and r.rolname in ('crm_anon', 'crm_app', 'crm_multi')
    ))
    and coalesce(pg_catalog.obj_description(p.oid, 'pg_policy'), '') not like 'crm\_ext %'
union all
select 'error', relation, pg_catalog.format('trigger %s is missing or does not fire: enroll it again', wanted.name),
    enrolled_by
from tables
cross join (values
    ('_140_tags', 'tags'), ('_300_guard', 'org_id'), ('_400_scope', 'owner_id'), ('_500_stamp', 'org_id'),
    ('_700_audit_insert', 'org_id'), ('_700_audit_update', 'org_id'), ('_700_audit_delete', 'org_id'), ('_700_audit_truncate', 'org_id'),
    ('_150_custom_fields', 'custom_fields'), ('_800_custom_values_insert', 'custom_fields'),
    ('_800_custom_values_update', 'custom_fields'), ('_800_custom_values_delete', 'custom_fields'),
    ('_800_custom_values_truncate', 'custom_fields')
) as wanted (name, for_column)
where enrolled
    and exists (
        select from pg_catalog.pg_attribute as a
        where a.attrelid = tables.oid and a.attname = wanted.for_column and not a.attisdropped
            and (wanted.for_column <> 'custom_fields' or a.atttypid = 'pg_catalog.jsonb'::pg_catalog.regtype)
    )
    and not exists (
        select from pg_catalog.pg_trigger as t
        where t.tgrelid = tables.oid and t.tgname = wanted.name and t.tgenabled in ('O', 'A')
    )
union all
select 'error', relation, pg_catalog.format('%s may %s%s', grantee.name, pg_catalog.lower(a.privilege_type), ' column ' || a.attname),
    pg_catalog.format('revoke all on %s from %s', relation, grantee.name)
from tables
cross join lateral (
    select null::pg_catalog.name as attname, acl.grantee, acl.privilege_type from pg_catalog.aclexplode(tables.relacl) as acl
    union all
    select c.attname, acl.grantee, acl.privilege_type
    from pg_catalog.pg_attribute as c
    cross join lateral pg_catalog.aclexplode(c.attacl) as acl
    where c.attrelid = tables.oid
) as a
left join pg_catalog.pg_roles as r on r.oid = a.grantee
cross join lateral (values (case a.grantee when 0 then 'PUBLIC' else r.rolname end)) as grantee (name)
where a.grantee = 0 or r.rolname = 'crm_anon'
