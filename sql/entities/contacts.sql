-- contacts: the people an organization deals with. Seen and changed within the organization, by role.
-- Invariants: the account is of the same organization; an e-mail address occurs once per organization, further ones
-- (contact_emails) included.

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
    email_kind text not null default 'work',
    phone text,
    phone_kind text not null default 'work',
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
    constraint contacts_email_kind_check check (email_kind in ('work', 'home', 'other')),
    constraint contacts_phone_kind_check check (phone_kind in ('work', 'home', 'mobile', 'fax', 'other')),
    constraint contacts_birthday_check check (birthday between date '1850-01-01' and date '2200-01-01'),
    constraint contacts_country_check check (country ~ '^[A-Z]{2}$')
);

create index contacts_org_id_created_at_id_idx on crm.contacts (org_id, created_at, id);
create index contacts_org_id_updated_at_id_idx on crm.contacts (org_id, updated_at, id);
create index contacts_org_id_last_name_first_name_idx on crm.contacts (org_id, last_name, first_name);
create index contacts_org_id_phone_normalized_idx on crm.contacts (org_id, phone_normalized);
create index contacts_org_id_status_created_at_id_idx on crm.contacts (org_id, status, created_at, id);
create index contacts_org_id_account_id_idx on crm.contacts (org_id, account_id) where account_id is not null;
create index contacts_org_id_owner_id_created_at_id_idx on crm.contacts (org_id, owner_id, created_at, id);

create trigger _200_address before update on crm.contacts
    for each row
    when (old.email is distinct from new.email or old.phone is distinct from new.phone)
    execute function crm_private.swap_address();
create trigger _600_addresses after insert on crm.contacts
    referencing new table as added
    for each statement execute function crm_private.check_addresses();

select crm.enroll('crm.contacts', array[
    'salutation line 50', 'first_name line 100', 'last_name required line 100', 'title line 200', 'department line 200',
    'lead_source line 100', 'email email', 'phone phone phone_normalized', 'linkedin_url url', 'avatar_url url',
    'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country', 'description text 20000',
    'external_id line 200'
]);

comment on table crm.contacts is 'People the organization deals with.';
comment on column crm.contacts.account_id is 'The company the contact belongs to; of several, the main one. Further ones are contact_accounts.';
comment on column crm.contacts.salutation is 'Ms, Mr, Dr …';
comment on column crm.contacts.first_name is 'Given names.';
comment on column crm.contacts.last_name is 'Family name.';
comment on column crm.contacts.title is 'Job title.';
comment on column crm.contacts.department is 'Department of the company.';
comment on column crm.contacts.status is 'active, inactive or archived.';
comment on column crm.contacts.lead_source is 'How the contact was won: web, referral, event …';
comment on column crm.contacts.email is
    'The primary address; further ones are contact_emails. Set to one of those, the two change places. Stored trimmed and in lower case, unique within the organization: filter with the lower-case address.';
comment on column crm.contacts.email_kind is 'Of the primary address: work, home or other.';
comment on column crm.contacts.phone is 'The primary number, as given; further ones are contact_phones. Set to one of those, the two change places.';
comment on column crm.contacts.phone_kind is 'Of the primary number: work, home, mobile, fax or other.';
comment on column crm.contacts.phone_normalized is 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';
comment on column crm.contacts.do_not_call is 'Does not want to be called.';
comment on column crm.contacts.do_not_email is 'Does not want e-mail.';
comment on column crm.contacts.linkedin_url is 'https://www.linkedin.com/in/…';
comment on column crm.contacts.avatar_url is 'https://… of a picture.';
comment on column crm.contacts.birthday is 'YYYY-MM-DD.';
comment on column crm.contacts.street is 'Address: street and number, in one or more lines.';
comment on column crm.contacts.city is 'Address: city.';
comment on column crm.contacts.state is 'Address: state, province or region.';
comment on column crm.contacts.postal_code is 'Address: postal code.';
comment on column crm.contacts.country is 'Address: ISO 3166-1 alpha-2.';
comment on column crm.contacts.description is 'Plain text.';
