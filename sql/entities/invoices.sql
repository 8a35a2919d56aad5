-- invoices: what customers owe, with their lines in invoice_items and what was paid in payments. Seen and changed within the
-- organization, by role; a line as its invoice.
-- Invariants: an invoice has a number exactly when it is no draft, and then stays as it is and for good, so that the numbers have no
-- gap; its amounts are the sums of its lines and payments; whether it is paid, its payments say.

create table crm.invoices (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    number text,
    title text,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    estimate_id uuid,
    project_id uuid,
    job_id uuid,
    status text not null default 'draft',
    currency text,
    issue_date date,
    due_date date,
    purchase_order text,
    billing_name text,
    billing_street text,
    billing_city text,
    billing_state text,
    billing_postal_code text,
    billing_country text,
    notes text,
    terms text,
    subtotal numeric(19, 4) not null default 0,
    discount_total numeric(19, 4) not null default 0,
    tax_total numeric(19, 4) not null default 0,
    total numeric(19, 4) not null default 0,
    taxes jsonb not null default '[]',
    amount_paid numeric(19, 4) not null default 0,
    balance_due numeric(19, 4) not null default 0,
    sent_at timestamptz,
    paid_at timestamptz,
    voided_at timestamptz,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint invoices_pkey primary key (org_id, id),
    constraint invoices_org_id_number_key unique (org_id, number),
    constraint invoices_org_id_external_id_key unique (org_id, external_id),
    constraint invoices_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    -- A customer with invoices stays.
    constraint invoices_org_id_account_id_fkey foreign key (org_id, account_id) references crm.accounts (org_id, id),
    constraint invoices_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint invoices_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint invoices_org_id_estimate_id_fkey foreign key (org_id, estimate_id)
        references crm.estimates (org_id, id) on delete set null (estimate_id),
    constraint invoices_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete set null (project_id),
    constraint invoices_org_id_job_id_fkey foreign key (org_id, job_id)
        references crm.jobs (org_id, id) on delete set null (job_id),
    constraint invoices_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint invoices_number_check check ((number is null) = (status = 'draft')),
    constraint invoices_issue_date_check
        check ((status = 'draft' or issue_date is not null) and issue_date between date '1900-01-01' and date '2200-01-01'),
    constraint invoices_due_date_check check (due_date <= date '2200-01-01' and due_date >= coalesce(issue_date, date '1900-01-01')),
    constraint invoices_currency_check check (currency is not null and currency ~ '^[A-Z]{3}$'),
    constraint invoices_billing_name_check check (status = 'draft' or account_id is not null or billing_name is not null),
    constraint invoices_billing_country_check check (billing_country ~ '^[A-Z]{2}$'),
    constraint invoices_status_check check (status in ('draft', 'sent', 'partially_paid', 'paid', 'overdue', 'void')),
    constraint invoices_overdue_has_due_date_check check (status <> 'overdue' or due_date is not null),
    constraint invoices_total_check check (total = subtotal + tax_total and (status = 'draft' or total >= 0)),
    constraint invoices_amount_paid_check check (amount_paid >= 0 and (status not in ('draft', 'void') or amount_paid = 0)),
    constraint invoices_balance_due_check check (balance_due = total - amount_paid)
);

create index invoices_org_id_created_at_id_idx on crm.invoices (org_id, created_at, id);
create index invoices_org_id_updated_at_id_idx on crm.invoices (org_id, updated_at, id);
create index invoices_org_id_status_due_date_id_idx on crm.invoices (org_id, status, due_date, id);
create index invoices_org_id_issue_date_id_idx on crm.invoices (org_id, issue_date, id);
create index invoices_org_id_account_id_idx on crm.invoices (org_id, account_id) where account_id is not null;
create index invoices_org_id_contact_id_idx on crm.invoices (org_id, contact_id) where contact_id is not null;
create index invoices_org_id_deal_id_idx on crm.invoices (org_id, deal_id) where deal_id is not null;
create index invoices_org_id_estimate_id_idx on crm.invoices (org_id, estimate_id) where estimate_id is not null;
create index invoices_org_id_project_id_idx on crm.invoices (org_id, project_id) where project_id is not null;
create index invoices_org_id_job_id_idx on crm.invoices (org_id, job_id) where job_id is not null;
create index invoices_org_id_owner_id_created_at_id_idx on crm.invoices (org_id, owner_id, created_at, id);

create trigger _350_series before update of status on crm.invoices
    for each statement execute function crm_private.lock_series();
create trigger _450_document before insert or update or delete on crm.invoices
    for each row execute function crm_private.check_document('invoice');

select crm.enroll('crm.invoices', array[
    'number kept', 'title line 200',
    'status steps *:draft draft:sent sent:overdue,void partially_paid:overdue overdue:sent,void paid: void:',
    'currency currency', 'purchase_order line 100', 'billing_name line 200', 'billing_street text 500', 'billing_city line 100',
    'billing_state line 100', 'billing_postal_code line 20', 'billing_country country', 'notes text 20000', 'terms text 20000',
    'subtotal kept', 'discount_total kept', 'tax_total kept', 'total kept', 'taxes kept', 'amount_paid kept', 'balance_due kept',
    'sent_at since status sent,partially_paid,paid,overdue,void', 'paid_at since status paid', 'voided_at since status void',
    'external_id line 200'
]);

comment on table crm.invoices is 'What customers owe. Their lines are invoice_items, what was paid is in payments.';
comment on column crm.invoices.number is 'Given by the database when the invoice leaves draft, without gaps, from the series of number_series; unique within the organization. It never changes.';
comment on column crm.invoices.title is 'What it is for, in one line.';
comment on column crm.invoices.account_id is 'The customer, of the same organization, who cannot be deleted while there is the invoice.';
comment on column crm.invoices.contact_id is 'Whom it is addressed to.';
comment on column crm.invoices.deal_id is 'The deal it came from.';
comment on column crm.invoices.estimate_id is 'The estimate it came from.';
comment on column crm.invoices.project_id is 'The project it is for.';
comment on column crm.invoices.job_id is 'The job it is for.';
comment on column crm.invoices.status is 'draft, sent, partially_paid, paid, overdue or void. draft → sent; sent → overdue, void; partially_paid → overdue; overdue → sent, void; partially_paid and paid come from payments.';
comment on column crm.invoices.currency is 'ISO 4217, by default the organization''s. It stays while there are lines.';
comment on column crm.invoices.issue_date is 'YYYY-MM-DD; by default the day on which it leaves draft.';
comment on column crm.invoices.due_date is 'YYYY-MM-DD; may be moved later, too.';
comment on column crm.invoices.purchase_order is 'The customer''s order number.';
comment on column crm.invoices.billing_name is 'To whom it is made out. What is empty when it leaves draft is taken from the account, once.';
comment on column crm.invoices.billing_street is 'The address it is made out to; when all of it is empty, the account''s is taken when it leaves draft.';
comment on column crm.invoices.billing_city is 'City of that address.';
comment on column crm.invoices.billing_state is 'State or province of that address.';
comment on column crm.invoices.billing_postal_code is 'Postal code of that address.';
comment on column crm.invoices.billing_country is 'ISO 3166-1 alpha-2.';
comment on column crm.invoices.notes is 'For the customer.';
comment on column crm.invoices.terms is 'Conditions of payment, for the customer.';
comment on column crm.invoices.subtotal is 'The sum of the lines, net; kept by the database.';
comment on column crm.invoices.discount_total is 'The sum of the lines'' discounts, which subtotal has not in it; kept by the database.';
comment on column crm.invoices.tax_total is 'The sum of taxes; kept by the database.';
comment on column crm.invoices.total is 'subtotal + tax_total; kept by the database.';
comment on column crm.invoices.taxes is 'Net and tax by rate: [{"rate": 19, "net": 100.00, "tax": 19.00}]; kept by the database.';
comment on column crm.invoices.amount_paid is 'The sum of its payments; kept by the database.';
comment on column crm.invoices.balance_due is 'total - amount_paid, negative where too much was paid; kept by the database.';
comment on column crm.invoices.sent_at is 'When it left draft; kept by the database.';
comment on column crm.invoices.paid_at is 'When it was paid in full; kept by the database.';
comment on column crm.invoices.voided_at is 'When it was voided; kept by the database.';
