-- Roles, groups and members.

create function crm.set_member_role(user_id uuid, role text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_member_role_wrapper';

revoke all on function crm.set_member_role(uuid, text) from public;
grant execute on function crm.set_member_role(uuid, text) to crm_app;

comment on function crm.set_member_role(uuid, text) is
    $$Gives a member of the active organization another role.
role: a name from /roles. Returns {user_id, role}. Errors: 42501 without the permission memberships.update, for a member or a role above one's own, or a role with a permission one lacks; 22023 for somebody who is no member, or an unknown role; 23503 for the last owner.$$;

create function crm.remove_member(user_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'remove_member_wrapper';

revoke all on function crm.remove_member(uuid) from public;
grant execute on function crm.remove_member(uuid) to crm_app;

comment on function crm.remove_member(uuid) is
    $$Ends a membership of the active organization: from the next request on, that person has no access. What they own stays theirs, and their teams' to see.
Returns {user_id, status}. Errors: 42501 without the permission memberships.delete or for a member above oneself, 22023 for somebody who is no member, 23503 for the last owner.$$;

create function crm.leave_organization()
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'leave_organization_wrapper';

revoke all on function crm.leave_organization() from public;
grant execute on function crm.leave_organization() to crm_app, crm_multi;

comment on function crm.leave_organization() is
    $$Ends one's own membership of the active organization. Returns {user_id, status}. Errors: 22023 without an active organization, 23503 for the last owner.$$;

create function crm.my_permissions()
    returns table (permission text, scope text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'my_permissions_wrapper';

revoke all on function crm.my_permissions() from public;
grant execute on function crm.my_permissions() to crm_app;

comment on function crm.my_permissions() is
    'What the caller may do in the active organization: each known permission (resource.action) with its scope, own, team or all.';

create function crm.explain_access(user_id uuid, resource text, row_id uuid default null)
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'explain_access_wrapper';

revoke all on function crm.explain_access(uuid, text, uuid) from public;
grant execute on function crm.explain_access(uuid, text, uuid) to crm_app;

comment on function crm.explain_access(uuid, text, uuid) is
    $$Why a member of the active organization may or may not read, create, update and delete here.
resource: an enrolled table, for instance contacts. row_id: one of its rows that the caller can see. Returns {user_id, resource, row_id, row: {exists, owner_id, whose}, standing: {organization, user, membership, groups}, plan: {name, current, maximum}, may: {read, create, update, delete: {permitted, because, scope, via: [{permission, scope, via}]}}}. Errors: 42501 without the permission access.read, 22023 for a table that is not enrolled.$$;

create function crm.check_enrollment()
    returns table (relation text, problem text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'check_enrollment_wrapper';

revoke all on function crm.check_enrollment() from public;
grant execute on function crm.check_enrollment() to crm_admin, crm_owner;

comment on function crm.check_enrollment() is
    'For the DBA: tables in the schema crm that are not enrolled, and enrolled ones that miss a policy or a trigger, or are open to somebody they should not be. No rows: all is well.';
