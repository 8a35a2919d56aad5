-- webhook_deliveries: events on their way to webhooks, and those that could not be delivered. What has arrived is removed:
-- webhook_attempts tells of it. Deliveries hold what is in history, and a receiver may send that back: so both are seen with
-- webhooks.read and audit.read.
-- Invariants: written by src/events/queue alone. A lease does not move a row in the queue: no index and no index's condition may have
-- leased_until or attempts in it, or each claim would write into every index.

create table crm.webhook_deliveries (
    org_id uuid not null,
    id uuid not null,
    webhook_id uuid not null,
    event_id uuid not null,
    entry_id uuid,
    event_type text collate "C" not null,
    entity text collate "C" not null,
    record_id uuid not null,
    lane uuid,
    state text collate "C" not null,
    attempts integer not null,
    run_at timestamptz,
    leased_until timestamptz,
    created_at timestamptz not null,
    last_status integer,
    last_error text,
    payload text not null,
    constraint webhook_deliveries_pkey primary key (org_id, id),
    -- Before that of webhook_attempts: who deletes a webhook waits here for who is just noting an attempt.
    constraint webhook_deliveries_org_id_webhook_id_fkey foreign key (org_id, webhook_id)
        references crm.webhooks (org_id, id) on delete cascade,
    constraint webhook_deliveries_state_check check (state in ('pending', 'ordering', 'waiting', 'backlog', 'failed')),
    constraint webhook_deliveries_pending_has_time_check check ((state = 'pending') = (run_at is not null))
)
-- Room for the lease beside the row; and what is deleted at the queue's end is cleared away soon.
with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- The queue, of all organizations.
create index webhook_deliveries_run_at_id_idx on crm.webhook_deliveries (run_at, id) where run_at is not null;
create index webhook_deliveries_org_id_webhook_id_run_at_idx on crm.webhook_deliveries (org_id, webhook_id, run_at);
create index webhook_deliveries_org_id_webhook_id_lane_id_idx on crm.webhook_deliveries (org_id, webhook_id, lane, id)
    where lane is not null and state <> 'failed';
create index webhook_deliveries_org_id_id_idx on crm.webhook_deliveries (org_id, id) where state = 'ordering';
create index webhook_deliveries_org_id_webhook_id_id_idx on crm.webhook_deliveries (org_id, webhook_id, id) where state = 'backlog';

create table crm.webhook_attempts (
    org_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    webhook_id uuid not null,
    delivery_id uuid not null,
    event_id uuid not null,
    entry_id uuid,
    event_type text collate "C" not null,
    entity text collate "C" not null,
    record_id uuid not null,
    attempt integer not null,
    outcome text collate "C" not null,
    status integer,
    duration_ms integer,
    error text,
    response text,
    constraint webhook_attempts_pkey primary key (org_id, id),
    constraint webhook_attempts_org_id_webhook_id_fkey foreign key (org_id, webhook_id)
        references crm.webhooks (org_id, id) on delete cascade,
    constraint webhook_attempts_outcome_check check (outcome in ('delivered', 'failed'))
);

create index webhook_attempts_org_id_webhook_id_event_id_idx on crm.webhook_attempts (org_id, webhook_id, event_id);

alter table crm.webhook_deliveries enable row level security, force row level security;
alter table crm.webhook_attempts enable row level security, force row level security;

create policy webhook_deliveries_select_app on crm.webhook_deliveries for select to crm_app
    using (org_id = (select crm.all_scope_org_id('webhooks.read')) and org_id = (select crm.all_scope_org_id('audit.read')));
create policy webhook_attempts_select_app on crm.webhook_attempts for select to crm_app
    using (org_id = (select crm.all_scope_org_id('webhooks.read')) and org_id = (select crm.all_scope_org_id('audit.read')));
create policy webhook_deliveries_all_definer on crm.webhook_deliveries for all to crm_definer using (true) with check (true);
create policy webhook_attempts_all_definer on crm.webhook_attempts for all to crm_definer using (true) with check (true);

grant select on crm.webhook_deliveries, crm.webhook_attempts to crm_app, crm_backup;
grant select, update, delete on crm.webhook_deliveries, crm.webhook_attempts to crm_definer;

comment on table crm.webhook_deliveries is 'Events on their way to webhooks, and those that could not be delivered. Needs webhooks.read and audit.read.';
comment on column crm.webhook_deliveries.org_id is 'The organization.';
comment on column crm.webhook_deliveries.id is 'UUID version 7: of one webhook''s deliveries the later one is greater.';
comment on column crm.webhook_deliveries.webhook_id is 'Where it goes.';
comment on column crm.webhook_deliveries.event_id is 'The event: what the receiver gets as webhook-id, with every attempt the same.';
comment on column crm.webhook_deliveries.entry_id is 'The entry of audit_log that the event is of. A test has none.';
comment on column crm.webhook_deliveries.event_type is 'Like deal.won.';
comment on column crm.webhook_deliveries.entity is 'The record''s table.';
comment on column crm.webhook_deliveries.record_id is 'The record''s id.';
comment on column crm.webhook_deliveries.lane is 'Of an ordered webhook: the record, whose deliveries go one after the other.';
comment on column crm.webhook_deliveries.state is 'pending: to be sent at run_at; waiting: after another one of the record; ordering: the same, while it may just have been reported that the one before it is done with; backlog: after many others of the webhook, which takes them slowly; failed: given up, see replay_webhook.';
comment on column crm.webhook_deliveries.attempts is 'How often it was tried, or is just being tried.';
comment on column crm.webhook_deliveries.run_at is 'When it is to be sent.';
comment on column crm.webhook_deliveries.leased_until is 'Somebody is sending it, and has said nothing else yet; after this time somebody else does.';
comment on column crm.webhook_deliveries.created_at is 'When the event was handed to the webhook.';
comment on column crm.webhook_deliveries.last_status is 'What the receiver answered last, as an HTTP status.';
comment on column crm.webhook_deliveries.last_error is 'Why it failed last.';
comment on column crm.webhook_deliveries.payload is 'What is sent: JSON.';

comment on table crm.webhook_attempts is 'What was tried to deliver, and what became of it; kept for 30 days. Needs webhooks.read and audit.read.';
comment on column crm.webhook_attempts.org_id is 'The organization.';
comment on column crm.webhook_attempts.id is 'UUID version 7.';
comment on column crm.webhook_attempts.created_at is 'When it was reported.';
comment on column crm.webhook_attempts.webhook_id is 'Where it went.';
comment on column crm.webhook_attempts.delivery_id is 'The delivery.';
comment on column crm.webhook_attempts.event_id is 'The event: what the receiver got as webhook-id.';
comment on column crm.webhook_attempts.entry_id is 'The entry of audit_log that the event is of. A test has none.';
comment on column crm.webhook_attempts.event_type is 'Like deal.won.';
comment on column crm.webhook_attempts.entity is 'The record''s table.';
comment on column crm.webhook_attempts.record_id is 'The record''s id.';
comment on column crm.webhook_attempts.attempt is 'The how many-eth it was.';
comment on column crm.webhook_attempts.outcome is 'delivered, or failed.';
comment on column crm.webhook_attempts.status is 'What the receiver answered, as an HTTP status; empty where it did not.';
comment on column crm.webhook_attempts.duration_ms is 'How long it took, in milliseconds.';
comment on column crm.webhook_attempts.error is 'Why there was no answer.';
comment on column crm.webhook_attempts.response is 'The first 1024 bytes of the answer, which may hold what was sent.';
