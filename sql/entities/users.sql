-- users: people, who may belong to several organizations through memberships. No org_id: a person is no tenant's row.
-- One sees oneself and those one shares an organization with. What proves who they are (passwords, sessions) is in
-- crm_private, where no API role can look. Everybody changes their own profile, and nobody else's.

create table crm.users (
    id uuid not null default crm.uuid_v7(),
    email text not null,
    full_name text,
    time_zone text,
    locale text,
    avatar_url text,
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
-- Who is seen can be asked for, so that the trigger can say no; what is written is the caller's own row.
create policy users_update_app on crm.users for update to crm_app
    using (id = any ((select crm.visible_user_ids())::uuid[])) with check (id = (select crm.current_user_id()));
create policy users_update_multi on crm.users for update to crm_multi
    using (id = any ((select crm.visible_user_ids())::uuid[])) with check (id = (select crm.current_user_id()));
create policy users_all_definer on crm.users for all to crm_definer
    using (true) with check (true);

grant select on crm.users to crm_app, crm_multi, crm_backup;
grant update (full_name, time_zone, locale, avatar_url) on crm.users to crm_app, crm_multi;
grant select, insert, update on crm.users to crm_definer;

create trigger _100_normalize before insert or update of full_name, time_zone, locale, avatar_url on crm.users
    for each row execute function crm_private.normalize('full_name line 200', 'time_zone time_zone', 'locale locale', 'avatar_url url');
create trigger _300_guard before update on crm.users
    for each statement execute function crm_private.guard_profile();
create trigger _300_guard_row before update on crm.users
    for each row execute function crm_private.guard_profile();
create trigger _500_touch before update on crm.users
    for each row execute function crm_private.stamp();

comment on table crm.users is 'People: the caller and the members of the organizations the caller is looking at.';
comment on column crm.users.email is 'Lower case; what one logs in with.';
comment on column crm.users.time_zone is 'IANA time zone name; null: the organization''s.';
comment on column crm.users.locale is 'Language and region as BCP 47 writes them: de, pt-BR.';
comment on column crm.users.email_verified_at is 'When the user last proved to read this address; null: never.';
comment on column crm.users.status is 'active, disabled or deleted; only an active user can act.';
comment on column crm.users.id is 'What other tables call user_id, created_by, owner_id.';
comment on column crm.users.full_name is 'The name that colleagues read.';
comment on column crm.users.avatar_url is 'Address of a picture (http or https).';
comment on column crm.users.created_at is 'When the user was made.';
comment on column crm.users.updated_at is 'When the profile was changed last.';
