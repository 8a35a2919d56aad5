-- Who is calling: identity, keys, logging in.

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
    'The verified identity: {authenticated, user_id, org_id, role, session_id, database_role}.';

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
    'The caller''s profile: {user: {id, email, full_name}, organization: {id, slug, name, role} or null, organizations: […]}. Errors: 42501 without an identity.';

create function crm.register(email text, password text, organization_name text, full_name text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'register_wrapper';

revoke all on function crm.register(text, text, text, text) from public;
grant execute on function crm.register(text, text, text, text) to crm_anon, crm_app, crm_multi;

comment on function crm.register(text, text, text, text) is
$$Makes an organization and its first user, the owner, and logs in.
email: what one logs in with. password: 8 to 256 characters. organization_name, full_name: up to 200 characters.
Returns {access_token, token_type, expires_in (seconds), user, organization, organizations}. Errors: 22023 naming the argument, 23505 for an e-mail that cannot be registered.$$;

create function crm.login(email text, password text, organization text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'login_wrapper';

revoke all on function crm.login(text, text, text) from public;
grant execute on function crm.login(text, text, text) to crm_anon, crm_app, crm_multi;

comment on function crm.login(text, text, text) is
$$Logs in with e-mail and password. organization: id or slug of the one to work in; without it the only one there is, or for members of several a token that reads across all of them.
Returns {access_token, token_type, expires_in (seconds), user, organization, organizations} (RFC 6749, section 5.1). Refused with HTTP 401 and code 28P01, or 403 and code 42501 for the organization; a refusal is not raised, its body is the answer.$$;

create function crm.issue_token(user_id uuid, org_id uuid default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'issue_token_wrapper';

revoke all on function crm.issue_token(uuid, uuid) from public;
grant execute on function crm.issue_token(uuid, uuid) to crm_service, crm_admin;

comment on function crm.issue_token(uuid, uuid) is
$$For the platform: an access token for a user, in one organization or (null) across all of theirs. Lives for settings.service_token_ttl.
Returns {access_token, token_type, expires_in (seconds), token, expiresIn}. Errors: 42501 when the user is no active member.$$;

create function crm.jwks()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'jwks_wrapper';

revoke all on function crm.jwks() from public;
grant execute on function crm.jwks() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin;

comment on function crm.jwks() is
    'The public keys access tokens are verified with: a JSON Web Key Set (RFC 7517).';

create function crm.rotate_signing_key(alg text default 'RS256')
    returns text
    language c
    volatile
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'rotate_signing_key_wrapper';

revoke all on function crm.rotate_signing_key(text) from public;
grant execute on function crm.rotate_signing_key(text) to crm_service, crm_admin, crm_owner;

comment on function crm.rotate_signing_key(text) is
    'Makes a new signing key (RS256 with 2048 bits, ES256 or EdDSA) and tells its kid. The earlier one verifies until the last token signed with it has expired. PostgREST is told to read the key set again.';
