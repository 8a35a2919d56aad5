-- What PostgREST, or a SQL client in its place, calls first.
-- These run with the caller's own rights, unlike the others: only so can the request continue as another role, which a key
-- brings with it. What they ask the tables they ask as crm_definer (src/db.rs).

create function crm.pre_request()
    returns void
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'pre_request_wrapper';

revoke all on function crm.pre_request() from public;
grant execute on function crm.pre_request() to crm_anon, crm_app, crm_multi;

comment on function crm.pre_request() is
$$PostgREST's db-pre-request: verifies the token of the Authorization header again, or the key of x-api-key, and establishes who the request is.
Reads X-Org-ID, X-Tenant-ID (id or slug) or X-Org-Subdomain (slug, from the gateway) as the organization to work in; a token for all of ones own then goes on as crm_app. Errors: PT401 for a token or key that is missing or not valid, PT403 for an organization one is no active member of, and with the reason for one that was suspended or cancelled, PT400 for headers that name different ones, for Prefer: count=planned or estimated, and for a key together with a token.$$;

create function crm.authenticate(token text)
    returns jsonb
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'authenticate_wrapper';

revoke all on function crm.authenticate(text) from public;
grant execute on function crm.authenticate(text) to crm_app, crm_multi;

comment on function crm.authenticate(text) is
$$For SQL clients: makes the owner of an access token the identity of the current transaction, and tells who that is.
begin; set local role crm_app; select crm.authenticate('…'); …; commit;
A token without an organization of a user who has only one works in that; the role stays the one that was set.
Errors: PT401 for a token that is not valid, PT403 for an organization one is no active member of, and with the reason for one that was suspended or cancelled.$$;

create function crm.authenticate_api_key(key text)
    returns jsonb
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'authenticate_api_key_wrapper';

revoke all on function crm.authenticate_api_key(text) from public;
grant execute on function crm.authenticate_api_key(text) to crm_app, crm_service;

comment on function crm.authenticate_api_key(text) is
$$For SQL clients: makes an API key the identity of the current transaction, and tells which that is.
begin; set local role crm_app (crm_service for a platform key); select crm.authenticate_api_key('…'); …; commit;
Errors: PT401 for a key that is unknown, expired or revoked, PT403 with the reason for one whose organization was suspended or cancelled.$$;

create function crm_private.postgrest_config()
    returns void
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'postgrest_config_wrapper';

revoke all on function crm_private.postgrest_config() from public;
grant execute on function crm_private.postgrest_config() to crm_authenticator;

comment on function crm_private.postgrest_config() is
    'PostgREST''s db-pre-config: everything PostgREST is told by the database. NOTIFY pgrst makes it read this again.';
