-- number_series: how invoices, estimates and tickets are numbered. Every organization has one series of each kind; all its members
-- see them, owners and admins change prefix and padding.
-- Invariants: the numbers given are those from first_number to last_number, none left out and none given twice; a prefix does not
-- end with a digit, so that two numbers never read the same.

create table crm.number_series (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    kind text not null,
    prefix text,
    padding integer not null default 4,
    first_number bigint not null default 1,
    last_number bigint not null default 0,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint number_series_pkey primary key (org_id, id),
    constraint number_series_org_id_kind_key unique (org_id, kind),
    constraint number_series_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint number_series_kind_check check (kind in ('invoice', 'estimate', 'ticket')),
    constraint number_series_prefix_check check (prefix !~ '[0-9]$'),
    constraint number_series_padding_check check (padding between 1 and 12),
    constraint number_series_first_number_check check (first_number between 1 and 1000000000000),
    constraint number_series_last_number_check check (last_number >= first_number - 1)
);

create index number_series_org_id_created_at_id_idx on crm.number_series (org_id, created_at, id);
create index number_series_org_id_updated_at_id_idx on crm.number_series (org_id, updated_at, id);

create trigger _450_series before update or delete on crm.number_series
    for each row execute function crm_private.guard_series();

select crm.enroll(
    'crm.number_series', array['prefix line 20', 'first_number kept', 'last_number kept'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);

-- Administering is done in one organization at a time.
revoke all on crm.number_series from crm_multi;

comment on table crm.number_series is 'How invoices, estimates and tickets are numbered: one row of each kind.';
comment on column crm.number_series.kind is 'invoice, estimate or ticket. It cannot be changed.';
comment on column crm.number_series.prefix is 'What stands before the number, like INV- or 2026/; it does not end with a digit. A change counts for the numbers given from then on.';
comment on column crm.number_series.padding is 'How many digits a number has at least, with zeros in front: 1 to 12.';
comment on column crm.number_series.first_number is 'The first number of the series; kept by the database, set with set_next_number before it is given.';
comment on column crm.number_series.last_number is 'The number given last, first_number - 1 before there was one; kept by the database.';
