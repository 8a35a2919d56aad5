-- projects: work for a customer over some time. Seen and changed within the organization, by role and owner.
-- Invariants: a project ends no earlier than it starts; completed_at is there when it is completed, and only then.

create table crm.projects (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text not null,
    description text,
    status text not null default 'planned',
    starts_on date,
    ends_on date,
    budget numeric(19, 4),
    currency text,
    completed_at timestamptz,
    account_id uuid,
    contact_id uuid,
    deal_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint projects_pkey primary key (org_id, id),
    constraint projects_org_id_external_id_key unique (org_id, external_id),
    constraint projects_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint projects_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint projects_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint projects_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint projects_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint projects_status_check check (status in ('planned', 'active', 'on_hold', 'completed', 'cancelled')),
    constraint projects_starts_on_check check (starts_on between date '1900-01-01' and date '2200-01-01'),
    constraint projects_ends_on_check check (ends_on between date '1900-01-01' and date '2200-01-01'),
    constraint projects_ends_after_start_check check (ends_on >= starts_on),
    constraint projects_budget_check check (budget >= 0 and budget <> 'NaN')
);

create index projects_org_id_created_at_id_idx on crm.projects (org_id, created_at, id);
create index projects_org_id_updated_at_id_idx on crm.projects (org_id, updated_at, id);
create index projects_org_id_owner_id_created_at_id_idx on crm.projects (org_id, owner_id, created_at, id);
create index projects_org_id_name_idx on crm.projects (org_id, name);
create index projects_org_id_status_ends_on_idx on crm.projects (org_id, status, ends_on);
create index projects_org_id_account_id_idx on crm.projects (org_id, account_id) where account_id is not null;
create index projects_org_id_contact_id_idx on crm.projects (org_id, contact_id) where contact_id is not null;
create index projects_org_id_deal_id_idx on crm.projects (org_id, deal_id) where deal_id is not null;

select crm.enroll('crm.projects', array[
    'name required line 200', 'description html 100000', 'currency currency', 'external_id line 200',
    'status steps *:planned,active,on_hold planned:active,on_hold,completed,cancelled active:on_hold,completed,cancelled'
        || ' on_hold:planned,active,completed,cancelled completed:active cancelled:planned',
    'completed_at since status completed'
]);

comment on table crm.projects is 'Projects: work for a customer over some time.';
comment on column crm.projects.name is 'Of at most 200 characters.';
comment on column crm.projects.description is 'Rich text (HTML, sanitised).';
comment on column crm.projects.status is 'planned, active, on_hold, completed or cancelled. From planned: active, on_hold, completed, cancelled; from active: on_hold, completed, cancelled; from on_hold: planned, active, completed, cancelled; from completed: active; from cancelled: planned. Any other step is refused (23514, HTTP 422).';
comment on column crm.projects.starts_on is 'YYYY-MM-DD.';
comment on column crm.projects.ends_on is 'YYYY-MM-DD, not before starts_on.';
comment on column crm.projects.budget is 'In the currency of the column currency.';
comment on column crm.projects.currency is 'ISO 4217.';
comment on column crm.projects.completed_at is 'Since when the project is completed; kept by the database.';
comment on column crm.projects.account_id is 'The customer, of the same organization.';
comment on column crm.projects.contact_id is 'The customer''s contact, of the same organization.';
comment on column crm.projects.deal_id is 'The deal that led to it, of the same organization.';
