-- api_keys: what the host application's backend shows instead of a token. An organization's key acts as that
-- organization, one without an organization is the platform's. platform_members: the platform's own people.

create table crm_private.api_keys (
    id uuid not null default crm.uuid_v7(),
    org_id uuid,
    name text not null,
    prefix text not null,
    hash bytea not null,
    scopes text[] not null,
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint api_keys_pkey primary key (id),
    constraint api_keys_prefix_key unique (prefix),
    constraint api_keys_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint api_keys_created_by_fkey foreign key (created_by) references crm.users (id) on delete set null,
    constraint api_keys_name_check check (char_length(name) between 1 and 100),
    constraint api_keys_scopes_check check (cardinality(scopes) between 1 and 100)
);

create index api_keys_org_id_idx on crm_private.api_keys (org_id);
create index api_keys_created_by_idx on crm_private.api_keys (created_by);

alter table crm_private.api_keys alter column hash set statistics 0;

comment on table crm_private.api_keys is 'API keys; the readable prefix tells them apart, the hash proves them.';
comment on column crm_private.api_keys.org_id is 'Null for a platform key.';
comment on column crm_private.api_keys.hash is 'SHA-256 of the whole key, which holds 256 random bits.';
comment on column crm_private.api_keys.scopes is 'Permissions, resource.action; * stands for any.';

create trigger _900_announce after update or delete on crm_private.api_keys
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm_private.api_keys
    for each statement execute function crm_private.announce('permissions');

-- Apart from the keys: noting a use must not make every backend forget what it knows of the key.
create table crm_private.api_key_uses (
    api_key_id uuid not null,
    last_used_at timestamptz,
    constraint api_key_uses_pkey primary key (api_key_id),
    constraint api_key_uses_api_key_id_fkey foreign key (api_key_id) references crm_private.api_keys (id) on delete cascade
);

comment on table crm_private.api_key_uses is 'When an API key was used last, to the minute.';

create table crm_private.platform_members (
    user_id uuid not null,
    role text not null,
    created_at timestamptz not null default now(),
    constraint platform_members_pkey primary key (user_id),
    constraint platform_members_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint platform_members_role_check check (role in ('super_admin', 'support'))
);

comment on table crm_private.platform_members is
    'People who work for the platform: support looks and impersonates, super_admin may whatever the platform may.';

-- Also a new one: what is remembered of the user says that there is none.
create trigger _900_announce after insert or update or delete on crm_private.platform_members
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.platform_members
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm_private.api_keys enable always trigger _900_announce;
alter table crm_private.api_keys enable always trigger _900_announce_truncate;
alter table crm_private.platform_members enable always trigger _900_announce;
alter table crm_private.platform_members enable always trigger _900_announce_truncate;

alter table crm_private.api_keys enable row level security, force row level security;
alter table crm_private.api_key_uses enable row level security, force row level security;
alter table crm_private.platform_members enable row level security, force row level security;

create policy api_keys_all_definer on crm_private.api_keys for all to crm_definer using (true) with check (true);
create policy api_key_uses_all_definer on crm_private.api_key_uses for all to crm_definer using (true) with check (true);
create policy platform_members_all_definer on crm_private.platform_members for all to crm_definer using (true) with check (true);

grant select, insert, update on crm_private.api_keys, crm_private.api_key_uses to crm_definer;
grant select, insert, update, delete on crm_private.platform_members to crm_definer;
grant select on crm_private.api_keys, crm_private.api_key_uses, crm_private.platform_members to crm_backup;
