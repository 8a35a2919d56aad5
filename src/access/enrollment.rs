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
             select relation, format('has %s policies for crm_app and crm_multi instead of 8: enroll it again', (
                 select count(*) from pg_policy as p
                 where p.polrelid = tables.oid and p.polpermissive
                     and p.polroles && array['crm_app'::regrole, 'crm_multi'::regrole]::oid[]
             ))
             from tables
             where enrolled and 8 <> (
                 select count(*) from pg_policy as p
                 where p.polrelid = tables.oid and p.polpermissive
                     and p.polroles && array['crm_app'::regrole, 'crm_multi'::regrole]::oid[]
             )
             union all
             select relation, format('trigger %s is missing or does not fire: enroll it again', wanted.name)
             from tables
             cross join (values ('_300_guard'), ('_400_scope'), ('_500_stamp')) as wanted (name)
             where enrolled
                 and (wanted.name <> '_400_scope' or exists (
                     select from pg_attribute as a
                     where a.attrelid = tables.oid and a.attname = 'owner_id' and not a.attisdropped
                 ))
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
