-- permissions: what there is to permit. built_in_roles, built_in_permissions: the roles every organization has, and what
-- they may do; shared by all organizations, so that a new table is one row here and not one in each.
-- crm.enroll writes the rows of its tables; the DBA may add permissions of their own functions.

create table crm.permissions (
    resource text not null,
    action text not null,
    description text not null,
    constraint permissions_pkey primary key (resource, action),
    constraint permissions_resource_check check (resource ~ '^[a-z0-9_]{1,63}$'),
    constraint permissions_action_check check (action ~ '^[a-z0-9_]{1,63}$')
);

create table crm.built_in_roles (
    name text not null,
    title text not null,
    description text not null,
    rank integer not null,
    constraint built_in_roles_pkey primary key (name),
    constraint built_in_roles_rank_check check (rank between 1 and 100)
);

create table crm.built_in_permissions (
    role text not null,
    permission text not null,
    scope text not null,
    constraint built_in_permissions_pkey primary key (role, permission),
    constraint built_in_permissions_role_fkey foreign key (role) references crm.built_in_roles (name) on update cascade on delete cascade,
    constraint built_in_permissions_permission_check check (permission ~ '^([a-z0-9_]{1,63}|\*)\.([a-z0-9_]{1,63}|\*)$'),
    constraint built_in_permissions_scope_check check (scope in ('own', 'team', 'all'))
);

insert into crm.built_in_roles (name, title, description, rank)
values
    ('owner', 'Owner', 'Everything, and the only one who makes others owners. An organization always has one.', 100),
    ('admin', 'Administrator', 'Everything but what concerns owners.', 80),
    ('manager', 'Manager', 'Works with the rows of their teams.', 60),
    ('sales', 'Sales', 'Works with their own rows.', 40),
    ('support', 'Support', 'Sees all records, works with their own.', 40),
    ('read_only', 'Read only', 'Sees all records.', 20);

insert into crm.permissions (resource, action, description)
values
    ('organizations', 'read', 'See the organization.'),
    ('organizations', 'update', 'Change the organization''s name, country, currency and time zone.'),
    ('users', 'read', 'See the people in the organization.'),
    ('memberships', 'read', 'See who is a member, and as what.'),
    ('memberships', 'update', 'Give members another role.'),
    ('memberships', 'delete', 'Remove members.'),
    ('invitations', 'read', 'See open invitations.'),
    ('invitations', 'create', 'Invite people.'),
    ('invitations', 'delete', 'Take invitations back.'),
    ('api_keys', 'read', 'See the organization''s API keys.'),
    ('api_keys', 'create', 'Make API keys.'),
    ('api_keys', 'delete', 'Revoke API keys.'),
    ('access', 'read', 'Ask why somebody may or may not do something.');

insert into crm.built_in_permissions (role, permission, scope)
values
    ('owner', '*.*', 'all'),
    ('admin', '*.*', 'all');

insert into crm.built_in_permissions (role, permission, scope)
select role, permission, 'all'
from unnest('{manager,sales,support,read_only}'::text[]) as role
cross join unnest('{organizations.read,users.read,memberships.read}'::text[]) as permission;

alter table crm.permissions enable row level security, force row level security;
alter table crm.built_in_roles enable row level security, force row level security;
alter table crm.built_in_permissions enable row level security, force row level security;

create policy permissions_select_app on crm.permissions for select to crm_app
    using ((select crm.permitted_org_id('roles.read')) is not null);
create policy built_in_roles_select_app on crm.built_in_roles for select to crm_app
    using (name = any ((select crm.readable_roles())::text[]));
create policy built_in_permissions_select_app on crm.built_in_permissions for select to crm_app
    using (role = any ((select crm.readable_roles())::text[]));
create policy permissions_all_definer on crm.permissions for all to crm_definer using (true) with check (true);
create policy built_in_roles_all_definer on crm.built_in_roles for all to crm_definer using (true) with check (true);
create policy built_in_permissions_all_definer on crm.built_in_permissions for all to crm_definer using (true) with check (true);
-- The DBA enrolls tables as a member of crm_owner; forced row level security binds owners as well.
create policy permissions_all_owner on crm.permissions for all to crm_owner using (true) with check (true);
create policy built_in_permissions_all_owner on crm.built_in_permissions for all to crm_owner using (true) with check (true);

grant select on crm.permissions, crm.built_in_roles, crm.built_in_permissions to crm_app, crm_definer, crm_backup;

create trigger _900_announce after insert or update or delete on crm.built_in_permissions
    for each row execute function crm_private.announce('permissions');
create trigger _900_announce_truncate after truncate on crm.built_in_permissions
    for each statement execute function crm_private.announce('permissions');
alter table crm.built_in_permissions enable always trigger _900_announce;
alter table crm.built_in_permissions enable always trigger _900_announce_truncate;

comment on table crm.permissions is 'What roles and groups can be given: resource.action, for instance contacts.update.';
comment on column crm.permissions.resource is 'A table, or what else is looked after.';
comment on column crm.permissions.action is 'read, create, update, delete, or what else there is to do.';
comment on column crm.permissions.description is 'What it lets somebody do.';
comment on table crm.built_in_roles is 'The roles that every organization has.';
comment on column crm.built_in_roles.rank is 'Nobody sees, gives or takes roles of a higher rank than theirs.';
comment on column crm.built_in_roles.name is 'The name that memberships.role has.';
comment on column crm.built_in_roles.title is 'The name that people read.';
comment on column crm.built_in_roles.description is 'What it is for.';
comment on table crm.built_in_permissions is 'What the built-in roles may do.';
comment on column crm.built_in_permissions.permission is 'resource.action; * stands for any.';
comment on column crm.built_in_permissions.scope is 'own: rows one owns; team: rows owned by somebody in a group of one''s; all.';
comment on column crm.built_in_permissions.role is 'The role that has the permission.';
