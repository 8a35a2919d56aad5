insert into bench.plain (webhook_id, event_id, run_at, payload)
select w.id, w.id, clock_timestamp(), bench.payload() from crm.webhooks as w, generate_series(1, :batch);
with due as materialized (
    select id from bench.plain where run_at <= now() order by run_at, id limit :batch for update skip locked
),
claimed as (
    update bench.plain as p set run_at = now() + interval '1 minute', attempts = p.attempts + 1 from due where p.id = due.id
    returning p.id, p.payload
)
select array_agg(id) as ids, sum(length(payload)) as bytes from claimed \gset
delete from bench.plain where id = any (:ids::uuid[]);
