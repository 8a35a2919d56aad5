-- Where transactions end and where they may only read: no identity outlives its transaction, and reading takes no
-- transaction id. What is tested here needs transactions of its own, so people are committed, and removed at the end.

begin;
\ir actors.psql
-- What an aborted run left.
delete from crm.organizations where name in ('Acme Transactions', 'Borg Transactions');
delete from crm.users where email in ('ann.transactions@example.com', 'bob.transactions@example.com');
select tests.register('ann.transactions', 'Acme Transactions');
select tests.register('bob.transactions', 'Borg Transactions');
select tests.join('ann.transactions', 'Borg Transactions', 'admin');
insert into crm.contacts (org_id, last_name) select org_id, 'Contact' from tests.organizations;
select tests.user_id('ann.transactions') as ann_id,
    tests.token('ann.transactions', 'Acme Transactions') as ann,
    tests.token('ann.transactions') as ann_everywhere,
    jsonb_build_object('authorization', 'Bearer ' || tests.token('ann.transactions', 'Acme Transactions')) as headers
\gset
drop schema tests cascade;
commit;

-- The claims as PostgREST sets them.
select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8') as claims
from split_part(:'ann', '.', 2) as part
\gset

-- The end of a transaction -----------------------------------------------------------------------------------------

begin;
set local role crm_app;
select crm.authenticate(:'ann') ->> 'authenticated' as inside \gset
commit;
select crm.whoami() ->> 'authenticated' as after_commit \gset

begin;
set local role crm_app;
select crm.authenticate(:'ann') \gset
commit and chain;
select crm.whoami() ->> 'authenticated' as after_chain \gset
rollback;

begin;
set local role crm_app;
select crm.authenticate(:'ann') \gset
rollback;
select crm.whoami() ->> 'authenticated' as after_rollback \gset

set client_min_messages = error;
select crm.authenticate(:'ann') ->> 'authenticated' as alone \gset
reset client_min_messages;
select crm.whoami() ->> 'authenticated' as after_alone \gset

-- As on a pooled connection: session-level leftovers of one transaction in the next.
begin;
set local role crm_app;
select crm.authenticate(:'ann') \gset
prepare how_many as select count(*) as seen from crm.contacts;
execute how_many \gset first_
commit;
begin;
set local role crm_app;
execute how_many \gset next_
rollback;
deallocate how_many;

-- Reading only -----------------------------------------------------------------------------------------------------

begin transaction read only;
select set_config('request.jwt.claims', :'claims', true) as x, set_config('request.headers', :'headers', true) as x,
    set_config('role', 'crm_app', true) as x
\gset
select crm.pre_request() \gset
select crm.whoami() ->> 'authenticated' as read_only_request, crm.me() #>> '{user,email}' as read_only_me,
    crm.jwks() #> '{keys,0}' is not null as read_only_jwks, crm.org_ids_for_user(:'ann_id') is not null as read_only_organizations,
    crm.current_user_id() is not null as read_only_user, crm.current_org_id() is not null as read_only_org,
    crm.permitted_org_id('contacts.read') is not null as read_only_permitted,
    crm.permitted_org_ids('contacts.read') is not null as read_only_permitted_several,
    crm.all_scope_org_id('contacts.read') is not null and crm.all_scope_org_ids('contacts.read') is not null
        and crm.scope_user_ids('contacts.read') is null and crm.team_scope_keys('contacts.read') = '{}' as read_only_scopes,
    'owner' = any (crm.readable_roles()) as read_only_roles, crm.my_group_ids() = '{}' as read_only_groups, (select count(*) from crm.my_permissions()) > 30 as read_only_my_permissions,
    crm.explain_access(:'ann_id', 'contacts') #>> '{may,delete,permitted}' as read_only_explained,
    crm.visible_user_ids() is not null as read_only_users, crm.openid_configuration() ? 'issuer' as read_only_configuration,
    (select count(*) from crm.my_sessions()) as read_only_sessions, (select count(*) from crm.list_api_keys()) as read_only_keys,
    (select count(*) from crm.list_invitations()) as read_only_invitations,
    crm.feature_enabled('webhooks') as read_only_feature, (select count(*) from crm.usage()) > 0 as read_only_usage, (select count(*) from crm.tag_counts()) as read_only_tags, (select count(*) from crm.plans) as read_only_plans,
    (crm.audit_checkpoint() ->> 'position')::bigint > 0 and (select valid from crm.verify_audit()) as read_only_chain,
    exists (select from crm.contacts as c cross join lateral crm.record_history('contacts', c.id) as h where crm.record_at('contacts', c.id, now()) is not null)
        as read_only_history,
    'contacts' = any (crm.readable_resources('all')) and crm.team_user_ids() is not null as read_only_trash,
    crm.transaction_id() is not null as read_only_transaction,
    exists (select from crm.event_types() where type = 'contact.created') as read_only_events,
    crm.changes_since(types => '{contact.created}') -> 'events' -> 0 ->> 'type' as read_only_changes
\gset
select (select count(*) from crm.contacts) as read_only_contacts, (select count(*) from crm.accounts) as read_only_accounts,
    (select count(*) from crm.users) as read_only_people, (select count(*) from crm.memberships) as read_only_memberships,
    (select count(*) from crm.organizations) as read_only_tenants,
    (select count(*) from crm.roles) + (select count(*) from crm.built_in_roles) as read_only_role_rows,
    (select count(*) from crm.permissions) + (select count(*) from crm.built_in_permissions) > 0 as read_only_permission_rows,
    (select count(*) from crm.role_permissions) + (select count(*) from crm.groups) + (select count(*) from crm.group_members)
        + (select count(*) from crm.group_permissions) + (select count(*) from crm.group_roles) as read_only_group_rows,
    cardinality(crm.my_org_ids()) as read_only_mine
\gset
select set_config('role', 'crm_multi', true) as x \gset
select crm.readable_resource_keys('all') is not null and crm.team_keys() is not null as read_only_trash_of_several \gset
select pg_current_xact_id_if_assigned() is null as read_only_unassigned \gset
commit;

begin;
set local role crm_app;
select crm.authenticate(:'ann') \gset
select count(*) as writable_contacts from crm.contacts \gset
select crm.me() #>> '{user,email}' as writable_me \gset
select pg_current_xact_id_if_assigned() is null as writable_unassigned \gset
commit;

begin transaction read only;
set local role crm_multi;
select crm.authenticate(:'ann_everywhere') \gset
select (select count(*) from crm.contacts) as across_contacts, (select count(*) from crm.users) as across_people,
    crm.me() #>> '{user,email}' as across_me
\gset
select pg_current_xact_id_if_assigned() is null as across_unassigned \gset
commit;

begin transaction read only;
set local role crm_anon;
select crm.pre_request() \gset
select crm.jwks() \gset
select crm.health() ->> 'status' = 'ok' as anonymous_health \gset
select pg_current_xact_id_if_assigned() is null as anonymous_unassigned \gset
commit;

begin transaction read only;
select (select count(*) from crm.list_organizations()) + (select count(*) from crm.list_users()) + (select count(*) from crm.providers_to_fetch()) + (crm.webhook_queue() ->> 'due')::bigint
        + (select count(*) from crm.check_enrollment()) + (select count(*) from crm.check_usage()) + (select count(*) from crm.doctor()) > 0 and crm.permitted_to_platform('organizations.read')
    as platform_organizations
\gset
select pg_current_xact_id_if_assigned() is null as platform_unassigned \gset
commit;

-- A READ ONLY transaction takes every STABLE function of the schema: none of them writes.
select coalesce(string_agg(p.proname, ', ' order by p.proname), '') as stable_functions
from pg_proc as p
where p.pronamespace = 'crm'::regnamespace and p.provolatile <> 'v'
\gset

begin;
select plan(41);
select is(:'inside'::text, 'true', 'inside the transaction ann is known');
select is(:'after_commit'::text, 'false', 'after COMMIT nobody is');
select is(:'after_chain'::text, 'false', 'after COMMIT AND CHAIN nobody is');
select is(:'after_rollback'::text, 'false', 'after ROLLBACK nobody is');
select is(:'alone'::text, 'true', 'without a transaction block the identity holds for the one statement');
select is(:'after_alone'::text, 'false', 'and not for the next');
select is(:'first_seen'::text, '1', 'a prepared statement shows ann her contact');
select is(:'next_seen'::text, '0', 'and nothing to the next, anonymous user of the connection');
select is(:'read_only_request'::text, 'true', 'ann''s request is accepted in a READ ONLY transaction');
select is(:'read_only_me'::text, 'ann.transactions@example.com', 'me() answers there');
select ok(:'read_only_jwks', 'jwks() answers there');
select ok(:'read_only_organizations', 'org_ids_for_user() answers there');
select ok(:'read_only_user' and :'read_only_org', 'current_user_id() and current_org_id() answer there');
select ok(:'read_only_permitted' and :'read_only_permitted_several', 'the permission functions answer there');
select ok(:'read_only_scopes', 'and those of scopes');
select ok(:'read_only_roles' and :'read_only_my_permissions' and :'read_only_groups', 'readable_roles(), my_permissions() and my_group_ids() answer there');
select is(:'read_only_explained'::text, 'true', 'explain_access() answers there');
select ok(:'read_only_users', 'visible_user_ids() answers there');
select ok(:'read_only_configuration', 'openid_configuration() answers there');
select is(:'read_only_sessions'::text, '2', 'my_sessions() answers there');
select is(:'read_only_keys'::text || :'read_only_invitations', '00', 'list_api_keys() and list_invitations() answer there');
select is(:'read_only_feature'::text || :'read_only_usage' || :'read_only_plans' || :'read_only_tags', 'tt30', 'feature_enabled(), usage(), the plans and tag_counts() answer there');
select ok(:'read_only_chain', 'audit_checkpoint() and verify_audit() answer there');
select ok(:'read_only_history' and :'read_only_transaction', 'record_history(), record_at() and transaction_id() answer there');
select ok(:'read_only_events', 'event_types() answers there');
select is(:'read_only_changes'::text, 'contact.created', 'and changes_since(), which is VOLATILE because it waits, by GET');
select ok(:'read_only_trash' and :'read_only_trash_of_several', 'readable_resources(), readable_resource_keys(), team_user_ids() and team_keys(), which the trash asks, answer there');
select ok(:'platform_unassigned' and :'platform_organizations', 'the platform''s list_organizations(), list_users() and permitted_to_platform(), the worker''s providers_to_fetch() and the DBA''s check_enrollment(), check_usage() and doctor(), too');
select is(
    :'stable_functions'::text,
    'all_scope_org_id, all_scope_org_ids, audit_checkpoint, check_enrollment, check_usage, current_org_id, current_rank, current_user_id, doctor, event_types, explain_access, feature_enabled, health, jwks, list_api_keys, '
        'list_invitations, list_organizations, list_users, me, my_group_ids, my_org_ids, my_permissions, my_sessions, openid_configuration, org_ids_for_user, parent, permitted_org_id, '
        'permitted_org_ids, permitted_to_platform, providers_to_fetch, readable_resource_keys, readable_resources, readable_roles, record_at, record_history, scope_user_ids, subsidiaries, tag_counts, '
        'team_keys, team_scope_keys, team_user_ids, transaction_id, usage, verify_audit, visible_user_ids, webhook_queue, whoami',
    'these are all the functions that PostgREST runs in READ ONLY transactions: a new one belongs into this file'
);
select is(:'read_only_contacts'::text, '1', 'tables can be read there');
select is(:'read_only_role_rows'::text, '12', 'those of roles, too');
select ok(:'read_only_permission_rows' and :'read_only_group_rows'::text = '0', 'and those of permissions and groups');
select ok(:'read_only_unassigned', 'and a whole request of ann''s takes no transaction id');
select is(:'writable_contacts'::text, '1', 'in a transaction that could write ann reads');
select ok(:'writable_unassigned', 'without taking a transaction id');
select is(:'across_contacts'::text, '2', 'ann reads across her organizations');
select ok(:'across_unassigned', 'without taking a transaction id');
select ok(:'anonymous_unassigned' and :'anonymous_health', 'nor does an anonymous request take one, and health() answers in it');
select is(:'read_only_tenants'::text, '2', 'ann sees both of her organizations while she works in one');
select is(:'read_only_tenants'::text, :'read_only_mine'::text, 'which my_org_ids() tells');
select is(:'across_people'::text, '2', 'across her organizations she sees bob, too');
select * from finish();
rollback;

begin;
delete from crm.organizations where name in ('Acme Transactions', 'Borg Transactions');
delete from crm.users where email in ('ann.transactions@example.com', 'bob.transactions@example.com');
commit;
