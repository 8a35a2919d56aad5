-- leads: people and companies who may become customers. Seen and changed within the organization, by role.
-- Invariants: a lead has a last name or a company; its status goes its documented ways, and once converted stays that.

create table crm.leads (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    salutation text,
    first_name text,
    last_name text,
    company text,
    title text,
    email text,
    phone text,
    phone_normalized text,
    website text,
    industry text,
    employees integer,
    source text,
    status text not null default 'new',
    rating text,
    score integer,
    estimated_value numeric(19, 4),
    currency text,
    campaign text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    do_not_call boolean not null default false,
    do_not_email boolean not null default false,
    linkedin_url text,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    lost_reason text,
    converted_at timestamptz,
    converted_account_id uuid,
    converted_contact_id uuid,
    converted_deal_id uuid,
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
    constraint leads_pkey primary key (org_id, id),
    constraint leads_org_id_external_id_key unique (org_id, external_id),
    constraint leads_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint leads_org_id_converted_account_id_fkey foreign key (org_id, converted_account_id)
        references crm.accounts (org_id, id) on delete set null (converted_account_id),
    constraint leads_org_id_converted_contact_id_fkey foreign key (org_id, converted_contact_id)
        references crm.contacts (org_id, id) on delete set null (converted_contact_id),
    constraint leads_org_id_converted_deal_id_fkey foreign key (org_id, converted_deal_id)
        references crm.deals (org_id, id) on delete set null (converted_deal_id),
    constraint leads_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint leads_last_name_or_company_check check (last_name is not null or company is not null),
    constraint leads_status_check check (status in ('new', 'working', 'qualified', 'converted', 'recycled', 'lost')),
    constraint leads_rating_check check (rating in ('hot', 'warm', 'cold')),
    constraint leads_score_check check (score between 0 and 100),
    constraint leads_employees_check check (employees between 0 and 100000000),
    constraint leads_estimated_value_check check (estimated_value >= 0 and estimated_value <> 'NaN'),
    constraint leads_currency_check check (currency ~ '^[A-Z]{3}$'),
    constraint leads_country_check check (country ~ '^[A-Z]{2}$')
);

create index leads_org_id_created_at_id_idx on crm.leads (org_id, created_at, id);
create index leads_org_id_updated_at_id_idx on crm.leads (org_id, updated_at, id);
create index leads_org_id_owner_id_created_at_id_idx on crm.leads (org_id, owner_id, created_at, id);
create index leads_org_id_status_created_at_id_idx on crm.leads (org_id, status, created_at, id);
create index leads_org_id_score_id_idx on crm.leads (org_id, score, id);
create index leads_org_id_last_name_first_name_idx on crm.leads (org_id, last_name, first_name);
create index leads_org_id_company_idx on crm.leads (org_id, company);
create index leads_org_id_email_idx on crm.leads (org_id, email);
create index leads_org_id_phone_normalized_idx on crm.leads (org_id, phone_normalized) where phone_normalized is not null;
create index leads_org_id_converted_account_id_idx on crm.leads (org_id, converted_account_id) where converted_account_id is not null;
create index leads_org_id_converted_contact_id_idx on crm.leads (org_id, converted_contact_id) where converted_contact_id is not null;
create index leads_org_id_converted_deal_id_idx on crm.leads (org_id, converted_deal_id) where converted_deal_id is not null;

select crm.enroll('crm.leads', array[
    'salutation line 50', 'first_name line 100', 'last_name line 100', 'company line 200', 'title line 200', 'email email',
    'phone phone phone_normalized', 'website url', 'industry line 100', 'source line 100', 'currency currency', 'campaign line 200',
    'utm_source line 200', 'utm_medium line 200', 'utm_campaign line 200', 'utm_term line 200', 'utm_content line 200',
    'linkedin_url url', 'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country',
    'lost_reason line 500', 'description text 20000', 'external_id line 200',
    'status steps *:new,working,qualified,recycled,lost new:working,qualified,converted,recycled,lost '
        'working:qualified,converted,recycled,lost qualified:working,converted,recycled,lost recycled:working,qualified,lost '
        'lost:recycled,working converted:',
    'converted_at since status converted'
]);

comment on table crm.leads is 'People and companies who may become customers, until they are converted, or lost.';
comment on column crm.leads.salutation is 'Ms, Mr, Dr …';
comment on column crm.leads.first_name is 'Given names.';
comment on column crm.leads.last_name is 'Family name. A lead has this or a company.';
comment on column crm.leads.company is 'The company''s name. A lead has this or a last name.';
comment on column crm.leads.title is 'Job title.';
comment on column crm.leads.email is 'Stored trimmed and in lower case: filter with the lower-case address. Several leads may have the same.';
comment on column crm.leads.phone is 'As given.';
comment on column crm.leads.phone_normalized is 'The phone number in E.164 form (+4989123456), kept by the database; empty when it is no valid number.';
comment on column crm.leads.website is 'https://…';
comment on column crm.leads.industry is 'Free text.';
comment on column crm.leads.employees is 'How many people work at the company.';
comment on column crm.leads.source is 'Where the lead came from: web, referral, event …';
comment on column crm.leads.status is
    'new, working, qualified, converted, recycled (to be nurtured) or lost. New leads may be in any but converted, which is final.';
comment on column crm.leads.rating is 'hot, warm or cold.';
comment on column crm.leads.score is '0 to 100.';
comment on column crm.leads.estimated_value is 'What a deal might bring, in the currency of the column currency.';
comment on column crm.leads.currency is 'ISO 4217.';
comment on column crm.leads.campaign is 'The campaign that won the lead.';
comment on column crm.leads.utm_source is 'utm_source of the link they came by.';
comment on column crm.leads.utm_medium is 'utm_medium of the link they came by.';
comment on column crm.leads.utm_campaign is 'utm_campaign of the link they came by.';
comment on column crm.leads.utm_term is 'utm_term of the link they came by.';
comment on column crm.leads.utm_content is 'utm_content of the link they came by.';
comment on column crm.leads.do_not_call is 'Does not want to be called.';
comment on column crm.leads.do_not_email is 'Does not want e-mail.';
comment on column crm.leads.linkedin_url is 'https://www.linkedin.com/in/…';
comment on column crm.leads.street is 'Address: street and number, in one or more lines.';
comment on column crm.leads.city is 'Address: city.';
comment on column crm.leads.state is 'Address: state, province or region.';
comment on column crm.leads.postal_code is 'Address: postal code.';
comment on column crm.leads.country is 'Address: ISO 3166-1 alpha-2.';
comment on column crm.leads.lost_reason is 'Why it was lost.';
comment on column crm.leads.converted_at is 'When it was converted; kept by the database.';
comment on column crm.leads.converted_account_id is 'The account it became.';
comment on column crm.leads.converted_contact_id is 'The contact it became.';
comment on column crm.leads.converted_deal_id is 'The deal it became.';
comment on column crm.leads.description is 'Plain text.';
