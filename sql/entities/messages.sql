-- messages: what was written to and by customers, on any channel. Seen and changed within the organization, by role and
-- owner. Invariants: a message of another system occurs once per channel (source_id); what came in was received, what goes out was not.

create table crm.messages (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    channel text not null default 'email',
    direction text not null default 'outbound',
    thread_id text,
    from_address text,
    to_addresses text[] not null default '{}',
    cc_addresses text[] not null default '{}',
    subject text,
    body text,
    body_html text,
    status text not null default 'draft',
    error text,
    sent_at timestamptz,
    received_at timestamptz,
    source_id text,
    in_reply_to text,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint messages_pkey primary key (org_id, id),
    constraint messages_org_id_channel_source_id_key unique (org_id, channel, source_id),
    constraint messages_org_id_external_id_key unique (org_id, external_id),
    constraint messages_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint messages_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint messages_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint messages_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete set null (lead_id),
    constraint messages_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint messages_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete set null (ticket_id),
    constraint messages_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint messages_channel_check check (channel in ('email', 'sms', 'whatsapp', 'chat', 'social', 'phone', 'other')),
    constraint messages_direction_check check (direction in ('inbound', 'outbound')),
    constraint messages_status_check check (status in ('draft', 'queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    constraint messages_status_of_direction_check check (
        case direction when 'inbound' then status in ('received', 'read') else status <> 'received' end
    ),
    constraint messages_sent_at_check check (isfinite(sent_at)),
    constraint messages_received_at_check check (isfinite(received_at))
);

create index messages_org_id_created_at_id_idx on crm.messages (org_id, created_at, id);
create index messages_org_id_updated_at_id_idx on crm.messages (org_id, updated_at, id);
create index messages_org_id_owner_id_created_at_id_idx on crm.messages (org_id, owner_id, created_at, id);
create index messages_org_id_status_created_at_id_idx on crm.messages (org_id, status, created_at, id);
create index messages_org_id_channel_created_at_idx on crm.messages (org_id, channel, created_at);
create index messages_org_id_thread_id_created_at_idx on crm.messages (org_id, thread_id, created_at) where thread_id is not null;
create index messages_org_id_account_id_created_at_idx on crm.messages (org_id, account_id, created_at) where account_id is not null;
create index messages_org_id_contact_id_created_at_idx on crm.messages (org_id, contact_id, created_at) where contact_id is not null;
create index messages_org_id_lead_id_created_at_idx on crm.messages (org_id, lead_id, created_at) where lead_id is not null;
create index messages_org_id_deal_id_created_at_idx on crm.messages (org_id, deal_id, created_at) where deal_id is not null;
create index messages_org_id_ticket_id_created_at_idx on crm.messages (org_id, ticket_id, created_at) where ticket_id is not null;

select crm.enroll('crm.messages', array[
    'thread_id line 500', 'from_address line 320', 'to_addresses lines 320', 'cc_addresses lines 320', 'subject line 1000',
    'body text 500000', 'body_html html 500000', 'error text 2000', 'source_id line 1000', 'in_reply_to line 1000', 'external_id line 200',
    'status steps *:draft,queued,sent,delivered,read,failed,received draft:queued,sent queued:draft,sent,failed sent:delivered,read,failed'
        || ' delivered:read,failed failed:draft,queued received:read read:'
]);

comment on table crm.messages is 'Messages: what was written to and by customers, on any channel.';
comment on column crm.messages.channel is 'email, sms, whatsapp, chat, social, phone or other.';
comment on column crm.messages.direction is 'inbound or outbound.';
comment on column crm.messages.thread_id is 'What the channel calls the conversation.';
comment on column crm.messages.from_address is 'Who wrote it: an e-mail address, a phone number, a handle.';
comment on column crm.messages.to_addresses is 'To whom: at most 100.';
comment on column crm.messages.cc_addresses is 'Who got a copy: at most 100.';
comment on column crm.messages.subject is 'Of at most 1000 characters.';
comment on column crm.messages.body is 'Plain text, as given.';
comment on column crm.messages.body_html is 'Rich text (HTML, sanitised).';
comment on column crm.messages.status is 'Of an inbound message: received, read. Of an outbound one: draft, queued, sent, delivered, read, failed. From draft: queued, sent; from queued: draft, sent, failed; from sent: delivered, read, failed; from delivered: read, failed; from failed: draft, queued; from received: read. Any other step is refused (23514, HTTP 422).';
comment on column crm.messages.error is 'Why it failed.';
comment on column crm.messages.sent_at is 'When it was sent, as the channel tells.';
comment on column crm.messages.received_at is 'When it was received, as the channel tells.';
comment on column crm.messages.source_id is 'What the channel calls the message (the Message-ID of an e-mail): unique per channel within the organization, so that a message is stored once however often it is delivered.';
comment on column crm.messages.in_reply_to is 'The source_id of the message that this one answers.';
comment on column crm.messages.account_id is 'About an account of the same organization.';
comment on column crm.messages.contact_id is 'About a contact of the same organization.';
comment on column crm.messages.lead_id is 'About a lead of the same organization.';
comment on column crm.messages.deal_id is 'About a deal of the same organization.';
comment on column crm.messages.ticket_id is 'About a ticket of the same organization.';
