-- identity_providers: whose tokens are taken (OpenID Connect, OAuth 2.0), as rows the DBA changes. What they call a
-- person is mapped to a user in user_identities.

create table crm_private.identity_providers (
    name text not null,
    enabled boolean not null default false,
    issuers text[] not null default '{}',
    client_ids text[] not null default '{}',
    algorithms text[] not null default '{RS256}',
    jwks jsonb,
    jwks_uri text,
    jwks_fetched_at timestamptz,
    create_users boolean not null default true,
    accept_access_tokens boolean not null default false,
    access_token_audiences text[] not null default '{}',
    authorization_endpoint text,
    token_endpoint text,
    userinfo_endpoint text,
    scope text not null default 'openid email profile',
    client_secret text,
    redirect_uris text[] not null default '{}',
    constraint identity_providers_pkey primary key (name),
    constraint identity_providers_name_check check (name ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and char_length(name) <= 50),
    constraint identity_providers_algorithms_check check (algorithms <@ '{RS256,ES256,EdDSA}' and cardinality(algorithms) > 0),
    constraint identity_providers_no_null_check check (
        array_position(issuers || client_ids || access_token_audiences || redirect_uris || algorithms, null) is null
    ),
    constraint identity_providers_https_check check (
        jwks_uri ~ '^https://' and authorization_endpoint ~ '^https://' and token_endpoint ~ '^https://' and userinfo_endpoint ~ '^https://'
    ),
    constraint identity_providers_enabled_has_client_check check (not enabled or cardinality(client_ids) > 0 or accept_access_tokens),
    constraint identity_providers_access_tokens_have_audience_check
        check (not accept_access_tokens or (cardinality(access_token_audiences) > 0 and cardinality(issuers) > 0))
);

alter table crm_private.identity_providers alter column client_secret set statistics 0;

comment on table crm_private.identity_providers is
    'Whose tokens are taken. Google and GitHub are there, disabled: set client_ids and enabled.';
comment on column crm_private.identity_providers.issuers is 'Values of iss that are this provider''s.';
comment on column crm_private.identity_providers.client_ids is 'Values of aud in its ID tokens that are this application; the first is the one codes are exchanged for.';
comment on column crm_private.identity_providers.jwks is 'Its key set (RFC 7517), kept fresh by the worker from jwks_uri, or put here by hand. Reduced to signature keys when stored.';
comment on column crm_private.identity_providers.create_users is 'Whether the first sign-in makes a user and an organization; else only users who exist can sign in.';
comment on column crm_private.identity_providers.accept_access_tokens is
    'Whether its access tokens are taken as they are, as "Authorization: Bearer …". They must carry no role claim, or role crm_anon.';
comment on column crm_private.identity_providers.access_token_audiences is 'Values of aud in those access tokens.';
comment on column crm_private.identity_providers.redirect_uris is 'Where the provider may send people back to, exactly.';

create trigger _100_normalize before insert or update of jwks on crm_private.identity_providers
    for each row execute function crm_private.normalize_provider();
create trigger _900_announce after insert or update or delete on crm_private.identity_providers
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.identity_providers
    for each statement execute function crm_private.announce();

insert into crm_private.identity_providers
    (name, issuers, algorithms, jwks_uri, authorization_endpoint, token_endpoint, userinfo_endpoint, scope)
values
    ('google', '{https://accounts.google.com,accounts.google.com}', '{RS256}', 'https://www.googleapis.com/oauth2/v3/certs',
        'https://accounts.google.com/o/oauth2/v2/auth', 'https://oauth2.googleapis.com/token',
        'https://openidconnect.googleapis.com/v1/userinfo', 'openid email profile'),
    ('github', '{}', '{RS256}', null,
        'https://github.com/login/oauth/authorize', 'https://github.com/login/oauth/access_token',
        'https://api.github.com/user', 'read:user user:email');

create table crm_private.user_identities (
    provider text not null,
    subject text not null,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    constraint user_identities_pkey primary key (provider, subject),
    constraint user_identities_provider_fkey foreign key (provider)
        references crm_private.identity_providers (name) on update cascade on delete cascade,
    constraint user_identities_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint user_identities_subject_check check (char_length(subject) between 1 and 255)
);

create index user_identities_user_id_idx on crm_private.user_identities (user_id);

comment on table crm_private.user_identities is 'What identity providers call our users (their sub).';

create trigger _900_announce after update or delete on crm_private.user_identities
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.user_identities
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm_private.identity_providers enable always trigger _900_announce;
alter table crm_private.identity_providers enable always trigger _900_announce_truncate;
alter table crm_private.user_identities enable always trigger _900_announce;
alter table crm_private.user_identities enable always trigger _900_announce_truncate;

create table crm_private.oauth_flows (
    state_hash bytea not null,
    id uuid not null default crm.uuid_v7(),
    provider text not null,
    redirect_uri text not null,
    code_challenge text not null,
    status text not null default 'started',
    code text,
    code_verifier text,
    profile jsonb,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    claimed_until timestamptz,
    constraint oauth_flows_pkey primary key (state_hash),
    constraint oauth_flows_id_key unique (id),
    constraint oauth_flows_provider_fkey foreign key (provider)
        references crm_private.identity_providers (name) on update cascade on delete cascade,
    constraint oauth_flows_status_check check (status in ('started', 'waiting', 'exchanged', 'failed', 'finished')),
    constraint oauth_flows_waiting_has_code_check check ((status = 'waiting') = (code is not null and code_verifier is not null)),
    constraint oauth_flows_exchanged_has_profile_check check ((status = 'exchanged') = (profile is not null))
);

create index oauth_flows_provider_idx on crm_private.oauth_flows (provider);
create index oauth_flows_waiting_idx on crm_private.oauth_flows (id) where status = 'waiting';
create index oauth_flows_expires_at_idx on crm_private.oauth_flows (expires_at);

alter table crm_private.oauth_flows alter column code set statistics 0, alter column code_verifier set statistics 0,
    alter column state_hash set statistics 0, alter column profile set statistics 0;

comment on table crm_private.oauth_flows is 'Sign-ins by authorization code (RFC 6749) with PKCE (RFC 7636) that are under way.';

alter table crm_private.identity_providers enable row level security, force row level security;
alter table crm_private.user_identities enable row level security, force row level security;
alter table crm_private.oauth_flows enable row level security, force row level security;

create policy identity_providers_all_definer on crm_private.identity_providers for all to crm_definer using (true) with check (true);
create policy user_identities_all_definer on crm_private.user_identities for all to crm_definer using (true) with check (true);
create policy oauth_flows_all_definer on crm_private.oauth_flows for all to crm_definer using (true) with check (true);
create policy identity_providers_all_owner on crm_private.identity_providers for all to crm_owner using (true) with check (true);

grant select, update on crm_private.identity_providers to crm_definer;
grant select, insert, delete on crm_private.user_identities to crm_definer;
grant select, insert, update, delete on crm_private.oauth_flows to crm_definer;
grant select on crm_private.identity_providers, crm_private.user_identities, crm_private.oauth_flows to crm_backup;
