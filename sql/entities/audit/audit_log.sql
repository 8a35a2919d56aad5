-- audit_log: what was changed, row for row; who did it, from where, and when. Seen with the permission audit.read.
-- Invariants: written by the trigger _700_audit of each table (src/audit/), in the transaction that changes it, and by nothing
-- else; changed by nothing but crm.erase_person, removed by nothing but crm.maintain_audit and the end of the organization;
-- crm.audit_transactions tells whether that is so.
--
-- One partition for each month, and one for what is older and for what is later than all of them: an entry always finds a
-- place. They lie in crm_private, where nobody reads past the policies of this table. Each has the primary key (org_id, id): one of
-- them all would have to be of their months too, and pg_dump --clean could not drop it.

create table crm.audit_log (
    org_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    -- Every insertion compares them on its way through the indexes: by bytes, not by the rules of a language.
    action text collate "C" not null,
    entity text collate "C" not null,
    record_id uuid not null,
    changed text[],
    before json,
    after json,
    actor_id uuid,
    impersonator_id uuid,
    api_key_id uuid,
    database_role text not null,
    login_role text not null,
    request_id text,
    address inet,
    user_agent text,
    application text,
    transaction_id uuid not null,
    erased_at timestamptz,
    -- The trigger leaves out what would check it: the row that was changed is of the organization.
    constraint audit_log_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint audit_log_action_check check (action in ('insert', 'update', 'delete', 'erase', 'prune'))
) partition by range (created_at);

-- Clients may choose ids, so records of several tables can have one; hardly ever, so that the index does without the entity.
-- No two entries have one key, so no index has anything to deduplicate. One looks for what somebody did, and not for what nobody did.
create index audit_log_org_id_record_id_id_idx on crm.audit_log (org_id, record_id, id) with (deduplicate_items = off);
create index audit_log_org_id_entity_created_at_id_idx on crm.audit_log (org_id, entity, created_at, id) with (deduplicate_items = off);
create index audit_log_org_id_actor_id_created_at_id_idx on crm.audit_log (org_id, actor_id, created_at, id)
    with (deduplicate_items = off) where actor_id is not null;
create index audit_log_org_id_created_at_id_idx on crm.audit_log (org_id, created_at, id) with (deduplicate_items = off);
create index audit_log_org_id_action_created_at_id_idx on crm.audit_log (org_id, action, created_at, id) with (deduplicate_items = off);

create trigger _300_append_only before insert or update or delete on crm.audit_log
    for each row execute function crm_private.append_only();
create trigger _300_append_only_truncate after truncate on crm.audit_log
    for each statement execute function crm_private.append_only();

alter table crm.audit_log enable row level security, force row level security;

create policy audit_log_select_app on crm.audit_log for select to crm_app
    using (org_id = (select crm.all_scope_org_id('audit.read')));
create policy audit_log_select_multi on crm.audit_log for select to crm_multi
    using (org_id = any ((select crm.all_scope_org_ids('audit.read'))::uuid[]));
create policy audit_log_all_definer on crm.audit_log for all to crm_definer using (true) with check (true);

grant select on crm.audit_log to crm_app, crm_multi, crm_backup;
grant select, update, delete on crm.audit_log to crm_definer;

insert into crm.permissions (resource, action, description)
values
    ('audit', 'read', 'See what was changed in all records, by whom and when.'),
    ('audit', 'erase', 'Remove what is known of a person, from records and from history.');

comment on table crm.audit_log is 'What was changed, row for row: who did it, from where, and when. Needs audit.read.';
comment on column crm.audit_log.org_id is 'The organization the record belongs to.';
comment on column crm.audit_log.id is 'UUID version 7: of one record''s entries, the later one is greater.';
comment on column crm.audit_log.created_at is 'When the transaction began that made the change: what updated_at of the record says.';
comment on column crm.audit_log.action is 'insert, update or delete; erase: what is known of a person was removed from entries (see crm.erase_person); prune: what was older than the plan keeps was removed.';
comment on column crm.audit_log.entity is 'The record''s table; with its schema where that is not crm.';
comment on column crm.audit_log.record_id is 'The record''s id.';
comment on column crm.audit_log.changed is 'Of an update: the columns that changed, without those that the database keeps (updated_at, updated_by, version).';
comment on column crm.audit_log.before is 'Of an update: what the changed columns held. Of a delete: the whole record. Empty values and secrets are left out.';
comment on column crm.audit_log.after is 'Of an update: what the changed columns hold since. Of an insert: the whole record. Empty values and secrets are left out.';
comment on column crm.audit_log.actor_id is 'The user who did it, or as whom it was done.';
comment on column crm.audit_log.impersonator_id is 'Who of the platform''s support acted as that user.';
comment on column crm.audit_log.api_key_id is 'The API key that was used.';
comment on column crm.audit_log.database_role is 'The database role that was in force.';
comment on column crm.audit_log.login_role is 'The database role that logged in.';
comment on column crm.audit_log.request_id is 'The HTTP request''s X-Request-Id.';
comment on column crm.audit_log.address is 'The client''s address: of a request the one that the trusted proxies saw, otherwise the connection''s.';
comment on column crm.audit_log.user_agent is 'The HTTP request''s User-Agent.';
comment on column crm.audit_log.application is 'The connection''s application_name.';
comment on column crm.audit_log.transaction_id is 'The transaction: see audit_transactions.';
comment on column crm.audit_log.erased_at is 'When before and after were emptied because they told of a person.';

select crm_private.make_audit_partitions();
