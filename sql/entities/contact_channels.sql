-- contact_emails, contact_phones, contact_accounts: further addresses, numbers and companies of a contact, beside the primary
-- ones, which are the contact's own columns. Parts of the contact: who sees it sees them, who may change it changes them.
-- Invariant: an e-mail address occurs once per organization, among primary and further ones.

create table crm.contact_emails (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    contact_id uuid not null,
    kind text not null default 'work',
    email text not null,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint contact_emails_pkey primary key (org_id, id),
    constraint contact_emails_org_id_email_key unique (org_id, email),
    constraint contact_emails_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint contact_emails_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint contact_emails_kind_check check (kind in ('work', 'home', 'other'))
);

create table crm.contact_phones (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    contact_id uuid not null,
    kind text not null default 'work',
    phone text not null,
    phone_normalized text,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint contact_phones_pkey primary key (org_id, id),
    constraint contact_phones_org_id_contact_id_phone_key unique (org_id, contact_id, phone),
    constraint contact_phones_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint contact_phones_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint contact_phones_kind_check check (kind in ('work', 'home', 'mobile', 'fax', 'other'))
);

create table crm.contact_accounts (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    contact_id uuid not null,
    account_id uuid not null,
    role text,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint contact_accounts_pkey primary key (org_id, id),
    constraint contact_accounts_org_id_contact_id_account_id_key unique (org_id, contact_id, account_id),
    constraint contact_accounts_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint contact_accounts_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint contact_accounts_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete cascade
);

create index contact_emails_org_id_contact_id_idx on crm.contact_emails (org_id, contact_id);
create index contact_emails_org_id_owner_id_created_at_id_idx on crm.contact_emails (org_id, owner_id, created_at, id);
create index contact_phones_org_id_phone_normalized_idx on crm.contact_phones (org_id, phone_normalized) where phone_normalized is not null;
create index contact_phones_org_id_owner_id_created_at_id_idx on crm.contact_phones (org_id, owner_id, created_at, id);
create index contact_accounts_org_id_account_id_idx on crm.contact_accounts (org_id, account_id);
create index contact_accounts_org_id_owner_id_created_at_id_idx on crm.contact_accounts (org_id, owner_id, created_at, id);

create trigger _200_address before insert or update of email on crm.contact_emails
    for each row execute function crm_private.check_address();

select crm.enroll('crm.contact_emails', array['email required email'], part_of => 'contact_id');
select crm.enroll('crm.contact_phones', array['phone required phone phone_normalized'], part_of => 'contact_id');
select crm.enroll('crm.contact_accounts', array['role line 100'], part_of => 'contact_id');

comment on table crm.contact_emails is
    'Further e-mail addresses of the contacts. To make one the primary one, write it to contacts.email: the two change places.';
comment on column crm.contact_emails.contact_id is 'Whose address it is.';
comment on column crm.contact_emails.kind is 'work, home or other.';
comment on column crm.contact_emails.email is 'Stored trimmed and in lower case, unique within the organization, contacts.email included.';
comment on table crm.contact_phones is
    'Further phone numbers of the contacts. To make one the primary one, write it to contacts.phone: the two change places.';
comment on column crm.contact_phones.contact_id is 'Whose number it is.';
comment on column crm.contact_phones.kind is 'work, home, mobile, fax or other.';
comment on column crm.contact_phones.phone is 'As given.';
comment on column crm.contact_phones.phone_normalized is 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';
comment on table crm.contact_accounts is
    'Companies a contact has a role at, beside the main one, contacts.account_id; or at that one.';
comment on column crm.contact_accounts.contact_id is 'The person.';
comment on column crm.contact_accounts.account_id is 'A company.';
comment on column crm.contact_accounts.role is 'What the person is there: board member, consultant …';
