-- usage: how much an organization has of what its plan limits, and what was agreed with it beside the plan. Counted by
-- triggers, in the transaction that adds or removes (src/plans/usage.rs), so nothing ever counts a table.

create table crm_private.plan_overrides (
    org_id uuid not null,
    id uuid not null default crm.uuid_v7(),
    name text not null,
    kind text not null,
    enabled boolean,
    maximum bigint,
    starts_at timestamptz not null default now(),
    ends_at timestamptz,
    reason text not null,
    created_at timestamptz not null default now(),
    constraint plan_overrides_pkey primary key (org_id, id),
    constraint plan_overrides_org_id_name_kind_key unique (org_id, name, kind),
    constraint plan_overrides_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint plan_overrides_name_check check (char_length(name) between 1 and 63),
    constraint plan_overrides_kind_check check (
        kind = 'feature' and enabled is not null and maximum is null or kind = 'limit' and enabled is null
    ),
    constraint plan_overrides_maximum_check check (maximum between 0 and 999999999999999),
    constraint plan_overrides_times_check check (isfinite(starts_at) and isfinite(ends_at) and ends_at > starts_at),
    constraint plan_overrides_reason_check check (char_length(reason) between 1 and 500)
);

comment on table crm_private.plan_overrides is 'What an organization has instead of what its plan says; one for each feature and each limit.';
comment on column crm_private.plan_overrides.kind is 'feature or limit.';
comment on column crm_private.plan_overrides.maximum is 'Of a limit; null: none.';
comment on column crm_private.plan_overrides.ends_at is 'From then on the plan counts again; null: never.';

create trigger _900_announce after insert or update or delete on crm_private.plan_overrides
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.plan_overrides
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm_private.plan_overrides enable always trigger _900_announce;
alter table crm_private.plan_overrides enable always trigger _900_announce_truncate;

-- The lock on a row is what lets those who add to a limited resource follow each other.
create table crm_private.usage (
    org_id uuid not null,
    resource text not null,
    current bigint not null,
    constraint usage_pkey primary key (org_id, resource),
    constraint usage_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
) with (fillfactor = 50);

comment on table crm_private.usage is 'How much an organization has of a resource, together with usage_deltas.';

-- Where nothing is limited nobody waits for anybody: each statement adds a row. crm.clear_expired() adds them up.
create table crm_private.usage_deltas (
    org_id uuid not null,
    resource text not null,
    id uuid not null default crm.uuid_v7(),
    delta bigint not null,
    constraint usage_deltas_pkey primary key (org_id, resource, id),
    constraint usage_deltas_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);

comment on table crm_private.usage_deltas is 'What was added to a resource without a limit, or removed, since it was added up.';

alter table crm_private.plan_overrides enable row level security, force row level security;
alter table crm_private.usage enable row level security, force row level security;
alter table crm_private.usage_deltas enable row level security, force row level security;

create policy plan_overrides_all_definer on crm_private.plan_overrides for all to crm_definer using (true) with check (true);
create policy usage_all_definer on crm_private.usage for all to crm_definer using (true) with check (true);
create policy usage_deltas_all_definer on crm_private.usage_deltas for all to crm_definer using (true) with check (true);
-- The DBA looks; crm.set_plan_override and crm.remove_plan_override change.
create policy plan_overrides_select_owner on crm_private.plan_overrides for select to crm_owner using (true);

grant select, insert, update, delete on crm_private.plan_overrides, crm_private.usage, crm_private.usage_deltas to crm_definer;
grant select on crm_private.plan_overrides, crm_private.usage, crm_private.usage_deltas to crm_backup;
