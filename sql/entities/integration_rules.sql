-- integration_rules: what an event that another system sends becomes: a record of which table, and which of its columns get what.
-- Made and changed by administrators. Without a rule of the organization's own, lead.captured has one that is built in.
-- Invariants: one rule for each event; what it names is there and may be written.

create table crm.integration_rules (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    event_name text not null,
    entity text not null,
    mapping jsonb not null,
    match_on text[] not null default '{}',
    id_path text,
    enabled boolean not null default true,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint integration_rules_pkey primary key (org_id, id),
    constraint integration_rules_org_id_event_name_key unique (org_id, event_name),
    constraint integration_rules_org_id_external_id_key unique (org_id, external_id),
    constraint integration_rules_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint integration_rules_event_name_check check (
        event_name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$' and char_length(event_name) <= 100
    ),
    constraint integration_rules_entity_check check (char_length(entity) between 1 and 127),
    constraint integration_rules_id_path_check check (char_length(id_path) between 1 and 300),
    constraint integration_rules_mapping_check check (jsonb_typeof(mapping) = 'object' and length(mapping::text) <= 20000)
);

create index integration_rules_org_id_created_at_id_idx on crm.integration_rules (org_id, created_at, id);
create index integration_rules_org_id_updated_at_id_idx on crm.integration_rules (org_id, updated_at, id);

create trigger _200_definition before insert or update on crm.integration_rules
    for each row execute function crm_private.check_integration_rule();

select crm.enroll(
    'crm.integration_rules', array['name required line 100', 'event_name required line 100', 'external_id line 200'],
    array['manager read']
);

-- Administering is done in one organization at a time.
revoke all on crm.integration_rules from crm_multi;

comment on table crm.integration_rules is 'What the events that other systems send become: see crm.ingest_event.';
comment on column crm.integration_rules.name is 'For people.';
comment on column crm.integration_rules.event_name is 'The event, like order.paid: words of lower case letters, digits and _, with dots between, at most 100 characters. One rule for each.';
comment on column crm.integration_rules.entity is 'The table whose record it becomes, like contacts.';
comment on column crm.integration_rules.mapping is
$$What each column gets, a JSON object: {"email": "$.customer.email", "source": {"value": "shop"}, "last_name": ["$.name", "$.email", {"value": "unknown"}]}. A text is a path into the payload (SQL/JSON path, at most 300 characters), of whose results the first counts; {"value": …} is a constant; of a list, the first that gives something counts, and a constant that stands in for paths is for new records only.$$;
comment on column crm.integration_rules.match_on is 'By which columns, all of them together, a record that is there already is found, to be updated: {email}. At most 5. Without any, or where the payload lacks one, each event adds a record.';
comment on column crm.integration_rules.id_path is 'Where the payload has the id that its sender gave the event, for those that are sent twice: $.event.id.';
comment on column crm.integration_rules.enabled is 'Whether events become records by it. If not, they are kept as ignored.';
