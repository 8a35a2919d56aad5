-- trash: what can be brought back with crm.restore_record, for whoever may read such records.

create view crm.trash
with (security_invoker = on)
as
select
    org_id, id, entity, record_id, title, owner_id, created_at as deleted_at, actor_id as deleted_by, transaction_id
from crm.deleted_records;

grant select on crm.trash to crm_app, crm_multi, crm_backup;

comment on view crm.trash is 'Deleted records that can be brought back: rpc/restore_record with entity and record_id. Seen by whoever may read such records.';
comment on column crm.trash.deleted_at is 'When it was deleted: order by deleted_at and id.';
comment on column crm.trash.deleted_by is 'The user who deleted it, or as whom it was deleted.';
