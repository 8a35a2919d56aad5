-- tasks: what somebody has to do. Seen and changed within the organization, by role and owner.
-- Invariants: the assignee is the owner; completed_at is there when the task is completed, and only then.

create table crm.tasks (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    title text not null,
    description text,
    type text not null default 'todo',
    status text not null default 'open',
    priority text not null default 'normal',
    due_at timestamptz,
    remind_at timestamptz,
    assignee_id uuid,
    completed_at timestamptz,
    repeat text,
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
    constraint tasks_pkey primary key (org_id, id),
    constraint tasks_org_id_external_id_key unique (org_id, external_id),
    constraint tasks_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint tasks_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint tasks_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint tasks_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete set null (lead_id),
    constraint tasks_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint tasks_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete set null (ticket_id),
    constraint tasks_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete set null (project_id),
    constraint tasks_org_id_assignee_id_fkey foreign key (org_id, assignee_id)
        references crm.memberships (org_id, user_id) on delete set null (assignee_id),
    constraint tasks_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint tasks_type_check check (type in ('todo', 'call', 'email', 'meeting', 'follow_up', 'other')),
    constraint tasks_status_check check (status in ('open', 'in_progress', 'waiting', 'completed', 'cancelled')),
    constraint tasks_priority_check check (priority in ('low', 'normal', 'high', 'urgent')),
    constraint tasks_due_at_check check (isfinite(due_at)),
    constraint tasks_remind_at_check check (isfinite(remind_at))
);

create index tasks_org_id_created_at_id_idx on crm.tasks (org_id, created_at, id);
create index tasks_org_id_updated_at_id_idx on crm.tasks (org_id, updated_at, id);
create index tasks_org_id_owner_id_created_at_id_idx on crm.tasks (org_id, owner_id, created_at, id);
create index tasks_org_id_due_at_id_idx on crm.tasks (org_id, due_at, id);
create index tasks_org_id_status_due_at_idx on crm.tasks (org_id, status, due_at);
create index tasks_org_id_remind_at_idx on crm.tasks (org_id, remind_at) where remind_at is not null;
create index tasks_org_id_assignee_id_status_due_at_idx on crm.tasks (org_id, assignee_id, status, due_at) where assignee_id is not null;
create index tasks_org_id_account_id_idx on crm.tasks (org_id, account_id) where account_id is not null;
create index tasks_org_id_contact_id_idx on crm.tasks (org_id, contact_id) where contact_id is not null;
create index tasks_org_id_lead_id_idx on crm.tasks (org_id, lead_id) where lead_id is not null;
create index tasks_org_id_deal_id_idx on crm.tasks (org_id, deal_id) where deal_id is not null;
create index tasks_org_id_ticket_id_idx on crm.tasks (org_id, ticket_id) where ticket_id is not null;
create index tasks_org_id_project_id_idx on crm.tasks (org_id, project_id) where project_id is not null;

select crm.enroll('crm.tasks', array[
    'title required line 300', 'description html 100000', 'assignee_id owner', 'repeat rrule', 'external_id line 200',
    'status steps *:open,in_progress,waiting,completed open:in_progress,waiting,completed,cancelled'
        || ' in_progress:open,waiting,completed,cancelled waiting:open,in_progress,completed,cancelled completed:open cancelled:open',
    'completed_at since status completed'
]);

comment on table crm.tasks is 'Tasks: what somebody has to do.';
comment on column crm.tasks.title is 'Of at most 300 characters.';
comment on column crm.tasks.description is 'Rich text (HTML, sanitised).';
comment on column crm.tasks.type is 'todo, call, email, meeting, follow_up or other.';
comment on column crm.tasks.status is 'open, in_progress, waiting, completed or cancelled. From open, in_progress and waiting: any of the others; from completed and cancelled: open. Any other step is refused (23514, HTTP 422).';
comment on column crm.tasks.priority is 'low, normal, high or urgent.';
comment on column crm.tasks.due_at is 'Until when it has to be done.';
comment on column crm.tasks.remind_at is 'When the assignee wants to be reminded.';
comment on column crm.tasks.assignee_id is 'Who has to do it: a member of the organization, who becomes the owner. A new owner of an assigned task becomes its assignee.';
comment on column crm.tasks.completed_at is 'Since when the task is completed; kept by the database.';
comment on column crm.tasks.repeat is 'How it comes again: a recurrence rule of RFC 5545, like FREQ=WEEKLY;BYDAY=MO,TH. Whoever completes the task makes the next one.';
comment on column crm.tasks.account_id is 'About an account of the same organization.';
comment on column crm.tasks.contact_id is 'About a contact of the same organization.';
comment on column crm.tasks.lead_id is 'About a lead of the same organization.';
comment on column crm.tasks.deal_id is 'About a deal of the same organization.';
comment on column crm.tasks.ticket_id is 'About a ticket of the same organization.';
comment on column crm.tasks.project_id is 'About a project of the same organization.';
