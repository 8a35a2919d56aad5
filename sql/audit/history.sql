-- What records were, and bringing them back: src/audit/history/.

create function crm.transaction_id()
    returns uuid
    language c
    stable
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'transaction_id_wrapper';

revoke all on function crm.transaction_id() from public;
grant execute on function crm.transaction_id() to crm_app, crm_multi;

comment on function crm.transaction_id() is
    'The name of the current transaction in history, to be handed to crm.undo later. Over HTTP a request is a transaction: there send X-Request-Id.';

create function crm.record_history(entity text, id uuid, before uuid default null, "limit" integer default 100)
    returns table (
        entry_id uuid,
        created_at timestamptz,
        action text,
        version integer,
        actor_id uuid,
        impersonator_id uuid,
        api_key_id uuid,
        request_id text,
        application text,
        transaction_id uuid,
        changed text[],
        "before" json,
        after json
    )
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'record_history_wrapper';

revoke all on function crm.record_history(text, uuid, uuid, integer) from public;
grant execute on function crm.record_history(text, uuid, uuid, integer) to crm_app, crm_multi;

comment on function crm.record_history(text, uuid, uuid, integer) is
    'What was changed in a record, newest first: for whoever may read it, or could when it was deleted, or has audit.read. Arguments: entity, its table (contacts); id; before, an entry_id: only what is older, for the next page; limit, 1 to 1000. version is the record''s after the change; before and after are what the changed columns held. Errors: 22023 for an entity that there is not, and for a record that there is not or that one may not read.';

create function crm.record_at(entity text, id uuid, at timestamptz)
    returns json
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'record_at_wrapper';

revoke all on function crm.record_at(text, uuid, timestamptz) from public;
grant execute on function crm.record_at(text, uuid, timestamptz) to crm_app, crm_multi;

comment on function crm.record_at(text, uuid, timestamptz) is
    'A record as it was at a time, without what was empty; null where it was not there. For whoever may read it, or could when it was deleted, or has audit.read. Errors: as of record_history.';

create function crm.restore_record(entity text, id uuid, version integer default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'restore_record_wrapper';

revoke all on function crm.restore_record(text, uuid, integer) from public;
grant execute on function crm.restore_record(text, uuid, integer) to crm_app, crm_multi;

comment on function crm.restore_record(text, uuid, integer) is
    'Brings a deleted record back, with what went with it; with version, sets a record, or what came back, to what it was then. Needs the permission to create or to update such records, and plan limits count. Returns {restored: [{entity, id}], relinked: how many records point to it again, skipped: [{entity, id, reason}]}. Errors: 22023 for a record that there never was or that one may not read, and for a version that history does not have; 23505 where it is there already, or another record has what was unique; 23503 where something it needs is deleted, and where what was sent would lack a line; 23514 where what was sent or accepted would be that no more; 42501 without permission.';

create function crm.undo(transaction_id uuid default null, request_id text default null, dry_run boolean default false)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'undo_wrapper';

revoke all on function crm.undo(uuid, text, boolean) from public;
grant execute on function crm.undo(uuid, text, boolean) to crm_app, crm_multi;

comment on function crm.undo(uuid, text, boolean) is
    'Reverses what a transaction, or the caller''s own transactions of a request, did in the active organization, as far as the caller may: what was added is deleted, what was changed is changed back, what was deleted comes back. What changed since is kept. Arguments: transaction_id (see crm.transaction_id, record_history), or request_id, the request''s X-Request-Id, by which only what the calling user or API key did is reversed; dry_run: only tell. Returns {reversed, partly, kept, failed: how many, entries: [{entity, id, action, outcome, columns, reason}], transactions: [{id, created_at, actor_id}], others}: entries begin with those that were not reversed, and are at most 1000, as transactions are; columns are those that stay as they are; others, for whoever has audit.read and names a request, is how many transactions of that id are somebody else''s and stay. Errors: 22023 for a transaction that there is not, that did nothing the caller may know of, or where neither or both are given; 42501 without an active organization.';
