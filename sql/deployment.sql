-- Where the CRM does its work: a copy of the data delivers nothing until somebody says that it takes the original's place.

create function crm.bind_deployment()
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'bind_deployment_wrapper';

revoke all on function crm.bind_deployment() from public;
grant execute on function crm.bind_deployment() to crm_admin;

comment on function crm.bind_deployment() is
$$Says that this CRM is the one whose messages and sign-ins are handed out for delivery. To be called where a restored dump, or a copy, takes the place of the original, after the original was stopped; never in a copy for tests, where what waits would reach people a second time.
CREATE EXTENSION binds a new CRM. Returns whether that changed anything. Errors: 42501 for whoever is not the DBA.$$;

create function crm.unbind_deployment()
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'unbind_deployment_wrapper';

revoke all on function crm.unbind_deployment() from public;
grant execute on function crm.unbind_deployment() to crm_admin;

comment on function crm.unbind_deployment() is
$$Says that nothing is handed out for delivery here. To be called first in a copy of the files (a snapshot, a branch, a clone of a replica), which nothing tells from the original; and in an original that is replaced.
Returns whether that changed anything. Errors: 42501 for whoever is not the DBA.$$;
