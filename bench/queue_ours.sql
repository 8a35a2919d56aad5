insert into crm.webhook_deliveries
    (org_id, id, webhook_id, event_id, event_type, entity, record_id, state, attempts, run_at, created_at, payload)
select w.org_id, crm.uuid_v7(), w.id, w.id, 'contact.created', 'contacts', w.id, 'pending', 0, clock_timestamp(), clock_timestamp(), bench.payload()
from crm.webhooks as w, generate_series(1, :batch);
select array_agg(org_id) as orgs, array_agg(id) as ids, array_agg(attempt) as attempts, sum(length(body)) + sum(length(headers::text)) as bytes
from crm.claim_webhook_deliveries(:batch) \gset
select count(crm.complete_webhook_delivery(d.org_id, d.id, d.attempt, 200, 12, 'ok'))
from unnest(:orgs::uuid[], :ids::uuid[], :attempts::integer[]) as d (org_id, id, attempt);
