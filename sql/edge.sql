-- What PostgREST calls. The verdict is Rust's; it is raised here, because only PL/pgSQL can raise PostgREST's own
-- SQLSTATEs (PT401 is HTTP 401).

create function crm_private.begin_request()
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'begin_request_wrapper';

revoke all on function crm_private.begin_request() from public;

comment on function crm_private.begin_request() is
    'Establishes the identity of a PostgREST request; null, or the refusal to raise: {code, message, hint}.';

create function crm_private.begin_with_token(token text)
    returns jsonb
    language c
    volatile
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'begin_with_token_wrapper';

revoke all on function crm_private.begin_with_token(text) from public;

comment on function crm_private.begin_with_token(text) is
    'Establishes the identity of the transaction from a token; null, or the refusal to raise: {code, message, hint}.';

create function crm_private.refuse(refusal jsonb)
    returns void
    language plpgsql
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
as $$
begin
    if refusal is not null then
        raise exception using
            errcode = refusal ->> 'code',
            message = refusal ->> 'message',
            hint = refusal ->> 'hint';
    end if;
end
$$;

revoke all on function crm_private.refuse(jsonb) from public;

comment on function crm_private.refuse(jsonb) is 'Raises a refusal {code, message, hint}; nothing for null.';

create function crm.pre_request()
    returns void
    language plpgsql
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
as $$
begin
    perform crm_private.refuse(crm_private.begin_request());
end
$$;

revoke all on function crm.pre_request() from public;
grant execute on function crm.pre_request() to crm_anon, crm_app, crm_multi;

comment on function crm.pre_request() is
$$PostgREST's db-pre-request: verifies the token of the Authorization header again and establishes who the request is.
Reads X-Org-ID or X-Tenant-ID (id or slug) as the organization to work in. Errors: PT401 for a token that is missing or not valid, PT403 for an organization one is no active member of, PT400 for Prefer: count=planned or estimated.$$;

create function crm.authenticate(token text)
    returns jsonb
    language plpgsql
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
as $$
begin
    perform crm_private.refuse(crm_private.begin_with_token(coalesce(token, '')));
    return crm.whoami() - 'database_role';
end
$$;

revoke all on function crm.authenticate(text) from public;
grant execute on function crm.authenticate(text) to crm_app, crm_multi;

comment on function crm.authenticate(text) is
$$For SQL clients: makes the owner of an access token the identity of the current transaction, and tells who that is.
begin; set local role crm_app; select crm.authenticate('…'); …; commit;
Errors: PT401 for a token that is not valid, PT403 for an organization one is no active member of.$$;

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
