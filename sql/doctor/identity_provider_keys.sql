-- A provider changes its keys: with an old set, its people cannot sign in, and with a key it has withdrawn somebody else can.
select
    'warning' as severity,
    pg_catalog.quote_ident(p.name) as object,
    case
        when p.jwks is null then 'is enabled, and has no key set: nobody signs in with it'
        when p.jwks_fetched_at is null then 'its key set is not kept fresh'
        else pg_catalog.format('its key set was fetched last %s', pg_catalog.to_char(p.jwks_fetched_at, 'YYYY-MM-DD HH24:MI TZ'))
    end as problem,
    pg_catalog.format('select crm.store_provider_keys(%L, …), or look after the worker', p.name) as fix
from crm_private.identity_providers as p
where p.enabled
    and (
        -- Of those by authorization code alone, no token is verified here.
        (p.jwks is null and (p.jwks_uri is not null or p.accept_access_tokens))
        or (p.jwks_uri is not null and (p.jwks_fetched_at is null or p.jwks_fetched_at < pg_catalog.clock_timestamp() - interval '1 day'))
    )
