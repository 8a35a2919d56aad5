-- The whole surface: what there is in crm and crm_private, and exactly who may do what with it. A line here is a
-- decision: what is new, or open to one more role, fails until it is written down.

begin;
\ir actors.psql
select no_plan();

-- Roles ------------------------------------------------------------------------------------------------------------

select set_eq(
    $$select rolname::text, rolcanlogin, rolinherit, rolbypassrls from pg_roles where rolname like 'crm\_%'$$,
    $$values
        ('crm_authenticator', true, false, false),
        ('crm_anon', false, true, false),
        ('crm_app', false, true, false),
        ('crm_multi', false, true, false),
        ('crm_service', false, true, false),
        ('crm_worker', false, true, false),
        ('crm_admin', false, true, false),
        ('crm_owner', false, true, false),
        ('crm_definer', false, true, false),
        ('crm_backup', false, true, true)$$,
    'these are the roles, and who logs in, inherits and reads past row level security'
);
select is_empty(
    $$select rolname from pg_roles where rolname like 'crm\_%' and (rolsuper or rolcreaterole or rolcreatedb or rolreplication)$$,
    'no role has an attribute of power'
);
select set_eq(
    $$select m.rolname::text as member, g.rolname::text as role
      from pg_auth_members as a
      join pg_roles as m on m.oid = a.member
      join pg_roles as g on g.oid = a.roleid
      where m.rolname like 'crm\_%' or (g.rolname like 'crm\_%' and not m.rolsuper)$$,
    $$values
        ('crm_authenticator', 'crm_anon'),
        ('crm_authenticator', 'crm_app'),
        ('crm_authenticator', 'crm_multi'),
        ('crm_authenticator', 'crm_service'),
        ('crm_definer', 'crm_app')$$,
    'these are their memberships'
);

-- Schemas ----------------------------------------------------------------------------------------------------------

select set_eq(
    $$select n.nspname::text as schema, a.grantee::regrole::text as grantee, a.privilege_type as privilege
      from pg_namespace as n
      cross join lateral aclexplode(n.nspacl) as a
      where n.nspname in ('crm', 'crm_private')$$,
    $$select 'crm' as schema, role, 'USAGE' as privilege
      from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_admin,crm_definer,crm_backup,crm_owner}'::text[]) as role
      union all
      select 'crm_private', role, 'USAGE' from unnest('{crm_authenticator,crm_definer,crm_backup,crm_owner}'::text[]) as role
      union all
      values ('crm', 'crm_owner', 'CREATE'), ('crm_private', 'crm_owner', 'CREATE')$$,
    'these roles, and no others, may look into the schemas or create in them'
);

-- Functions --------------------------------------------------------------------------------------------------------

create table tests.functions (
    signature text, volatility text, parallel text, security text, may_execute text[]
);
insert into tests.functions values
    ('crm.accept_invitation(text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.all_scope_org_id(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.all_scope_org_ids(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.authenticate(text)', 'volatile', 'unsafe', 'invoker', '{crm_app,crm_multi}'),
    ('crm.authenticate_api_key(text)', 'volatile', 'unsafe', 'invoker', '{crm_app,crm_service}'),
    ('crm.bind_deployment()', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.unbind_deployment()', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.cancel_organization(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.change_password(text,text)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.check_enrollment()', 'stable', 'restricted', 'definer', '{crm_admin,crm_owner}'),
    ('crm.check_usage()', 'stable', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.event_types()', 'stable', 'restricted', 'definer', '{crm_admin,crm_app,crm_multi,crm_worker}'),
    ('crm.changes_since(text,integer,text[])', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.create_webhook(text,text,text[],text[],text,jsonb,boolean,integer)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.rotate_webhook_secret(uuid,integer)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.set_webhook_headers(uuid,jsonb)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.test_webhook(uuid)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.replay_webhook(uuid,uuid,timestamp with time zone)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.fan_out_events(integer)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.claim_webhook_deliveries(integer,interval,uuid[],uuid[])', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.complete_webhook_delivery(uuid,uuid,integer,integer,integer,text)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.fail_webhook_delivery(uuid,uuid,integer,integer,integer,text,text,integer)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.release_webhook_delivery(uuid,uuid,integer,interval)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.maintain_webhooks(integer)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_worker}'),
    ('crm.webhook_queue()', 'stable', 'restricted', 'definer', '{crm_admin,crm_worker}'),
    ('crm_private.check_webhook()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.begin_webhook()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm.verify_audit(uuid,jsonb)', 'stable', 'restricted', 'definer', '{crm_admin,crm_app}'),
    ('crm.audit_checkpoint(uuid)', 'stable', 'restricted', 'definer', '{crm_admin,crm_app}'),
    ('crm.erase_person(text,uuid,text[],boolean)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.maintain_audit(integer)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_worker}'),
    ('crm_private.audit()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.append_only()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.keep_history(regclass,text,text[])', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.make_audit_partitions()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm.claim_messages(integer,interval)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.claim_oauth_exchanges(integer,interval)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.clear_expired(integer)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_worker}'),
    ('crm.complete_message(uuid)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.complete_oauth_exchange(uuid,text,text,boolean,text,text)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.create_api_key(text,text[],timestamp with time zone)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.create_organization(text,text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.create_platform_key(text,text[],timestamp with time zone)', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.create_user(text,text,text,text,uuid,text,boolean)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.doctor()', 'stable', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.health()', 'stable', 'unsafe', 'definer', '{crm_admin,crm_anon,crm_app,crm_multi,crm_service,crm_worker}'),
    ('crm.drop_custom_field_index(text,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_owner}'),
    ('crm.index_custom_field(text,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_owner}'),
    ('crm.readable_resource_keys(text)', 'stable', 'restricted', 'invoker', '{crm_multi}'),
    ('crm.readable_resources(text)', 'stable', 'restricted', 'invoker', '{crm_app}'),
    ('crm.record_at(text,uuid,timestamp with time zone)', 'stable', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.record_history(text,uuid,uuid,integer)', 'stable', 'restricted', 'definer', '{crm_app,crm_multi}'),
    ('crm.restore_record(text,uuid,integer)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.team_keys()', 'stable', 'restricted', 'invoker', '{crm_multi}'),
    ('crm.team_user_ids()', 'stable', 'restricted', 'invoker', '{crm_app}'),
    ('crm.transaction_id()', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi}'),
    ('crm.undo(uuid,text,boolean)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.rename_custom_field_option(uuid,text,text)', 'volatile', 'unsafe', 'invoker', '{crm_app}'),
    ('crm.ingest_event(text,jsonb,text)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.receive_event(jsonb)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.retry_event(uuid)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.retry_events(text,text,timestamp with time zone,uuid)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm_private.check_integration_rule()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.apply_custom_field()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.check_custom_field()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_custom_fields()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.keep_custom_values()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.lock_custom_fields()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm.current_rank()', 'stable', 'restricted', 'invoker', '{crm_app}'),
    ('crm.current_org_id()', 'stable', 'restricted', 'invoker', '{crm_admin,crm_anon,crm_app,crm_multi,crm_owner,crm_service,crm_worker}'),
    ('crm.current_user_id()', 'stable', 'restricted', 'invoker', '{crm_admin,crm_anon,crm_app,crm_multi,crm_owner,crm_service,crm_worker}'),
    ('crm.delete_organization(uuid,integer)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.delete_user(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.end_session(uuid)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.enroll(regclass,text[],text[],text,boolean)', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm.explain_access(uuid,text,uuid)', 'stable', 'restricted', 'definer', '{crm_app}'),
    ('crm.fail_oauth_exchange(uuid)', 'volatile', 'unsafe', 'definer', '{crm_worker}'),
    ('crm.feature_enabled(text,uuid)', 'stable', 'restricted', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.grant_platform_role(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.impersonate(uuid,text,text,integer)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.invite_user(text,text)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.issue_token(uuid,uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.jwks()', 'stable', 'unsafe', 'definer', '{crm_admin,crm_anon,crm_app,crm_multi,crm_service,crm_worker}'),
    ('crm.leave_organization()', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.link_identity(uuid,text,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.list_api_keys()', 'stable', 'restricted', 'definer', '{crm_admin,crm_app}'),
    ('crm.list_invitations()', 'stable', 'restricted', 'definer', '{crm_app}'),
    ('crm.list_organizations()', 'stable', 'restricted', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.list_users(uuid)', 'stable', 'restricted', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.load_demo(text,integer)', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.login(text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.login_with_id_token(text,text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.logout(boolean)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.merge_tags(text[],text)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.me()', 'stable', 'restricted', 'definer', '{crm_app,crm_multi}'),
    ('crm.my_group_ids()', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi}'),
    ('crm.my_permissions()', 'stable', 'restricted', 'definer', '{crm_app}'),
    ('crm.my_org_ids()', 'stable', 'restricted', 'definer', '{crm_app,crm_multi}'),
    ('crm.my_sessions()', 'stable', 'restricted', 'definer', '{crm_app,crm_multi}'),
    ('crm.oauth_finish(text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.oauth_start(text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.openid_configuration()', 'stable', 'restricted', 'definer', '{crm_admin,crm_anon,crm_app,crm_multi,crm_service,crm_worker}'),
    ('crm.org_ids_for_user(uuid)', 'stable', 'restricted', 'definer', '{crm_app,crm_multi,crm_service}'),
    ('crm.parent(crm.accounts)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi}'),
    ('crm.subsidiaries(crm.accounts)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi}'),
    ('crm.permitted_org_id(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.permitted_org_ids(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.permitted_to_platform(text)', 'stable', 'restricted', 'invoker', '{crm_admin,crm_service}'),
    ('crm.pre_request()', 'volatile', 'unsafe', 'invoker', '{crm_anon,crm_app,crm_multi}'),
    ('crm.providers_to_fetch(interval)', 'stable', 'restricted', 'definer', '{crm_worker}'),
    ('crm.readable_roles()', 'stable', 'restricted', 'invoker', '{crm_app}'),
    ('crm.refresh_token(text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.register(text,text,text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.remove_member(uuid)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.recount_usage(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.remove_plan_override(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.rename_tag(text,text)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.request_email_verification()', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.request_password_reset(text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.reset_password(text,text)', 'volatile', 'unsafe', 'definer', '{crm_anon,crm_app,crm_multi,crm_service}'),
    ('crm.resume_organization(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.resume_user(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.revoke_api_key(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app}'),
    ('crm.revoke_invitation(uuid)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.revoke_platform_role(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin}'),
    ('crm.scope_user_ids(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.set_member_role(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.set_notification_email(boolean)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.set_next_number(text,bigint)', 'volatile', 'unsafe', 'definer', '{crm_app}'),
    ('crm.set_plan(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.set_plan_override(uuid,text,bigint,boolean,boolean,timestamp with time zone,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.rotate_signing_key(text,boolean)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.store_provider_keys(text,jsonb)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_worker}'),
    ('crm.suspend_organization(uuid,text)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.suspend_user(uuid)', 'volatile', 'unsafe', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.switch_org(text)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.tag_counts()', 'stable', 'restricted', 'invoker', '{crm_app}'),
    ('crm.team_scope_keys(text)', 'stable', 'restricted', 'invoker', '{crm_app,crm_multi,crm_service}'),
    ('crm.unenroll(regclass)', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm.usage(uuid)', 'stable', 'restricted', 'definer', '{crm_admin,crm_app,crm_multi,crm_service}'),
    ('crm.uuid_v7()', 'volatile', 'safe', 'invoker', '{crm_admin,crm_anon,crm_app,crm_multi,crm_owner,crm_service,crm_worker}'),
    ('crm.verify_email(text)', 'volatile', 'unsafe', 'definer', '{crm_app,crm_multi}'),
    ('crm.visible_user_ids()', 'stable', 'restricted', 'definer', '{crm_app,crm_multi}'),
    ('crm.whoami()', 'stable', 'restricted', 'invoker', '{crm_admin,crm_anon,crm_app,crm_multi,crm_owner,crm_service,crm_worker}'),
    ('crm_private.announce()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_delegation()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_document()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_payment()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_scope()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.compute_line()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_address()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_addresses()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.check_hierarchy()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.count_usage()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.follow_tag()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.find_slug()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.guard()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.guard_drop()', 'volatile', 'unsafe', 'invoker', '{}'),
    ('crm_private.guard_profile()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.guard_series()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.install()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.keep_default_pipeline()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.keep_owner()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.lock_series()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.mail_notifications()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.make_defaults()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.make_built_in_roles()', 'volatile', 'unsafe', 'definer', '{crm_owner}'),
    ('crm_private.name_tag()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.tag_record()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private."normalize"()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.normalize_provider()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.number_ticket()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.note_stage()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.pass_owner()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.place_deal()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.postgrest_config()', 'volatile', 'unsafe', 'definer', '{crm_authenticator}'),
    ('crm_private.settle_invoices()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.stamp()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.sum_lines()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    ('crm_private.swap_address()', 'volatile', 'unsafe', 'invoker', '{crm_owner}'),
    -- Of a superuser alone, whose scripts of updates call it.
    ('crm_private.upgrade()', 'volatile', 'unsafe', 'invoker', '{}'),
    ('crm_private.upgrade_tables()', 'volatile', 'unsafe', 'invoker', '{crm_owner}');

select set_eq(
    $$select p.oid::regprocedure::text as signature,
          case p.provolatile when 'i' then 'immutable' when 's' then 'stable' when 'v' then 'volatile' end as volatility,
          case p.proparallel when 's' then 'safe' when 'r' then 'restricted' when 'u' then 'unsafe' end as parallel,
          case when p.prosecdef then 'definer' else 'invoker' end as security,
          array(
              select case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end
              from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
              where a.grantee <> p.proowner
              order by 1
          ) as may_execute
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)$$,
    $$select * from tests.functions$$,
    'these are the functions, what they are, and who besides their owner may execute them'
);
select is_empty(
    $$select p.oid::regprocedure as function, p.proowner::regrole as owner
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and p.proowner <> case
          when p.prolang = (select oid from pg_language where lanname = 'sql') then 'crm_owner'::regrole
          else 'crm_definer'::regrole
      end$$,
    'crm_definer owns every function, and crm_owner what is told of its tables'' rows'
);
select is_empty(
    $$select p.oid::regprocedure, p.proconfig
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
          and p.proconfig[1] is distinct from 'search_path=pg_catalog, pg_temp'$$,
    'every function pins its search path'
);
select set_eq(
    $$select p.oid::regprocedure::text, p.proconfig[2:]
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and cardinality(p.proconfig) > 1$$,
    $$values
        ('crm.fan_out_events(integer)', '{enable_seqscan=off,jit=off}'::text[]),
        ('crm.complete_webhook_delivery(uuid,uuid,integer,integer,integer,text)', '{lock_timeout=2s}'),
        ('crm.fail_webhook_delivery(uuid,uuid,integer,integer,integer,text,text,integer)', '{lock_timeout=2s}'),
        ('crm.release_webhook_delivery(uuid,uuid,integer,interval)', '{lock_timeout=2s}'),
        ('crm.maintain_webhooks(integer)', '{lock_timeout=2s}'),
        ('crm.webhook_queue()', '{enable_seqscan=off,enable_bitmapscan=off,jit=off}')$$,
    'these set something else: how their queries are planned, and for how long they wait'
);
select is_empty(
    $$select p.oid::regprocedure
      from pg_proc as p
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and obj_description(p.oid, 'pg_proc') is null$$,
    'every function has a comment'
);
select is_empty(
    $$select p.oid::regprocedure, r.rolname
      from pg_proc as p
      cross join pg_roles as r
      where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and not r.rolsuper
          and r.rolname not like 'crm\_%' and has_function_privilege(r.oid, p.oid, 'execute')$$,
    'no other role of the cluster can execute any function'
);

-- What the roles can really do, memberships included, is what was granted.
select set_eq(
    format(
        $$select p.proname::text
          from pg_proc as p
          where p.pronamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
              and has_function_privilege(%L, p.oid, 'execute') and has_schema_privilege(%1$L, p.pronamespace, 'usage')$$,
        role
    ),
    format($$select split_part(split_part(signature, '.', 2), '(', 1) from tests.functions where %L = any (may_execute)$$, role),
    role || ' reaches the functions that were granted to it'
)
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_worker,crm_admin,crm_authenticator,crm_backup}'::text[]) as role;

-- Tables -----------------------------------------------------------------------------------------------------------

-- Those that are as crm.enroll makes them. Of a part: the record it is part of.
create table tests.enrolled (target text, kind text, with_rules boolean, record text);
insert into tests.enrolled values
    ('activities', 'record', true, null),
    ('activity_links', 'part', false, 'activities'),
    ('appointment_attendees', 'part', true, 'appointments'),
    ('appointments', 'record', true, null),
    ('attachments', 'record', true, null),
    ('automations', 'unowned', true, null),
    ('daily_metrics', 'read only', false, null),
    ('estimate_items', 'part', true, 'estimates'),
    ('estimates', 'record', true, null),
    ('integration_events', 'only deleted', true, null),
    ('integration_rules', 'unowned', true, null),
    ('invoice_items', 'part', true, 'invoices'),
    ('invoices', 'record', true, null),
    ('jobs', 'record', true, null),
    ('messages', 'record', true, null),
    ('notifications', 'record', true, null),
    ('number_series', 'unowned', true, null),
    ('payments', 'record', true, null),
    ('projects', 'record', true, null),
    ('saved_filters', 'record', true, null),
    ('tasks', 'record', true, null),
    ('tickets', 'record', true, null),
    ('webhooks', 'made by a function', true, null),
    ('contact_accounts', 'part', true, 'contacts'),
    ('contact_emails', 'part', true, 'contacts'),
    ('contact_phones', 'part', true, 'contacts'),
    ('deal_contacts', 'part', true, 'deals'),
    ('deal_stage_changes', 'read only part', false, 'deals'),
    ('deals', 'record', true, null),
    ('leads', 'record', true, null),
    ('pipeline_stages', 'settings', true, null),
    ('pipelines', 'settings', true, null);

create table tests.grants (target text, grantee text, privileges text);
insert into tests.grants values
    ('crm.accounts', 'crm_app', 'select, insert, update, delete'),
    ('crm.accounts', 'crm_backup', 'select'),
    ('crm.accounts', 'crm_multi', 'select, insert, update, delete'),
    ('crm.built_in_permissions', 'crm_app', 'select'),
    ('crm.built_in_permissions', 'crm_backup', 'select'),
    ('crm.built_in_permissions', 'crm_definer', 'select'),
    ('crm.built_in_roles', 'crm_app', 'select'),
    ('crm.built_in_roles', 'crm_backup', 'select'),
    ('crm.built_in_roles', 'crm_definer', 'select'),
    ('crm.companies', 'crm_app', 'select, insert, update, delete'),
    ('crm.companies', 'crm_backup', 'select'),
    ('crm.companies', 'crm_multi', 'select, insert, update, delete'),
    ('crm.opportunities', 'crm_app', 'select, insert, update, delete'),
    ('crm.opportunities', 'crm_backup', 'select'),
    ('crm.opportunities', 'crm_multi', 'select, insert, update, delete'),
    ('crm.tenants', 'crm_admin', 'select'),
    ('crm.tenants', 'crm_backup', 'select'),
    ('crm.tenants', 'crm_service', 'select'),
    ('crm.contacts', 'crm_app', 'select, insert, update, delete'),
    ('crm.contacts', 'crm_backup', 'select'),
    ('crm.contacts', 'crm_multi', 'select, insert, update, delete'),
    ('crm.deleted_records', 'crm_app', 'select'),
    ('crm.deleted_records', 'crm_backup', 'select'),
    ('crm.deleted_records', 'crm_definer', 'select, delete'),
    ('crm.deleted_records', 'crm_multi', 'select'),
    ('crm.trash', 'crm_app', 'select'),
    ('crm.trash', 'crm_backup', 'select'),
    ('crm.trash', 'crm_multi', 'select'),
    ('crm.custom_fields', 'crm_app', 'select, insert, update, delete'),
    ('crm.custom_fields', 'crm_backup', 'select'),
    ('crm.custom_fields', 'crm_definer', 'select'),
    ('crm.custom_fields', 'crm_multi', 'select'),
    ('crm_private.custom_references', 'crm_backup', 'select'),
    ('crm_private.custom_references', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.custom_unique_values', 'crm_backup', 'select'),
    ('crm_private.custom_unique_values', 'crm_definer', 'select, insert, update, delete'),
    ('crm.group_members', 'crm_app', 'select, insert, update, delete'),
    ('crm.group_members', 'crm_backup', 'select'),
    ('crm.group_members', 'crm_definer', 'select, delete'),
    ('crm.group_permissions', 'crm_app', 'select, insert, update, delete'),
    ('crm.group_permissions', 'crm_backup', 'select'),
    ('crm.group_permissions', 'crm_definer', 'select'),
    ('crm.group_roles', 'crm_app', 'select, insert, update, delete'),
    ('crm.group_roles', 'crm_backup', 'select'),
    ('crm.group_roles', 'crm_definer', 'select'),
    ('crm.groups', 'crm_app', 'select, insert, update, delete'),
    ('crm.groups', 'crm_backup', 'select'),
    ('crm.groups', 'crm_definer', 'select'),
    ('crm.memberships', 'crm_admin', 'select'),
    ('crm.memberships', 'crm_app', 'select'),
    ('crm.memberships', 'crm_backup', 'select'),
    ('crm.memberships', 'crm_definer', 'select, insert, update'),
    ('crm.memberships', 'crm_multi', 'select'),
    ('crm.memberships', 'crm_service', 'select'),
    ('crm.organizations', 'crm_admin', 'select'),
    ('crm.organizations', 'crm_app', 'select'),
    ('crm.organizations', 'crm_backup', 'select'),
    ('crm.organizations', 'crm_definer', 'select, insert, update, delete'),
    ('crm.organizations', 'crm_multi', 'select'),
    ('crm.organizations', 'crm_service', 'select'),
    ('crm.tags', 'crm_app', 'select, insert, update, delete'),
    ('crm.tags', 'crm_backup', 'select'),
    ('crm.tags', 'crm_multi', 'select, insert, update, delete'),
    ('crm.permissions', 'crm_app', 'select'),
    ('crm.permissions', 'crm_backup', 'select'),
    ('crm.permissions', 'crm_definer', 'select'),
    ('crm.role_permissions', 'crm_app', 'select, insert, update, delete'),
    ('crm.role_permissions', 'crm_backup', 'select'),
    ('crm.role_permissions', 'crm_definer', 'select'),
    ('crm.roles', 'crm_app', 'select, insert, update, delete'),
    ('crm.roles', 'crm_backup', 'select'),
    ('crm.roles', 'crm_definer', 'select'),
    ('crm.plans', 'crm_admin', 'select'),
    ('crm.plans', 'crm_app', 'select'),
    ('crm.plans', 'crm_backup', 'select'),
    ('crm.plans', 'crm_definer', 'select'),
    ('crm.plans', 'crm_multi', 'select'),
    ('crm.plans', 'crm_service', 'select'),
    ('crm.webhook_attempts', 'crm_app', 'select'),
    ('crm.webhook_attempts', 'crm_backup', 'select'),
    ('crm.webhook_attempts', 'crm_definer', 'select, update, delete'),
    ('crm.webhook_deliveries', 'crm_app', 'select'),
    ('crm.webhook_deliveries', 'crm_backup', 'select'),
    ('crm.webhook_deliveries', 'crm_definer', 'select, update, delete'),
    ('crm.webhooks', 'crm_definer', 'select, update'),
    ('crm.users', 'crm_app', 'select'),
    ('crm.users', 'crm_backup', 'select'),
    ('crm.users', 'crm_definer', 'select, insert, update'),
    ('crm.users', 'crm_multi', 'select'),
    ('crm_private.api_key_uses', 'crm_backup', 'select'),
    ('crm_private.api_key_uses', 'crm_definer', 'select, insert, update'),
    ('crm_private.api_keys', 'crm_backup', 'select'),
    ('crm_private.api_keys', 'crm_definer', 'select, insert, update'),
    ('crm_private.event_readers', 'crm_backup', 'select'),
    ('crm_private.event_readers', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.identity_changes', 'crm_backup', 'select'),
    ('crm_private.deployments', 'crm_backup', 'select'),
    ('crm_private.deployments', 'crm_definer', 'select, insert, update'),
    ('crm_private.identity_providers', 'crm_backup', 'select'),
    ('crm_private.identity_providers', 'crm_definer', 'select, update'),
    ('crm_private.invitations', 'crm_backup', 'select'),
    ('crm_private.invitations', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.login_failures', 'crm_backup', 'select'),
    ('crm_private.login_failures', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.messages', 'crm_backup', 'select'),
    ('crm_private.messages', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.notification_emails', 'crm_backup', 'select'),
    ('crm_private.notification_emails', 'crm_definer', 'select, insert, delete'),
    ('crm_private.oauth_flows', 'crm_backup', 'select'),
    ('crm_private.oauth_flows', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.one_time_tokens', 'crm_backup', 'select'),
    ('crm_private.one_time_tokens', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.passwords', 'crm_backup', 'select'),
    ('crm_private.passwords', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.plan_overrides', 'crm_backup', 'select'),
    ('crm_private.plan_overrides', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.platform_members', 'crm_backup', 'select'),
    ('crm_private.platform_members', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.refresh_tokens', 'crm_backup', 'select'),
    ('crm_private.refresh_tokens', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.schema_version', 'crm_backup', 'select'),
    ('crm_private.schema_version', 'crm_definer', 'select'),
    ('crm_private.sessions', 'crm_backup', 'select'),
    ('crm_private.sessions', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.settings', 'crm_backup', 'select'),
    ('crm_private.settings', 'crm_definer', 'select'),
    ('crm_private.signing_keys', 'crm_backup', 'select'),
    ('crm_private.signing_keys', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.usage', 'crm_backup', 'select'),
    ('crm_private.usage', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.usage_deltas', 'crm_backup', 'select'),
    ('crm.audit_log', 'crm_app', 'select'),
    ('crm.audit_log', 'crm_multi', 'select'),
    ('crm.audit_log', 'crm_backup', 'select'),
    ('crm.audit_log', 'crm_definer', 'select, update, delete'),
    ('crm.audit_transactions', 'crm_app', 'select'),
    ('crm.audit_transactions', 'crm_multi', 'select'),
    ('crm.audit_transactions', 'crm_backup', 'select'),
    ('crm.audit_transactions', 'crm_definer', 'select, update, delete'),
    ('crm_private.usage_deltas', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.user_identities', 'crm_backup', 'select'),
    ('crm_private.user_identities', 'crm_definer', 'select, insert, delete'),
    ('crm_private.webhook_secrets', 'crm_backup', 'select'),
    ('crm_private.webhook_secrets', 'crm_definer', 'select, insert, update, delete'),
    ('crm_private.webhook_states', 'crm_backup', 'select'),
    ('crm_private.webhook_states', 'crm_definer', 'select, insert, update, delete');

select set_eq(
    $$select c.oid::regclass::text as target, case a.grantee when 0 then 'PUBLIC' else a.grantee::regrole::text end as grantee,
          string_agg(lower(a.privilege_type), ', '
              order by array_position('{SELECT,INSERT,UPDATE,DELETE}', a.privilege_type), a.privilege_type) as privileges
      from pg_class as c
      cross join lateral aclexplode(c.relacl) as a
      where c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and a.grantee <> c.relowner
      group by c.oid, a.grantee$$,
    $$select * from tests.grants
      union all
      select inhrelid::regclass::text, 'crm_backup', 'select' from pg_inherits where inhparent = 'crm.audit_log'::regclass
      union all
      select 'crm.' || target, grantee, case
              when kind like 'read only%' or grantee = 'crm_backup' then 'select'
              when kind = 'made by a function' then 'select, update, delete'
              when kind = 'only deleted' then 'select, delete'
              else 'select, insert, update, delete'
          end
      from tests.enrolled cross join unnest('{crm_app,crm_backup,crm_multi}'::text[]) as grantee
      where kind not in ('unowned', 'made by a function') or grantee <> 'crm_multi'$$,
    'these are the rights on tables'
);
select set_eq(
    $$select a.attrelid::regclass::text as target, a.attname::text as column_name, acl.grantee::regrole::text as grantee,
          lower(acl.privilege_type) as privilege
      from pg_attribute as a
      cross join lateral aclexplode(a.attacl) as acl
      where a.attrelid in (select oid from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace))$$,
    $$select target, column_name, grantee, 'update' as privilege
      from (values
              ('crm.organizations', '{name,country,currency,time_zone}'::text[]),
              ('crm.users', '{full_name,time_zone,locale,avatar_url}')
          ) as profiles (target, columns),
          unnest(columns) as column_name, unnest('{crm_app,crm_multi}'::text[]) as grantee
      union all
      select target, column_name, grantee, privilege
      from unnest('{crm.organizations,crm.tenants}'::text[]) as target,
          (values ('insert', '{name,slug,country,currency,time_zone}'::text[]), ('update', '{name,country,currency,time_zone}')) as given (privilege, columns),
          unnest(columns) as column_name, unnest('{crm_service,crm_admin}'::text[]) as grantee$$,
    'these are the rights on single columns'
);
select set_eq(
    $$select oid::regclass, relkind
      from pg_class
      where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind not in ('r', 'i', 'I')$$,
    $$values ('crm.audit_log'::regclass, 'p'::"char"), ('crm.companies', 'v'), ('crm.opportunities', 'v'), ('crm.tenants', 'v'), ('crm.trash', 'v')$$,
    'there are tables and indexes, and no other relations but a partitioned table and these views'
);
select is_empty(
    $$select oid::regclass as relation, relowner::regrole as owner
      from pg_class
      where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relowner <> 'crm_owner'::regrole$$,
    'crm_owner owns every table, view and index'
);
select is_empty(
    $$select oid::regclass
      from pg_class
      where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind in ('r', 'p')
          and not (relrowsecurity and relforcerowsecurity)$$,
    'row level security is on and forced everywhere'
);
select is_empty(
    $$select oid::regclass
      from pg_class
      where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace) and relkind = 'r' and obj_description(oid, 'pg_class') is null$$,
    'every table has a comment'
);
select is_empty(
    $$select c.oid::regclass, r.rolname, privilege
      from pg_class as c
      cross join pg_roles as r
      cross join unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) as privilege
      where c.relnamespace = 'crm_private'::regnamespace and c.relkind = 'r'
          and r.rolname in ('crm_anon', 'crm_app', 'crm_multi', 'crm_service', 'crm_worker', 'crm_admin', 'crm_authenticator')
          and has_table_privilege(r.oid, c.oid, privilege)$$,
    'no API role has any right on a table of crm_private'
);

-- Policies ---------------------------------------------------------------------------------------------------------

select set_eq(
    $$select p.polrelid::regclass::text as target, p.polname::text as name,
          case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end as command,
          array(select role::regrole::text from unnest(p.polroles) as role) as roles
      from pg_policy as p
      where p.polpermissive and p.polrelid in (
          select oid from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
      )$$,
    $$select format('crm.%s', target) as target, format('%s_%s_%s', target, command, who) as name, command, array['crm_' || who] as roles
      from unnest('{accounts,contacts,custom_fields,group_members,group_permissions,group_roles,groups,role_permissions,roles,tags}'::text[]) as target,
          unnest('{select,insert,update,delete}'::text[]) as command,
          unnest('{app,multi}'::text[]) as who
      union all
      select format('crm.%s', target), format('%s_%s_%s', target, command, who), command, array['crm_' || who]
      from tests.enrolled, unnest('{select,insert,update,delete}'::text[]) as command, unnest('{app,multi}'::text[]) as who
      union all
      select format('crm.%s', target), format('%s_select_%s', target, who), 'select', array['crm_' || who]
      from unnest('{organizations,users,memberships,audit_log,audit_transactions}'::text[]) as target, unnest('{app,multi}'::text[]) as who
      union all
      select format('crm.%s', target), format('%s_select_app', target), 'select', '{crm_app}'
      from unnest('{permissions,built_in_roles,built_in_permissions,webhook_deliveries,webhook_attempts}'::text[]) as target
      union all
      select format('crm.%s', target), format('%s_update_%s', target, who), 'update', array['crm_' || who]
      from unnest('{organizations,users}'::text[]) as target, unnest('{app,multi}'::text[]) as who
      union all
      select target, format('%s_all_definer', split_part(target, '.', 2)), 'all', '{crm_definer}'
      from unnest('{crm.organizations,crm.users,crm.memberships,crm.audit_log,crm.audit_transactions,crm.plans,crm.permissions,crm.built_in_roles,crm.built_in_permissions,crm.roles,crm.role_permissions,crm.custom_fields,'
          'crm.groups,crm.group_members,crm.group_permissions,crm.group_roles,crm.webhooks,crm.webhook_deliveries,crm.webhook_attempts}'::text[] || '{crm_private.event_readers,crm_private.webhook_secrets,crm_private.webhook_states,crm_private.custom_references,crm_private.custom_unique_values,crm_private.deployments,crm_private.plan_overrides,crm_private.usage,crm_private.usage_deltas,crm_private.api_key_uses,crm_private.api_keys,crm_private.identity_providers,crm_private.invitations,crm_private.login_failures,crm_private.messages,crm_private.notification_emails,crm_private.oauth_flows,crm_private.one_time_tokens,crm_private.passwords,crm_private.platform_members,crm_private.refresh_tokens,crm_private.schema_version,crm_private.sessions,crm_private.settings,crm_private.signing_keys,crm_private.user_identities}'::text[]) as target
      union all
      values
          ('crm.deleted_records', 'deleted_records_all_definer', 'all', '{crm_definer}'::text[]),
          ('crm.deleted_records', 'deleted_records_select_app', 'select', '{crm_app}'),
          ('crm.deleted_records', 'deleted_records_select_multi', 'select', '{crm_multi}'),
          ('crm.permissions', 'permissions_all_owner', 'all', '{crm_owner}'),
          ('crm.built_in_permissions', 'built_in_permissions_all_owner', 'all', '{crm_owner}'),
          ('crm_private.settings', 'settings_all_owner', 'all', '{crm_owner}'),
          ('crm.plans', 'plans_all_owner', 'all', '{crm_owner}'),
          ('crm.organizations', 'organizations_select_platform', 'select', '{crm_service,crm_admin}'),
          ('crm.organizations', 'organizations_insert_platform', 'insert', '{crm_service,crm_admin}'),
          ('crm.organizations', 'organizations_update_platform', 'update', '{crm_service,crm_admin}'),
          ('crm.memberships', 'memberships_select_platform', 'select', '{crm_service,crm_admin}'),
          ('crm.plans', 'plans_select_known', 'select', '{crm_app,crm_multi,crm_service,crm_admin}'),
          ('crm_private.plan_overrides', 'plan_overrides_select_owner', 'select', '{crm_owner}'),
          ('crm_private.deployments', 'deployments_select_owner', 'select', '{crm_owner}'),
          ('crm_private.identity_providers', 'identity_providers_all_owner', 'all', '{crm_owner}'),
          ('crm_private.schema_version', 'schema_version_all_owner', 'all', '{crm_owner}')$$,
    'these are the permissive policies, and whom they are for'
);
select set_eq(
    $$select p.polrelid::regclass::text as target, p.polname::text as name, p.polcmd::text as command,
          array(select role::regrole::text from unnest(p.polroles) as role) as roles
      from pg_policy as p
      where not p.polpermissive and p.polrelid in (
          select oid from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
      )$$,
    $$select format('crm.%s', target) as target, format('%s_not_above', target) as name, '*', '{crm_app,crm_multi}'::text[]
      from unnest('{roles,role_permissions,group_roles}'::text[]) as target
      union all
      values ('crm.saved_filters', 'saved_filters_by_visibility', '*', '{crm_app,crm_multi}'::text[]),
          ('crm.notifications', 'notifications_to_oneself', '*', '{crm_app,crm_multi}')$$,
    'and these close more'
);

-- Triggers ---------------------------------------------------------------------------------------------------------

select set_eq(
    $$select t.tgrelid::regclass::text as target, t.tgname::text as name, t.tgfoid::regprocedure::text as function, t.tgenabled::text as enabled
      from pg_trigger as t
      where not t.tgisinternal and t.tgrelid in (
          select oid from pg_class where relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
      )$$,
    $$select 'crm.' || target as target, name, function, 'O' as enabled
      from unnest('{accounts,contacts,custom_fields,group_members,group_permissions,group_roles,groups,role_permissions,roles,tags}'::text[]) as target
      cross join (values ('_300_guard', 'crm_private.guard()'), ('_500_stamp', 'crm_private.stamp()'),
          ('_800_count_insert', 'crm_private.count_usage()'), ('_800_count_delete', 'crm_private.count_usage()'),
          ('_800_count_truncate', 'crm_private.count_usage()')) as every (name, function)
      union all
      select a.attrelid::regclass::text, name, function, 'O'
      from pg_attribute as a
      join (values ('tags', '_140_tags', 'crm_private.tag_record()'), ('custom_fields', '_150_custom_fields', 'crm_private.check_custom_fields()'),
          ('custom_fields', '_800_custom_values_insert', 'crm_private.keep_custom_values()'), ('custom_fields', '_800_custom_values_update', 'crm_private.keep_custom_values()'),
          ('custom_fields', '_800_custom_values_delete', 'crm_private.keep_custom_values()'),
          ('custom_fields', '_800_custom_values_truncate', 'crm_private.keep_custom_values()')) as content (attname, name, function) using (attname)
      where a.attrelid in (select oid from pg_class where relnamespace = 'crm'::regnamespace and relkind = 'r') and not a.attisdropped
      union all
      select 'crm.' || target, name, function, 'O'
      from tests.enrolled
      cross join (values ('_100_normalize', 'crm_private."normalize"()'), ('_300_guard', 'crm_private.guard()'), ('_400_scope', 'crm_private.check_scope()'),
          ('_500_stamp', 'crm_private.stamp()'), ('_800_count_insert', 'crm_private.count_usage()'), ('_800_count_delete', 'crm_private.count_usage()'),
          ('_800_count_truncate', 'crm_private.count_usage()')) as every (name, function)
      where (name <> '_100_normalize' or with_rules) and (name <> '_400_scope' or kind in ('record', 'part', 'read only part'))
          and (name not like '\_800%' or kind in ('record', 'unowned', 'settings', 'made by a function'))
      union all
      -- History: of all that is enrolled, and of what administers an organization.
      select target, '_700_audit_' || event, 'crm_private.audit()', 'O'
      from (
          select 'crm.' || target as target from tests.enrolled
          union
          select 'crm.' || unnest('{accounts,contacts,custom_fields,group_members,group_permissions,group_roles,groups,role_permissions,roles,tags,organizations,memberships}'::text[])
          union
          select 'crm_private.' || unnest('{invitations,api_keys,plan_overrides}'::text[])
      ) as noted, unnest('{insert,update,delete,truncate}'::text[]) as event
      union all
      select target, name, 'crm_private.append_only()', 'O'
      from (
          select unnest('{crm.audit_log,crm.audit_transactions}'::text[]) as target
          union
          select inhrelid::regclass::text from pg_inherits where inhparent = 'crm.audit_log'::regclass
      ) as history, unnest('{_300_append_only,_300_append_only_truncate}'::text[]) as name
      union all
      select 'crm.' || record, '_600_owner_' || target, 'crm_private.pass_owner()', 'O' from tests.enrolled where record is not null
      union all
      values
        ('crm.tickets', '_600_number', 'crm_private.number_ticket()', 'O'),
        ('crm.accounts', '_600_hierarchy', 'crm_private.check_hierarchy()', 'O'),
        ('crm.accounts', '_600_hierarchy_update', 'crm_private.check_hierarchy()', 'O'),
        ('crm.contacts', '_200_address', 'crm_private.swap_address()', 'O'),
        ('crm.contacts', '_600_addresses', 'crm_private.check_addresses()', 'O'),
        ('crm.contact_emails', '_200_address', 'crm_private.check_address()', 'O'),
        ('crm.pipelines', '_550_default', 'crm_private.keep_default_pipeline()', 'O'),
        ('crm.pipelines', '_600_default', 'crm_private.keep_default_pipeline()', 'O'),
        ('crm.deals', '_050_stage', 'crm_private.place_deal()', 'O'),
        ('crm.deals', '_600_stage_changes', 'crm_private.note_stage()', 'O'),
        ('crm.deals', '_600_stage_changes_update', 'crm_private.note_stage()', 'O'),
        ('crm.number_series', '_450_series', 'crm_private.guard_series()', 'O'),
        ('crm.invoices', '_350_series', 'crm_private.lock_series()', 'O'),
        ('crm.estimates', '_450_document', 'crm_private.check_document()', 'O'),
        ('crm.invoices', '_450_document', 'crm_private.check_document()', 'O'),
        ('crm.estimate_items', '_450_line', 'crm_private.compute_line()', 'O'),
        ('crm.invoice_items', '_450_line', 'crm_private.compute_line()', 'O'),
        ('crm.estimate_items', '_700_sum_insert', 'crm_private.sum_lines()', 'O'),
        ('crm.estimate_items', '_700_sum_update', 'crm_private.sum_lines()', 'O'),
        ('crm.estimate_items', '_700_sum_delete', 'crm_private.sum_lines()', 'O'),
        ('crm.invoice_items', '_700_sum_insert', 'crm_private.sum_lines()', 'O'),
        ('crm.invoice_items', '_700_sum_update', 'crm_private.sum_lines()', 'O'),
        ('crm.invoice_items', '_700_sum_delete', 'crm_private.sum_lines()', 'O'),
        ('crm.payments', '_450_payment', 'crm_private.check_payment()', 'O'),
        ('crm.payments', '_700_settle_insert', 'crm_private.settle_invoices()', 'O'),
        ('crm.payments', '_700_settle_update', 'crm_private.settle_invoices()', 'O'),
        ('crm.payments', '_700_settle_delete', 'crm_private.settle_invoices()', 'O'),
        ('crm.accounts', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.tags', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.tags', '_120_name', 'crm_private.name_tag()', 'O'),
        ('crm.tags', '_850_follow', 'crm_private.follow_tag()', 'O'),
        ('crm.tags', '_850_follow_delete', 'crm_private.follow_tag()', 'O'),
        ('crm.memberships', '_800_count_delete', 'crm_private.count_usage()', 'O'),
        ('crm.memberships', '_800_count_insert', 'crm_private.count_usage()', 'O'),
        ('crm.memberships', '_800_count_truncate', 'crm_private.count_usage()', 'O'),
        ('crm.memberships', '_800_count_update', 'crm_private.count_usage()', 'O'),
        ('crm.deleted_records', '_300_append_only', 'crm_private.append_only()', 'O'),
        ('crm.deleted_records', '_300_append_only_truncate', 'crm_private.append_only()', 'O'),
        ('crm.custom_fields', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.custom_fields', '_200_definition', 'crm_private.check_custom_field()', 'O'),
        ('crm.integration_rules', '_200_definition', 'crm_private.check_integration_rule()', 'O'),
        ('crm.custom_fields', '_310_lock', 'crm_private.lock_custom_fields()', 'O'),
        ('crm.custom_fields', '_800_apply', 'crm_private.apply_custom_field()', 'O'),
        ('crm.custom_fields', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.custom_fields', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.webhooks', '_600_webhook', 'crm_private.check_webhook()', 'O'),
        ('crm.webhooks', '_800_begin', 'crm_private.begin_webhook()', 'O'),
        ('crm.webhooks', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.webhooks', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.plans', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.plans', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.accounts', '_400_scope', 'crm_private.check_scope()', 'O'),
        ('crm.contacts', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.contacts', '_400_scope', 'crm_private.check_scope()', 'O'),
        ('crm.groups', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.group_members', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.group_permissions', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.group_permissions', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.group_roles', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.groups', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.role_permissions', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.role_permissions', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.roles', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.roles', '_400_delegation', 'crm_private.check_delegation()', 'O'),
        ('crm.memberships', '_800_keep_owner', 'crm_private.keep_owner()', 'O'),
        ('crm.notifications', '_850_mail', 'crm_private.mail_notifications()', 'O'),
        ('crm.organizations', '_200_make_built_in_roles', 'crm_private.make_built_in_roles()', 'O'),
        ('crm.organizations', '_210_make_defaults', 'crm_private.make_defaults()', 'O'),
        ('crm.built_in_permissions', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.built_in_permissions', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.group_members', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.group_members', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.group_permissions', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.group_permissions', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.group_roles', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.group_roles', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.groups', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.memberships', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.memberships', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.organizations', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.organizations', '_110_slug', 'crm_private.find_slug()', 'O'),
        ('crm.organizations', '_300_guard', 'crm_private.guard_profile()', 'O'),
        ('crm.organizations', '_300_guard_row', 'crm_private.guard_profile()', 'O'),
        ('crm.organizations', '_500_touch', 'crm_private.stamp()', 'O'),
        ('crm.organizations', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.organizations', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.role_permissions', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.role_permissions', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.roles', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm.roles', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.users', '_100_normalize', 'crm_private."normalize"()', 'O'),
        ('crm.users', '_300_guard', 'crm_private.guard_profile()', 'O'),
        ('crm.users', '_300_guard_row', 'crm_private.guard_profile()', 'O'),
        ('crm.users', '_500_touch', 'crm_private.stamp()', 'O'),
        ('crm.users', '_900_announce_delete', 'crm_private.announce()', 'A'),
        ('crm.users', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm.users', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.api_keys', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.api_keys', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.identity_providers', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.identity_providers', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.plan_overrides', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.plan_overrides', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.platform_members', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.platform_members', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.schema_version', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.sessions', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.settings', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.settings', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.signing_keys', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.signing_keys', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.user_identities', '_900_announce', 'crm_private.announce()', 'A'),
        ('crm_private.user_identities', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.sessions', '_900_announce_delete', 'crm_private.announce()', 'A'),
        ('crm_private.sessions', '_900_announce_truncate', 'crm_private.announce()', 'A'),
        ('crm_private.identity_providers', '_100_normalize', 'crm_private.normalize_provider()', 'O')$$,
    'these are the triggers'
);

-- The extension ----------------------------------------------------------------------------------------------------

select set_eq(
    $$select pg_describe_object(classid, objid, objsubid)
      from pg_depend
      where refclassid = 'pg_extension'::regclass and refobjid = (select oid from pg_extension where extname = 'crm_ext') and deptype = 'e'$$,
    $$select 'function ' || signature from tests.functions where signature not like '%(crm.%'
      union all
      values ('schema crm'), ('schema crm_private'), ('event trigger crm_ext_guard_drop')$$,
    'the extension is its functions, its two schemas and what guards it; tables belong to the DBA'
);

select * from finish();
rollback;
