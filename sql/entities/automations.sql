-- automations: what should happen by itself when something happened. Made and changed by administrators.
-- These are definitions: nothing runs them yet.

create table crm.automations (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    description text,
    enabled boolean not null default false,
    trigger_event text not null,
    conditions jsonb not null default '{}',
    actions jsonb not null default '[]',
    run_order integer not null default 100,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint automations_pkey primary key (org_id, id),
    constraint automations_org_id_name_key unique (org_id, name),
    constraint automations_org_id_external_id_key unique (org_id, external_id),
    constraint automations_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint automations_trigger_event_check check (trigger_event ~ '^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$'),
    constraint automations_conditions_check check (jsonb_typeof(conditions) = 'object' and length(conditions::text) <= 20000),
    constraint automations_actions_check check (jsonb_typeof(actions) = 'array' and length(actions::text) <= 50000),
    constraint automations_run_order_check check (run_order between 0 and 10000)
);

create index automations_org_id_created_at_id_idx on crm.automations (org_id, created_at, id);
create index automations_org_id_updated_at_id_idx on crm.automations (org_id, updated_at, id);
create index automations_org_id_trigger_event_run_order_idx on crm.automations (org_id, trigger_event, run_order);

select crm.enroll(
    'crm.automations', array['name required line 100', 'description text 1000', 'trigger_event required line 127', 'external_id line 200'],
    array['manager read']
);

-- Administering is done in one organization at a time.
revoke all on crm.automations from crm_multi;

comment on table crm.automations is 'What should happen by itself when something happened. These are definitions: nothing runs them yet.';
comment on column crm.automations.name is 'Unique within the organization.';
comment on column crm.automations.description is 'For people.';
comment on column crm.automations.enabled is 'Whether it is to run.';
comment on column crm.automations.trigger_event is 'What sets it off: an event, like deal.updated. event_types() tells which there are.';
comment on column crm.automations.conditions is 'What must be true of the record, a JSON object of at most 20000 characters.';
comment on column crm.automations.actions is 'What is then done, a JSON array of at most 50000 characters, in this order.';
comment on column crm.automations.run_order is 'Of several for one event, the lower goes first: 0 to 10000.';
