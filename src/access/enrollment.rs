//! `crm.check_enrollment`: tables of the CRM that are not, or no longer, what `crm.enroll` makes of them.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;

#[pg_extern(sql = false)]
fn check_enrollment() -> Result<TableIterator<'static, (name!(relation, String), name!(problem, String))>, ErrorReport>
{
    let problems = db::select(
        "with tables as (
             select c.oid, c.oid::regclass::text as relation, c.relrowsecurity and c.relforcerowsecurity as forced,
                 exists (
                     select from pg_trigger as t
                     join pg_proc as p on p.oid = t.tgfoid
                     where t.tgrelid = c.oid and p.pronamespace = 'crm_private'::regnamespace and p.proname = 'guard'
                 ) and exists (
                     select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
                 ) as enrolled
             from pg_class as c
             join pg_namespace as n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and (n.nspname = 'crm' or exists (
                 select from pg_trigger as t
                 join pg_proc as p on p.oid = t.tgfoid
                 where t.tgrelid = c.oid and p.pronamespace = 'crm_private'::regnamespace and p.proname = 'guard'
             ))
         ),
         -- What belongs to the CRM as a whole, and what is written through functions alone.
         others (name) as (
             values ('organizations'), ('users'), ('memberships'), ('permissions'), ('built_in_roles'),
                 ('built_in_permissions'), ('plans')
         ),
         problems as (
             select relation, 'is not enrolled: see crm.enroll' as problem
             from tables
             where not enrolled and oid not in (
                 select c.oid from others join pg_class as c on c.relname = others.name
                 where c.relnamespace = 'crm'::regnamespace
             )
             union all
             select relation, 'row level security is not enabled and forced' from tables where not forced
             union all
             select relation, format('the policy of %s for %s is missing or was changed: enroll it again', command.name, r.rolname)
             from tables
             cross join (values ('select', 'r'), ('insert', 'a'), ('update', 'w'), ('delete', 'd')) as command (name, code)
             join pg_roles as r on r.rolname in ('crm_app', 'crm_multi')
             where enrolled and not exists (
                 select from pg_policy as p
                 where p.polrelid = tables.oid and p.polpermissive and p.polcmd = command.code::\"char\" and p.polroles = array[r.oid]
                     and obj_description(p.oid, 'pg_policy') = 'crm_ext ' || md5(concat_ws(
                         ' with check ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
                     ))
             )
             union all
             select relation, format('policy %s lets in more than the table''s own: drop it, or make it restrictive', p.polname)
             from tables
             join pg_policy as p on p.polrelid = tables.oid and p.polpermissive
             where enrolled
                 and p.polroles && array[0, 'crm_anon'::regrole, 'crm_app'::regrole, 'crm_multi'::regrole]::oid[]
                 and coalesce(obj_description(p.oid, 'pg_policy'), '') not like 'crm\\_ext %'
             union all
             select relation, format('trigger %s is missing or does not fire: enroll it again', wanted.name)
             from tables
             cross join (values
                 ('_140_tags', 'tags'), ('_300_guard', 'org_id'), ('_400_scope', 'owner_id'), ('_500_stamp', 'org_id'),
                 ('_150_custom_fields', 'custom_fields'), ('_800_custom_values_insert', 'custom_fields'),
                 ('_800_custom_values_update', 'custom_fields'), ('_800_custom_values_delete', 'custom_fields'),
                 ('_800_custom_values_truncate', 'custom_fields')
             ) as wanted (name, for_column)
             where enrolled
                 and exists (
                     select from pg_attribute as a
                     where a.attrelid = tables.oid and a.attname = wanted.for_column and not a.attisdropped
                         and (wanted.for_column <> 'custom_fields' or a.atttypid = 'jsonb'::regtype)
                 )
                 and not exists (
                     select from pg_trigger as t
                     where t.tgrelid = tables.oid and t.tgname = wanted.name and t.tgenabled in ('O', 'A')
                 )
             union all
             select relation, format('%s may %s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end, lower(a.privilege_type))
             from tables
             join pg_class as c using (oid)
             cross join lateral aclexplode(c.relacl) as a
             where a.grantee in (0, 'crm_anon'::regrole)
             union all
             select relation, format(
                 '%s may %s column %s', case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end,
                 lower(a.privilege_type), c.attname
             )
             from tables
             join pg_attribute as c on c.attrelid = tables.oid
             cross join lateral aclexplode(c.attacl) as a
             where a.grantee in (0, 'crm_anon'::regrole)
         )
         select relation, problem from problems order by 1, 2",
        &[],
        &[],
        |rows| {
            let mut problems = vec![];
            for row in rows {
                if let (Some(relation), Some(problem)) = (row.get::<String>(1)?, row.get::<String>(2)?) {
                    problems.push((relation, problem));
                }
            }
            Ok(problems)
        },
    )?;
    Ok(TableIterator::new(problems))
}
