-- Who is calling.

create function crm.current_user_id()
    returns uuid
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'current_user_id_wrapper';

revoke all on function crm.current_user_id() from public;
grant execute on function crm.current_user_id() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin, crm_owner;

comment on function crm.current_user_id() is
    'The verified user of this transaction, null without one. In policies: (select crm.current_user_id()).';

create function crm.current_org_id()
    returns uuid
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'current_org_id_wrapper';

revoke all on function crm.current_org_id() from public;
grant execute on function crm.current_org_id() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin, crm_owner;

comment on function crm.current_org_id() is
    'The verified user''s active organization, null without one. In policies: (select crm.current_org_id()).';

create function crm.whoami()
    returns jsonb
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'whoami_wrapper';

revoke all on function crm.whoami() from public;
grant execute on function crm.whoami() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin, crm_owner;

comment on function crm.whoami() is
    'The verified identity: {authenticated, user_id, org_id, role, session_id, actor_id (support acting as the user), api_key_id, scopes, platform (a platform key), platform_role (super_admin or support, in a session of ones own), database_role}.';

create function crm.me()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'me_wrapper';

revoke all on function crm.me() from public;
grant execute on function crm.me() to crm_app, crm_multi;

comment on function crm.me() is
    'The caller''s profile: {user: {id, email, full_name, email_verified, time_zone, locale, avatar_url}, organization: {id, slug, name, role, notification_email} or null, organizations: [the same with status, status_reason, status_changed_at: also those that were suspended or cancelled]}. Errors: 42501 without an identity.';
