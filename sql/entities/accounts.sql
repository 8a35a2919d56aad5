-- accounts: the companies an organization deals with. Seen and changed within the organization, by role.
-- Invariants: a parent account is of the same organization; no account is among its own parents.

create table crm.accounts (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    domain text,
    website text,
    type text not null default 'prospect',
    status text not null default 'active',
    industry text,
    employees integer,
    annual_revenue numeric(19, 4),
    currency text,
    email text,
    phone text,
    phone_normalized text,
    tax_id text,
    billing_street text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    shipping_street text,
    shipping_city text,
    shipping_state text,
    shipping_postal_code text,
    shipping_country text,
    linkedin_url text,
    description text,
    parent_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint accounts_pkey primary key (org_id, id),
    constraint accounts_org_id_external_id_key unique (org_id, external_id),
    constraint accounts_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint accounts_org_id_parent_id_fkey foreign key (org_id, parent_id)
        references crm.accounts (org_id, id) on delete set null (parent_id),
    constraint accounts_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint accounts_type_check check (type in ('customer', 'prospect', 'partner', 'reseller', 'vendor', 'other')),
    constraint accounts_status_check check (status in ('active', 'inactive', 'archived')),
    constraint accounts_employees_check check (employees between 0 and 100000000),
    constraint accounts_annual_revenue_check check (annual_revenue >= 0 and annual_revenue <> 'NaN'),
    constraint accounts_currency_check check (currency ~ '^[A-Z]{3}$'),
    constraint accounts_billing_country_check check (billing_country ~ '^[A-Z]{2}$'),
    constraint accounts_shipping_country_check check (shipping_country ~ '^[A-Z]{2}$'),
    constraint accounts_parent_id_check check (parent_id <> id)
);

create index accounts_org_id_created_at_id_idx on crm.accounts (org_id, created_at, id);
create index accounts_org_id_updated_at_id_idx on crm.accounts (org_id, updated_at, id);
create index accounts_org_id_name_idx on crm.accounts (org_id, name);
create index accounts_org_id_domain_idx on crm.accounts (org_id, domain);
create index accounts_org_id_phone_normalized_idx on crm.accounts (org_id, phone_normalized);
create index accounts_org_id_status_created_at_id_idx on crm.accounts (org_id, status, created_at, id);
create index accounts_org_id_parent_id_idx on crm.accounts (org_id, parent_id) where parent_id is not null;
create index accounts_org_id_owner_id_created_at_id_idx on crm.accounts (org_id, owner_id, created_at, id);

create trigger _600_hierarchy after insert on crm.accounts
    for each row
    when (new.parent_id is not null)
    execute function crm_private.check_hierarchy('parent_id');
create trigger _600_hierarchy_update after update of parent_id on crm.accounts
    for each row
    when (new.parent_id is not null and new.parent_id is distinct from old.parent_id)
    execute function crm_private.check_hierarchy('parent_id');

select crm.enroll('crm.accounts', array[
    'name required line 200', 'domain domain', 'website url', 'industry line 100', 'currency currency', 'email email',
    'phone phone phone_normalized', 'tax_id line 50',
    'billing_street text 500', 'billing_city line 100', 'billing_state line 100', 'billing_postal_code line 20', 'billing_country country',
    'shipping_street text 500', 'shipping_city line 100', 'shipping_state line 100', 'shipping_postal_code line 20', 'shipping_country country',
    'linkedin_url url', 'description text 20000', 'external_id line 200'
]);

comment on table crm.accounts is 'Companies: customers, prospects, partners and others the organization deals with.';
comment on column crm.accounts.name is 'The company''s name; several may have the same.';
comment on column crm.accounts.domain is 'Internet domain, lower case, without www.';
comment on column crm.accounts.website is 'https://…';
comment on column crm.accounts.type is 'customer, prospect, partner, reseller, vendor or other.';
comment on column crm.accounts.status is 'active, inactive or archived.';
comment on column crm.accounts.industry is 'Free text.';
comment on column crm.accounts.employees is 'How many people work there.';
comment on column crm.accounts.annual_revenue is 'In the currency of the column currency.';
comment on column crm.accounts.currency is 'ISO 4217.';
comment on column crm.accounts.email is 'Stored trimmed and in lower case: filter with the lower-case address.';
comment on column crm.accounts.phone is 'As given.';
comment on column crm.accounts.phone_normalized is 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';
comment on column crm.accounts.tax_id is 'VAT or other tax number, as given.';
comment on column crm.accounts.billing_street is 'Billing address: street and number, in one or more lines.';
comment on column crm.accounts.billing_city is 'Billing address: city.';
comment on column crm.accounts.billing_state is 'Billing address: state, province or region.';
comment on column crm.accounts.billing_postal_code is 'Billing address: postal code.';
comment on column crm.accounts.billing_country is 'Billing address: ISO 3166-1 alpha-2.';
comment on column crm.accounts.shipping_street is 'Shipping address: street and number, in one or more lines.';
comment on column crm.accounts.shipping_city is 'Shipping address: city.';
comment on column crm.accounts.shipping_state is 'Shipping address: state, province or region.';
comment on column crm.accounts.shipping_postal_code is 'Shipping address: postal code.';
comment on column crm.accounts.shipping_country is 'Shipping address: ISO 3166-1 alpha-2.';
comment on column crm.accounts.linkedin_url is 'https://www.linkedin.com/company/…';
comment on column crm.accounts.description is 'Plain text.';
comment on column crm.accounts.parent_id is 'The account this one belongs to, of the same organization. Circles are refused (22023).';

-- Embedded by PostgREST, which follows no foreign key from a table to itself. Of the caller's rights: the policies are asked.
create function crm.parent(account crm.accounts)
    returns setof crm.accounts
    rows 1
    language sql
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as $$ select a.* from crm.accounts as a where a.org_id = ($1).org_id and a.id = ($1).parent_id $$;

revoke all on function crm.parent(crm.accounts) from public;
grant execute on function crm.parent(crm.accounts) to crm_app, crm_multi;

comment on function crm.parent(crm.accounts) is
    'The account that an account belongs to, to be embedded: accounts?select=name,parent(name). None where the caller may not read it.';

create function crm.subsidiaries(account crm.accounts)
    returns setof crm.accounts
    rows 10
    language sql
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as $$ select a.* from crm.accounts as a where a.org_id = ($1).org_id and a.parent_id = ($1).id $$;

revoke all on function crm.subsidiaries(crm.accounts) from public;
grant execute on function crm.subsidiaries(crm.accounts) to crm_app, crm_multi;

comment on function crm.subsidiaries(crm.accounts) is
    'The accounts that belong to an account, as far as the caller may read them, to be embedded: accounts?select=name,subsidiaries(name).';
