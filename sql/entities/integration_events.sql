-- integration_events: what other systems sent, and what came of it. Written by crm.ingest_event and crm.retry_event alone; seen and
-- deleted by administrators: a payload tells of a record to whoever may see that or not.
-- Invariants: an event that has a key is there once; one that failed says why; payloads do not stand in history a second time.

create table crm.integration_events (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    event_name text not null,
    event_key text,
    payload jsonb not null,
    status text not null default 'received',
    error_code text,
    error text,
    entity text,
    record_id uuid,
    attempts integer not null default 0,
    processed_at timestamptz,
    api_key_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint integration_events_pkey primary key (org_id, id),
    constraint integration_events_org_id_event_name_event_key_key unique (org_id, event_name, event_key),
    constraint integration_events_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint integration_events_event_name_check check (
        event_name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$' and char_length(event_name) <= 100
    ),
    constraint integration_events_event_key_check check (char_length(event_key) between 1 and 255),
    constraint integration_events_payload_check check (jsonb_typeof(payload) = 'object'),
    constraint integration_events_status_check check (status in ('received', 'processed', 'failed', 'ignored')),
    constraint integration_events_failed_has_error_check check ((status = 'failed') = (error is not null)),
    constraint integration_events_names_entity_check check (record_id is null or entity is not null),
    constraint integration_events_attempts_check check (attempts >= 0)
);

create index integration_events_org_id_created_at_id_idx on crm.integration_events (org_id, created_at, id);
create index integration_events_org_id_updated_at_id_idx on crm.integration_events (org_id, updated_at, id);
create index integration_events_org_id_status_created_at_id_idx on crm.integration_events (org_id, status, created_at, id);
create index integration_events_org_id_record_id_idx on crm.integration_events (org_id, record_id) where record_id is not null;

select crm.enroll('crm.integration_events', array['payload secret'], '{}', read_only => true);
grant delete on crm.integration_events to crm_app, crm_multi;

-- Those to create and update are of the functions that write here.
insert into crm.permissions (resource, action, description)
values
    ('integration_events', 'create', 'Send events that become records.'),
    ('integration_events', 'update', 'Work again on events that failed.'),
    ('integration_events', 'delete', 'Delete integration events.');

comment on table crm.integration_events is 'What other systems sent, and what came of it. Written by crm.ingest_event and crm.retry_event; crm.maintain_webhooks removes those older than 90 days.';
comment on column crm.integration_events.event_name is 'What happened: lead.captured.';
comment on column crm.integration_events.event_key is 'By which the same event is known again when it is sent twice: the argument event_id, the header Idempotency-Key, or what the rule''s id_path finds. Empty: by none.';
comment on column crm.integration_events.payload is 'What was sent, a JSON object of at most 256 kB. History does not repeat it.';
comment on column crm.integration_events.status is 'received while it is worked on, then processed (it became the record), failed (error says why), or ignored (there is no rule for it). From failed and ignored crm.retry_event leads to any of the three, from failed the event when it is sent again.';
comment on column crm.integration_events.error_code is 'Of one that failed, the SQLSTATE: 42501 without permission, 53400 at a limit of the plan, 22… and 23… for what it holds.';
comment on column crm.integration_events.error is 'Of one that failed, why.';
comment on column crm.integration_events.entity is 'The table of the record that it became, or was to become.';
comment on column crm.integration_events.record_id is 'The record that it became. It may be gone since.';
comment on column crm.integration_events.attempts is 'How often it was worked on.';
comment on column crm.integration_events.processed_at is 'When it was worked on last.';
comment on column crm.integration_events.api_key_id is 'The API key it was sent with.';
