-- Triggers of deals and pipelines.

create function crm_private.keep_default_pipeline()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'keep_default_pipeline_wrapper';

revoke all on function crm_private.keep_default_pipeline() from public;
grant execute on function crm_private.keep_default_pipeline() to crm_owner;

comment on function crm_private.keep_default_pipeline() is
    'Triggers _550_default and _600_default of pipelines: an organization with pipelines has one default. Errors: 22023 for a default that would be none, 23505 when another was made the default meanwhile.';

create function crm_private.place_deal()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'place_deal_wrapper';

revoke all on function crm_private.place_deal() from public;
grant execute on function crm_private.place_deal() to crm_owner;

comment on function crm_private.place_deal() is
    'Trigger _050_stage of deals: pipeline, stage, status and probability fit each other; what is not named is filled in. Errors: 22023 for a stage or pipeline that does not fit.';

create function crm_private.note_stage()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'note_stage_wrapper';

revoke all on function crm_private.note_stage() from public;
grant execute on function crm_private.note_stage() to crm_owner;

comment on function crm_private.note_stage() is 'Triggers _600_stage_changes of deals: every stage a deal comes to stands in deal_stage_changes.';
