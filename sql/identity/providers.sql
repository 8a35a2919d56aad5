-- Signing in with other identity providers: crm_private.identity_providers says which.

create function crm.login_with_id_token(provider text, id_token text, nonce text default null, organization text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'login_with_id_token_wrapper';

revoke all on function crm.login_with_id_token(text, text, text, text) from public;
grant execute on function crm.login_with_id_token(text, text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.login_with_id_token(text, text, text, text) is
$$Logs in with an ID token (OpenID Connect Core 1.0) of a provider. nonce: the one the client asked the provider with; needed when the token carries one.
The first sign-in makes a user, and an organization whose slug comes from the e-mail. It is attached to the user with that e-mail, if the provider says that it is verified; a password that was set without proof of the address goes then, and its sessions.
Returns {access_token, token_type, expires_in (seconds), refresh_token, refresh_expires_in, user, organization, organizations}. Refused, not raised: HTTP 401 and code 28000 for the token, 403 and 42501 otherwise.$$;

create function crm.oauth_start(provider text, redirect_uri text, code_challenge text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'oauth_start_wrapper';

revoke all on function crm.oauth_start(text, text, text) from public;
grant execute on function crm.oauth_start(text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.oauth_start(text, text, text) is
$$Begins a sign-in by authorization code (RFC 6749) for a provider such as GitHub. code_challenge: base64url of the SHA-256 of a secret of the client's, its code_verifier (RFC 7636, S256). redirect_uri: one of the provider's.
Returns {authorization_url, state, expires_in}: send the person to authorization_url. Errors: 22023 naming the argument.$$;

create function crm.oauth_finish(state text, code text, code_verifier text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'oauth_finish_wrapper';

revoke all on function crm.oauth_finish(text, text, text) from public;
grant execute on function crm.oauth_finish(text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.oauth_finish(text, text, text) is
$$Goes on when the provider has sent the person back with state and code. Answers HTTP 202, {status: pending} and Retry-After until the worker has exchanged the code: ask again with the same arguments.
Then returns, once, {access_token, token_type, expires_in (seconds), refresh_token, refresh_expires_in, user, organization, organizations}. Refused, not raised: HTTP 401 and code 28000.$$;

create function crm.claim_oauth_exchanges(count integer default 10, lease interval default '30 seconds')
    returns table (id uuid, provider text, token_endpoint text, userinfo_endpoint text, client_id text, client_secret text, code text, code_verifier text, redirect_uri text)
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'claim_oauth_exchanges_wrapper';

revoke all on function crm.claim_oauth_exchanges(integer, interval) from public;
grant execute on function crm.claim_oauth_exchanges(integer, interval) to crm_worker;

comment on function crm.claim_oauth_exchanges(integer, interval) is
    'For the worker: codes that are to be exchanged at the provider''s token endpoint, leased to the caller for a while. Ends with crm.complete_oauth_exchange or crm.fail_oauth_exchange. None in a copy of another database: see crm.bind_deployment. Errors: 25006 in a transaction that only reads.';

create function crm.complete_oauth_exchange(
    id uuid,
    subject text default null,
    email text default null,
    email_verified boolean default false,
    full_name text default null,
    id_token text default null
)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'complete_oauth_exchange_wrapper';

revoke all on function crm.complete_oauth_exchange(uuid, text, text, boolean, text, text) from public;
grant execute on function crm.complete_oauth_exchange(uuid, text, text, boolean, text, text) to crm_worker;

comment on function crm.complete_oauth_exchange(uuid, text, text, boolean, text, text) is
    'For the worker: what the provider told in exchange for a code: an id_token, which is verified here, or who it is (subject, e-mail and whether the provider verified it, name). Returns whether the sign-in was still waiting. Errors: 22023 for an id_token that is not valid.';

create function crm.fail_oauth_exchange(id uuid)
    returns boolean
    language c
    volatile
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'fail_oauth_exchange_wrapper';

revoke all on function crm.fail_oauth_exchange(uuid) from public;
grant execute on function crm.fail_oauth_exchange(uuid) to crm_worker;

comment on function crm.fail_oauth_exchange(uuid) is
    'For the worker: the provider did not take the code; the sign-in is refused. Returns whether it was still waiting.';

create function crm.providers_to_fetch(older_than interval default '1 hour')
    returns table (provider text, jwks_uri text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'providers_to_fetch_wrapper';

revoke all on function crm.providers_to_fetch(interval) from public;
grant execute on function crm.providers_to_fetch(interval) to crm_worker;

comment on function crm.providers_to_fetch(interval) is
    'For the worker: enabled providers whose key set was never fetched, or not for this long.';

create function crm.store_provider_keys(provider text, jwks jsonb)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'store_provider_keys_wrapper';

revoke all on function crm.store_provider_keys(text, jsonb) from public;
grant execute on function crm.store_provider_keys(text, jsonb) to crm_worker, crm_admin;

comment on function crm.store_provider_keys(text, jsonb) is
    'For the worker: a provider''s key set (RFC 7517) as fetched from its jwks_uri. Returns whether there is such a provider. Errors: 22023 for what is no key set or has no usable key; the one before stays then.';

create function crm.link_identity(user_id uuid, provider text, subject text)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'link_identity_wrapper';

revoke all on function crm.link_identity(uuid, text, text) from public;
grant execute on function crm.link_identity(uuid, text, text) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.link_identity(uuid, text, text) is
    'For the platform: what a provider calls a user (its sub), so that they can sign in with it or bring its access tokens. Returns false when it was so already. Errors: 42501 without the permission users.update, 22023 naming the argument, 23505 when it is another user''s.';
