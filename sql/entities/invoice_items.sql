-- invoice_items: the lines of invoices, parts of them: seen by whoever sees the invoice, changed by whoever may change it.
-- Invariants: the amounts of a line follow from its quantity, price and discount; only a draft's lines change.

create table crm.invoice_items (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    invoice_id uuid not null,
    position integer not null default 0,
    description text not null,
    quantity numeric(19, 4) not null default 1,
    unit text,
    unit_price numeric(19, 4) not null default 0,
    discount_percent numeric(7, 4) not null default 0,
    tax_rate numeric(7, 4) not null default 0,
    discount_amount numeric(19, 4) not null default 0,
    line_total numeric(19, 4) not null default 0,
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint invoice_items_pkey primary key (org_id, id),
    constraint invoice_items_org_id_external_id_key unique (org_id, external_id),
    constraint invoice_items_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint invoice_items_org_id_invoice_id_fkey foreign key (org_id, invoice_id)
        references crm.invoices (org_id, id) on delete cascade,
    constraint invoice_items_quantity_check check (quantity between -1000000000 and 1000000000),
    constraint invoice_items_unit_price_check check (unit_price between -1000000000000 and 1000000000000),
    constraint invoice_items_discount_percent_check check (discount_percent between 0 and 100),
    constraint invoice_items_tax_rate_check check (tax_rate between 0 and 100)
);

create index invoice_items_org_id_invoice_id_position_id_idx on crm.invoice_items (org_id, invoice_id, position, id);
create index invoice_items_org_id_created_at_id_idx on crm.invoice_items (org_id, created_at, id);
create index invoice_items_org_id_updated_at_id_idx on crm.invoice_items (org_id, updated_at, id);
create index invoice_items_org_id_owner_id_created_at_id_idx on crm.invoice_items (org_id, owner_id, created_at, id);

create trigger _450_line before insert or update or delete on crm.invoice_items
    for each row execute function crm_private.compute_line('invoice');
create trigger _700_sum_insert after insert on crm.invoice_items referencing new table as added
    for each statement execute function crm_private.sum_lines('invoice');
create trigger _700_sum_update after update on crm.invoice_items referencing old table as removed new table as added
    for each statement execute function crm_private.sum_lines('invoice');
create trigger _700_sum_delete after delete on crm.invoice_items referencing old table as removed
    for each statement execute function crm_private.sum_lines('invoice');

select crm.enroll(
    'crm.invoice_items',
    array['description required text 5000', 'unit line 20', 'discount_amount kept', 'line_total kept', 'external_id line 200'],
    part_of => 'invoice_id'
);

comment on table crm.invoice_items is 'The lines of invoices. They are changed while the invoice is a draft.';
comment on column crm.invoice_items.invoice_id is 'The invoice the line belongs to; it goes with it.';
comment on column crm.invoice_items.position is 'Where the line stands: order by position and id.';
comment on column crm.invoice_items.description is 'What is sold.';
comment on column crm.invoice_items.quantity is 'How much of it, with up to four decimals; negative for what is taken back.';
comment on column crm.invoice_items.unit is 'What the quantity counts: h, kg, pieces.';
comment on column crm.invoice_items.unit_price is 'The price of one unit without tax, in the invoice''s currency, with up to four decimals.';
comment on column crm.invoice_items.discount_percent is 'The discount on the line, 0 to 100.';
comment on column crm.invoice_items.tax_rate is 'The tax in percent, 0 to 100.';
comment on column crm.invoice_items.discount_amount is 'What the discount takes off; kept by the database.';
comment on column crm.invoice_items.line_total is 'quantity × unit_price less the discount, net, rounded half away from zero to the currency''s decimals; kept by the database.';
