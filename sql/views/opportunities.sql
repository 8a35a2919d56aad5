-- opportunities: another name for deals. Whoever asks is asked by the policies of deals; the columns' comments are those of deals
-- (src/schema.rs).

create view crm.opportunities
with (security_invoker = on)
as
select
    org_id, id, name, account_id, contact_id, pipeline_id, stage_id, status, amount, currency, probability,
    weighted_amount, expected_close_date, closed_at, lost_reason, source, next_step, position, stage_changed_at,
    description, tags, custom_fields, owner_id, external_id, created_at, created_by, updated_at, updated_by, version
from crm.deals;

grant select, insert, update, delete on crm.opportunities to crm_app, crm_multi;
grant select on crm.opportunities to crm_backup;

comment on view crm.opportunities is 'The deals under another name: what is written here is written there, by the same rules and permissions.';
