-- estimates: offers to a customer, with their lines in estimate_items. Seen and changed within the organization, by role; a line as
-- its estimate.
-- Invariants: an estimate has a number from the beginning; its amounts are the sums of its lines; what is no draft is as it was sent.

create table crm.estimates (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    number text,
    title text,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    status text not null default 'draft',
    currency text,
    issue_date date,
    valid_until date,
    notes text,
    terms text,
    subtotal numeric(19, 4) not null default 0,
    discount_total numeric(19, 4) not null default 0,
    tax_total numeric(19, 4) not null default 0,
    total numeric(19, 4) not null default 0,
    taxes jsonb not null default '[]',
    sent_at timestamptz,
    accepted_at timestamptz,
    declined_at timestamptz,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint estimates_pkey primary key (org_id, id),
    constraint estimates_org_id_number_key unique (org_id, number),
    constraint estimates_org_id_external_id_key unique (org_id, external_id),
    constraint estimates_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint estimates_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint estimates_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint estimates_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint estimates_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    -- Not NOT NULL: then the API's document would ask clients for what the database gives.
    constraint estimates_number_check check (number is not null),
    constraint estimates_currency_check check (currency is not null and currency ~ '^[A-Z]{3}$'),
    constraint estimates_status_check check (status in ('draft', 'sent', 'accepted', 'declined', 'expired')),
    constraint estimates_issue_date_check check (issue_date between date '1900-01-01' and date '2200-01-01'),
    constraint estimates_valid_until_check check (valid_until <= date '2200-01-01' and valid_until >= coalesce(issue_date, date '1900-01-01')),
    constraint estimates_total_check check (total = subtotal + tax_total and (status = 'draft' or total >= 0))
);

create index estimates_org_id_created_at_id_idx on crm.estimates (org_id, created_at, id);
create index estimates_org_id_updated_at_id_idx on crm.estimates (org_id, updated_at, id);
create index estimates_org_id_status_issue_date_id_idx on crm.estimates (org_id, status, issue_date, id);
create index estimates_org_id_account_id_idx on crm.estimates (org_id, account_id) where account_id is not null;
create index estimates_org_id_contact_id_idx on crm.estimates (org_id, contact_id) where contact_id is not null;
create index estimates_org_id_deal_id_idx on crm.estimates (org_id, deal_id) where deal_id is not null;
create index estimates_org_id_owner_id_created_at_id_idx on crm.estimates (org_id, owner_id, created_at, id);

create trigger _450_document before insert or update on crm.estimates
    for each row execute function crm_private.check_document('estimate');

select crm.enroll('crm.estimates', array[
    'number kept', 'title line 200', 'status steps *:draft draft:sent sent:draft,accepted,declined,expired accepted: declined:draft expired:draft',
    'currency currency', 'notes text 20000', 'terms text 20000', 'subtotal kept', 'discount_total kept', 'tax_total kept', 'total kept',
    'taxes kept', 'sent_at since status sent,accepted,declined,expired', 'accepted_at since status accepted',
    'declined_at since status declined', 'external_id line 200'
]);

comment on table crm.estimates is 'Offers to customers. Their lines are estimate_items.';
comment on column crm.estimates.number is 'Given by the database, from the series of number_series; unique within the organization. It never changes.';
comment on column crm.estimates.title is 'What is offered, in one line.';
comment on column crm.estimates.account_id is 'The customer, of the same organization.';
comment on column crm.estimates.contact_id is 'Whom it is addressed to.';
comment on column crm.estimates.deal_id is 'The deal it belongs to.';
comment on column crm.estimates.status is 'draft, sent, accepted, declined or expired. draft → sent; sent → draft, accepted, declined, expired; declined and expired → draft.';
comment on column crm.estimates.currency is 'ISO 4217, by default the organization''s. It stays while there are lines.';
comment on column crm.estimates.issue_date is 'YYYY-MM-DD; by default the day on which it was sent.';
comment on column crm.estimates.valid_until is 'YYYY-MM-DD.';
comment on column crm.estimates.notes is 'For the customer.';
comment on column crm.estimates.terms is 'Conditions, for the customer.';
comment on column crm.estimates.subtotal is 'The sum of the lines, net; kept by the database.';
comment on column crm.estimates.discount_total is 'The sum of the lines'' discounts, which subtotal has not in it; kept by the database.';
comment on column crm.estimates.tax_total is 'The sum of taxes; kept by the database.';
comment on column crm.estimates.total is 'subtotal + tax_total; kept by the database.';
comment on column crm.estimates.taxes is 'Net and tax by rate: [{"rate": 19, "net": 100.00, "tax": 19.00}]; kept by the database.';
comment on column crm.estimates.sent_at is 'When it was sent; kept by the database.';
comment on column crm.estimates.accepted_at is 'When it was accepted; kept by the database.';
comment on column crm.estimates.declined_at is 'When it was declined; kept by the database.';
