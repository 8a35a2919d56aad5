-- API keys: x-api-key over HTTP, crm.authenticate_api_key in SQL.

create function crm.create_api_key(name text, scopes text[], expires_at timestamptz default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'create_api_key_wrapper';

revoke all on function crm.create_api_key(text, text[], timestamptz) from public;
grant execute on function crm.create_api_key(text, text[], timestamptz) to crm_app;

comment on function crm.create_api_key(text, text[], timestamptz) is
$$Makes a key that acts as the active organization. scopes: what it may do, resource.action (contacts.read, contacts.*, *.read, *.*), no more than the caller may.
Returns {id, key, prefix, name, scopes, expires_at}: the key is told this once; send it as x-api-key. Errors: 42501 without the permission api_keys.create or for a scope beyond one's own, 22023 naming the argument.$$;

create function crm.create_platform_key(name text, scopes text[] default '{*.*}', expires_at timestamptz default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'create_platform_key_wrapper';

revoke all on function crm.create_platform_key(text, text[], timestamptz) from public;
grant execute on function crm.create_platform_key(text, text[], timestamptz) to crm_admin;

comment on function crm.create_platform_key(text, text[], timestamptz) is
$$For the DBA: makes a key for the host application's backend, which can then create, list, suspend, resume and delete organizations and users and issue tokens. scopes: organizations.create, organizations.read, organizations.update, organizations.delete, the same of users, tokens.create, keys.update; * stands for any.
Returns {id, key, prefix, name, scopes, expires_at}: the key is told this once. Errors: 22023 naming the argument.$$;

create function crm.list_api_keys()
    returns table (id uuid, name text, prefix text, scopes text[], created_by uuid, created_at timestamptz, expires_at timestamptz, last_used_at timestamptz)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'list_api_keys_wrapper';

revoke all on function crm.list_api_keys() from public;
grant execute on function crm.list_api_keys() to crm_app, crm_admin;

comment on function crm.list_api_keys() is
    'The live keys of the active organization, for those with the permission api_keys.read; for the DBA (crm_admin) the platform''s. last_used_at is exact to the minute; uses that only read are noted with the next write on the same connection.';

create function crm.revoke_api_key(api_key_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'revoke_api_key_wrapper';

revoke all on function crm.revoke_api_key(uuid) from public;
grant execute on function crm.revoke_api_key(uuid) to crm_app, crm_admin;

comment on function crm.revoke_api_key(uuid) is
    'Ends a key of the active organization, or for the DBA (crm_admin) one of the platform''s: it is refused from the next request on. Returns {revoked}: 0 when there is none. Errors: 42501 without the permission api_keys.delete.';
