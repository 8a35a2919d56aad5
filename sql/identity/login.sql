-- Registering, logging in and out, and the sessions that come of it.

create function crm.register(email text, password text, organization_name text, full_name text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'register_wrapper';

revoke all on function crm.register(text, text, text, text) from public;
grant execute on function crm.register(text, text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.register(text, text, text, text) is
$$Makes an organization and its first user, the owner, and logs in. A message with a token for crm.verify_email goes to the address.
email: what one logs in with. password: 8 to 256 characters, none of the commonest. organization_name, full_name: up to 200 characters.
Returns {access_token, token_type, expires_in (seconds), refresh_token, refresh_expires_in, user, organization, organizations}. Errors: 22023 naming the argument, 23505 for an e-mail that cannot be registered.$$;

create function crm.login(email text, password text, organization text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'login_wrapper';

revoke all on function crm.login(text, text, text) from public;
grant execute on function crm.login(text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.login(text, text, text) is
$$Logs in with e-mail and password. organization: id or slug of the one to work in; without it the only one there is, or for members of several a token that reads across all of them.
Returns {access_token, token_type, expires_in (seconds), refresh_token, refresh_expires_in, user, organization, organizations} (RFC 6749, section 5.1). Refused with HTTP 401 and code 28P01; with 403 and 42501 for the organization, with the reason when it was suspended or cancelled; with 429, code 53400 and Retry-After after 5 failures in 15 minutes for this e-mail or from this address. A refusal is not raised, its body is the answer.$$;

create function crm.refresh_token(refresh_token text, organization text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'refresh_token_wrapper';

revoke all on function crm.refresh_token(text, text) from public;
grant execute on function crm.refresh_token(text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.refresh_token(text, text) is
$$Exchanges a refresh token for a new access token and the next refresh token (RFC 6749, section 6; RFC 9700, 4.14.2). Each can be used once; within settings.refresh_grace a second use gets the same successor, later it ends the session.
organization: id or slug of the one to go on in; default: the one that was active last.
Returns {access_token, token_type, expires_in, refresh_token, refresh_expires_in}. Refused with HTTP 401 and code 28000, or 403 and 42501 for the organization; not raised.$$;

create function crm.switch_org(organization text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'switch_org_wrapper';

revoke all on function crm.switch_org(text) from public;
grant execute on function crm.switch_org(text) to crm_app, crm_multi;

comment on function crm.switch_org(text) is
$$An access token of the same session for another organization of the caller's: id or slug; null: across all of them.
Returns {access_token, token_type, expires_in, user, organization, organizations}. Errors: 42501 for an organization one is no active member of, and for callers without a session.$$;

create function crm.logout(everywhere boolean default false)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'logout_wrapper';

revoke all on function crm.logout(boolean) from public;
grant execute on function crm.logout(boolean) to crm_app, crm_multi;

comment on function crm.logout(boolean) is
    'Ends the caller''s session, or every session of the caller''s: their tokens are refused from the next request on. Returns {ended_sessions}. Errors: 42501 without a session.';

create function crm.end_session(session_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'end_session_wrapper';

revoke all on function crm.end_session(uuid) from public;
grant execute on function crm.end_session(uuid) to crm_app, crm_multi;

comment on function crm.end_session(uuid) is
    'Ends one of the caller''s sessions, as listed by crm.my_sessions. Returns {ended_sessions}: 0 when it is none of the caller''s or has ended.';

create function crm.my_sessions()
    returns table (id uuid, kind text, current boolean, created_at timestamptz, refreshed_at timestamptz, expires_at timestamptz, ip_address text, user_agent text, reason text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'my_sessions_wrapper';

revoke all on function crm.my_sessions() from public;
grant execute on function crm.my_sessions() to crm_app, crm_multi;

comment on function crm.my_sessions() is
    'The caller''s live sessions, with the device and address they began on, newest first; kind impersonation: the platform''s support acting for the reason given.';
