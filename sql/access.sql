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
    'The active organization if the caller''s role there permits this (resource.action, for instance contacts.update), else null.';

create function crm.permitted_org_ids(permission text)
    returns uuid[]
    language c
    stable
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'permitted_org_ids_wrapper';

revoke all on function crm.permitted_org_ids(text) from public;
grant execute on function crm.permitted_org_ids(text) to crm_app, crm_multi, crm_service;

comment on function crm.permitted_org_ids(text) is
    'The organizations in which the caller''s role permits this (resource.action): the active one, or without one all of theirs.';

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
