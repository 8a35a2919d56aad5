-- Events: what was changed, told to others. See docs/events.md and src/events/.

create function crm.event_types()
    returns table (type text, entity text, schema_version integer, description text)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'event_types_wrapper';

revoke all on function crm.event_types() from public;
grant execute on function crm.event_types() to crm_app, crm_multi, crm_worker, crm_admin;

comment on function crm.event_types() is
$$The types of events there are, for crm.webhooks.events and crm.changes_since(): of each table that is enrolled, also your own, created, updated and deleted, and what changes mean besides. schema_version: of the event's form.$$;

create function crm.changes_since(cursor text default null, "limit" integer default 100, types text[] default null)
    returns json
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'changes_since_wrapper';

revoke all on function crm.changes_since(text, integer, text[]) from public;
grant execute on function crm.changes_since(text, integer, text[]) to crm_app, crm_multi;

comment on function crm.changes_since(text, integer, text[]) is
$$What was changed in the active organization, in the order in which it was committed, of records that the caller may read (or could when they were deleted; all of them with audit.read): a feed that leaves nothing out. cursor: what the answer before gave; null for the beginning of history, now for what comes from here on. limit: 1 to 1000, about so many events. types: 1 to 50 patterns as in crm.webhooks.events, each of which one of crm.event_types() fits.
Returns {events: [{id, type, schema_version, created_at, org_id, entity, record_id, actor, request_id, transaction_id, data, changed, previous}], cursor, more}: ask again with that cursor, at once while more is true. Also by GET; by POST it includes at once what was committed at the same time as something else.
Errors: 22023 naming the argument; for a cursor whose next changes are older than history is kept, or that is of another history; 42501 without an active organization.$$;

create function crm.create_webhook(
    name text,
    url text,
    events text[] default '{*}',
    fields text[] default '{}',
    condition text default null,
    headers jsonb default '{}',
    ordered boolean default false,
    max_per_minute integer default null
)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'create_webhook_wrapper';

revoke all on function crm.create_webhook(text, text, text[], text[], text, jsonb, boolean, integer) from public;
grant execute on function crm.create_webhook(text, text, text[], text[], text, jsonb, boolean, integer) to crm_app;

comment on function crm.create_webhook(text, text, text[], text[], text, jsonb, boolean, integer) is
$$Makes a webhook of the active organization: events that fit are sent to url with POST, signed (Standard Webhooks). events, fields, condition, ordered, max_per_minute: see the columns of crm.webhooks. headers: what is sent along, {"X-Token": "…"}.
Returns the webhook with its secret (whsec_…), which is told this once. Errors: 42501 without the permission webhooks.create, or without those to read all that the events tell; 22023 naming the argument; 23505 for a name that is taken; 53400 (HTTP 402) beyond the plan's limit webhooks.$$;

create function crm.rotate_webhook_secret(webhook_id uuid, overlap_seconds integer default 86400)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'rotate_webhook_secret_wrapper';

revoke all on function crm.rotate_webhook_secret(uuid, integer) from public;
grant execute on function crm.rotate_webhook_secret(uuid, integer) to crm_app;

comment on function crm.rotate_webhook_secret(uuid, integer) is
$$Gives a webhook a new secret. overlap_seconds (0 to 604800): for so long those of before sign along, so that the receiver can change over.
Returns {id, secret, previous_expires_in}: the secret is told this once. Errors: 42501 without the permission webhooks.update, 22023 for a webhook that there is not.$$;

create function crm.set_webhook_headers(webhook_id uuid, headers jsonb)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_webhook_headers_wrapper';

revoke all on function crm.set_webhook_headers(uuid, jsonb) from public;
grant execute on function crm.set_webhook_headers(uuid, jsonb) to crm_app;

comment on function crm.set_webhook_headers(uuid, jsonb) is
$$Sets the headers that are sent along to a webhook, instead of those of before: {"X-Token": "…"}, at most 20, printable ASCII. Their values cannot be read back.
Returns {id, header_names}. Errors: 42501 without the permission webhooks.update; 22023 for a webhook that there is not, and for headers that cannot be.$$;

create function crm.test_webhook(webhook_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'test_webhook_wrapper';

revoke all on function crm.test_webhook(uuid) from public;
grant execute on function crm.test_webhook(uuid) to crm_app;

comment on function crm.test_webhook(uuid) is
$$Sends a webhook an event webhook.test, whatever its events are; webhook_attempts tells what became of it.
Returns {event_id}. Errors: 42501 without the permission webhooks.update; 22023 for a webhook that there is not; 23505 (HTTP 409) for one that is disabled.$$;

create function crm.replay_webhook(webhook_id uuid, event_id uuid default null, since timestamptz default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'replay_webhook_wrapper';

revoke all on function crm.replay_webhook(uuid, uuid, timestamptz) from public;
grant execute on function crm.replay_webhook(uuid, uuid, timestamptz) to crm_app;

comment on function crm.replay_webhook(uuid, uuid, timestamptz) is
$$Sends events to a webhook once more, with the ids that they had: the one with event_id; or all since a time that its events and condition fit, out of history; or, with neither, those that could not be delivered. Only what fits its events, as they are now.
Returns {replayed: how many}, or {from, until}: the places in history that are handed over, in batches. Errors: 42501 without the permission webhooks.update; 22023 for a webhook or an event that there is not, or an event that is not among the webhook's; 23505 (HTTP 409) for a webhook that is disabled.$$;

create function crm.fan_out_events(batch integer default 1000)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    set enable_seqscan = off
    set jit = off
    parallel unsafe
    as 'MODULE_PATHNAME', 'fan_out_events_wrapper';

revoke all on function crm.fan_out_events(integer) from public;
grant execute on function crm.fan_out_events(integer) to crm_worker;

comment on function crm.fan_out_events(integer) is
$$For whoever delivers: hands new events to the webhooks that want them, of about so many entries of history (1 to 100000). Call it when NOTIFY crm_events comes, and every second or so besides; by several at once, too.
Returns {entries, events, deliveries, more}: call it again at once while more is true. Nothing in a copy of another database: see crm.bind_deployment.$$;

create function crm.claim_webhook_deliveries(
    count integer default 10,
    lease interval default '1 minute',
    full_org_ids uuid[] default null,
    full_webhook_ids uuid[] default null
)
    returns table (
        org_id uuid, id uuid, attempt integer, webhook_id uuid, event_id uuid, event_type text, url text, headers jsonb, body text
    )
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'claim_webhook_deliveries_wrapper';

revoke all on function crm.claim_webhook_deliveries(integer, interval, uuid[], uuid[]) from public;
grant execute on function crm.claim_webhook_deliveries(integer, interval, uuid[], uuid[]) to crm_worker;

comment on function crm.claim_webhook_deliveries(integer, interval, uuid[], uuid[]) is
$$For whoever delivers: deliveries that are due, at most so many (1 to 1000), leased to the caller for a while (1 second to 1 hour). Send body to url with POST and these headers, which are signed for now, follow no redirect, and report with crm.complete_webhook_delivery (for a 2xx), crm.fail_webhook_delivery or crm.release_webhook_delivery. What is not reported in time is handed out again: so an event arrives at least once, and with every attempt with the same webhook-id.
full_org_ids and full_webhook_ids, side by side: webhooks that take no more just now, and organizations (where the webhook is null), which are passed over, so that those that are slow do not hold up others.
None in a copy of another database: see crm.bind_deployment. Errors: 25006 in a transaction that only reads, 22023 naming the argument.$$;

create function crm.complete_webhook_delivery(
    org_id uuid,
    id uuid,
    attempt integer,
    status integer,
    duration_ms integer default null,
    response text default null
)
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    -- Who erases somebody holds what is on its way: the deliveries of others are not to wait for their transaction.
    set lock_timeout = '2s'
    parallel unsafe
    as 'MODULE_PATHNAME', 'complete_webhook_delivery_wrapper';

revoke all on function crm.complete_webhook_delivery(uuid, uuid, integer, integer, integer, text) from public;
grant execute on function crm.complete_webhook_delivery(uuid, uuid, integer, integer, integer, text) to crm_worker;

comment on function crm.complete_webhook_delivery(uuid, uuid, integer, integer, integer, text) is
$$For whoever delivers: the receiver answered 2xx. status: 200 to 299; response: of which the first 1024 bytes are kept. Returns whether the delivery was still there. Errors: 22023 naming the argument; 55P03, also of the next two: somebody holds it for the moment, say it again a little later.$$;

create function crm.fail_webhook_delivery(
    org_id uuid,
    id uuid,
    attempt integer,
    status integer default null,
    duration_ms integer default null,
    response text default null,
    error text default null,
    retry_after integer default null
)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '2s'
    parallel unsafe
    as 'MODULE_PATHNAME', 'fail_webhook_delivery_wrapper';

revoke all on function crm.fail_webhook_delivery(uuid, uuid, integer, integer, integer, text, text, integer) from public;
grant execute on function crm.fail_webhook_delivery(uuid, uuid, integer, integer, integer, text, text, integer) to crm_worker;

comment on function crm.fail_webhook_delivery(uuid, uuid, integer, integer, integer, text, text, integer) is
$$For whoever delivers: the receiver answered something else than 2xx (status), or nothing (error, in a few words). It is tried again after 5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 hours, up to a fifth later, and not before retry_after seconds (at most a day); then it is given up. 410 disables the webhook at once, five days without one delivery that arrives as well.
Returns {outcome, next_attempt_at}: retry, failed (given up), disabled, or gone where somebody else has the delivery by now. Errors: 22023 naming the argument.$$;

create function crm.release_webhook_delivery(org_id uuid, id uuid, attempt integer, delay interval default '0')
    returns boolean
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '2s'
    parallel unsafe
    as 'MODULE_PATHNAME', 'release_webhook_delivery_wrapper';

revoke all on function crm.release_webhook_delivery(uuid, uuid, integer, interval) from public;
grant execute on function crm.release_webhook_delivery(uuid, uuid, integer, interval) to crm_worker;

comment on function crm.release_webhook_delivery(uuid, uuid, integer, interval) is
$$For whoever delivers: gives a delivery back that was not tried, to be claimed again after a while (at most 1 hour). Returns whether it was the caller's still. Errors: 22023 naming the argument.$$;

create function crm.maintain_webhooks(batch integer default 10000)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '2s'
    parallel unsafe
    as 'MODULE_PATHNAME', 'maintain_webhooks_wrapper';

revoke all on function crm.maintain_webhooks(integer) from public;
grant execute on function crm.maintain_webhooks(integer) to crm_worker, crm_admin;

comment on function crm.maintain_webhooks(integer) is
$$Removes attempts and deliveries that were given up when they are older than 30 days, and integration_events that are older than 90 days, at most so many of each (1 to 1000000). Call it every minute. Returns {attempts_removed, deliveries_removed, integration_events_removed, unblocked}.$$;

create function crm.webhook_queue()
    returns jsonb
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    set enable_seqscan = off
    set enable_bitmapscan = off
    set jit = off
    parallel restricted
    as 'MODULE_PATHNAME', 'webhook_queue_wrapper';

revoke all on function crm.webhook_queue() from public;
grant execute on function crm.webhook_queue() to crm_worker, crm_admin;

comment on function crm.webhook_queue() is
$$How much is to be delivered, for who watches it. Returns {due, oldest_due_seconds, delayed, backlog, organizations_behind}: deliveries that could go now, and for how long the oldest one could; those that wait for their time, and for a webhook that takes them slowly, each counted up to 100000; organizations with events that were not handed over yet. Where oldest_due_seconds or organizations_behind stay high, nobody delivers, or too slowly.$$;

create function crm_private.check_webhook()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_webhook_wrapper';

revoke all on function crm_private.check_webhook() from public;
grant execute on function crm_private.check_webhook() to crm_owner;

comment on function crm_private.check_webhook() is
$$Trigger _600_webhook: a webhook leads to a URL, names events and columns that there are, and its condition is a predicate; led elsewhere it forgets its headers. Errors: 22023; 42501 for who may not read all that it tells, nor, to lead it elsewhere, what it told so far.$$;

create function crm_private.begin_webhook()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'begin_webhook_wrapper';

revoke all on function crm_private.begin_webhook() from public;
grant execute on function crm_private.begin_webhook() to crm_owner;

comment on function crm_private.begin_webhook() is
$$Trigger _800_begin: from here on the webhook gets events.$$;
