-- Where the CRM does its work: whoever delivers gets nothing in a copy, until the DBA binds it.

begin;
\ir actors.psql
select no_plan();

delete from crm_private.messages;
delete from crm_private.oauth_flows;
select tests.register('ann', 'Acme');
select tests.become('ann', 'Acme');
select crm.test_webhook((crm.create_webhook('Hook', 'https://example.com') ->> 'id')::uuid);
select tests.nobody();
create role deployment_dba;
grant crm_admin, crm_owner, crm_backup to deployment_dba;
insert into crm_private.oauth_flows (provider, state_hash, code_challenge, code_verifier, redirect_uri, expires_at, status, code)
values ('github', 'state', 'challenge', 'verifier', 'https://app.example/back', now() + interval '1 hour', 'waiting', 'code');

-- What it claims is let go again.
create function tests.claimed() returns text language sql volatile as $$
    select concat_ws(
        ' and ', tests.outcome('select * from crm.claim_messages()'), tests.outcome('select * from crm.claim_oauth_exchanges()'),
        tests.outcome('select * from crm.claim_webhook_deliveries()')
    )
$$;
-- As the DBA, whose session is their own.
create function tests.bind(call text) returns boolean language plpgsql as $$
declare
    changed boolean;
begin
    perform tests.nobody();
    set local session authorization deployment_dba;
    execute 'select ' || call into changed;
    reset session authorization;
    return changed;
end
$$;
-- What a restored dump, or a copy, finds: the rows of another place.
create function tests.copy(system_identifier bigint, database_oid oid, table_oid oid) returns void language plpgsql as $$
begin
    perform tests.nobody();
    update crm_private.deployments as d
    set system_identifier = copy.system_identifier, database_oid = copy.database_oid, table_oid = copy.table_oid
    where d.number = (select max(number) from crm_private.deployments);
    perform tests.become_role('crm_worker');
end
$$;
create view tests.here as
    select s.system_identifier, d.oid as database_oid, 'crm_private.deployments'::regclass::oid as table_oid from pg_control_system() as s, pg_database as d where d.datname = current_database();
grant select on tests.here to public;

-- Who may ----------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, call)
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_owner,crm_backup}'::text[]) as role,
    unnest('{crm.bind_deployment(),crm.unbind_deployment()}'::text[]) as call;
select tests.become('ann', 'Acme');
select is(tests.outcome('select crm.unbind_deployment()'), '42501 permission denied for function unbind_deployment', 'ann releases nothing');
select is(tests.outcome('select * from crm_private.deployments'), '42501 permission denied for schema crm_private', 'nor sees where she is');
select tests.nobody();
set local session authorization crm_authenticator;
set local role crm_anon;
select is(tests.outcome('select crm.bind_deployment()'), '42501 permission denied for function bind_deployment', 'nor does a request without a token');
reset session authorization;
set local session authorization deployment_dba;
select results_eq(
    'select number, system_identifier, database_oid, table_oid from crm_private.deployments',
    'select 1, system_identifier, database_oid, table_oid from tests.here',
    'the DBA sees that a new CRM is bound to the database it was made in'
);
select is(
    tests.outcome('update crm_private.deployments set database_oid = 1'), '0 rows',
    'and changes that by the functions only'
);
select is(
    tests.outcome('insert into crm_private.deployments (number, bound_by) values (2, ''me'')'),
    '42501 new row violates row-level security policy for table "deployments"', 'adding nothing either'
);
savepoint reading;
set local transaction read only;
select tests.outcome('select crm.bind_deployment()') as said \gset
rollback to savepoint reading;
select is(:'said'::text, '25006 bind_deployment needs a POST request', 'in a transaction that only reads nothing is bound');
reset session authorization;
savepoint reading;
select tests.become_role('crm_worker');
set local transaction read only;
select tests.outcome('select crm.claim_messages()') as said \gset
rollback to savepoint reading;
select is(:'said'::text, '25006 nothing is handed out for delivery in a transaction that only reads, nor by a replica', 'nor handed out');

-- In its place -----------------------------------------------------------------------------------------------------

select is(tests.bind('crm.bind_deployment()'), false, 'binding what is bound changes nothing');
select tests.become_role('crm_worker');
select is(tests.claimed(), '1 rows and 1 rows and 1 rows', 'the worker claims what waits');

-- In a copy --------------------------------------------------------------------------------------------------------

select tests.copy(system_identifier + 1, database_oid, table_oid) from tests.here;
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'in another cluster the worker claims nothing');
select tests.copy(system_identifier, (database_oid::bigint + 1)::oid, table_oid) from tests.here;
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'nor in another database of the same one');
select tests.copy(system_identifier, database_oid, (table_oid::bigint + 1)::oid) from tests.here;
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'nor in tables that a restore made in the same database');
select tests.copy(null, null, null);
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'nor where it was released');
select tests.nobody();
select is(
    (select count(*) from crm_private.messages where attempts = 0 and finished_at is null), 1::bigint, 'what waits there is left as it is'
);

-- Bound, and released ----------------------------------------------------------------------------------------------

select tests.copy(system_identifier + 1, database_oid, table_oid) from tests.here;
select is(tests.bind('crm.bind_deployment()'), true, 'the DBA binds the copy');
select tests.become_role('crm_worker');
select is(tests.claimed(), '1 rows and 1 rows and 1 rows', 'then the worker claims what waits');
select is(tests.bind('crm.unbind_deployment()'), true, 'the DBA releases it');
select is(tests.bind('crm.unbind_deployment()'), false, 'once');
select tests.become_role('crm_worker');
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'then the worker claims nothing');
select is(tests.bind('crm.bind_deployment()'), true, 'and binds it again');
select tests.become_role('crm_worker');
select is(tests.claimed(), '1 rows and 1 rows and 1 rows', 'and so on');

select tests.nobody();
select results_eq(
    'select number, d.system_identifier = h.system_identifier, d.database_oid = h.database_oid and d.table_oid = h.table_oid, bound_by = ''deployment_dba''
     from crm_private.deployments as d cross join tests.here as h order by number',
    $$values (1, false, true, false), (2, true, true, true), (3, null, null, true), (4, true, true, true)$$,
    'what was bound when, and who did it, is kept'
);
delete from crm_private.deployments;
select tests.become_role('crm_worker');
select is(tests.claimed(), '0 rows and 0 rows and 0 rows', 'where nothing says which place is meant, nothing is handed out');

select * from finish();
rollback;
