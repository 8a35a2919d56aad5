-- companies: another name for accounts. Whoever asks is asked by the policies of accounts; the columns' comments are those of accounts
-- (src/schema.rs).

create view crm.companies
with (security_invoker = on)
as
select
    org_id, id, name, domain, website, type, status, industry, employees, annual_revenue, currency, email, phone,
    phone_normalized, tax_id, billing_street, billing_city, billing_state, billing_postal_code, billing_country,
    shipping_street, shipping_city, shipping_state, shipping_postal_code, shipping_country, linkedin_url,
    description, parent_id, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version
from crm.accounts;

grant select, insert, update, delete on crm.companies to crm_app, crm_multi;
grant select on crm.companies to crm_backup;

comment on view crm.companies is 'The accounts under another name: what is written here is written there, by the same rules and permissions.';
