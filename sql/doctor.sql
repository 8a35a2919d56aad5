-- Whether all is well: for the DBA in words, with what to do about it; for machines in one.

create function crm.doctor()
    returns table (severity text, name text, object text, problem text, fix text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    -- Each check is a subtransaction of its own, which no statement with workers may have.
    parallel unsafe
    as 'MODULE_PATHNAME', 'doctor_wrapper';

revoke all on function crm.doctor() from public;
grant execute on function crm.doctor() to crm_admin;

comment on function crm.doctor() is
    'For the DBA: what is misconfigured in this database, its roles and its server, in a way that has hurt others. severity: error, warning or info; name: the check, see docs/operations.md; fix: a statement, where one does it. Reads catalogs alone. No rows: all is well.';

create function crm.health()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    -- It sets the status of the answer, which no statement with workers may.
    parallel unsafe
    as 'MODULE_PATHNAME', 'health_wrapper';

revoke all on function crm.health() from public;
grant execute on function crm.health() to crm_anon, crm_app, crm_multi, crm_service, crm_worker, crm_admin;

comment on function crm.health() is
    'For load balancers and probes: {status: ok, degraded or failing, version, schema_version, checks: {schema: ok, behind, ahead or missing, keys: ok or missing, writable, shared_memory}, time}. HTTP 503 when it is failing, else 200. Needs no token.';
