//! THE INSTALL ORDER. First the script of CREATE EXTENSION, whose objects belong to the extension; then the tables,
//! which `crm_private.install()` makes and which belong to the DBA: pg_dump dumps them whole, and DROP EXTENSION
//! cannot take them.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::key_store;
use crate::identity::principal::{has_rights_of, outer_user};

extension_sql_file!("../sql/bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!("../sql/identity/caller.sql", name = "identity_caller", requires = ["bootstrap"]);
extension_sql_file!("../sql/identity/changes.sql", name = "identity_changes", requires = ["identity_caller"]);
extension_sql_file!("../sql/identity/keys.sql", name = "identity_keys", requires = ["identity_changes"]);
extension_sql_file!("../sql/identity/login.sql", name = "identity_login", requires = ["identity_keys"]);
extension_sql_file!("../sql/identity/password.sql", name = "identity_password", requires = ["identity_login"]);
extension_sql_file!("../sql/identity/invitations.sql", name = "identity_invitations", requires = ["identity_password"]);
extension_sql_file!("../sql/identity/providers.sql", name = "identity_providers", requires = ["identity_invitations"]);
extension_sql_file!("../sql/identity/api_keys.sql", name = "identity_api_keys", requires = ["identity_providers"]);
extension_sql_file!("../sql/identity/platform.sql", name = "identity_platform", requires = ["identity_api_keys"]);
extension_sql_file!("../sql/identity/upkeep.sql", name = "identity_upkeep", requires = ["identity_platform"]);
extension_sql_file!("../sql/access/policy.sql", name = "access_policy", requires = ["identity_upkeep"]);
extension_sql_file!("../sql/access/members.sql", name = "access_members", requires = ["access_policy"]);
extension_sql_file!("../sql/access/triggers.sql", name = "access_triggers", requires = ["access_members"]);
extension_sql_file!("../sql/plans.sql", name = "plans", requires = ["access_triggers"]);
extension_sql_file!("../sql/records.sql", name = "records", requires = ["plans"]);
extension_sql_file!("../sql/tags.sql", name = "tags", requires = ["records"]);
extension_sql_file!("../sql/custom_fields.sql", name = "custom_fields", requires = ["tags"]);
extension_sql_file!("../sql/crm/defaults.sql", name = "defaults", requires = ["custom_fields"]);
extension_sql_file!("../sql/crm/channels.sql", name = "channels", requires = ["defaults"]);
extension_sql_file!("../sql/crm/deals.sql", name = "deals", requires = ["channels"]);
extension_sql_file!("../sql/crm/numbers.sql", name = "numbers", requires = ["deals"]);
extension_sql_file!("../sql/crm/billing.sql", name = "billing", requires = ["numbers"]);
extension_sql_file!("../sql/crm/tickets.sql", name = "tickets", requires = ["billing"]);
extension_sql_file!("../sql/edge.sql", name = "edge", requires = ["tickets"]);
extension_sql_file!("../sql/crm/demo.sql", name = "demo", requires = ["edge"]);
extension_sql_file!("../sql/schema.sql", name = "schema", requires = ["demo"]);
extension_sql_file!("../sql/finalize.sql", name = "finalize", finalize);

macro_rules! table_files {
    ($($path:literal),+ $(,)?) => { [$(($path, include_str!(concat!("../sql/", $path)))),+] };
}

/// Run in this order; a file may lean on those before it.
const TABLE_FILES: &[(&str, &str)] = &table_files![
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
    "entities/identity/identity_providers.sql",
    "entities/identity/api_keys.sql",
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
    "views/companies.sql",
    "views/opportunities.sql",
    "views/tenants.sql",
];

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
    for (_, statements) in TABLE_FILES {
        db::run(statements)?;
    }
    describe_views()?;
    db::execute("insert into crm_private.schema_version (version) values ($1)", &[env!("CARGO_PKG_VERSION").into()])?;
    hand_over()?;
    drop(apart);
    db::as_definer(|| key_store::rotate("RS256", false))?;
    Ok(())
}

/// As long as this lives, what is made is no member of the extension whose script runs, and rights that are given are not noted
/// as the extension's own, which a dump would leave out.
struct Apart(bool);

impl Apart {
    fn from_the_extension() -> Self {
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

fn tables_exist() -> Result<bool> {
    db::select("select to_regclass('crm_private.schema_version') is not null", &[], &[], |rows| {
        Ok(rows.first().get_one::<bool>()?.unwrap_or(false))
    })
}

/// The columns of a view are described like those of its table.
fn describe_views() -> Result<()> {
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
         where v.relnamespace = 'crm'::pg_catalog.regnamespace and v.relkind = 'v'
             and col_description(v.oid, a.attnum) is null and col_description(t.oid, b.attnum) is not null",
        &[],
        &[],
        |rows| rows.first().get_one::<String>(),
    )?;
    db::run(&comments.unwrap_or_default())
}

/// Everything made so far becomes an ordinary object of `crm_owner`, open to nobody it was not opened to on purpose.
fn hand_over() -> Result<()> {
    db::run(
        "do $$
        declare
            made record;
            grantee text;
        begin
            for made in
                select c.oid::pg_catalog.regclass::text as name,
                    case c.relkind when 'v' then 'view' else 'table' end as kind, 'table' as privileges_on, c.relacl as acl,
                    c.relowner as owner
                from pg_catalog.pg_class as c
                where c.relnamespace in ('crm'::pg_catalog.regnamespace, 'crm_private'::pg_catalog.regnamespace)
                    and c.relkind in ('r', 'v')
                union all
                -- What is told of a table's row goes with the table.
                select p.oid::pg_catalog.regprocedure::text, 'function', 'function', p.proacl, p.proowner
                from pg_catalog.pg_proc as p
                where p.pronamespace = 'crm'::pg_catalog.regnamespace and exists (
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
        $$",
    )
}
