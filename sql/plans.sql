-- What an organization's plan allows, and how much of it is used.

create function crm_private.count_usage()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'count_usage_wrapper';

revoke all on function crm_private.count_usage() from public;
grant execute on function crm_private.count_usage() to crm_owner;

comment on function crm_private.count_usage() is
$$Triggers _800_count_…: count the rows of a resource that each organization has, and refuse what is more than its plan allows. Arguments: the resource; a column of type text and the value with which a row counts.
Errors: 53400 (HTTP 402) with the detail {"limit", "current", "maximum", "plan"}.$$;

create function crm.feature_enabled(name text, org_id uuid default null)
    returns boolean
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'feature_enabled_wrapper';

revoke all on function crm.feature_enabled(text, uuid) from public;
grant execute on function crm.feature_enabled(text, uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.feature_enabled(text, uuid) is
    'Whether an organization of the caller''s, by default the active one, has a feature: by its plan, or by what was agreed beside it. False where there is no organization, and for one that is not the caller''s.';

create function crm.usage(org_id uuid default null)
    returns table (limit_name text, current bigint, maximum bigint, plan text, override_ends_at timestamptz)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'usage_wrapper';

revoke all on function crm.usage(uuid) from public;
grant execute on function crm.usage(uuid) to crm_app, crm_multi, crm_service, crm_admin;

comment on function crm.usage(uuid) is
$$How much an organization, by default the active one, has of everything that plans can limit. maximum: null where there is no limit; override_ends_at: when the maximum is the plan's again.
Errors: 42501 without the permission organizations.read there, 22023 for an organization that is named and does not exist.$$;

create function crm.set_plan(org_id uuid, plan text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_plan_wrapper';

revoke all on function crm.set_plan(uuid, text) from public;
grant execute on function crm.set_plan(uuid, text) to crm_service, crm_admin;

comment on function crm.set_plan(uuid, text) is
$$Puts an organization on another plan. Where it has more than that allows, it keeps what it has and cannot add.
Returns {org_id, plan}. Errors: 42501 without the permission organizations.update, 22023 naming the argument.$$;

create function crm.set_plan_override(
    org_id uuid,
    name text,
    maximum bigint default null,
    enabled boolean default null,
    unlimited boolean default false,
    ends_at timestamptz default null,
    reason text default null
)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_plan_override_wrapper';

revoke all on function crm.set_plan_override(uuid, text, bigint, boolean, boolean, timestamptz, text) from public;
grant execute on function crm.set_plan_override(uuid, text, bigint, boolean, boolean, timestamptz, text) to crm_service, crm_admin;

comment on function crm.set_plan_override(uuid, text, bigint, boolean, boolean, timestamptz, text) is
$$Gives an organization something else than its plan: a limit (maximum, or unlimited) or a feature (enabled), until ends_at or for good, in place of what was agreed before under this name. reason: up to 500 characters, needed.
Returns {org_id, name, kind, enabled, maximum, starts_at, ends_at, reason}. Errors: 42501 without the permission organizations.update, 22023 naming the argument.$$;

create function crm.remove_plan_override(org_id uuid, name text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'remove_plan_override_wrapper';

revoke all on function crm.remove_plan_override(uuid, text) from public;
grant execute on function crm.remove_plan_override(uuid, text) to crm_service, crm_admin;

comment on function crm.remove_plan_override(uuid, text) is
    'Ends what was agreed with an organization under this name, the limit and the feature: the plan counts again. Returns {removed}: 0 when there was nothing. Errors: 42501 without the permission organizations.update.';

create function crm.check_usage()
    returns table (organization uuid, resource text, kept bigint, counted bigint)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_usage_wrapper';

revoke all on function crm.check_usage() from public;
grant execute on function crm.check_usage() to crm_admin;

comment on function crm.check_usage() is
    'For the DBA: where the number that is kept is not that of the rows. Counts every enrolled table. No row: all is well. Errors: 42501 for anybody else.';

create function crm.recount_usage(org_id uuid default null)
    returns table (organization uuid, resource text, kept bigint, counted bigint)
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'recount_usage_wrapper';

revoke all on function crm.recount_usage(uuid) from public;
grant execute on function crm.recount_usage(uuid) to crm_admin;

comment on function crm.recount_usage(uuid) is
    'For the DBA: what crm.check_usage finds, for one organization or all, put right. Nobody can write to the counted tables until the transaction ends. Errors: 42501 for anybody else, 55000 in REPEATABLE READ.';
