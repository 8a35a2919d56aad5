-- The keys tokens are signed with, and what others need to verify them.

create function crm.jwks()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    -- It sets a header of the answer, which no statement with workers may.
    parallel unsafe
    as 'MODULE_PATHNAME', 'jwks_wrapper';

revoke all on function crm.jwks() from public;
grant execute on function crm.jwks() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin;

comment on function crm.jwks() is
    'The public keys access tokens are verified with: a JSON Web Key Set (RFC 7517).';

create function crm.openid_configuration()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'openid_configuration_wrapper';

revoke all on function crm.openid_configuration() from public;
grant execute on function crm.openid_configuration() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin;

comment on function crm.openid_configuration() is
    'OpenID Connect Discovery 1.0: issuer, jwks_uri and what else a verifier of access tokens asks for. settings.public_url says where this API is.';

create function crm.rotate_signing_key(alg text default 'RS256', revoke boolean default false)
    returns text
    language c
    volatile
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'rotate_signing_key_wrapper';

revoke all on function crm.rotate_signing_key(text, boolean) from public;
grant execute on function crm.rotate_signing_key(text, boolean) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.rotate_signing_key(text, boolean) is
$$Makes a new signing key (RS256 with 2048 bits, ES256 or EdDSA) and tells its kid. It is published at once and signs after settings.key_lead_time, so that no verifier meets a key it has not had time to fetch; the earlier one verifies until the last token signed with it has expired.
revoke: the earlier keys were stolen. They verify nothing from now on, and the new one signs at once: every access token is refused, refresh tokens go on. Errors: 22023 for another alg, 42501 without the permission keys.update.$$;
