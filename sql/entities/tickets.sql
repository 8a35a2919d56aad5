-- tickets: what customers ask for help with. Seen and changed within the organization, by role and owner.
-- Invariants: a ticket has a number of its organization, which stays; the assignee is the owner; resolved_at and closed_at
-- are there while it is solved or closed, and only then.

create table crm.tickets (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    number bigint not null,
    subject text not null,
    description text,
    status text not null default 'new',
    priority text not null default 'normal',
    channel text not null default 'other',
    type text not null default 'question',
    category text,
    assignee_id uuid,
    sla_due_at timestamptz,
    first_response_at timestamptz,
    resolved_at timestamptz,
    closed_at timestamptz,
    satisfaction smallint,
    account_id uuid,
    contact_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint tickets_pkey primary key (org_id, id),
    constraint tickets_org_id_number_key unique (org_id, number),
    constraint tickets_org_id_external_id_key unique (org_id, external_id),
    constraint tickets_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint tickets_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint tickets_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint tickets_org_id_assignee_id_fkey foreign key (org_id, assignee_id)
        references crm.memberships (org_id, user_id) on delete set null (assignee_id),
    constraint tickets_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint tickets_number_check check (number > 0),
    constraint tickets_status_check check (status in ('new', 'open', 'pending', 'on_hold', 'solved', 'closed')),
    constraint tickets_priority_check check (priority in ('low', 'normal', 'high', 'urgent')),
    constraint tickets_channel_check check (channel in ('email', 'phone', 'web', 'chat', 'sms', 'whatsapp', 'social', 'api', 'other')),
    constraint tickets_type_check check (type in ('question', 'incident', 'problem', 'request', 'complaint', 'other')),
    constraint tickets_sla_due_at_check check (isfinite(sla_due_at)),
    constraint tickets_first_response_at_check check (isfinite(first_response_at)),
    constraint tickets_satisfaction_check check (satisfaction between 1 and 5)
);

create index tickets_org_id_created_at_id_idx on crm.tickets (org_id, created_at, id);
create index tickets_org_id_updated_at_id_idx on crm.tickets (org_id, updated_at, id);
create index tickets_org_id_owner_id_created_at_id_idx on crm.tickets (org_id, owner_id, created_at, id);
create index tickets_org_id_status_created_at_id_idx on crm.tickets (org_id, status, created_at, id);
create index tickets_org_id_sla_due_at_idx on crm.tickets (org_id, sla_due_at) where sla_due_at is not null;
create index tickets_org_id_assignee_id_status_idx on crm.tickets (org_id, assignee_id, status) where assignee_id is not null;
create index tickets_org_id_account_id_created_at_idx on crm.tickets (org_id, account_id, created_at) where account_id is not null;
create index tickets_org_id_contact_id_created_at_idx on crm.tickets (org_id, contact_id, created_at) where contact_id is not null;

-- After the stamp: by then the organization is known.
create trigger _600_number before insert on crm.tickets
    for each row execute function crm_private.number_ticket();

select crm.enroll('crm.tickets', array[
    'number kept', 'subject required line 300', 'description html 100000', 'category line 100', 'assignee_id owner',
    'external_id line 200',
    'status steps *:new,open,pending,on_hold,solved new:open,pending,on_hold,solved,closed open:pending,on_hold,solved,closed'
        || ' pending:open,on_hold,solved,closed on_hold:open,pending,solved,closed solved:open,closed closed:open',
    'resolved_at since status solved,closed', 'closed_at since status closed'
]);

comment on table crm.tickets is 'Tickets: what customers ask for help with.';
comment on column crm.tickets.number is 'Counts the tickets of the organization; given by the database.';
comment on column crm.tickets.subject is 'Of at most 300 characters.';
comment on column crm.tickets.description is 'Rich text (HTML, sanitised).';
comment on column crm.tickets.status is 'new, open, pending (the customer is asked), on_hold (somebody else is), solved or closed. From new: any other; from open, pending and on_hold: any of the others but new; from solved: open, closed; from closed: open. Any other step is refused (23514, HTTP 422).';
comment on column crm.tickets.priority is 'low, normal, high or urgent.';
comment on column crm.tickets.channel is 'Where it came from: email, phone, web, chat, sms, whatsapp, social, api or other.';
comment on column crm.tickets.type is 'question, incident, problem, request, complaint or other.';
comment on column crm.tickets.category is 'What it is about, in the words of the organization.';
comment on column crm.tickets.assignee_id is 'Who looks after it: a member of the organization, who becomes the owner. A new owner of an assigned ticket becomes its assignee.';
comment on column crm.tickets.sla_due_at is 'Until when it should be solved, as agreed with the customer.';
comment on column crm.tickets.first_response_at is 'When the customer got the first answer, by whatever channel. Written by whoever answers: the database cannot see it.';
comment on column crm.tickets.resolved_at is 'Since when the ticket is solved or closed; kept by the database.';
comment on column crm.tickets.closed_at is 'Since when the ticket is closed; kept by the database.';
comment on column crm.tickets.satisfaction is 'How content the customer was: 1 (not at all) to 5.';
comment on column crm.tickets.account_id is 'The customer, of the same organization.';
comment on column crm.tickets.contact_id is 'Who asks: the requester, of the same organization.';
