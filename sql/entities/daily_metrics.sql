-- daily_metrics: an organization's figures, day by day. Seen by whoever sees all of the organization; written by the database alone.

create table crm.daily_metrics (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    day date not null,
    new_accounts integer not null default 0,
    new_contacts integer not null default 0,
    new_leads integer not null default 0,
    converted_leads integer not null default 0,
    new_deals integer not null default 0,
    won_deals integer not null default 0,
    lost_deals integer not null default 0,
    won_amount numeric(19, 4) not null default 0,
    activities integer not null default 0,
    completed_tasks integer not null default 0,
    new_tickets integer not null default 0,
    solved_tickets integer not null default 0,
    invoiced_amount numeric(19, 4) not null default 0,
    paid_amount numeric(19, 4) not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version integer not null default 1,
    constraint daily_metrics_pkey primary key (org_id, id),
    constraint daily_metrics_org_id_day_key unique (org_id, day),
    constraint daily_metrics_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint daily_metrics_day_check check (day between date '1900-01-01' and date '2200-01-01'),
    constraint daily_metrics_new_accounts_check check (new_accounts >= 0),
    constraint daily_metrics_new_contacts_check check (new_contacts >= 0),
    constraint daily_metrics_new_leads_check check (new_leads >= 0),
    constraint daily_metrics_converted_leads_check check (converted_leads >= 0),
    constraint daily_metrics_new_deals_check check (new_deals >= 0),
    constraint daily_metrics_won_deals_check check (won_deals >= 0),
    constraint daily_metrics_lost_deals_check check (lost_deals >= 0),
    constraint daily_metrics_won_amount_check check (won_amount >= 0 and won_amount <> 'NaN'),
    constraint daily_metrics_activities_check check (activities >= 0),
    constraint daily_metrics_completed_tasks_check check (completed_tasks >= 0),
    constraint daily_metrics_new_tickets_check check (new_tickets >= 0),
    constraint daily_metrics_solved_tickets_check check (solved_tickets >= 0),
    constraint daily_metrics_invoiced_amount_check check (invoiced_amount >= 0 and invoiced_amount <> 'NaN'),
    constraint daily_metrics_paid_amount_check check (paid_amount >= 0 and paid_amount <> 'NaN')
);

create index daily_metrics_org_id_created_at_id_idx on crm.daily_metrics (org_id, created_at, id);
create index daily_metrics_org_id_updated_at_id_idx on crm.daily_metrics (org_id, updated_at, id);

select crm.enroll('crm.daily_metrics', access => array['manager read', 'read_only read'], read_only => true);

comment on table crm.daily_metrics is 'The organization''s figures, day by day. Kept by the database; nobody writes them.';
comment on column crm.daily_metrics.day is 'YYYY-MM-DD, in the time zone of the organization.';
comment on column crm.daily_metrics.new_accounts is 'Accounts made on that day.';
comment on column crm.daily_metrics.new_contacts is 'Contacts made on that day.';
comment on column crm.daily_metrics.new_leads is 'Leads made on that day.';
comment on column crm.daily_metrics.converted_leads is 'Leads converted on that day.';
comment on column crm.daily_metrics.new_deals is 'Deals made on that day.';
comment on column crm.daily_metrics.won_deals is 'Deals won on that day.';
comment on column crm.daily_metrics.lost_deals is 'Deals lost on that day.';
comment on column crm.daily_metrics.won_amount is 'What the deals won on that day amount to. In the currency of the organization; amounts in others are left out.';
comment on column crm.daily_metrics.activities is 'Activities that happened on that day.';
comment on column crm.daily_metrics.completed_tasks is 'Tasks completed on that day.';
comment on column crm.daily_metrics.new_tickets is 'Tickets made on that day.';
comment on column crm.daily_metrics.solved_tickets is 'Tickets solved on that day.';
comment on column crm.daily_metrics.invoiced_amount is 'What the invoices issued on that day amount to. In the currency of the organization; amounts in others are left out.';
comment on column crm.daily_metrics.paid_amount is 'What was paid on that day. In the currency of the organization; amounts in others are left out.';
