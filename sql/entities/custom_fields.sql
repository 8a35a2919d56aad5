-- custom_fields: the fields that an organization adds to its records. Their values are in the records' column custom_fields;
-- what has to be unique, and which records are pointed to, is noted in custom_unique_values and custom_references.
-- Seen by everybody in the organization, defined by its owners and administrators.
-- Invariants: a key once per entity; values fit their definition; a unique value occurs once.

create table crm.custom_fields (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    entity text not null,
    key text not null,
    label text not null,
    type text not null,
    required boolean not null default false,
    is_unique boolean not null default false,
    default_value jsonb,
    options jsonb,
    reference_entity text,
    description text,
    position integer not null default 0,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint custom_fields_pkey primary key (org_id, id),
    constraint custom_fields_org_id_entity_key_key unique (org_id, entity, key),
    constraint custom_fields_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint custom_fields_entity_check check (char_length(entity) between 1 and 63),
    constraint custom_fields_reference_entity_check check (char_length(reference_entity) between 1 and 63),
    constraint custom_fields_key_check check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint custom_fields_type_check check (type in (
        'text', 'long_text', 'number', 'boolean', 'date', 'datetime', 'select', 'multi_select', 'url', 'email', 'reference'
    )),
    constraint custom_fields_position_check check (position between 0 and 1000000)
);

-- Those who want the same value at the same time meet at the key.
create table crm_private.custom_unique_values (
    org_id uuid not null,
    field_id uuid not null,
    value text not null,
    record_id uuid not null,
    constraint custom_unique_values_pkey primary key (org_id, field_id, value),
    constraint custom_unique_values_org_id_field_id_fkey foreign key (org_id, field_id)
        references crm.custom_fields (org_id, id) on delete cascade
);

create table crm_private.custom_references (
    org_id uuid not null,
    field_id uuid not null,
    record_id uuid not null,
    target_id uuid not null,
    constraint custom_references_pkey primary key (org_id, field_id, record_id),
    constraint custom_references_org_id_field_id_fkey foreign key (org_id, field_id)
        references crm.custom_fields (org_id, id) on delete cascade
);

create index custom_references_org_id_target_id_idx on crm_private.custom_references (org_id, target_id);

comment on table crm_private.custom_unique_values is 'The values of unique custom fields, and whose they are.';
comment on column crm_private.custom_unique_values.value is 'As text; of more than 2000 bytes the SHA-256 hash, in hexadecimal.';
comment on table crm_private.custom_references is 'Which records point to which by custom fields of type reference.';

create trigger _200_definition before insert or update on crm.custom_fields
    for each row execute function crm_private.check_custom_field();
create trigger _310_lock before update or delete on crm.custom_fields
    for each statement execute function crm_private.lock_custom_fields();
create trigger _800_apply after insert or update or delete on crm.custom_fields
    for each row execute function crm_private.apply_custom_field();
create trigger _900_announce after insert or update or delete on crm.custom_fields
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm.custom_fields
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm.custom_fields enable always trigger _900_announce;
alter table crm.custom_fields enable always trigger _900_announce_truncate;

select crm.enroll(
    'crm.custom_fields', array['label required line 200', 'description text 1000'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);

-- Defining is done in one organization at a time: its writers are waited for.
revoke insert, update, delete on crm.custom_fields from crm_multi;

alter table crm_private.custom_unique_values enable row level security, force row level security;
alter table crm_private.custom_references enable row level security, force row level security;

create policy custom_fields_all_definer on crm.custom_fields for all to crm_definer using (true) with check (true);
create policy custom_unique_values_all_definer on crm_private.custom_unique_values for all to crm_definer using (true) with check (true);
create policy custom_references_all_definer on crm_private.custom_references for all to crm_definer using (true) with check (true);

grant select on crm.custom_fields to crm_definer;
grant select, insert, update, delete on crm_private.custom_unique_values, crm_private.custom_references to crm_definer;
grant select on crm_private.custom_unique_values, crm_private.custom_references to crm_backup;

comment on table crm.custom_fields is 'The fields that the organization adds to its records.';
comment on column crm.custom_fields.entity is 'The table the field is for, like contacts. It cannot be changed.';
comment on column crm.custom_fields.key is 'Under which a record''s custom_fields has the value: lower case letters, digits and _, unique for the entity. When it is changed, all records follow.';
comment on column crm.custom_fields.label is 'For people.';
comment on column crm.custom_fields.type is 'text (one line, at most 500 characters), long_text (at most 20000), number (at most 15 digits), boolean, date, datetime, select, multi_select, url, email or reference. It cannot be changed.';
comment on column crm.custom_fields.required is 'Whether a new record needs a value, and none can be removed. Records from before may be without.';
comment on column crm.custom_fields.is_unique is 'Whether no two records have the same value. Not for long_text, boolean and multi_select.';
comment on column crm.custom_fields.default_value is 'What a new record gets that has no value.';
comment on column crm.custom_fields.options is 'Of select and multi_select: [{"value": "gold", "label": "Gold"}], at most 200. One that records have is not removed: see crm.rename_custom_field_option.';
comment on column crm.custom_fields.reference_entity is 'Of reference: the table whose records it points to. It cannot be changed.';
comment on column crm.custom_fields.description is 'For people: what to enter.';
comment on column crm.custom_fields.position is 'In which order to show the fields; at most 1000000.';
