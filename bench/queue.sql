-- The tables that bench/queue compares.

create schema bench;
create table bench.timings (what text, variant text, round integer, a_second numeric);

insert into crm.organizations (slug, name, plan) values ('bench', 'Bench', 'enterprise');
insert into crm.webhooks (org_id, name, url) select id, 'bench', 'https://example.com/hook' from crm.organizations where slug = 'bench';
insert into crm_private.webhook_secrets (org_id, webhook_id, secret) select org_id, id, sha256('bench') from crm.webhooks;
-- As fan_out_events adds them: it has seen to it that the webhook is there.
alter table crm.webhook_deliveries disable trigger all;

create table bench.plain (
    id uuid not null default crm.uuid_v7(),
    webhook_id uuid not null,
    event_id uuid not null,
    attempts integer not null default 0,
    run_at timestamptz not null,
    payload text not null,
    primary key (id)
);
create index on bench.plain (run_at, id);

-- What a contact's event takes.
create function bench.payload() returns text language sql immutable as $$
    select '{"data":"' || rpad('', 1400, 'abcdefghij') || '"}'
$$;

create procedure bench.delay(deliveries integer) language sql as $$
    insert into crm.webhook_deliveries
        (org_id, id, webhook_id, event_id, event_type, entity, record_id, state, attempts, run_at, created_at, payload)
    select w.org_id, crm.uuid_v7(), w.id, crm.uuid_v7(), 'contact.created', 'contacts', w.id, 'pending', 1,
        now() + interval '1 hour' + random() * interval '1 day', now(), '{}'
    from crm.webhooks as w, generate_series(1, deliveries)
$$;
