-- roles: what somebody can be in an organization: the built-in ones, and its own. role_permissions: what they may do; of a
-- built-in role, what the organization adds to built_in_permissions.
-- Invariants: the built-in roles stay as they are; nobody touches a role above theirs, nor gives what they lack.

create table crm.roles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    title text,
    description text,
    rank integer not null default 10,
    built_in boolean not null default false,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint roles_pkey primary key (org_id, id),
    constraint roles_org_id_name_key unique (org_id, name),
    constraint roles_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint roles_name_check check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint roles_rank_check check (rank between 1 and 100)
);

create table crm.role_permissions (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    role text not null,
    permission text not null,
    scope text not null default 'all',
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint role_permissions_pkey primary key (org_id, id),
    constraint role_permissions_org_id_role_permission_key unique (org_id, role, permission),
    constraint role_permissions_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint role_permissions_org_id_role_fkey foreign key (org_id, role)
        references crm.roles (org_id, name) on update cascade on delete cascade,
    constraint role_permissions_permission_check check (permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'),
    constraint role_permissions_scope_check check (scope in ('own', 'team', 'all'))
);

select crm.enroll(
    'crm.roles', array['name required line 63', 'title line 100', 'description text 1000'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);
select crm.enroll(
    'crm.role_permissions', array['permission required line 127'],
    array['manager read', 'sales read', 'support read', 'read_only read']
);

-- They bind crm_definer as a member of crm_app, and there those who answer the question would ask it again.
create policy roles_not_above on crm.roles as restrictive to crm_app, crm_multi
    using (current_user = 'crm_definer' or rank <= (select crm.current_rank())) with check (true);
create policy role_permissions_not_above on crm.role_permissions as restrictive to crm_app, crm_multi
    using (current_user = 'crm_definer' or role = any ((select crm.readable_roles())::text[])) with check (true);
create policy roles_all_definer on crm.roles for all to crm_definer using (true) with check (true);
create policy role_permissions_all_definer on crm.role_permissions for all to crm_definer using (true) with check (true);

create trigger _200_make_built_in_roles after insert on crm.organizations
    for each row execute function crm_private.make_built_in_roles();
create trigger _400_delegation before insert or update or delete on crm.roles
    for each row execute function crm_private.check_delegation('roles');
create trigger _400_delegation before insert or update or delete on crm.role_permissions
    for each row execute function crm_private.check_delegation('role_permissions');
create trigger _900_announce after update or delete on crm.roles
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.roles
    for each statement execute function crm_private.announce('permissions');
create trigger _900_announce after insert or update or delete on crm.role_permissions
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.role_permissions
    for each statement execute function crm_private.announce('permissions');
alter table crm.roles enable always trigger _900_announce;
alter table crm.roles enable always trigger _900_announce_truncate;
alter table crm.role_permissions enable always trigger _900_announce;
alter table crm.role_permissions enable always trigger _900_announce_truncate;

-- Administering is done in one organization at a time: ranks of several do not compare.
revoke all on crm.roles, crm.role_permissions from crm_multi;
grant select on crm.roles, crm.role_permissions to crm_definer;

comment on table crm.roles is 'The roles of the organization that are not above the caller''s: the built-in ones and its own.';
comment on column crm.roles.name is 'What memberships and invitations refer to: lower case letters, digits and _, unique within the organization.';
comment on column crm.roles.title is 'For people.';
comment on column crm.roles.rank is '1 to 100 (owner 100, admin 80, manager 60, sales and support 40, read_only 20): nobody sees, gives or takes roles of a higher rank than theirs.';
comment on column crm.roles.built_in is 'One of those that every organization has, and that cannot be changed.';
comment on column crm.roles.description is 'What the role is for.';
comment on table crm.role_permissions is 'What the organization''s own roles may do, and what it adds to the built-in ones (see built_in_permissions).';
comment on column crm.role_permissions.role is 'The name of a role.';
comment on column crm.role_permissions.permission is 'resource.action as in /permissions; * stands for any (contacts.*, *.read, *.*).';
comment on column crm.role_permissions.scope is 'own: rows one owns; team: rows owned by somebody in a group of one''s; all. Of several the widest counts.';
