-- activities: what happened with a customer: calls, e-mails, meetings, notes. activity_links: further records that one is
-- about. Seen and changed within the organization, by role and owner; the links as their activity.
-- Invariants: all it points to is of the same organization; a link points to one record, and to each once.

create table crm.activities (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    type text not null default 'note',
    subject text not null,
    body text,
    direction text,
    outcome text,
    occurred_at timestamptz not null default now(),
    duration_minutes integer,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint activities_pkey primary key (org_id, id),
    constraint activities_org_id_external_id_key unique (org_id, external_id),
    constraint activities_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint activities_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint activities_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint activities_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete set null (lead_id),
    constraint activities_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint activities_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete set null (ticket_id),
    constraint activities_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete set null (project_id),
    constraint activities_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint activities_type_check check (type in ('call', 'email', 'meeting', 'note')),
    constraint activities_direction_check check (direction in ('inbound', 'outbound')),
    constraint activities_occurred_at_check check (isfinite(occurred_at)),
    constraint activities_duration_minutes_check check (duration_minutes between 0 and 100000)
);

create index activities_org_id_created_at_id_idx on crm.activities (org_id, created_at, id);
create index activities_org_id_updated_at_id_idx on crm.activities (org_id, updated_at, id);
create index activities_org_id_owner_id_created_at_id_idx on crm.activities (org_id, owner_id, created_at, id);
create index activities_org_id_occurred_at_id_idx on crm.activities (org_id, occurred_at, id);
create index activities_org_id_type_occurred_at_idx on crm.activities (org_id, type, occurred_at);
create index activities_org_id_account_id_occurred_at_idx on crm.activities (org_id, account_id, occurred_at) where account_id is not null;
create index activities_org_id_contact_id_occurred_at_idx on crm.activities (org_id, contact_id, occurred_at) where contact_id is not null;
create index activities_org_id_lead_id_occurred_at_idx on crm.activities (org_id, lead_id, occurred_at) where lead_id is not null;
create index activities_org_id_deal_id_occurred_at_idx on crm.activities (org_id, deal_id, occurred_at) where deal_id is not null;
create index activities_org_id_ticket_id_occurred_at_idx on crm.activities (org_id, ticket_id, occurred_at) where ticket_id is not null;
create index activities_org_id_project_id_occurred_at_idx on crm.activities (org_id, project_id, occurred_at) where project_id is not null;

create table crm.activity_links (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    activity_id uuid not null,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint activity_links_pkey primary key (org_id, id),
    constraint activity_links_key unique nulls not distinct (
        org_id, activity_id, account_id, contact_id, lead_id, deal_id, ticket_id, project_id
    ),
    constraint activity_links_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint activity_links_org_id_activity_id_fkey foreign key (org_id, activity_id)
        references crm.activities (org_id, id) on delete cascade,
    constraint activity_links_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete cascade,
    constraint activity_links_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint activity_links_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete cascade,
    constraint activity_links_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete cascade,
    constraint activity_links_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete cascade,
    constraint activity_links_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete cascade,
    constraint activity_links_one_record_check check (
        num_nonnulls(account_id, contact_id, lead_id, deal_id, ticket_id, project_id) = 1
    )
);

create index activity_links_org_id_owner_id_created_at_id_idx on crm.activity_links (org_id, owner_id, created_at, id);
create index activity_links_org_id_account_id_idx on crm.activity_links (org_id, account_id) where account_id is not null;
create index activity_links_org_id_contact_id_idx on crm.activity_links (org_id, contact_id) where contact_id is not null;
create index activity_links_org_id_lead_id_idx on crm.activity_links (org_id, lead_id) where lead_id is not null;
create index activity_links_org_id_deal_id_idx on crm.activity_links (org_id, deal_id) where deal_id is not null;
create index activity_links_org_id_ticket_id_idx on crm.activity_links (org_id, ticket_id) where ticket_id is not null;
create index activity_links_org_id_project_id_idx on crm.activity_links (org_id, project_id) where project_id is not null;

select crm.enroll('crm.activities', array[
    'subject required line 300', 'body html 100000', 'outcome line 200', 'external_id line 200'
]);
select crm.enroll('crm.activity_links', part_of => 'activity_id');

comment on table crm.activities is 'Activities: calls, e-mails, meetings and notes, as they happened.';
comment on column crm.activities.type is 'call, email, meeting or note.';
comment on column crm.activities.subject is 'Of at most 300 characters.';
comment on column crm.activities.body is 'Rich text (HTML, sanitised).';
comment on column crm.activities.direction is 'inbound or outbound, for what has one.';
comment on column crm.activities.outcome is 'What came of it: connected, left a message, no answer …';
comment on column crm.activities.occurred_at is 'When it happened; now, unless told.';
comment on column crm.activities.duration_minutes is 'How long it took, in minutes.';
comment on column crm.activities.account_id is 'About an account of the same organization.';
comment on column crm.activities.contact_id is 'About a contact of the same organization.';
comment on column crm.activities.lead_id is 'About a lead of the same organization.';
comment on column crm.activities.deal_id is 'About a deal of the same organization.';
comment on column crm.activities.ticket_id is 'About a ticket of the same organization.';
comment on column crm.activities.project_id is 'About a project of the same organization.';
comment on table crm.activity_links is 'Further records that an activity is about. Each row links one.';
comment on column crm.activity_links.activity_id is 'The activity, of the same organization.';
comment on column crm.activity_links.account_id is 'Links an account of the same organization.';
comment on column crm.activity_links.contact_id is 'Links a contact of the same organization.';
comment on column crm.activity_links.lead_id is 'Links a lead of the same organization.';
comment on column crm.activity_links.deal_id is 'Links a deal of the same organization.';
comment on column crm.activity_links.ticket_id is 'Links a ticket of the same organization.';
comment on column crm.activity_links.project_id is 'Links a project of the same organization.';
