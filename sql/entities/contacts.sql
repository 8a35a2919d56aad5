-- contacts: the people an organization deals with. Seen and changed within the organization, by role.
-- Invariants: the account is of the same organization; an e-mail address occurs once per organization.

create table crm.contacts (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    account_id uuid,
    salutation text,
    first_name text,
    last_name text not null,
    title text,
    department text,
    status text not null default 'active',
    lead_source text,
    email text,
    phone text,
    phone_normalized text,
    do_not_call boolean not null default false,
    do_not_email boolean not null default false,
    linkedin_url text,
    avatar_url text,
    birthday date,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    description text,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint contacts_pkey primary key (org_id, id),
    constraint contacts_org_id_email_key unique (org_id, email),
    constraint contacts_org_id_external_id_key unique (org_id, external_id),
    constraint contacts_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint contacts_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint contacts_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint contacts_status_check check (status in ('active', 'inactive', 'archived')),
    constraint contacts_birthday_check check (birthday between date '1850-01-01' and date '2200-01-01'),
    constraint contacts_country_check check (country ~ '^[A-Z]{2}$')
);

create index contacts_org_id_created_at_id_idx on crm.contacts (org_id, created_at, id);
create index contacts_org_id_updated_at_id_idx on crm.contacts (org_id, updated_at, id);
create index contacts_org_id_last_name_first_name_idx on crm.contacts (org_id, last_name, first_name);
create index contacts_org_id_phone_normalized_idx on crm.contacts (org_id, phone_normalized);
create index contacts_org_id_account_id_idx on crm.contacts (org_id, account_id);
create index contacts_org_id_owner_id_created_at_id_idx on crm.contacts (org_id, owner_id, created_at, id);

select crm.enroll('crm.contacts', array[
    'salutation line 50', 'first_name line 100', 'last_name required line 100', 'title line 200', 'department line 200',
    'lead_source line 100', 'email email', 'phone phone phone_normalized', 'linkedin_url url', 'avatar_url url',
    'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country', 'description text 20000',
    'external_id line 200'
]);

comment on table crm.contacts is 'People the organization deals with.';
comment on column crm.contacts.account_id is 'The company the contact belongs to, of the same organization.';
comment on column crm.contacts.status is 'active, inactive or archived.';
comment on column crm.contacts.email is 'Stored trimmed and in lower case, unique within the organization: filter with the lower-case address.';
comment on column crm.contacts.phone is 'As given.';
comment on column crm.contacts.phone_normalized is 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';
comment on column crm.contacts.birthday is 'YYYY-MM-DD.';
comment on column crm.contacts.country is 'ISO 3166-1 alpha-2.';
