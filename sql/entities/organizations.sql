-- organizations: the tenants. Every other table of the CRM points here with org_id.
-- Seen by their members, and by the platform (view tenants); made by crm.register and the platform. The slug is the one name that is unique across tenants, and public
-- as a host name is: who registers a name that is taken gets a slug with a random end, and so learns that it is.

create table crm.organizations (
    id uuid not null default crm.uuid_v7(),
    slug text not null,
    name text not null,
    plan text not null default 'free',
    status text not null default 'active',
    status_reason text,
    status_changed_at timestamptz,
    country text,
    currency text not null default 'USD',
    time_zone text not null default 'UTC',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint organizations_pkey primary key (id),
    constraint organizations_slug_key unique (slug),
    constraint organizations_plan_fkey foreign key (plan) references crm.plans (name),
    constraint organizations_slug_check check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and char_length(slug) between 1 and 63),
    constraint organizations_name_check check (char_length(name) between 1 and 200),
    constraint organizations_status_check check (status in ('active', 'suspended', 'cancelled')),
    constraint organizations_status_reason_check check (char_length(status_reason) <= 500),
    constraint organizations_country_check check (country ~ '^[A-Z]{2}$'),
    constraint organizations_currency_check check (currency ~ '^[A-Z]{3}$')
);

create index organizations_plan_idx on crm.organizations (plan);

alter table crm.organizations enable row level security, force row level security;

create policy organizations_select_app on crm.organizations for select to crm_app
    using (id = any ((select crm.my_org_ids())::uuid[]));
create policy organizations_select_multi on crm.organizations for select to crm_multi
    using (id = any ((select crm.my_org_ids())::uuid[]));
-- What is seen can be asked for, so that the trigger can say no.
create policy organizations_update_app on crm.organizations for update to crm_app
    using (id = any ((select crm.my_org_ids())::uuid[]))
    with check (id = (select crm.all_scope_org_id('organizations.update')));
create policy organizations_update_multi on crm.organizations for update to crm_multi
    using (id = any ((select crm.my_org_ids())::uuid[]))
    with check (id = any ((select crm.all_scope_org_ids('organizations.update'))::uuid[]));
-- The platform: its backend and the DBA. Its people with a login are members like others here.
create policy organizations_select_platform on crm.organizations for select to crm_service, crm_admin
    using ((select crm.permitted_to_platform('organizations.read')));
create policy organizations_insert_platform on crm.organizations for insert to crm_service, crm_admin
    with check ((select crm.permitted_to_platform('organizations.create')));
create policy organizations_update_platform on crm.organizations for update to crm_service, crm_admin
    using ((select crm.permitted_to_platform('organizations.update')))
    with check ((select crm.permitted_to_platform('organizations.update')));
create policy organizations_all_definer on crm.organizations for all to crm_definer
    using (true) with check (true);

grant select on crm.organizations to crm_app, crm_multi, crm_service, crm_admin, crm_backup;
grant update (name, country, currency, time_zone) on crm.organizations to crm_app, crm_multi, crm_service, crm_admin;
grant insert (name, slug, country, currency, time_zone) on crm.organizations to crm_service, crm_admin;
grant select, insert, update, delete on crm.organizations to crm_definer;

create trigger _100_normalize before insert or update of name, country, currency, time_zone on crm.organizations
    for each row execute function crm_private.normalize(
        'name required line 200', 'country country', 'currency required currency', 'time_zone required time_zone'
    );
create trigger _110_slug before insert on crm.organizations
    for each row execute function crm_private.find_slug();
create trigger _210_make_defaults after insert on crm.organizations
    for each row execute function crm_private.make_defaults();
create trigger _300_guard before insert or update on crm.organizations
    for each statement execute function crm_private.guard_profile();
create trigger _300_guard_row before update on crm.organizations
    for each row execute function crm_private.guard_profile();
create trigger _500_touch before update on crm.organizations
    for each row execute function crm_private.stamp();

comment on table crm.organizations is
    'The organizations (tenants) the caller is a member of, also suspended and cancelled ones.';
comment on column crm.organizations.slug is 'Short name for URLs and headers (X-Org-ID), unique, lower case, made from the name.';
comment on column crm.organizations.plan is 'What it may have, and how much: see plans.';
comment on column crm.organizations.status is 'active, suspended or cancelled; only an active organization can be worked in.';
comment on column crm.organizations.status_reason is 'Why it was suspended or cancelled.';
comment on column crm.organizations.status_changed_at is 'When it was suspended, cancelled or resumed.';
comment on column crm.organizations.country is 'ISO 3166-1 alpha-2. Phone numbers without a country code are read as numbers of this country.';
comment on column crm.organizations.currency is 'ISO 4217, the default for amounts.';
comment on column crm.organizations.time_zone is 'IANA time zone name.';
comment on column crm.organizations.id is 'What every other table calls org_id.';
comment on column crm.organizations.name is 'The name that people read.';
comment on column crm.organizations.created_at is 'When the organization was made.';
comment on column crm.organizations.updated_at is 'When it was changed last.';
