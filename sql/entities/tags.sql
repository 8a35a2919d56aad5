-- tags: what an organization calls its records. A record names its tags in its column tags; who names one that is not here
-- makes it. Seen by everybody in the organization, kept in order by those who manage.
-- Invariants: a name occurs once per organization, in upper or lower case; a record has only tags that are here, spelled as
-- they are here (crm_private.tag_record and crm_private.follow_tag).

create table crm.tags (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    name_key text not null,
    color text,
    description text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint tags_pkey primary key (org_id, id),
    -- The name belongs to a key so that another spelling, too, waits for those who hold the row (for key share).
    constraint tags_org_id_name_key unique (org_id, name),
    constraint tags_org_id_name_key_key unique (org_id, name_key),
    constraint tags_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint tags_name_check check (char_length(name) between 1 and 50),
    constraint tags_name_characters_check check (name !~ '[,{}"\\]'),
    constraint tags_color_check check (color ~ '^#[0-9a-f]{6}$')
);

select crm.enroll(
    'crm.tags', array['name required line 50', 'color color', 'description text 1000'],
    array['manager read,create,update', 'sales read', 'support read', 'read_only read']
);

create trigger _120_name before insert or update on crm.tags
    for each row execute function crm_private.name_tag();
create trigger _850_follow after update on crm.tags
    for each row
    when (new.name <> old.name)
    execute function crm_private.follow_tag();
create trigger _850_follow_delete after delete on crm.tags
    for each row execute function crm_private.follow_tag();

comment on table crm.tags is 'What the organization calls its records: filter them with tags=cs.{name}. A tag is made by naming it in a record.';
comment on column crm.tags.name is 'Up to 50 characters without comma, brace, quotation mark or backslash. Another name is another name in all records; a name that is taken is refused: merge the two with merge_tags.';
comment on column crm.tags.name_key is 'The name in lower case, kept by the database: upsert with on_conflict=org_id,name_key.';
comment on column crm.tags.color is '#rrggbb, or none.';
comment on column crm.tags.description is 'What the tag says of a record.';
