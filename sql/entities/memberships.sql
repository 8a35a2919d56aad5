-- memberships: who belongs to which organization, and as what. Ended ones stay (status 'ended'), because records keep
-- pointing to the people who owned them. A membership that ends is in force at that person's next request.

create table crm.memberships (
    org_id uuid not null,
    id uuid not null default crm.uuid_v7(),
    user_id uuid not null,
    role text not null,
    status text not null default 'active',
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    constraint memberships_pkey primary key (org_id, id),
    constraint memberships_org_id_user_id_key unique (org_id, user_id),
    constraint memberships_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint memberships_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint memberships_org_id_role_fkey foreign key (org_id, role) references crm.roles (org_id, name) on update cascade,
    constraint memberships_status_check check (status in ('active', 'ended')),
    constraint memberships_ended_has_time_check check ((status = 'ended') = (ended_at is not null))
);

-- The one index that begins with the person: at the start of a request the question is "where may this user act?".
create index memberships_user_id_org_id_idx on crm.memberships (user_id, org_id);
create index memberships_org_id_role_idx on crm.memberships (org_id, role);

create trigger _800_keep_owner after update or delete on crm.memberships
    for each row execute function crm_private.keep_owner();

-- Seats: the active members.
create trigger _800_count_insert after insert on crm.memberships
    referencing new table as added
    for each statement execute function crm_private.count_usage('users', 'status', 'active');
create trigger _800_count_update after update on crm.memberships
    referencing old table as removed new table as added
    for each statement execute function crm_private.count_usage('users', 'status', 'active');
create trigger _800_count_delete after delete on crm.memberships
    referencing old table as removed
    for each statement execute function crm_private.count_usage('users', 'status', 'active');
create trigger _800_count_truncate after truncate on crm.memberships
    for each statement execute function crm_private.count_usage('users', 'status', 'active');

alter table crm.memberships enable row level security, force row level security;

create policy memberships_select_app on crm.memberships for select to crm_app
    using (org_id = (select crm.all_scope_org_id('memberships.read')));
create policy memberships_select_multi on crm.memberships for select to crm_multi
    using (org_id = any ((select crm.all_scope_org_ids('memberships.read'))::uuid[]));
create policy memberships_select_platform on crm.memberships for select to crm_service, crm_admin
    using ((select crm.permitted_to_platform('users.read')));
create policy memberships_all_definer on crm.memberships for all to crm_definer
    using (true) with check (true);

grant select on crm.memberships to crm_app, crm_multi, crm_service, crm_admin, crm_backup;
grant select, insert, update on crm.memberships to crm_definer;

comment on table crm.memberships is 'The members of an organization and their roles.';
comment on column crm.memberships.role is 'The name of one of the organization''s roles. What else somebody may do comes from their groups.';
comment on column crm.memberships.status is 'active or ended.';
comment on column crm.memberships.id is 'UUID version 7, made by the database.';
comment on column crm.memberships.org_id is 'The organization the user is a member of.';
comment on column crm.memberships.user_id is 'The member.';
comment on column crm.memberships.created_at is 'When the user became a member.';
comment on column crm.memberships.ended_at is 'When the membership ended; empty while it lasts.';
