-- What PostgREST's login role is given by ALTER ROLE comes before what the database tells PostgREST: a copy of the key set is
-- left behind by the next key, and another schema, role or hook is another API.
select
    case when given.name = 'jwt_secret' and keys.missing is null then 'warning' else 'error' end as severity,
    r.rolname as object,
    -- Not what it is: it may be a secret.
    pg_catalog.format('pgrst.%s is set for it, and taken in place of what the database says', given.name) || case given.name
        when 'jwt_secret' then coalesce(pg_catalog.format(': key %s is not in it, so no token of now is good', keys.missing), ': the next key is not in it')
        else ''
    end as problem,
    pg_catalog.format('alter role %I%s reset pgrst.%s; notify pgrst', r.rolname,
        case s.setdatabase when 0 then '' else pg_catalog.format(' in database %I', pg_catalog.current_database()) end, given.name) as fix
from pg_catalog.pg_db_role_setting as s
join pg_catalog.pg_roles as r on r.oid = s.setrole
cross join lateral pg_catalog.unnest(s.setconfig) as one (setting)
cross join lateral (
    values (pg_catalog.substring(one.setting, '^pgrst\.([^=]*)='), pg_catalog.substr(one.setting, pg_catalog.strpos(one.setting, '=') + 1))
) as given (name, value)
cross join lateral (
    select pg_catalog.min(k.kid) as missing
    from crm_private.signing_keys as k
    where k.active_from <= pg_catalog.clock_timestamp() and (k.retired_at is null or k.retired_at > pg_catalog.clock_timestamp())
        and k.private_key is not null and pg_catalog.strpos(given.value, k.kid) = 0
) as keys
where s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
    and r.rolname = 'crm_authenticator'
    and (
        given.name in ('jwt_secret', 'jwt_aud')
        -- How much is answered, and what is described, is the DBA's to say.
        or (given.name in (
            'jwt_secret_is_base64', 'jwt_role_claim_key', 'db_schemas', 'db_extra_search_path', 'db_anon_role', 'db_pre_request', 'db_tx_end'
        ) and given.value is distinct from $1 -> 'postgrest' ->> given.name)
    )
