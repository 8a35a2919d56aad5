-- tenants: all organizations, for the platform. Whoever asks is asked by the policies of organizations; the columns' comments are those
-- of organizations (src/schema.rs).

create view crm.tenants
with (security_invoker = on)
as
select
    id, slug, name, plan, status, status_reason, status_changed_at, country, currency, time_zone, created_at, updated_at
from crm.organizations;

grant select on crm.tenants to crm_service, crm_admin, crm_backup;
grant insert (name, slug, country, currency, time_zone) on crm.tenants to crm_service, crm_admin;
grant update (name, country, currency, time_zone) on crm.tenants to crm_service, crm_admin;

comment on view crm.tenants is
    'All organizations, for the platform. A slug that is left out is made from the name. What has rules of its own has functions: crm.suspend_organization, crm.set_plan, crm.delete_organization and their like. Errors: 42501 without the permissions organizations.create and .update; without .read there are no rows.';
