-- webhooks: who is told of which events. Made with crm.create_webhook, which tells the secret once; seen and changed by administrators.
-- Invariants: whoever makes one, or says where it leads, may read all that it tells (src/events/permitted.rs); secrets and the values of
-- headers lie in crm_private, and nothing shows them but what is handed to whoever delivers.

create table crm.webhooks (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    description text,
    url text not null,
    events text[] not null default '{*}',
    fields text[] not null default '{}',
    condition text,
    header_names text[] not null default '{}',
    enabled boolean not null default true,
    ordered boolean not null default false,
    max_per_minute integer,
    disabled_at timestamptz,
    disabled_reason text,
    secret_changed_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint webhooks_pkey primary key (org_id, id),
    constraint webhooks_org_id_name_key unique (org_id, name),
    constraint webhooks_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint webhooks_max_per_minute_check check (max_per_minute between 1 and 60000)
);

create index webhooks_org_id_created_at_id_idx on crm.webhooks (org_id, created_at, id);
create index webhooks_org_id_updated_at_id_idx on crm.webhooks (org_id, updated_at, id);

-- After the values have their form, and the organization is known.
create trigger _600_webhook before insert or update on crm.webhooks
    for each row execute function crm_private.check_webhook();
create trigger _800_begin after insert or update of enabled on crm.webhooks
    for each row execute function crm_private.begin_webhook();
create trigger _900_announce after insert or update or delete on crm.webhooks
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm.webhooks
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm.webhooks enable always trigger _900_announce;
alter table crm.webhooks enable always trigger _900_announce_truncate;

select crm.enroll(
    'crm.webhooks',
    array[
        'name required line 100', 'description text 1000', 'url required line 2000', 'condition text 1000', 'header_names kept',
        'disabled_at kept', 'disabled_reason kept', 'secret_changed_at kept'
    ],
    array['manager read']
);

-- Administering is done in one organization at a time; a new one needs a secret that is told.
revoke all on crm.webhooks from crm_multi;
revoke insert on crm.webhooks from crm_app;

create policy webhooks_all_definer on crm.webhooks for all to crm_definer using (true) with check (true);

-- To lock a row takes the right to change it.
grant select, update on crm.webhooks to crm_definer;

create table crm_private.webhook_secrets (
    org_id uuid not null,
    id uuid not null default crm.uuid_v7(),
    webhook_id uuid not null,
    secret bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null default 'infinity',
    constraint webhook_secrets_pkey primary key (org_id, id),
    constraint webhook_secrets_org_id_webhook_id_fkey foreign key (org_id, webhook_id)
        references crm.webhooks (org_id, id) on delete cascade
);

create index webhook_secrets_org_id_webhook_id_idx on crm_private.webhook_secrets (org_id, webhook_id);

alter table crm_private.webhook_secrets alter column secret set statistics 0;

-- Apart from the webhooks: what is noted here changes with deliveries, and is nobody's history.
create table crm_private.webhook_states (
    org_id uuid not null,
    webhook_id uuid not null,
    since bigint not null,
    headers jsonb not null default '{}',
    failing_since timestamptz,
    next_turn timestamptz,
    replay_position bigint,
    replay_entry_id uuid,
    replay_until bigint,
    constraint webhook_states_pkey primary key (org_id, webhook_id),
    constraint webhook_states_org_id_webhook_id_fkey foreign key (org_id, webhook_id)
        references crm.webhooks (org_id, id) on delete cascade
);

alter table crm_private.webhook_states alter column headers set statistics 0;

create table crm_private.event_readers (
    org_id uuid not null,
    position bigint not null,
    entry_id uuid,
    read_at timestamptz,
    stopped_until timestamptz,
    constraint event_readers_pkey primary key (org_id),
    constraint event_readers_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);

alter table crm_private.webhook_secrets enable row level security, force row level security;
alter table crm_private.webhook_states enable row level security, force row level security;
alter table crm_private.event_readers enable row level security, force row level security;

create policy webhook_secrets_all_definer on crm_private.webhook_secrets for all to crm_definer using (true) with check (true);
create policy webhook_states_all_definer on crm_private.webhook_states for all to crm_definer using (true) with check (true);
create policy event_readers_all_definer on crm_private.event_readers for all to crm_definer using (true) with check (true);

grant select, insert, update, delete on crm_private.webhook_secrets, crm_private.webhook_states, crm_private.event_readers to crm_definer;
grant select on crm_private.webhook_secrets, crm_private.webhook_states, crm_private.event_readers to crm_backup;

comment on table crm.webhooks is 'Who is told of which events, by HTTP. Made with create_webhook, which tells the secret once.';
comment on column crm.webhooks.name is 'Unique within the organization.';
comment on column crm.webhooks.description is 'For people.';
comment on column crm.webhooks.url is 'https://…, where events are sent with POST. Without user name and password. Changing it takes the permissions to read what the webhook told so far and is about to tell; with another scheme, host or port the headers that are sent along are forgotten.';
comment on column crm.webhooks.events is 'Which events: deal.won, deal.*, *.created or *, at most 50. each of which one of event_types() fits.';
comment on column crm.webhooks.fields is 'Of updates, and what they mean, only those that change one of these columns, which a table that the events are of has (custom_fields: any custom field). Empty: all.';
comment on column crm.webhooks.condition is 'Only events for which this SQL/JSON path is true, like $.data.amount > 1000; without like_regex and **. Of at most 1000 characters.';
comment on column crm.webhooks.header_names is 'The headers that are sent along: see set_webhook_headers. Their values are not shown. Forgotten when url leads to another scheme, host or port.';
comment on column crm.webhooks.enabled is 'Whether it gets events. Those of the meantime it gets with replay_webhook.';
comment on column crm.webhooks.ordered is 'Whether the events of a record are sent one after the other, each when the one before it has arrived or was given up.';
comment on column crm.webhooks.max_per_minute is 'How many are sent in a minute at most, 1 to 60000. Empty: as many as there are.';
comment on column crm.webhooks.disabled_at is 'Since when it is not enabled; kept by the database.';
comment on column crm.webhooks.disabled_reason is 'Why it is not enabled: by hand, or because it failed for too long; kept by the database.';
comment on column crm.webhooks.secret_changed_at is 'When it got the secret that it has; kept by the database.';

comment on table crm_private.webhook_secrets is 'What webhooks are signed with: the newest, and those of before for a while.';
comment on table crm_private.webhook_states is 'What is noted of a webhook''s deliveries.';
comment on column crm_private.webhook_states.since is 'It gets what comes after this place in the organization''s chain.';
comment on column crm_private.webhook_states.headers is 'What is sent along, by name.';
comment on column crm_private.webhook_states.failing_since is 'Since when no delivery has arrived.';
comment on column crm_private.webhook_states.next_turn is 'Of a webhook with max_per_minute: when the next delivery may go.';
comment on column crm_private.webhook_states.replay_position is 'Of what is sent once more: the last place in the chain that was handed over,';
comment on column crm_private.webhook_states.replay_entry_id is 'the last entry of it, if there are more,';
comment on column crm_private.webhook_states.replay_until is 'and the last place that is to be.';
comment on table crm_private.event_readers is 'How far an organization''s events were handed to its webhooks.';
comment on column crm_private.event_readers.position is 'The last place in the chain that was read.';
comment on column crm_private.event_readers.entry_id is 'The last entry of it that was read, if there are more.';
comment on column crm_private.event_readers.stopped_until is 'Handing over failed, and is tried again then.';
