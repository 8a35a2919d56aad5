-- What a caller may do: the functions the policies ask.
-- Always called as (select crm.…()), so that they run once per statement and the plan can use an index.

create function crm.permitted_org_id(permission text)
    returns uuid
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'permitted_org_id_wrapper';

revoke all on function crm.permitted_org_id(text) from public;
grant execute on function crm.permitted_org_id(text) to crm_app, crm_multi, crm_service;

comment on function crm.permitted_org_id(text) is
    'The active organization if this (resource.action, for instance contacts.update) is permitted to the caller there, for whatever rows, else null.';

create function crm.scope_user_ids(permission text)
    returns uuid[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'scope_user_ids_wrapper';

revoke all on function crm.scope_user_ids(text) from public;
grant execute on function crm.scope_user_ids(text) to crm_app, crm_multi, crm_service;

comment on function crm.scope_user_ids(text) is
    'Whose rows the permission (resource.action) reaches in the active organization: for scope own the caller''s; for scope team those of the caller and of everybody who is in a group of theirs. Nobody''s without it; null where it reaches all rows. For policies: owner_id = any ((select crm.scope_user_ids(…))::uuid[]).';

create function crm.all_scope_org_id(permission text)
    returns uuid
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'all_scope_org_id_wrapper';

revoke all on function crm.all_scope_org_id(text) from public;
grant execute on function crm.all_scope_org_id(text) to crm_app, crm_multi, crm_service;

comment on function crm.all_scope_org_id(text) is
    'The active organization, if the permission (resource.action) reaches all rows there, else null.';

create function crm.permitted_org_ids(permission text)
    returns uuid[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'permitted_org_ids_wrapper';

revoke all on function crm.permitted_org_ids(text) from public;
grant execute on function crm.permitted_org_ids(text) to crm_app, crm_multi, crm_service;

comment on function crm.permitted_org_ids(text) is
    'The organizations in which this (resource.action) is permitted to the caller, for whatever rows: the active one, or without one any of theirs.';

create function crm.all_scope_org_ids(permission text)
    returns uuid[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'all_scope_org_ids_wrapper';

revoke all on function crm.all_scope_org_ids(text) from public;
grant execute on function crm.all_scope_org_ids(text) to crm_app, crm_multi, crm_service;

comment on function crm.all_scope_org_ids(text) is
    'Those of crm.permitted_org_ids in which the permission reaches all rows.';

create function crm.team_scope_keys(permission text)
    returns text[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'team_scope_keys_wrapper';

revoke all on function crm.team_scope_keys(text) from public;
grant execute on function crm.team_scope_keys(text) to crm_app, crm_multi, crm_service;

comment on function crm.team_scope_keys(text) is
    'For each organization in which the permission reaches the rows of the caller''s teams: ''<org_id>/<user id>'' of everybody in them.';

create function crm.current_rank()
    returns integer
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'current_rank_wrapper';

revoke all on function crm.current_rank() from public;
grant execute on function crm.current_rank() to crm_app;

comment on function crm.current_rank() is
    'The rank of the highest role that the caller has in the active organization, by themselves or through a group; null without one.';

create function crm.readable_roles()
    returns text[]
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'readable_roles_wrapper';

revoke all on function crm.readable_roles() from public;
grant execute on function crm.readable_roles() to crm_app;

comment on function crm.readable_roles() is
    'The names of the active organization''s roles that are not above the caller''s.';

create function crm.my_group_ids()
    returns uuid[]
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'my_group_ids_wrapper';

revoke all on function crm.my_group_ids() from public;
grant execute on function crm.my_group_ids() to crm_app, crm_multi;

comment on function crm.my_group_ids() is
    'The groups the caller is in, in the active organization, or without one in any of theirs.';

create function crm.org_ids_for_user(uid uuid)
    returns uuid[]
    language c
    stable
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'org_ids_for_user_wrapper';

revoke all on function crm.org_ids_for_user(uuid) from public;
grant execute on function crm.org_ids_for_user(uuid) to crm_app, crm_multi, crm_service;

comment on function crm.org_ids_for_user(uuid) is
    'The organizations a user may access: active memberships of active organizations. Answers for the caller only (or the platform); anybody else gets 42501.';

create function crm.visible_user_ids()
    returns uuid[]
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'visible_user_ids_wrapper';

revoke all on function crm.visible_user_ids() from public;
grant execute on function crm.visible_user_ids() to crm_app, crm_multi;

comment on function crm.visible_user_ids() is
    'The caller and the members of the organizations the caller is looking at.';

create function crm.my_org_ids()
    returns uuid[]
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'my_org_ids_wrapper';

revoke all on function crm.my_org_ids() from public;
grant execute on function crm.my_org_ids() to crm_app, crm_multi;

comment on function crm.my_org_ids() is
    'The organizations the caller is an active member of, whatever became of them: whose profiles one may read. Of an API key its own, with organizations.read.';

create function crm.readable_resources(scope text)
    returns text[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'readable_resources_wrapper';

revoke all on function crm.readable_resources(text) from public;
grant execute on function crm.readable_resources(text) to crm_app;

comment on function crm.readable_resources(text) is
    'The resources that the caller may read in the active organization with just this scope (own, team or all): none without one. For policies of tables that tell of records of all kinds.';

create function crm.readable_resource_keys(scope text)
    returns text[]
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'readable_resource_keys_wrapper';

revoke all on function crm.readable_resource_keys(text) from public;
grant execute on function crm.readable_resource_keys(text) to crm_multi;

comment on function crm.readable_resource_keys(text) is
    'The same for the organizations the caller is looking at: ''<org_id>/<resource>''.';

create function crm.team_user_ids()
    returns uuid[]
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'team_user_ids_wrapper';

revoke all on function crm.team_user_ids() from public;
grant execute on function crm.team_user_ids() to crm_app;

comment on function crm.team_user_ids() is
    'The caller and everybody who is in a group with the caller in the active organization; none without one.';

create function crm.team_keys()
    returns text[]
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'team_keys_wrapper';

revoke all on function crm.team_keys() from public;
grant execute on function crm.team_keys() to crm_multi;

comment on function crm.team_keys() is
    'The same for the organizations the caller is looking at: ''<org_id>/<user id>''.';
