-- notifications: what somebody should know. Seen, marked as read and removed by that person alone.
-- Invariants: the owner is whom it is for; it goes with their membership.

create table crm.notifications (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    user_id uuid not null,
    kind text not null,
    title text not null,
    body text,
    entity text,
    record_id uuid,
    read_at timestamptz,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint notifications_pkey primary key (org_id, id),
    constraint notifications_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint notifications_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade,
    constraint notifications_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete cascade,
    constraint notifications_names_entity_check check (record_id is null or entity is not null),
    constraint notifications_read_at_check check (isfinite(read_at))
);

create index notifications_org_id_created_at_id_idx on crm.notifications (org_id, created_at, id);
create index notifications_org_id_updated_at_id_idx on crm.notifications (org_id, updated_at, id);
create index notifications_org_id_owner_id_created_at_id_idx on crm.notifications (org_id, owner_id, created_at, id);
create index notifications_org_id_user_id_read_at_idx on crm.notifications (org_id, user_id, read_at);

select crm.enroll(
    'crm.notifications',
    array['user_id owner', 'kind required key', 'title required line 200', 'body text 2000', 'entity key'],
    array['manager read,update,delete own', 'sales read,update,delete own', 'support read,update,delete own', 'read_only read,update,delete own']
);

create trigger _850_mail after insert on crm.notifications
    referencing new table as added
    for each statement execute function crm_private.mail_notifications();

-- Also for those who reach all rows: they may notify others, but not read what others were told.
create policy notifications_to_oneself on crm.notifications as restrictive to crm_app, crm_multi
    using (current_user = 'crm_definer' or owner_id = (select crm.current_user_id())) with check (true);

comment on table crm.notifications is 'What somebody should know: everybody has their own.';
comment on column crm.notifications.user_id is 'Whom it is for: a member of the organization, who becomes the owner.';
comment on column crm.notifications.kind is 'What it is: task_due, mention … Lower case letters, digits and _.';
comment on column crm.notifications.title is 'Of at most 200 characters.';
comment on column crm.notifications.body is 'Plain text.';
comment on column crm.notifications.entity is 'What the record it is about is: deals, tickets …';
comment on column crm.notifications.record_id is 'The id of the record it is about. It may be gone since.';
comment on column crm.notifications.read_at is 'When it was read; empty as long as it was not.';
