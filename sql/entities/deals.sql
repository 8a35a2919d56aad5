-- deals, deal_contacts and deal_stage_changes: what is being sold, who has to do with it, and the way it went. Deals are
-- seen and changed within the organization, by role; the other two are parts of the deal.
-- Invariants: a deal is in a stage of its pipeline; its status is that stage's kind; each stage it came to is noted.

create table crm.deals (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    account_id uuid,
    contact_id uuid,
    pipeline_id uuid,
    stage_id uuid,
    status text not null default 'open',
    amount numeric(19, 4),
    currency text,
    probability integer,
    weighted_amount numeric(19, 4) generated always as (round(amount * probability / 100, 4)) stored,
    expected_close_date date,
    closed_at timestamptz,
    lost_reason text,
    source text,
    next_step text,
    position numeric(30, 15) not null default extract(epoch from clock_timestamp()),
    stage_changed_at timestamptz,
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
    constraint deals_pkey primary key (org_id, id),
    constraint deals_org_id_external_id_key unique (org_id, external_id),
    constraint deals_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint deals_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint deals_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint deals_org_id_pipeline_id_fkey foreign key (org_id, pipeline_id) references crm.pipelines (org_id, id),
    constraint deals_org_id_pipeline_id_stage_id_status_fkey foreign key (org_id, pipeline_id, stage_id, status)
        references crm.pipeline_stages (org_id, pipeline_id, id, kind),
    constraint deals_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    -- Not NOT NULL, by which the API document would ask clients for what the database fills in.
    constraint deals_pipeline_id_check check (pipeline_id is not null),
    constraint deals_stage_id_check check (stage_id is not null),
    constraint deals_status_check check (status in ('open', 'won', 'lost')),
    constraint deals_amount_check check (amount >= 0 and amount <> 'NaN'),
    constraint deals_currency_check check (currency ~ '^[A-Z]{3}$'),
    constraint deals_probability_check check (probability between 0 and 100),
    constraint deals_expected_close_date_check check (expected_close_date between date '1900-01-01' and date '2200-01-01'),
    constraint deals_position_check check (position <> 'NaN')
);

create table crm.deal_contacts (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    deal_id uuid not null,
    contact_id uuid not null,
    role text,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint deal_contacts_pkey primary key (org_id, id),
    constraint deal_contacts_org_id_deal_id_contact_id_key unique (org_id, deal_id, contact_id),
    constraint deal_contacts_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint deal_contacts_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete cascade,
    constraint deal_contacts_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade
);

create table crm.deal_stage_changes (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    deal_id uuid not null,
    from_stage_id uuid,
    from_stage text,
    to_stage_id uuid not null,
    to_stage text not null,
    changed_at timestamptz not null default now(),
    changed_by uuid,
    seconds_before bigint,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint deal_stage_changes_pkey primary key (org_id, id),
    constraint deal_stage_changes_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint deal_stage_changes_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete cascade
);

create index deals_org_id_created_at_id_idx on crm.deals (org_id, created_at, id);
create index deals_org_id_updated_at_id_idx on crm.deals (org_id, updated_at, id);
create index deals_org_id_owner_id_created_at_id_idx on crm.deals (org_id, owner_id, created_at, id);
create index deals_org_id_pipeline_id_stage_id_status_idx on crm.deals (org_id, pipeline_id, stage_id, status);
create index deals_org_id_stage_id_position_id_idx on crm.deals (org_id, stage_id, position, id);
create index deals_org_id_status_expected_close_date_id_idx on crm.deals (org_id, status, expected_close_date, id);
create index deals_org_id_closed_at_id_idx on crm.deals (org_id, closed_at, id);
create index deals_org_id_amount_id_idx on crm.deals (org_id, amount, id);
create index deals_org_id_name_idx on crm.deals (org_id, name);
create index deals_org_id_account_id_idx on crm.deals (org_id, account_id) where account_id is not null;
create index deals_org_id_contact_id_idx on crm.deals (org_id, contact_id) where contact_id is not null;
create index deal_contacts_org_id_contact_id_idx on crm.deal_contacts (org_id, contact_id);
create index deal_contacts_org_id_owner_id_created_at_id_idx on crm.deal_contacts (org_id, owner_id, created_at, id);
create index deal_stage_changes_org_id_deal_id_changed_at_id_idx on crm.deal_stage_changes (org_id, deal_id, changed_at, id);
create index deal_stage_changes_org_id_changed_at_id_idx on crm.deal_stage_changes (org_id, changed_at, id);
create index deal_stage_changes_org_id_owner_id_created_at_id_idx on crm.deal_stage_changes (org_id, owner_id, created_at, id);

-- Before _100_normalize, which asks whether the status may be changed like this.
create trigger _050_stage before insert or update on crm.deals
    for each row execute function crm_private.place_deal();
create trigger _600_stage_changes after insert on crm.deals
    referencing new table as added
    for each statement execute function crm_private.note_stage();
create trigger _600_stage_changes_update after update on crm.deals
    for each row
    when (new.stage_id is distinct from old.stage_id)
    execute function crm_private.note_stage();

select crm.enroll('crm.deals', array[
    'name required line 200', 'currency currency', 'lost_reason line 500', 'source line 100', 'next_step line 500',
    'description text 20000', 'external_id line 200', 'status steps *:open,won,lost open:won,lost won:open lost:open',
    'closed_at since status won,lost', 'stage_changed_at since stage_id *'
]);
select crm.enroll('crm.deal_contacts', array['role line 100'], part_of => 'deal_id');
select crm.enroll('crm.deal_stage_changes', part_of => 'deal_id', read_only => true);

comment on table crm.deals is 'What is being sold, to whom, for how much, and how far it has come.';
comment on column crm.deals.name is 'What it is about.';
comment on column crm.deals.account_id is 'The company that would buy.';
comment on column crm.deals.contact_id is 'Whom one talks to; further people are deal_contacts.';
comment on column crm.deals.pipeline_id is
    'If it is not named, the stage''s, or the default one. Set to another without a stage, the deal begins that pipeline anew.';
comment on column crm.deals.stage_id is 'If it is not named, the first of the pipeline for the status.';
comment on column crm.deals.status is
    'open, won or lost: the kind of the stage. Set alone, it moves the deal to the pipeline''s first won or lost stage; set back to open, to the open stage it came from. From won to lost, or back, by way of open.';
comment on column crm.deals.amount is 'In the currency of the column currency.';
comment on column crm.deals.currency is 'ISO 4217; the organization''s, if it is not named.';
comment on column crm.deals.probability is
    'In percent. In a new stage it is that stage''s, unless the same request sets it; set to null, it is the stage''s again. 100 once won, 0 once lost.';
comment on column crm.deals.weighted_amount is 'amount times probability; kept by the database.';
comment on column crm.deals.expected_close_date is 'YYYY-MM-DD.';
comment on column crm.deals.closed_at is 'When it was won or lost; kept by the database.';
comment on column crm.deals.lost_reason is 'Why it was lost.';
comment on column crm.deals.source is 'Where it came from: web, referral, event …';
comment on column crm.deals.next_step is 'What is to be done next.';
comment on column crm.deals.position is 'The place within a column of a board, ascending; new deals come last. Between two others: any number between theirs.';
comment on column crm.deals.stage_changed_at is 'When it came to its stage; kept by the database.';
comment on column crm.deals.description is 'Plain text.';
comment on table crm.deal_contacts is 'Further people who have to do with a deal.';
comment on column crm.deal_contacts.deal_id is 'The deal.';
comment on column crm.deal_contacts.contact_id is 'The person.';
comment on column crm.deal_contacts.role is 'decision maker, influencer, technical buyer …';
comment on table crm.deal_stage_changes is 'The stages each deal came to, the first included; written by the database.';
comment on column crm.deal_stage_changes.deal_id is 'The deal.';
comment on column crm.deal_stage_changes.from_stage_id is 'The stage before, which may have been deleted since; null for the first one.';
comment on column crm.deal_stage_changes.from_stage is 'What the stage before was called then.';
comment on column crm.deal_stage_changes.to_stage_id is 'The stage it came to, which may have been deleted since.';
comment on column crm.deal_stage_changes.to_stage is 'What that stage was called then.';
comment on column crm.deal_stage_changes.changed_at is 'When it came there.';
comment on column crm.deal_stage_changes.changed_by is 'The user who moved it.';
comment on column crm.deal_stage_changes.seconds_before is 'How long it had been in the stage before, in seconds.';
