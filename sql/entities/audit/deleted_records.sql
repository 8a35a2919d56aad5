-- deleted_records: what was deleted and can be brought back, with crm.restore_record. Seen by whoever may read such records:
-- all of them, or those that were their own or their team's.
-- Invariants: written with the entry of audit_log that says so (src/audit/trash.rs), in the transaction that deletes the
-- record, and by nothing else; removed when the record is brought back, and with the organization.

create table crm.deleted_records (
    org_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    entity text not null,
    resource text not null,
    record_id uuid not null,
    owner_id uuid,
    title text,
    actor_id uuid,
    transaction_id uuid not null,
    constraint deleted_records_pkey primary key (org_id, id),
    constraint deleted_records_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);

create index deleted_records_org_id_created_at_id_idx on crm.deleted_records (org_id, created_at, id);
create index deleted_records_org_id_record_id_idx on crm.deleted_records (org_id, record_id);

create trigger _300_append_only before insert or update or delete on crm.deleted_records
    for each row execute function crm_private.append_only();
create trigger _300_append_only_truncate after truncate on crm.deleted_records
    for each statement execute function crm_private.append_only();

alter table crm.deleted_records enable row level security, force row level security;

create policy deleted_records_select_app on crm.deleted_records for select to crm_app
    using (
        org_id = (select crm.current_org_id())
        and (
            resource = any ((select crm.readable_resources('all'))::text[])
            or (
                resource = any ((select crm.readable_resources('team'))::text[])
                and owner_id = any ((select crm.team_user_ids())::uuid[])
            )
            or (
                resource = any ((select crm.readable_resources('own'))::text[])
                and owner_id = (select crm.current_user_id())
            )
        )
    );
create policy deleted_records_select_multi on crm.deleted_records for select to crm_multi
    using (
        org_id = any ((select crm.my_org_ids())::uuid[])
        and (
            org_id::text || '/' || resource = any ((select crm.readable_resource_keys('all'))::text[])
            or (
                org_id::text || '/' || resource = any ((select crm.readable_resource_keys('team'))::text[])
                and org_id::text || '/' || owner_id::text = any ((select crm.team_keys())::text[])
            )
            or (
                org_id::text || '/' || resource = any ((select crm.readable_resource_keys('own'))::text[])
                and owner_id = (select crm.current_user_id())
            )
        )
    );
create policy deleted_records_all_definer on crm.deleted_records for all to crm_definer using (true) with check (true);

grant select on crm.deleted_records to crm_app, crm_multi, crm_backup;
grant select, delete on crm.deleted_records to crm_definer;

comment on table crm.deleted_records is 'What was deleted and can be brought back; the view trash shows it.';
comment on column crm.deleted_records.org_id is 'The organization the record belonged to.';
comment on column crm.deleted_records.id is 'The entry of audit_log that tells of the deletion.';
comment on column crm.deleted_records.created_at is 'When it was deleted.';
comment on column crm.deleted_records.entity is 'The record''s table; with its schema where that is not crm.';
comment on column crm.deleted_records.resource is 'Whose permissions count: who may read such records sees this.';
comment on column crm.deleted_records.record_id is 'The record''s id.';
comment on column crm.deleted_records.owner_id is 'Whose it was.';
comment on column crm.deleted_records.title is 'What it was called: name, subject, first and last name, number, title or email.';
comment on column crm.deleted_records.actor_id is 'The user who deleted it, or as whom it was deleted.';
comment on column crm.deleted_records.transaction_id is 'The transaction that deleted it: see crm.undo.';
