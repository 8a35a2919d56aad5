-- Without a key that signs nobody logs in; a private key that outlives its use is one more to be stolen.
select 'error' as severity, 'crm_private.signing_keys' as object, 'there is no key that signs' as problem,
    'select crm.rotate_signing_key()' as fix
where not exists (
    select from crm_private.signing_keys as k
    where k.active_from <= pg_catalog.clock_timestamp() and (k.retired_at is null or k.retired_at > pg_catalog.clock_timestamp())
        and k.private_key is not null
)
union all
select 'warning', 'crm_private.signing_keys',
    pg_catalog.format('key %s signs no more since %s, and its private half is still there', k.kid, k.retired_at::date),
    'select crm.clear_expired()'
from crm_private.signing_keys as k
where k.retired_at < pg_catalog.clock_timestamp() - interval '1 day' and k.private_key is not null
