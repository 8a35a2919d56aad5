-- plans: what an organization has bought: features, and how much of each resource it may have. Seen by everybody who is
-- known; changed by the DBA alone. What a plan lacks for one organization is a plan_override's (see usage.sql).

create table crm.plans (
    name text not null,
    title text not null,
    description text,
    features text[] not null default '{}',
    limits jsonb not null default '{}',
    constraint plans_pkey primary key (name),
    constraint plans_name_check check (name ~ '^[a-z][a-z0-9_]*$' and char_length(name) <= 63),
    constraint plans_title_check check (char_length(title) between 1 and 200),
    constraint plans_features_check check (array_position(features, null) is null and cardinality(features) <= 100),
    -- {"users": 10, "records": 10000}: jsonb writes an object of whole numbers in this one form.
    constraint plans_limits_check check (limits::text ~ '^\{("[^"\\]{1,63}": [0-9]{1,15}(, |\}$))*\}?$')
);

insert into crm.plans (name, title, features, limits) values
    ('free', 'Free', '{api_keys,webhooks}', '{"users": 10, "records": 10000, "webhooks": 2, "history_days": 90}'),
    ('pro', 'Pro', '{api_keys,automations,custom_roles,teams,webhooks}', '{"users": 50, "records": 250000, "webhooks": 20, "history_days": 730}'),
    ('enterprise', 'Enterprise', '{api_keys,audit_export,automations,custom_roles,sso,teams,webhooks}', '{}');

-- A new one is nobody's yet.
create trigger _900_announce after update or delete on crm.plans
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm.plans
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm.plans enable always trigger _900_announce;
alter table crm.plans enable always trigger _900_announce_truncate;

alter table crm.plans enable row level security, force row level security;

create policy plans_select_known on crm.plans for select to crm_app, crm_multi, crm_service, crm_admin using (true);
create policy plans_all_definer on crm.plans for all to crm_definer using (true) with check (true);
create policy plans_all_owner on crm.plans for all to crm_owner using (true) with check (true);

grant select on crm.plans to crm_app, crm_multi, crm_service, crm_admin, crm_definer, crm_backup;

comment on table crm.plans is 'The plans: which features an organization has, and how much.';
comment on column crm.plans.features is 'Names that crm.feature_enabled() answers for.';
comment on column crm.plans.limits is
    'The most that an organization may have: users, webhooks, or a table''s name; records: of each table without a limit of its own; history_days: for how many days its history is kept. What is not named has no limit.';
comment on column crm.plans.name is 'The name that organizations.plan has.';
comment on column crm.plans.title is 'The name that people read.';
comment on column crm.plans.description is 'What the plan is for.';
