-- jobs: work at a customer's place (field service). Seen and changed within the organization, by role and owner.
-- Invariants: the assignee is the owner; a job is planned to end after it starts; completed_at is there when it is
-- completed, and only then.

create table crm.jobs (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    title text not null,
    description text,
    type text,
    status text not null default 'scheduled',
    priority text not null default 'normal',
    scheduled_start timestamptz,
    scheduled_end timestamptz,
    assignee_id uuid,
    street text,
    city text,
    state text,
    postal_code text,
    country text,
    price numeric(19, 4),
    currency text,
    completed_at timestamptz,
    project_id uuid,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint jobs_pkey primary key (org_id, id),
    constraint jobs_org_id_external_id_key unique (org_id, external_id),
    constraint jobs_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint jobs_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete set null (project_id),
    constraint jobs_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint jobs_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint jobs_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint jobs_org_id_assignee_id_fkey foreign key (org_id, assignee_id)
        references crm.memberships (org_id, user_id) on delete set null (assignee_id),
    constraint jobs_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint jobs_status_check check (status in ('scheduled', 'in_progress', 'on_hold', 'completed', 'cancelled')),
    constraint jobs_priority_check check (priority in ('low', 'normal', 'high', 'urgent')),
    constraint jobs_scheduled_start_check check (isfinite(scheduled_start)),
    constraint jobs_scheduled_end_check check (isfinite(scheduled_end)),
    constraint jobs_ends_after_start_check check (scheduled_end > scheduled_start),
    constraint jobs_country_check check (country ~ '^[A-Z]{2}$'),
    constraint jobs_price_check check (price >= 0 and price <> 'NaN')
);

create index jobs_org_id_created_at_id_idx on crm.jobs (org_id, created_at, id);
create index jobs_org_id_updated_at_id_idx on crm.jobs (org_id, updated_at, id);
create index jobs_org_id_owner_id_created_at_id_idx on crm.jobs (org_id, owner_id, created_at, id);
create index jobs_org_id_scheduled_start_id_idx on crm.jobs (org_id, scheduled_start, id);
create index jobs_org_id_status_scheduled_start_idx on crm.jobs (org_id, status, scheduled_start);
create index jobs_org_id_assignee_id_scheduled_start_idx on crm.jobs (org_id, assignee_id, scheduled_start) where assignee_id is not null;
create index jobs_org_id_project_id_idx on crm.jobs (org_id, project_id) where project_id is not null;
create index jobs_org_id_account_id_idx on crm.jobs (org_id, account_id) where account_id is not null;
create index jobs_org_id_contact_id_idx on crm.jobs (org_id, contact_id) where contact_id is not null;
create index jobs_org_id_deal_id_idx on crm.jobs (org_id, deal_id) where deal_id is not null;

select crm.enroll('crm.jobs', array[
    'title required line 200', 'description html 100000', 'type line 100', 'assignee_id owner',
    'street text 500', 'city line 100', 'state line 100', 'postal_code line 20', 'country country',
    'currency currency', 'external_id line 200',
    'status steps *:scheduled,in_progress scheduled:in_progress,on_hold,completed,cancelled in_progress:scheduled,on_hold,completed,cancelled'
        || ' on_hold:scheduled,in_progress,completed,cancelled completed:in_progress cancelled:scheduled',
    'completed_at since status completed'
]);

comment on table crm.jobs is 'Jobs: work at a customer''s place, with a time and somebody who goes there.';
comment on column crm.jobs.title is 'Of at most 200 characters.';
comment on column crm.jobs.description is 'Rich text (HTML, sanitised).';
comment on column crm.jobs.type is 'What kind of work: installation, repair, inspection …';
comment on column crm.jobs.status is 'scheduled, in_progress, on_hold, completed or cancelled. From scheduled: in_progress, on_hold, completed, cancelled; from in_progress: scheduled, on_hold, completed, cancelled; from on_hold: scheduled, in_progress, completed, cancelled; from completed: in_progress; from cancelled: scheduled. Any other step is refused (23514, HTTP 422).';
comment on column crm.jobs.priority is 'low, normal, high or urgent.';
comment on column crm.jobs.scheduled_start is 'When the work is planned to begin.';
comment on column crm.jobs.scheduled_end is 'When it is planned to end, after scheduled_start.';
comment on column crm.jobs.assignee_id is 'Who does it: a member of the organization, who becomes the owner. A new owner of an assigned job becomes its assignee.';
comment on column crm.jobs.street is 'Where the work is done.';
comment on column crm.jobs.city is 'Where the work is done.';
comment on column crm.jobs.state is 'Where the work is done.';
comment on column crm.jobs.postal_code is 'Where the work is done.';
comment on column crm.jobs.country is 'ISO 3166-1 alpha-2.';
comment on column crm.jobs.price is 'What it costs the customer, in the currency of the column currency.';
comment on column crm.jobs.currency is 'ISO 4217.';
comment on column crm.jobs.completed_at is 'Since when the job is completed; kept by the database.';
comment on column crm.jobs.project_id is 'The project it belongs to, of the same organization.';
comment on column crm.jobs.account_id is 'The customer, of the same organization.';
comment on column crm.jobs.contact_id is 'The customer''s contact, of the same organization.';
comment on column crm.jobs.deal_id is 'The deal that led to it, of the same organization.';
