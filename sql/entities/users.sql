-- users: people, who may belong to several organizations through memberships. No org_id: a person is no tenant's row.
-- One sees oneself and those one shares an organization with. What proves who they are (passwords, sessions) is in
-- crm_private, where no API role can look.

create table crm.users (
    id uuid not null default crm.uuid_v7(),
    email text not null,
    full_name text,
    status text not null default 'active',
    email_verified_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint users_pkey primary key (id),
    constraint users_email_key unique (email),
    constraint users_email_check check (email = lower(email) and char_length(email) <= 254),
    constraint users_full_name_check check (char_length(full_name) <= 200),
    constraint users_status_check check (status in ('active', 'disabled', 'deleted'))
);

alter table crm.users enable row level security, force row level security;

create policy users_select_app on crm.users for select to crm_app
    using (id = any ((select crm.visible_user_ids())::uuid[]));
create policy users_select_multi on crm.users for select to crm_multi
    using (id = any ((select crm.visible_user_ids())::uuid[]));
create policy users_all_definer on crm.users for all to crm_definer
    using (true) with check (true);

grant select on crm.users to crm_app, crm_multi, crm_backup;
grant select, insert, update on crm.users to crm_definer;

comment on table crm.users is 'People: the caller and the members of the organizations the caller is looking at.';
comment on column crm.users.email is 'Lower case; what one logs in with.';
comment on column crm.users.email_verified_at is 'When the user last proved to read this address; null: never.';
comment on column crm.users.status is 'active, disabled or deleted; only an active user can act.';
