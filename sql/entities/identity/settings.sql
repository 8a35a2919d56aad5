-- What the DBA may tune, and what says that it changed. Seen by crm_definer and, as the tables' owner, by the DBA.
-- Everything in crm_private has row level security too, so that a role with pg_read_all_data still reads nothing.

create table crm_private.settings (
    singleton boolean not null default true,
    issuer text not null default 'crm_ext',
    audience text not null default 'crm',
    additional_audiences text[] not null default '{}',
    public_url text not null default 'http://localhost:3000',
    access_token_ttl interval not null default '15 minutes',
    service_token_ttl interval not null default '1 hour',
    impersonation_ttl interval not null default '15 minutes',
    refresh_token_ttl interval not null default '7 days',
    refresh_grace interval not null default '10 seconds',
    session_max_age interval not null default '30 days',
    clock_leeway interval not null default '5 seconds',
    key_lead_time interval not null default '30 seconds',
    password_length_min integer not null default 8,
    argon2_memory_kib integer not null default 19456,
    argon2_iterations integer not null default 2,
    argon2_parallelism integer not null default 1,
    login_failures_max integer not null default 5,
    login_failures_window interval not null default '15 minutes',
    trusted_proxies integer not null default 1,
    password_reset_ttl interval not null default '1 hour',
    email_verification_ttl interval not null default '2 days',
    invitation_ttl interval not null default '7 days',
    oauth_ttl interval not null default '10 minutes',
    constraint settings_pkey primary key (singleton),
    constraint settings_singleton_check check (singleton),
    constraint settings_issuer_check check (issuer <> ''),
    constraint settings_audience_check check (audience <> ''),
    constraint settings_additional_audiences_check
        check (array_position(additional_audiences, null) is null and cardinality(additional_audiences) <= 10),
    constraint settings_public_url_check check (public_url ~ '^https?://[^/?#]+(/[^?#]*)?$' and public_url !~ '/$'),
    constraint settings_access_token_ttl_check check (access_token_ttl between '1 second' and '1 day'),
    constraint settings_service_token_ttl_check check (service_token_ttl between '1 second' and '30 days'),
    constraint settings_impersonation_ttl_check check (impersonation_ttl between '1 second' and '1 hour'),
    constraint settings_refresh_token_ttl_check check (refresh_token_ttl between '1 second' and '90 days'),
    constraint settings_refresh_grace_check check (refresh_grace between '0' and '1 minute'),
    constraint settings_session_max_age_check check (session_max_age between '1 second' and '366 days'),
    constraint settings_clock_leeway_check check (clock_leeway between '0' and '2 minutes'),
    constraint settings_key_lead_time_check check (key_lead_time between '0' and '1 day'),
    constraint settings_password_length_min_check check (password_length_min between 8 and 64),
    -- The floor is OWASP's: 19 MiB twice, 46 MiB once, 12 MiB three times, … come to about the same.
    constraint settings_argon2_floor_check check (argon2_memory_kib * argon2_iterations >= 35840),
    -- Bounded so that nobody's login takes seconds.
    constraint settings_argon2_ceiling_check check (argon2_memory_kib * argon2_iterations <= 1048576),
    constraint settings_argon2_memory_kib_check check (argon2_memory_kib between 7168 and 262144),
    constraint settings_argon2_iterations_check check (argon2_iterations between 1 and 20),
    constraint settings_argon2_parallelism_check check (argon2_parallelism between 1 and 16),
    constraint settings_login_failures_max_check check (login_failures_max between 1 and 100),
    constraint settings_login_failures_window_check check (login_failures_window between '1 second' and '1 day'),
    constraint settings_trusted_proxies_check check (trusted_proxies between 0 and 5),
    constraint settings_password_reset_ttl_check check (password_reset_ttl between '1 minute' and '1 day'),
    constraint settings_email_verification_ttl_check check (email_verification_ttl between '1 minute' and '30 days'),
    constraint settings_invitation_ttl_check check (invitation_ttl between '1 minute' and '30 days'),
    constraint settings_oauth_ttl_check check (oauth_ttl between '1 minute' and '1 hour')
);

insert into crm_private.settings default values;

comment on table crm_private.settings is 'One row: what the DBA may tune. Run NOTIFY pgrst after changing the audience.';
comment on column crm_private.settings.issuer is 'iss of every token; for OpenID Connect discovery a URL.';
comment on column crm_private.settings.audience is 'What must be in the aud of a token for this API to take it.';
comment on column crm_private.settings.additional_audiences is 'Further services the tokens are made for: aud is then a list.';
comment on column crm_private.settings.public_url is 'Where clients reach the API, without a slash at the end; in crm.openid_configuration().';
comment on column crm_private.settings.access_token_ttl is 'Life of the access tokens of people who log in.';
comment on column crm_private.settings.service_token_ttl is 'Life of the access tokens of crm.issue_token.';
comment on column crm_private.settings.impersonation_ttl is 'The longest that support can act as a user at a time.';
comment on column crm_private.settings.refresh_token_ttl is 'How long a refresh token can be used; each use gives a new one.';
comment on column crm_private.settings.refresh_grace is
    'How long after its use a refresh token still answers, with the same successor: for a reply that was lost, or two tabs.';
comment on column crm_private.settings.session_max_age is 'After this, one logs in again however often one refreshed (NIST SP 800-63B: 30 days).';
comment on column crm_private.settings.clock_leeway is 'How far nbf and iat may lie in the future; exp has no leeway. For external issuers'' tokens: exp too.';
comment on column crm_private.settings.key_lead_time is
    'How long a new signing key is published before it signs: the time PostgREST and others have to fetch it.';
comment on column crm_private.settings.password_length_min is 'Characters. NIST SP 800-63B-4 advises 15 where the password is all there is.';
comment on column crm_private.settings.argon2_memory_kib is 'Argon2id; with other values than a stored hash has, the next login makes a new one.';
comment on column crm_private.settings.login_failures_max is 'Failed logins per account, and per address, after which further ones are refused …';
comment on column crm_private.settings.login_failures_window is '… until this long after the first of them.';
comment on column crm_private.settings.trusted_proxies is
    'How many proxies stand before PostgREST, each adding to X-Forwarded-For: the client''s address is the entry that far from its end. 0: the header is not believed.';

-- A change to what identities depend on touches this table's cache entry, and so tells every backend that what it
-- remembers of them is no longer good (src/identity/memory.rs). It never has rows.
create table crm_private.identity_changes ();

comment on table crm_private.identity_changes is 'Empty: its relation cache entry is what tells backends that identities changed.';

create trigger _900_announce after update or delete on crm_private.settings
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.settings
    for each statement execute function crm_private.announce();
create trigger _900_announce after update or delete on crm.organizations
    for each row execute function crm_private.announce('permissions', 'id');
create trigger _900_announce_truncate after truncate on crm.organizations
    for each statement execute function crm_private.announce('permissions');
create trigger _900_announce_delete after delete on crm.users
    for each row execute function crm_private.announce('permissions');
create trigger _900_announce_truncate after truncate on crm.users
    for each statement execute function crm_private.announce('permissions');
-- A new name or picture makes nobody somebody else, and anybody may change theirs as often as they like.
create trigger _900_announce after update on crm.users
    for each row
    when (new.status <> old.status or new.id <> old.id)
    execute function crm_private.announce('permissions');
-- Also a new one: it can end being a member of one organization only, where nothing else says which is meant.
create trigger _900_announce after insert or update or delete on crm.memberships
    for each row execute function crm_private.announce('permissions', 'org_id');
create trigger _900_announce_truncate after truncate on crm.memberships
    for each statement execute function crm_private.announce('permissions');

-- Also where rows arrive by replication.
alter table crm_private.settings enable always trigger _900_announce;
alter table crm_private.settings enable always trigger _900_announce_truncate;
alter table crm.organizations enable always trigger _900_announce;
alter table crm.organizations enable always trigger _900_announce_truncate;
alter table crm.users enable always trigger _900_announce_delete;
alter table crm.users enable always trigger _900_announce_truncate;
alter table crm.users enable always trigger _900_announce;
alter table crm.memberships enable always trigger _900_announce;
alter table crm.memberships enable always trigger _900_announce_truncate;

create table crm_private.schema_version (
    version text not null,
    installed_at timestamptz not null default now(),
    constraint schema_version_pkey primary key (version)
);

comment on table crm_private.schema_version is 'The versions of crm_ext whose tables these are; the newest one counts.';

-- Requests are refused while the tables are not the library's.
create trigger _900_announce after insert or update or delete or truncate on crm_private.schema_version
    for each statement execute function crm_private.announce();
alter table crm_private.schema_version enable always trigger _900_announce;

alter table crm_private.settings enable row level security, force row level security;
alter table crm_private.identity_changes enable row level security, force row level security;
alter table crm_private.schema_version enable row level security, force row level security;

create policy settings_all_definer on crm_private.settings for all to crm_definer using (true) with check (true);
create policy schema_version_all_definer on crm_private.schema_version for all to crm_definer using (true) with check (true);
-- The DBA tunes settings as a member of crm_owner, the tables' owner; forced row level security binds owners as well.
create policy settings_all_owner on crm_private.settings for all to crm_owner using (true) with check (true);
create policy schema_version_all_owner on crm_private.schema_version for all to crm_owner using (true) with check (true);

grant select on crm_private.settings, crm_private.schema_version to crm_definer;
grant select on crm_private.settings, crm_private.identity_changes, crm_private.schema_version to crm_backup;
