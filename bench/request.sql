-- What PostgREST sends for GET /contacts?id=eq.…, statement by statement.
begin isolation level read committed read only;
select set_config('search_path', 'crm, pg_temp', true), set_config('role', 'crm_app', true),
    set_config('request.jwt.claims', :claims, true), set_config('request.method', 'GET', true),
    set_config('request.path', '/contacts', true), set_config('request.headers', :headers, true),
    set_config('request.cookies', '{}', true);
select crm.pre_request();
with pgrst_source as (select contacts.* from crm.contacts where contacts.id = :contact_id::uuid)
select null::bigint as total_result_set, pg_catalog.count(_postgrest_t) as page_total,
    coalesce(json_agg(_postgrest_t), '[]') as body, nullif(current_setting('response.headers', true), '') as response_headers,
    nullif(current_setting('response.status', true), '') as response_status
from (select * from pgrst_source) as _postgrest_t;
commit;
