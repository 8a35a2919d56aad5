-- pipelines and pipeline_stages: the ways deals go. Everybody in the organization sees them, administrators set them up.
-- Invariants: an organization with pipelines has one that is the default; every organization begins with one (src/crm/defaults.rs).

create table crm.pipelines (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    description text,
    position integer not null default 0,
    is_default boolean not null default false,
    archived_at timestamptz,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint pipelines_pkey primary key (org_id, id),
    constraint pipelines_org_id_name_key unique (org_id, name),
    constraint pipelines_org_id_external_id_key unique (org_id, external_id),
    constraint pipelines_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint pipelines_archived_at_check check (isfinite(archived_at)),
    constraint pipelines_default_is_in_use_check check (not is_default or archived_at is null)
);

create table crm.pipeline_stages (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    pipeline_id uuid not null,
    name text not null,
    position integer not null default 0,
    probability integer not null default 0,
    kind text not null default 'open',
    rotting_days integer,
    description text,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint pipeline_stages_pkey primary key (org_id, id),
    constraint pipeline_stages_org_id_pipeline_id_name_key unique (org_id, pipeline_id, name),
    -- What a deal points to, so that its status is always the kind of its stage.
    constraint pipeline_stages_org_id_pipeline_id_id_kind_key unique (org_id, pipeline_id, id, kind),
    constraint pipeline_stages_org_id_external_id_key unique (org_id, external_id),
    constraint pipeline_stages_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint pipeline_stages_org_id_pipeline_id_fkey foreign key (org_id, pipeline_id)
        references crm.pipelines (org_id, id) on delete cascade,
    constraint pipeline_stages_probability_check check (probability between 0 and 100),
    constraint pipeline_stages_kind_check check (kind in ('open', 'won', 'lost')),
    constraint pipeline_stages_rotting_days_check check (rotting_days between 1 and 3650)
);

create index pipelines_org_id_position_id_idx on crm.pipelines (org_id, position, id);
create index pipeline_stages_org_id_pipeline_id_position_id_idx on crm.pipeline_stages (org_id, pipeline_id, position, id);

create trigger _550_default before insert or update of is_default on crm.pipelines
    for each row execute function crm_private.keep_default_pipeline();
create trigger _600_default after insert or update of is_default or delete on crm.pipelines
    for each row execute function crm_private.keep_default_pipeline();

select crm.enroll(
    'crm.pipelines', array['name required line 100', 'description text 1000', 'external_id line 200'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);
select crm.enroll(
    'crm.pipeline_stages', array['name required line 100', 'description text 1000', 'external_id line 200'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);

comment on table crm.pipelines is 'The ways deals go, from stage to stage. One is the default. It can be deleted when it has no deals (23503).';
comment on column crm.pipelines.name is 'Unique within the organization.';
comment on column crm.pipelines.description is 'Plain text.';
comment on column crm.pipelines.position is 'The place in lists, ascending.';
comment on column crm.pipelines.is_default is
    'Deals that name no pipeline go here. Always true of one: made true, it takes the place of the one before; it cannot be made false (22023), nor archived (23514).';
comment on column crm.pipelines.archived_at is 'Since when it is not offered for new deals; its deals stay.';
comment on table crm.pipeline_stages is 'The stages of the pipelines. One can be deleted when it has no deals (23503).';
comment on column crm.pipeline_stages.pipeline_id is 'The pipeline it belongs to. Cannot be changed while the stage has deals (23503).';
comment on column crm.pipeline_stages.name is 'Unique within the pipeline.';
comment on column crm.pipeline_stages.position is 'The place within the pipeline, ascending.';
comment on column crm.pipeline_stages.probability is 'Of a deal in this stage to be won, in percent. Won deals count as 100, lost ones as 0 whatever it says.';
comment on column crm.pipeline_stages.kind is
    'open, won or lost: the status of the deals in it. Cannot be changed while the stage has deals (23503).';
comment on column crm.pipeline_stages.rotting_days is 'After so many days in this stage a deal has been left too long.';
comment on column crm.pipeline_stages.description is 'Plain text.';
