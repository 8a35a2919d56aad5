-- audit_transactions: the transactions that audit_log has entries of, as a chain of hashes for each organization. Seen with
-- audit.read. Invariants: as of audit_log; hash is computed from the one before it, the row and the transaction's entries
-- (src/audit/chain.rs), so that nothing in the past can be changed, added or taken away without crm.verify_audit() telling.

create table crm.audit_transactions (
    org_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    entries integer not null,
    actor_id uuid,
    request_id text,
    salt bytea not null,
    content_hash bytea not null,
    position bigint,
    hash bytea,
    constraint audit_transactions_pkey primary key (org_id, id),
    constraint audit_transactions_org_id_position_key unique (org_id, position),
    constraint audit_transactions_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint audit_transactions_hash_check check ((hash is null) = (position is null))
);

create index audit_transactions_org_id_created_at_id_idx on crm.audit_transactions (org_id, created_at, id) with (deduplicate_items = off);
-- Asked for at every moment, and mostly empty.
create index audit_transactions_org_id_created_at_idx on crm.audit_transactions (org_id, created_at) where position is null;
create index audit_transactions_org_id_request_id_idx on crm.audit_transactions (org_id, request_id) where request_id is not null;

create trigger _300_append_only before insert or update or delete on crm.audit_transactions
    for each row execute function crm_private.append_only();
create trigger _300_append_only_truncate after truncate on crm.audit_transactions
    for each statement execute function crm_private.append_only();

alter table crm.audit_transactions enable row level security, force row level security;

create policy audit_transactions_select_app on crm.audit_transactions for select to crm_app
    using (org_id = (select crm.all_scope_org_id('audit.read')));
create policy audit_transactions_select_multi on crm.audit_transactions for select to crm_multi
    using (org_id = any ((select crm.all_scope_org_ids('audit.read'))::uuid[]));
create policy audit_transactions_all_definer on crm.audit_transactions for all to crm_definer using (true) with check (true);

grant select on crm.audit_transactions to crm_app, crm_multi, crm_backup;
grant select, update, delete on crm.audit_transactions to crm_definer;

comment on table crm.audit_transactions is 'The transactions that audit_log has entries of, chained by their hashes. Needs audit.read.';
comment on column crm.audit_transactions.org_id is 'The organization.';
comment on column crm.audit_transactions.id is 'The transaction_id of its entries.';
comment on column crm.audit_transactions.created_at is 'When the transaction began; created_at of its entries.';
comment on column crm.audit_transactions.entries is 'How many entries it has in this organization.';
comment on column crm.audit_transactions.actor_id is 'The user whose entry is the first.';
comment on column crm.audit_transactions.request_id is 'The HTTP request''s X-Request-Id.';
comment on column crm.audit_transactions.salt is 'What the content''s hash begins with: where content was erased, its old hash tells nothing any more.';
comment on column crm.audit_transactions.content_hash is 'SHA-256 of the salt and the entries in the order of their ids.';
comment on column crm.audit_transactions.position is 'Its place in the organization''s chain, from 1. Empty: to be put there by the organization''s next transaction.';
comment on column crm.audit_transactions.hash is 'SHA-256 of the hash before it and the rest of the row.';
