-- groups: people who work together, and what they may do beyond their roles. A group is a team: a permission with scope
-- team reaches the rows of everybody who is in a group with the caller.
-- Invariants: members of a group are members of its organization; nobody gives a group what they lack, and nobody is put
-- into one by somebody who lacks what that gives to anybody.

create table crm.groups (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    description text,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint groups_pkey primary key (org_id, id),
    constraint groups_org_id_name_key unique (org_id, name),
    constraint groups_org_id_external_id_key unique (org_id, external_id),
    constraint groups_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);

create table crm.group_members (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    group_id uuid not null,
    user_id uuid not null,
    is_lead boolean not null default false,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint group_members_pkey primary key (org_id, id),
    constraint group_members_org_id_group_id_user_id_key unique (org_id, group_id, user_id),
    constraint group_members_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint group_members_org_id_group_id_fkey foreign key (org_id, group_id)
        references crm.groups (org_id, id) on delete cascade,
    constraint group_members_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade
);

create index group_members_org_id_user_id_idx on crm.group_members (org_id, user_id);

create table crm.group_permissions (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    group_id uuid not null,
    permission text not null,
    scope text not null default 'all',
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint group_permissions_pkey primary key (org_id, id),
    constraint group_permissions_org_id_group_id_permission_key unique (org_id, group_id, permission),
    constraint group_permissions_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint group_permissions_org_id_group_id_fkey foreign key (org_id, group_id)
        references crm.groups (org_id, id) on delete cascade,
    constraint group_permissions_permission_check check (permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'),
    constraint group_permissions_scope_check check (scope in ('own', 'team', 'all'))
);

create table crm.group_roles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    group_id uuid not null,
    role text not null,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint group_roles_pkey primary key (org_id, id),
    constraint group_roles_org_id_group_id_role_key unique (org_id, group_id, role),
    constraint group_roles_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint group_roles_org_id_group_id_fkey foreign key (org_id, group_id)
        references crm.groups (org_id, id) on delete cascade,
    constraint group_roles_org_id_role_fkey foreign key (org_id, role)
        references crm.roles (org_id, name) on update cascade
);

create index group_roles_org_id_role_idx on crm.group_roles (org_id, role);

select crm.enroll(
    'crm.groups', array['name required line 100', 'description text 1000', 'external_id line 200'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);
select crm.enroll(
    'crm.group_members', access => array['manager read', 'sales read', 'support read', 'read_only read']
);
select crm.enroll('crm.group_permissions', array['permission required line 127'], '{}');
select crm.enroll('crm.group_roles', access => '{}');

create policy group_roles_not_above on crm.group_roles as restrictive to crm_app, crm_multi
    using (current_user = 'crm_definer' or role = any ((select crm.readable_roles())::text[])) with check (true);
create policy groups_all_definer on crm.groups for all to crm_definer using (true) with check (true);
create policy group_members_all_definer on crm.group_members for all to crm_definer using (true) with check (true);
create policy group_permissions_all_definer on crm.group_permissions for all to crm_definer using (true) with check (true);
create policy group_roles_all_definer on crm.group_roles for all to crm_definer using (true) with check (true);

create trigger _400_delegation before update or delete on crm.groups
    for each row execute function crm_private.check_delegation('groups');
create trigger _400_delegation before insert or update or delete on crm.group_members
    for each row execute function crm_private.check_delegation('group_members');
create trigger _400_delegation before insert or update or delete on crm.group_permissions
    for each row execute function crm_private.check_delegation('group_permissions');
create trigger _400_delegation before insert or update or delete on crm.group_roles
    for each row execute function crm_private.check_delegation('group_roles');
-- What is remembered of permissions names the groups they come from.
create trigger _900_announce after update on crm.groups
    for each row
    when (new.name <> old.name)
    execute function crm_private.announce();
create trigger _900_announce after insert or update or delete on crm.group_members
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.group_members
    for each statement execute function crm_private.announce('permissions');
create trigger _900_announce after insert or update or delete on crm.group_permissions
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.group_permissions
    for each statement execute function crm_private.announce('permissions');
create trigger _900_announce after insert or update or delete on crm.group_roles
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.group_roles
    for each statement execute function crm_private.announce('permissions');
alter table crm.groups enable always trigger _900_announce;
alter table crm.group_members enable always trigger _900_announce;
alter table crm.group_members enable always trigger _900_announce_truncate;
alter table crm.group_permissions enable always trigger _900_announce;
alter table crm.group_permissions enable always trigger _900_announce_truncate;
alter table crm.group_roles enable always trigger _900_announce;
alter table crm.group_roles enable always trigger _900_announce_truncate;

-- Administering is done in one organization at a time.
revoke all on crm.groups, crm.group_members, crm.group_permissions, crm.group_roles from crm_multi;
grant select on crm.groups, crm.group_permissions, crm.group_roles to crm_definer;
grant select, delete on crm.group_members to crm_definer;

comment on table crm.groups is 'People who work together: a team. Its members see each other''s rows where their permissions have scope team.';
comment on column crm.groups.name is 'Unique within the organization.';
comment on column crm.groups.description is 'What the group is for.';
comment on table crm.group_members is 'Who is in which group.';
comment on column crm.group_members.user_id is 'A member of the organization.';
comment on column crm.group_members.is_lead is 'Leads the group. Tells people whom to ask; permits nothing.';
comment on column crm.group_members.group_id is 'The group somebody is in.';
comment on table crm.group_permissions is 'What a group''s members may do beyond their roles.';
comment on column crm.group_permissions.permission is 'resource.action as in /permissions; * stands for any (contacts.*, *.read, *.*).';
comment on column crm.group_permissions.scope is 'own: rows one owns; team: rows owned by somebody in a group of one''s; all. Of several the widest counts.';
comment on column crm.group_permissions.group_id is 'The group whose members have the permission.';
comment on table crm.group_roles is 'Roles that a group''s members have besides their own.';
comment on column crm.group_roles.role is 'The name of a role.';
comment on column crm.group_roles.group_id is 'The group whose members have the role.';
