-- tenants: all organizations, for the platform. Its door is crm.list_organizations, which asks who is there: the platform's
-- roles have no rights on the table itself.

create view crm.tenants
with (security_invoker = on)
as
select id, slug, name, status, status_reason, status_changed_at, created_at, members
from crm.list_organizations();

grant select on crm.tenants to crm_service, crm_admin;

comment on view crm.tenants is
    'All organizations, for the platform: crm.list_organizations as a table, to filter, sort and page. They are made and changed with crm.create_organization and its like. Errors: 42501 without the permission organizations.read.';
comment on column crm.tenants.id is 'The organization.';
comment on column crm.tenants.slug is 'Short name for URLs and headers (X-Org-ID), unique, lower case, made from the name.';
comment on column crm.tenants.name is 'Its name.';
comment on column crm.tenants.status is 'active, suspended or cancelled; only an active organization can be worked in.';
comment on column crm.tenants.status_reason is 'Why it was suspended or cancelled.';
comment on column crm.tenants.status_changed_at is 'When it was suspended, cancelled or resumed.';
comment on column crm.tenants.created_at is 'When it was made.';
comment on column crm.tenants.members is 'How many active members it has.';
