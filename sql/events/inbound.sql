-- What other systems tell: events that become records by rules. See src/events/inbound/ and docs/inbound.md.

create function crm_private.check_integration_rule()
    returns trigger
    language c
    volatile
    security invoker
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'check_integration_rule_wrapper';

revoke all on function crm_private.check_integration_rule() from public;
grant execute on function crm_private.check_integration_rule() to crm_owner;

comment on function crm_private.check_integration_rule() is
    'Trigger _200_definition of integration_rules: a rule names a table, columns and paths that make sense. Errors: 22023, naming the column.';

create function crm.ingest_event(event_name text, payload jsonb, event_id text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'ingest_event_wrapper';

revoke all on function crm.ingest_event(text, jsonb, text) from public;
grant execute on function crm.ingest_event(text, jsonb, text) to crm_app;

comment on function crm.ingest_event(text, jsonb, text) is
$$Takes an event of another system, keeps it in integration_events, and makes a record of it as the rule for it in integration_rules says, with the caller's permissions; lead.captured becomes a lead without any rule. event_name: like lead.captured. payload: a JSON object of at most 256 kB. event_id: at most 255 characters, the same whenever the event is sent again; without it the header Idempotency-Key counts, then what the rule's id_path finds.
Returns {id, event_name, status: processed, failed or ignored, duplicate, entity, record_id, error}. Sent again, an event answers what came of it the first time, with duplicate, and does nothing; but one that failed is tried again. What failed is also kept for crm.retry_event; over HTTP it is answered like an error, with 422, without permission for the record 403, at a limit of the plan 402; its details are JSON and have id, event_name, status, duplicate, entity and record_id.
Errors: 42501 without the permission integration_events.create, 54000 (HTTP 413) for a payload that is too large, 23514 (HTTP 422) for an argument that is wrong, and for another payload under an event_id that was used.$$;

create function crm.receive_event(jsonb)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'receive_event_wrapper';

revoke all on function crm.receive_event(jsonb) from public;
grant execute on function crm.receive_event(jsonb) to crm_app;

comment on function crm.receive_event(jsonb) is
$$ingest_event for those who can send nothing but the payload: the body of the request, whole. The event's name comes in the header X-Event-Name, which a gateway takes from the path of POST /webhooks/{event_name}; the id in Idempotency-Key, or by the rule's id_path. Returns, and answers, the same as ingest_event.$$;

create function crm.retry_event(id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'retry_event_wrapper';

revoke all on function crm.retry_event(uuid) from public;
grant execute on function crm.retry_event(uuid) to crm_app;

comment on function crm.retry_event(uuid) is
$$Works again on an event that failed or was ignored, by the rule that there is today and with the caller's permissions; one that was processed stays as it is. id: of integration_events. Returns, and over HTTP answers, the same as ingest_event.
Errors: 42501 without the permission integration_events.update, 22023 for an event that there is not.$$;

create function crm.retry_events(event_name text default null, status text default 'failed', since timestamptz default null, after uuid default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'retry_events_wrapper';

revoke all on function crm.retry_events(text, text, timestamptz, uuid) from public;
grant execute on function crm.retry_events(text, text, timestamptz, uuid) to crm_app;

comment on function crm.retry_events(text, text, timestamptz, uuid) is
$$Works again on events, each as crm.retry_event does, the oldest first and at most 100 at a time; those that somebody else is working on are left out. event_name: only those of this name; status: failed or ignored; since: only what was sent then or later; after: only what follows the event with this id.
Returns how many are now what, and the id of the last one, null where there were none: {processed, failed, ignored, last}. For the next ones, call it again with that as after. Errors: 42501 without the permission integration_events.update, 22023 naming the argument.$$;
