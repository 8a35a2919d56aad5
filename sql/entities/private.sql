-- What proves identities: keys, password hashes, sessions, settings. Seen by crm_definer alone (and crm_backup, which
-- dumps it). Row level security is on here too, so that a role with pg_read_all_data still reads nothing.

create table crm_private.settings (
    singleton boolean not null default true,
    issuer text not null default 'crm_ext',
    audience text not null default 'crm',
    access_token_ttl interval not null default '15 minutes',
    service_token_ttl interval not null default '1 hour',
    clock_leeway interval not null default '5 seconds',
    constraint settings_pkey primary key (singleton),
    constraint settings_singleton_check check (singleton),
    constraint settings_issuer_check check (issuer <> ''),
    constraint settings_audience_check check (audience <> ''),
    constraint settings_access_token_ttl_check check (access_token_ttl between '1 second' and '1 day'),
    constraint settings_service_token_ttl_check check (service_token_ttl between '1 second' and '30 days'),
    constraint settings_clock_leeway_check check (clock_leeway between '0' and '2 minutes')
);

insert into crm_private.settings default values;

comment on table crm_private.settings is 'One row: what the DBA may tune about tokens. Run NOTIFY pgrst after changing the audience.';
comment on column crm_private.settings.clock_leeway is 'How far nbf and iat may lie in the future; exp has no leeway.';

create table crm_private.signing_keys (
    kid text not null,
    alg text not null,
    public_jwk jsonb not null,
    private_key text,
    created_at timestamptz not null default now(),
    retired_at timestamptz,
    expires_at timestamptz,
    constraint signing_keys_pkey primary key (kid),
    constraint signing_keys_alg_check check (alg in ('RS256', 'ES256', 'EdDSA')),
    constraint signing_keys_retired_expires_check check ((retired_at is null) = (expires_at is null)),
    constraint signing_keys_active_can_sign_check check (retired_at is not null or private_key is not null)
);

-- Statistics are kept apart from the table and its policies: a secret among them could be read past both.
alter table crm_private.signing_keys alter column private_key set statistics 0;

-- At most one key signs.
create unique index signing_keys_active_idx on crm_private.signing_keys ((retired_at is null)) where retired_at is null;

comment on table crm_private.signing_keys is 'The keys access tokens are signed with; a retired one verifies until expires_at.';
comment on column crm_private.signing_keys.kid is 'RFC 7638 thumbprint of the public key.';
comment on column crm_private.signing_keys.private_key is 'PKCS #8, PEM; gone once the key is retired.';

create table crm_private.passwords (
    user_id uuid not null,
    hash text not null,
    changed_at timestamptz not null default now(),
    constraint passwords_pkey primary key (user_id),
    constraint passwords_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint passwords_hash_check check (hash like '$argon2id$%')
);

alter table crm_private.passwords alter column hash set statistics 0;

comment on table crm_private.passwords is 'Argon2id hashes in PHC string format.';

create table crm_private.sessions (
    id uuid not null default crm.uuid_v7(),
    user_id uuid not null,
    kind text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    ip_address text,
    user_agent text,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint sessions_kind_check check (kind in ('password', 'service'))
);

create index sessions_user_id_idx on crm_private.sessions (user_id);

comment on table crm_private.sessions is 'One row per login; a token whose session has ended is refused.';

create table crm_private.schema_version (
    version text not null,
    installed_at timestamptz not null default now(),
    constraint schema_version_pkey primary key (version)
);

comment on table crm_private.schema_version is 'The versions of crm_ext whose tables these are; the newest row counts.';

alter table crm_private.settings enable row level security, force row level security;
alter table crm_private.signing_keys enable row level security, force row level security;
alter table crm_private.passwords enable row level security, force row level security;
alter table crm_private.sessions enable row level security, force row level security;
alter table crm_private.schema_version enable row level security, force row level security;

create policy settings_all_definer on crm_private.settings for all to crm_definer using (true) with check (true);
create policy signing_keys_all_definer on crm_private.signing_keys for all to crm_definer using (true) with check (true);
create policy passwords_all_definer on crm_private.passwords for all to crm_definer using (true) with check (true);
create policy sessions_all_definer on crm_private.sessions for all to crm_definer using (true) with check (true);
create policy schema_version_all_definer on crm_private.schema_version for all to crm_definer using (true) with check (true);
-- The DBA tunes settings as a member of crm_owner, the tables' owner; forced row level security binds owners as well.
create policy settings_all_owner on crm_private.settings for all to crm_owner using (true) with check (true);
create policy schema_version_all_owner on crm_private.schema_version for all to crm_owner using (true) with check (true);

grant select on crm_private.settings, crm_private.schema_version to crm_definer;
grant select, insert, update on crm_private.signing_keys, crm_private.passwords, crm_private.sessions to crm_definer;
grant select on crm_private.settings, crm_private.signing_keys, crm_private.passwords, crm_private.sessions,
    crm_private.schema_version to crm_backup;
