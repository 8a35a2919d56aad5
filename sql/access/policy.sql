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

create function crm.own_scope_user_id(permission text)
    returns uuid
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'own_scope_user_id_wrapper';

revoke all on function crm.own_scope_user_id(text) from public;
grant execute on function crm.own_scope_user_id(text) to crm_app, crm_multi, crm_service;

comment on function crm.own_scope_user_id(text) is
    'The caller, if the permission (resource.action) reaches only their own rows in the active organization, else null. For policies: owner_id = (select crm.own_scope_user_id(…)).';

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

create function crm.team_scope_org_id(permission text)
    returns uuid
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'team_scope_org_id_wrapper';

revoke all on function crm.team_scope_org_id(text) from public;
grant execute on function crm.team_scope_org_id(text) to crm_app, crm_multi, crm_service;

comment on function crm.team_scope_org_id(text) is
    'The active organization, if the permission (resource.action) reaches the rows of the caller''s teams there, else null.';

create function crm.team_user_ids()
    returns uuid[]
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'team_user_ids_wrapper';

revoke all on function crm.team_user_ids() from public;
grant execute on function crm.team_user_ids() to crm_app, crm_multi, crm_service;

comment on function crm.team_user_ids() is
    'The caller and everybody who is in a group of theirs in the active organization.';

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
