-- For the platform that runs the CRM: its backend with a platform key (HTTP) or as crm_service (SQL), its own people with
-- their login (so crm_app and crm_multi may call these; each asks who it is), the DBA as crm_admin.

create function crm.create_organization(
    name text,
    slug text default null,
    owner_email text default null,
    owner_name text default null
)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'create_organization_wrapper';

revoke all on function crm.create_organization(text, text, text, text) from public;
grant execute on function crm.create_organization(text, text, text, text) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.create_organization(text, text, text, text) is
$$Makes an organization. slug: lower case letters, digits and hyphens; default: made of the name. owner_email: a user who exists becomes its owner, another is made and sent an invitation token for crm.reset_password.
Returns {id, slug, name, status, owner: {id, email} or null}. Errors: 42501 without the permission organizations.create, 22023 naming the argument, 23505 for a slug that is taken.$$;

create function crm.permitted_to_platform(permission text)
    returns boolean
    language c
    stable
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'permitted_to_platform_wrapper';

revoke all on function crm.permitted_to_platform(text) from public;
grant execute on function crm.permitted_to_platform(text) to crm_service, crm_admin;

comment on function crm.permitted_to_platform(text) is
    'Whether the caller is the platform with this permission (a platform key, a login role that is a member of crm_service, the DBA): for the policies of organizations and memberships.';

create function crm.list_organizations()
    returns table (id uuid, slug text, name text, status text, status_reason text, status_changed_at timestamptz, created_at timestamptz, members bigint)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'list_organizations_wrapper';

revoke all on function crm.list_organizations() from public;
grant execute on function crm.list_organizations() to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.list_organizations() is
    'All organizations. Errors: 42501 without the permission organizations.read.';

create function crm.suspend_organization(org_id uuid, reason text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'suspend_organization_wrapper';

revoke all on function crm.suspend_organization(uuid, text) from public;
grant execute on function crm.suspend_organization(uuid, text) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.suspend_organization(uuid, text) is
    'Stops an organization: its members'' tokens and its keys are refused, with the reason, from the next request on. Returns {id, slug, name, status, status_reason}. Errors: 42501 without the permission organizations.update, 22023 for an unknown or cancelled one.';

create function crm.resume_organization(org_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'resume_organization_wrapper';

revoke all on function crm.resume_organization(uuid) from public;
grant execute on function crm.resume_organization(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.resume_organization(uuid) is
    'Ends a suspension. Returns {id, slug, name, status, status_reason}. Errors as crm.suspend_organization.';

create function crm.cancel_organization(org_id uuid, reason text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'cancel_organization_wrapper';

revoke all on function crm.cancel_organization(uuid, text) from public;
grant execute on function crm.cancel_organization(uuid, text) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.cancel_organization(uuid, text) is
    'Stops an organization for good, as crm.suspend_organization does for a time; its data stays until crm.delete_organization. Returns and errors as there.';

create function crm.delete_organization(org_id uuid, batch integer default 10000)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'delete_organization_wrapper';

revoke all on function crm.delete_organization(uuid, integer) from public;
grant execute on function crm.delete_organization(uuid, integer) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.delete_organization(uuid, integer) is
$$Cancels an organization and deletes all that is its own, of every table with a foreign key to it; people stay. At most so many rows (batch) in one call: call it again until done.
Returns {deleted, rows, done}: deleted is 1 in the call that removed the organization itself, 0 also when there is none; rows: how many others this call removed. Errors: 42501 without the permission organizations.delete, 23503 for a table whose foreign key says on delete restrict and that has rows of it, 22023 naming the argument.$$;

create function crm.create_user(
    email text,
    full_name text default null,
    password text default null,
    password_hash text default null,
    org_id uuid default null,
    role text default null,
    email_verified boolean default false
)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'create_user_wrapper';

revoke all on function crm.create_user(text, text, text, text, uuid, text, boolean) from public;
grant execute on function crm.create_user(text, text, text, text, uuid, text, boolean) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.create_user(text, text, text, text, uuid, text, boolean) is
$$Makes a user. password_hash: instead of a password, one of another system: bcrypt, or Argon2id in PHC format. Without either the user sets a password with crm.request_password_reset. org_id, role: makes them a member.
Returns {id, email, full_name, status}. Errors: 42501 without the permission users.create, 22023 naming the argument, 23505 for an e-mail that is taken.$$;

create function crm.list_users(org_id uuid default null)
    returns table (id uuid, email text, full_name text, status text, email_verified_at timestamptz, created_at timestamptz)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'list_users_wrapper';

revoke all on function crm.list_users(uuid) from public;
grant execute on function crm.list_users(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.list_users(uuid) is
    'All users, or the active members of one organization. Errors: 42501 without the permission users.read.';

create function crm.suspend_user(user_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'suspend_user_wrapper';

revoke all on function crm.suspend_user(uuid) from public;
grant execute on function crm.suspend_user(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.suspend_user(uuid) is
    'Stops a user and ends all sessions of theirs. Returns {id, email, full_name, status}. Errors: 42501 without the permission users.update, 22023 for an unknown or deleted one.';

create function crm.resume_user(user_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'resume_user_wrapper';

revoke all on function crm.resume_user(uuid) from public;
grant execute on function crm.resume_user(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.resume_user(uuid) is
    'Lets a suspended user log in again. Returns {id, email, full_name, status}. Errors as crm.suspend_user.';

create function crm.delete_user(user_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'delete_user_wrapper';

revoke all on function crm.delete_user(uuid) from public;
grant execute on function crm.delete_user(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.delete_user(uuid) is
    'Deletes a person: name, e-mail, password, sessions and identities go, memberships end; what they wrote stays, without a name. Returns {deleted}: 0 when there is none. Errors: 42501 without the permission users.delete, 23503 for the only owner of an organization.';

create function crm.issue_token(user_id uuid, org_id uuid default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'issue_token_wrapper';

revoke all on function crm.issue_token(uuid, uuid) from public;
grant execute on function crm.issue_token(uuid, uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.issue_token(uuid, uuid) is
$$An access token for a user, in one organization or (null) across all of theirs. Lives for settings.service_token_ttl.
Returns {access_token, token_type, expires_in (seconds), token, expiresIn}. Errors: 42501 when the user is no active member, or without the permission tokens.create.$$;

create function crm.grant_platform_role(user_id uuid, role text)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'grant_platform_role_wrapper';

revoke all on function crm.grant_platform_role(uuid, text) from public;
grant execute on function crm.grant_platform_role(uuid, text) to crm_admin;

comment on function crm.grant_platform_role(uuid, text) is
    'For the DBA: makes a user one of the platform''s people. role: super_admin, who may call whatever the platform may, or support, who may look (organizations.read, users.read); both may impersonate. It holds for sessions they logged in to, not for issued tokens. Errors: 22023 naming the argument.';

create function crm.revoke_platform_role(user_id uuid)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'revoke_platform_role_wrapper';

revoke all on function crm.revoke_platform_role(uuid) from public;
grant execute on function crm.revoke_platform_role(uuid) to crm_admin;

comment on function crm.revoke_platform_role(uuid) is
    'For the DBA: ends a user''s platform role, and with it their impersonations. Returns whether there was one.';

create function crm.impersonate(user_id uuid, reason text, organization text default null, minutes integer default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'impersonate_wrapper';

revoke all on function crm.impersonate(uuid, text, text, integer) from public;
grant execute on function crm.impersonate(uuid, text, text, integer) to crm_app, crm_multi;

comment on function crm.impersonate(uuid, text, text, integer) is
$$For the platform's support: an access token that acts as a user. Its act claim (RFC 8693) and the session say who really acts; reason: up to 500 characters, seen by the user in crm.my_sessions. minutes: at most settings.impersonation_ttl, the default. There is no refresh token.
Returns {access_token, token_type, expires_in, user, organization, organizations}. Errors: 42501 without a platform role, while impersonating, or for one of the platform's own people; 22023 naming the argument.$$;
