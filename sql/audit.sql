-- What was changed, by whom and when. See sql/entities/audit/ for the tables.

create function crm_private.audit()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'audit_wrapper';

revoke all on function crm_private.audit() from public;
grant execute on function crm_private.audit() to crm_owner;

comment on function crm_private.audit() is
    'Triggers _700_audit_…: note in crm.audit_log what a statement changed. Arguments: the resource whose permissions the rows have; the column that is the record''s id; record, or part where rows come back with what they are parts of; the columns whose values are secret.';

create function crm_private.keep_history(target regclass, resource text, secrets text[] default '{}')
    returns void
    language c
    volatile
    strict
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'keep_history_wrapper';

revoke all on function crm_private.keep_history(regclass, text, text[]) from public;
grant execute on function crm_private.keep_history(regclass, text, text[]) to crm_owner;

comment on function crm_private.keep_history(regclass, text, text[]) is
    'Gives history to a table with id and org_id that is not enrolled. secrets: columns whose values it never tells. Errors: 22023 where there is no such table.';

create function crm_private.append_only()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'append_only_wrapper';

revoke all on function crm_private.append_only() from public;
grant execute on function crm_private.append_only() to crm_owner;

comment on function crm_private.append_only() is
    'Trigger _300_append_only: nobody writes history by hand. Errors: 42501.';

create function crm_private.make_audit_partitions()
    returns integer
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'make_audit_partitions_wrapper';

revoke all on function crm_private.make_audit_partitions() from public;
grant execute on function crm_private.make_audit_partitions() to crm_owner;

comment on function crm_private.make_audit_partitions() is
    'Makes the partitions of crm.audit_log for this month and the three to come, where they are missing. Returns how many it made.';

create function crm.maintain_audit(batch integer default 10000)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'maintain_audit_wrapper';

revoke all on function crm.maintain_audit(integer) from public;
grant execute on function crm.maintain_audit(integer) to crm_worker, crm_admin;

comment on function crm.maintain_audit(integer) is
$$Keeps history in order; call it every hour, as a transaction of its own. Chains transactions that are not chained yet, removes what is older than the organization's plan keeps (the limit history_days; of about batch entries, 1 to 1000000), makes the partitions of the months to come, drops partitions that are empty and over.
Returns {partitions_made, partitions_dropped, partitions_postponed, organizations_postponed, transactions_chained, transactions_pruned, entries_pruned}. partitions_postponed: somebody reads the log or changes an organization for so long that partitions are left to the next call. organizations_postponed: of so many, something is left to chain or to remove: call it again. Errors: 22023 naming the argument.$$;

create function crm.audit_checkpoint(org_id uuid default null)
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'audit_checkpoint_wrapper';

revoke all on function crm.audit_checkpoint(uuid) from public;
grant execute on function crm.audit_checkpoint(uuid) to crm_app, crm_admin;

comment on function crm.audit_checkpoint(uuid) is
$$The end of an organization's chain of history, by default the active one's: {org_id, position, hash, created_at}. Kept where nobody who administers the database can change it, it proves later with crm.verify_audit(checkpoint => …) that nothing before it was changed or removed.
Errors: 42501 without the permission audit.read there.$$;

create function crm.verify_audit(org_id uuid default null, checkpoint jsonb default null)
    returns table (
        organization uuid, valid boolean, transactions bigint, entries bigint, waiting bigint, erased bigint, pruned bigint,
        last_position bigint, last_hash text, problems text[]
    )
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'verify_audit_wrapper';

revoke all on function crm.verify_audit(uuid, jsonb) from public;
grant execute on function crm.verify_audit(uuid, jsonb) to crm_app, crm_admin;

comment on function crm.verify_audit(uuid, jsonb) is
$$Whether history is as it was written: reads all of an organization's audit_log and audit_transactions, by default the active one's (for the DBA: of all organizations), and computes every hash again. checkpoint: what crm.audit_checkpoint() once gave.
valid: no problem was found. waiting: transactions that are not chained yet. erased: transactions with entries whose content was erased on purpose. pruned: the last position that was removed because it was old enough. problems: the first 20, by position or transaction; also entries that were emptied and no erasure accounts for.
Errors: 42501 without the permission audit.read there, 22023 for what is no checkpoint.$$;

create function crm.erase_person(entity text, id uuid, also text[] default '{messages}', dry_run boolean default false)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'erase_person_wrapper';

revoke all on function crm.erase_person(text, uuid, text[], boolean) from public;
grant execute on function crm.erase_person(text, uuid, text[], boolean) to crm_app;

comment on function crm.erase_person(text, uuid, text[], boolean) is
$$Removes a person (GDPR, article 17): the record (entity: contacts, leads, or another table; id: of the active organization, also of a record that was deleted long ago), the lead that became the contact or the contact that the lead became, what goes with them, rows of the tables named in also that point to them, and the content of all their entries in history. The entries stay, empty (erased_at), and history can be verified as before; an entry (action erase) says which records it were. Rows of other tables that point to the person stay without that, and with what their texts say: kept tells how many. Rows that pointed to the person once, and are there without that, stay as they are, with their history.
dry_run: only tell. Returns {erased: {entity: records}, kept: {entity: records}, history: {entity: records whose entries were emptied}, entries, transactions}.
Errors: 42501 without the permission audit.erase, or without those to delete the records (where some were deleted before, to delete all of their kind); 22023 for a record that never was, or for a table that permissions depend on; 55000 in a transaction that has changed something before.$$;
