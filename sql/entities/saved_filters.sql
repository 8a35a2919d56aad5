-- saved_filters: views of lists that people keep. A private one is seen by its owner alone, whatever others may do; a
-- team's by the members of its group; an organization's by all.

create table crm.saved_filters (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    entity text not null,
    name text not null,
    visibility text not null default 'private',
    group_id uuid,
    query text,
    definition jsonb,
    shown_columns text[] not null default '{}',
    sort text,
    is_pinned boolean not null default false,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint saved_filters_pkey primary key (org_id, id),
    constraint saved_filters_org_id_owner_id_entity_name_key unique (org_id, owner_id, entity, name),
    constraint saved_filters_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint saved_filters_org_id_group_id_fkey foreign key (org_id, group_id)
        references crm.groups (org_id, id) on delete cascade,
    constraint saved_filters_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint saved_filters_visibility_check check (visibility in ('private', 'team', 'organization')),
    constraint saved_filters_team_has_group_check check ((visibility = 'team') = (group_id is not null)),
    constraint saved_filters_definition_check check (jsonb_typeof(definition) = 'object' and length(definition::text) <= 20000)
);

create index saved_filters_org_id_created_at_id_idx on crm.saved_filters (org_id, created_at, id);
create index saved_filters_org_id_updated_at_id_idx on crm.saved_filters (org_id, updated_at, id);
create index saved_filters_org_id_owner_id_created_at_id_idx on crm.saved_filters (org_id, owner_id, created_at, id);
create index saved_filters_org_id_entity_name_idx on crm.saved_filters (org_id, entity, name);
create index saved_filters_org_id_group_id_idx on crm.saved_filters (org_id, group_id) where group_id is not null;

select crm.enroll(
    'crm.saved_filters',
    array[
        'entity required key', 'name required line 100', 'query line 4000', 'shown_columns lines 63', 'sort line 500'
    ],
    array[
        'manager read', 'manager create,update,delete own', 'sales read', 'sales create,update,delete own',
        'support read', 'support create,update,delete own', 'read_only read'
    ]
);

create policy saved_filters_by_visibility on crm.saved_filters as restrictive to crm_app, crm_multi
    using (
        current_user = 'crm_definer'
        or owner_id = (select crm.current_user_id())
        or visibility = 'organization'
        or group_id = any ((select crm.my_group_ids())::uuid[])
    );

comment on table crm.saved_filters is 'Views of lists that people keep: their own, their teams'' and the organization''s.';
comment on column crm.saved_filters.entity is 'What is listed: contacts, deals …';
comment on column crm.saved_filters.name is 'Unique for each owner and entity.';
comment on column crm.saved_filters.visibility is 'private (seen by the owner alone), team (by the members of the group as well) or organization (by all).';
comment on column crm.saved_filters.group_id is 'The group that sees it, when visibility is team. It goes with the group.';
comment on column crm.saved_filters.query is 'The filter as PostgREST takes it: status=eq.active&city=ilike.*berlin*';
comment on column crm.saved_filters.definition is 'The filter as the application keeps it, a JSON object of at most 20000 characters.';
comment on column crm.saved_filters.shown_columns is 'Which columns are shown, in their order: at most 100.';
comment on column crm.saved_filters.sort is 'The order as PostgREST takes it: created_at.desc,id.desc';
comment on column crm.saved_filters.is_pinned is 'Whether it is shown first.';
