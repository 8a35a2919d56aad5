//! THE INSTALL ORDER. First the script of CREATE EXTENSION, whose objects belong to the extension; then the tables,
//! which `crm_private.install()` makes and which belong to the DBA: pg_dump dumps them whole, and DROP EXTENSION
//! cannot take them.

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::deployment;
use crate::error::{CrmError, Result};
use crate::identity::key_store;
use crate::identity::principal::{has_rights_of, outer_user};

/// Of the library, and of what it makes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

extension_sql_file!("../sql/bootstrap.sql", name = "bootstrap", bootstrap);

/// Each file comes after the one before it. Declared for the script of CREATE EXTENSION, and kept for that of an update
/// (`upgrade`).
macro_rules! code_files {
    ($($path:literal as $name:literal),+ $(,)?) => {
        code_files!(@after "bootstrap", $($path as $name),+);

        pub const CODE_FILES: &[(&str, &str)] = &[$(($name, include_str!($path))),+];
    };
    (@after $before:literal, $path:literal as $name:literal $(, $rest_path:literal as $rest_name:literal)*) => {
        extension_sql_file!($path, name = $name, requires = [$before]);
        code_files!(@after $name, $($rest_path as $rest_name),*);
    };
    (@after $last:literal,) => {};
}

code_files! {
    "../sql/roles.sql" as "roles",
    "../sql/identity/caller.sql" as "identity_caller",
    "../sql/identity/changes.sql" as "identity_changes",
    "../sql/identity/keys.sql" as "identity_keys",
    "../sql/identity/login.sql" as "identity_login",
    "../sql/identity/password.sql" as "identity_password",
    "../sql/identity/invitations.sql" as "identity_invitations",
    "../sql/identity/providers.sql" as "identity_providers",
    "../sql/identity/api_keys.sql" as "identity_api_keys",
    "../sql/identity/platform.sql" as "identity_platform",
    "../sql/identity/upkeep.sql" as "identity_upkeep",
    "../sql/deployment.sql" as "deployment",
    "../sql/access/policy.sql" as "access_policy",
    "../sql/access/members.sql" as "access_members",
    "../sql/access/triggers.sql" as "access_triggers",
    "../sql/plans.sql" as "plans",
    "../sql/audit.sql" as "audit",
    "../sql/audit/history.sql" as "audit_history",
    "../sql/events.sql" as "events",
    "../sql/records.sql" as "records",
    "../sql/tags.sql" as "tags",
    "../sql/custom_fields.sql" as "custom_fields",
    "../sql/crm/defaults.sql" as "defaults",
    "../sql/crm/channels.sql" as "channels",
    "../sql/crm/deals.sql" as "deals",
    "../sql/crm/numbers.sql" as "numbers",
    "../sql/crm/billing.sql" as "billing",
    "../sql/crm/tickets.sql" as "tickets",
    "../sql/crm/notifications.sql" as "crm_notifications",
    "../sql/events/inbound.sql" as "events_inbound",
    "../sql/edge.sql" as "edge",
    "../sql/crm/demo.sql" as "demo",
    "../sql/doctor.sql" as "doctor_and_health",
    "../sql/schema.sql" as "schema",
    "../sql/drop_guard.sql" as "drop_guard",
    "../sql/sweep.sql" as "sweep",
}

extension_sql_file!("../sql/finalize.sql", name = "finalize", finalize);

/// Texts with their paths below `sql/`.
macro_rules! table_files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../sql/", $path)))),*] };
}
/// Run in this order; a file may lean on those before it.
pub const TABLE_FILES: &[(&str, &str)] = table_files![
    "entities/plans.sql",
    "entities/organizations.sql",
    "entities/usage.sql",
    "entities/users.sql",
    "entities/permissions.sql",
    "entities/roles.sql",
    "entities/memberships.sql",
    "entities/groups.sql",
    "entities/identity/settings.sql",
    "entities/identity/signing_keys.sql",
    "entities/identity/passwords.sql",
    "entities/identity/sessions.sql",
    "entities/identity/invitations.sql",
    "entities/identity/notification_emails.sql",
    "entities/identity/identity_providers.sql",
    "entities/identity/api_keys.sql",
    "entities/audit/audit_log.sql",
    "entities/audit/audit_transactions.sql",
    "entities/audit/administration.sql",
    "entities/identity/deployments.sql",
    "entities/audit/deleted_records.sql",
    "entities/tags.sql",
    "entities/custom_fields.sql",
    "entities/number_series.sql",
    "entities/accounts.sql",
    "entities/contacts.sql",
    "entities/contact_channels.sql",
    "entities/pipelines.sql",
    "entities/deals.sql",
    "entities/leads.sql",
    "entities/projects.sql",
    "entities/jobs.sql",
    "entities/tickets.sql",
    "entities/estimates.sql",
    "entities/estimate_items.sql",
    "entities/invoices.sql",
    "entities/invoice_items.sql",
    "entities/payments.sql",
    "entities/activities.sql",
    "entities/tasks.sql",
    "entities/appointments.sql",
    "entities/messages.sql",
    "entities/saved_filters.sql",
    "entities/automations.sql",
    "entities/daily_metrics.sql",
    "entities/notifications.sql",
    "entities/attachments.sql",
    "entities/webhooks.sql",
    "entities/webhook_deliveries.sql",
    "entities/integration_rules.sql",
    "entities/integration_events.sql",
    "views/companies.sql",
    "views/opportunities.sql",
    "views/tenants.sql",
    "views/trash.sql",
];

/// A version, and what it changed in the tables: texts with their paths below `sql/`.
pub type Step = (&'static str, &'static [(&'static str, &'static str)]);

/// What leads from the tables of each version to those of the next (`upgrade`), in order. A file of `TABLE_FILES` that is new in
/// a version stands here as well; what changes the tables of an older file `x.sql` stands in `upgrades/<version>/x.sql`. A
/// version that changes nothing but what enrolment gives has no texts. One that changes nothing at all is not listed: its
/// library works with the tables of before.
pub const STEPS: &[Step] = &[(
    "0.2.0",
    table_files![
        "upgrades/0.2.0/entities/identity/settings.sql",
        "upgrades/0.2.0/entities/identity/invitations.sql",
        "entities/identity/notification_emails.sql",
        "upgrades/0.2.0/entities/plans.sql",
        "upgrades/0.2.0/entities/automations.sql",
        "upgrades/0.2.0/entities/notifications.sql",
        "entities/audit/audit_log.sql",
        "entities/audit/audit_transactions.sql",
        "entities/audit/administration.sql",
        "entities/audit/deleted_records.sql",
        "entities/identity/deployments.sql",
        "entities/webhooks.sql",
        "entities/webhook_deliveries.sql",
        "entities/integration_rules.sql",
        "entities/integration_events.sql",
        "views/trash.sql",
    ],
)];

/// What the tables are made by, file by file.
pub fn table_statements() -> impl Iterator<Item = &'static str> {
    TABLE_FILES.iter().map(|(_, statements)| *statements)
}

#[pg_extern(sql = false)]
fn install() -> Result<(), ErrorReport> {
    if tables_exist()? {
        return Err(CrmError::Refused {
            message: "the tables of the CRM exist already".into(),
            hint: "There is nothing to do.".into(),
        }
        .into());
    }
    let apart = Apart::from_the_extension();
    make(table_statements())?;
    drop(apart);
    db::as_definer(|| key_store::rotate("RS256", false))?;
    db::as_definer(deployment::bind_first)?;
    Ok(())
}

/// Runs the statements, of which what is new then is described and handed over like all there is, and notes that the tables
/// are of this version.
pub fn make<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let before = existing()?;
    for statements in texts {
        db::run(statements)?;
    }
    describe_views(&before)?;
    hand_over(&before)?;
    db::execute("insert into crm_private.schema_version (version) values ($1)", &[VERSION.into()])?;
    Ok(())
}

/// As long as this lives, what is made is no member of the extension whose script runs, and rights that are given are not noted
/// as the extension's own, which a dump would leave out.
pub struct Apart(bool);

impl Apart {
    pub fn from_the_extension() -> Self {
        // SAFETY: of this backend alone; the server sets it anew when the script ends, also by an error.
        unsafe {
            let before = pg_sys::creating_extension;
            pg_sys::creating_extension = false;
            Self(before)
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::creating_extension = self.0 }
    }
}

/// Whether this is the script of a dump: it brings along what triggers would add to its rows.
pub fn is_restore() -> bool {
    // SAFETY: reads a setting.
    !unsafe { pg_sys::row_security } && has_rights_of(outer_user(), c"crm_owner")
}

pub fn tables_exist() -> Result<bool> {
    db::select("select to_regclass('crm_private.schema_version') is not null", &[], &[], |rows| {
        Ok(rows.first().get_one::<bool>()?.unwrap_or(false))
    })
}

/// The tables, views and functions that are there, some of which may be the DBA's own.
fn existing() -> Result<Vec<pg_sys::Oid>> {
    db::select(
        "select pg_catalog.array_agg(made.oid)
         from (
             select oid, relnamespace from pg_catalog.pg_class
             union all
             select oid, pronamespace from pg_catalog.pg_proc
         ) as made (oid, namespace)
         where namespace in (to_regnamespace('crm'), to_regnamespace('crm_private'))",
        &[],
        &[],
        |rows| Ok(rows.first().get_one::<Vec<pg_sys::Oid>>()?.unwrap_or_default()),
    )
}

/// The columns of a view are described like those of its table.
fn describe_views(before: &[pg_sys::Oid]) -> Result<()> {
    let comments = db::select(
        "select string_agg(
             format('comment on column %s.%I is %L', v.oid::regclass, a.attname, col_description(t.oid, b.attnum)), '; '
         )
         from pg_catalog.pg_class as v
         join pg_catalog.pg_rewrite as r on r.ev_class = v.oid
         join pg_catalog.pg_depend as d
             on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid and d.refobjsubid > 0
         join pg_catalog.pg_class as t on t.oid = d.refobjid and t.relkind = 'r'
         join pg_catalog.pg_attribute as b on b.attrelid = t.oid and b.attnum = d.refobjsubid
         join pg_catalog.pg_attribute as a on a.attrelid = v.oid and a.attname = b.attname
         where v.relnamespace = 'crm'::pg_catalog.regnamespace and v.relkind = 'v' and v.oid <> all ($1)
             and col_description(v.oid, a.attnum) is null and col_description(t.oid, b.attnum) is not null",
        &[PgBuiltInOids::OIDARRAYOID],
        &[before.to_vec().into()],
        |rows| rows.first().get_one::<String>(),
    )?;
    db::run(&comments.unwrap_or_default())
}

/// Everything made since becomes an ordinary object of `crm_owner`, open to nobody it was not opened to on purpose.
fn hand_over(before: &[pg_sys::Oid]) -> Result<()> {
    let before: Vec<_> = before.iter().map(|made| made.to_u32().to_string()).collect();
    db::run(&HAND_OVER.replace("$before", &before.join(",")))
}

const HAND_OVER: &str = "do $$
    declare
        before constant pg_catalog.oid[] := '{$before}';
        made record;
        grantee text;
    begin
        for made in
            select c.oid::pg_catalog.regclass::text as name,
                case c.relkind when 'v' then 'view' else 'table' end as kind, 'table' as privileges_on, c.relacl as acl,
                c.relowner as owner
            from pg_catalog.pg_class as c
            where c.relnamespace in ('crm'::pg_catalog.regnamespace, 'crm_private'::pg_catalog.regnamespace)
                and c.relkind in ('r', 'p', 'v') and c.oid <> all (before)
            union all
            -- What is told of a table's row goes with the table.
            select p.oid::pg_catalog.regprocedure::text, 'function', 'function', p.proacl, p.proowner
            from pg_catalog.pg_proc as p
            where p.pronamespace = 'crm'::pg_catalog.regnamespace and p.oid <> all (before) and exists (
                select
                from pg_catalog.pg_type as t
                join pg_catalog.pg_class as c on c.oid = t.typrelid
                where t.oid = any (p.proargtypes) and c.relnamespace = p.pronamespace
            )
        loop
            -- The platform's default privileges may have opened it.
            execute pg_catalog.format('revoke all on %s %s from public', made.privileges_on, made.name);
            for grantee in
                select r.rolname
                from pg_catalog.aclexplode(made.acl) as a
                join pg_catalog.pg_roles as r on r.oid = a.grantee
                where a.grantee <> made.owner and r.rolname not like 'crm\\_%'
            loop
                execute pg_catalog.format('revoke all on %s %s from %I', made.privileges_on, made.name, grantee);
            end loop;
            execute pg_catalog.format('alter %s %s owner to crm_owner', made.kind, made.name);
        end loop;
    end
    $$";
