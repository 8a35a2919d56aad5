-- payments: what was paid for invoices, and paid back. Seen and changed within the organization, by role; who adds one must see the
-- invoice.
-- Invariants: a payment has its invoice's account and currency; the invoice's amounts and status follow from its payments; the same
-- idempotency_key is taken once.

create table crm.payments (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    invoice_id uuid not null,
    account_id uuid,
    amount numeric(19, 4) not null,
    currency text,
    method text not null default 'bank_transfer',
    paid_on date not null default current_date,
    reference text,
    note text,
    idempotency_key text,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint payments_pkey primary key (org_id, id),
    constraint payments_org_id_idempotency_key_key unique (org_id, idempotency_key),
    constraint payments_org_id_external_id_key unique (org_id, external_id),
    constraint payments_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint payments_org_id_invoice_id_fkey foreign key (org_id, invoice_id) references crm.invoices (org_id, id),
    constraint payments_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint payments_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint payments_amount_check check (amount <> 0 and amount between -100000000000000 and 100000000000000),
    constraint payments_currency_check check (currency is not null and currency ~ '^[A-Z]{3}$'),
    constraint payments_method_check
        check (method in ('bank_transfer', 'card', 'cash', 'check', 'direct_debit', 'paypal', 'other')),
    constraint payments_paid_on_check check (paid_on between date '1900-01-01' and date '2200-01-01')
);

create index payments_org_id_created_at_id_idx on crm.payments (org_id, created_at, id);
create index payments_org_id_updated_at_id_idx on crm.payments (org_id, updated_at, id);
create index payments_org_id_paid_on_id_idx on crm.payments (org_id, paid_on, id);
create index payments_org_id_invoice_id_idx on crm.payments (org_id, invoice_id);
create index payments_org_id_account_id_idx on crm.payments (org_id, account_id) where account_id is not null;
create index payments_org_id_owner_id_created_at_id_idx on crm.payments (org_id, owner_id, created_at, id);

create trigger _450_payment before insert or update on crm.payments
    for each row execute function crm_private.check_payment();
create trigger _700_settle_insert after insert on crm.payments referencing new table as added
    for each statement execute function crm_private.settle_invoices();
create trigger _700_settle_update after update on crm.payments referencing old table as removed new table as added
    for each statement execute function crm_private.settle_invoices();
create trigger _700_settle_delete after delete on crm.payments referencing old table as removed
    for each statement execute function crm_private.settle_invoices();

select crm.enroll('crm.payments', array[
    'account_id kept', 'currency kept', 'reference line 200', 'note text 5000', 'idempotency_key line 200', 'external_id line 200'
]);

comment on table crm.payments is 'What was paid for invoices, and paid back.';
comment on column crm.payments.invoice_id is 'The invoice it pays, which has left draft and is not void.';
comment on column crm.payments.account_id is 'The invoice''s account; kept by the database.';
comment on column crm.payments.amount is 'In the invoice''s currency, and with no more decimals than that has; negative for what was paid back.';
comment on column crm.payments.currency is 'The invoice''s currency; kept by the database.';
comment on column crm.payments.method is 'bank_transfer, card, cash, check, direct_debit, paypal or other.';
comment on column crm.payments.paid_on is 'YYYY-MM-DD, by default today.';
comment on column crm.payments.reference is 'What the bank or the payment service calls it.';
comment on column crm.payments.note is 'For one''s own people.';
comment on column crm.payments.idempotency_key is 'A key of the client''s own, unique within the organization: a payment that is sent a second time with it is refused (409), or passed over with Prefer: resolution=ignore-duplicates and on_conflict=org_id,idempotency_key.';
