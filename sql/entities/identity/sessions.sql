-- sessions: one per login; a token whose session has ended is refused. A session is also the family of its refresh
-- tokens: each use makes the next one, and the use of an earlier one ends the session.

create table crm_private.sessions (
    id uuid not null default crm.uuid_v7(),
    user_id uuid not null,
    kind text not null,
    org_id uuid,
    actor_id uuid,
    reason text,
    created_at timestamptz not null default now(),
    refreshed_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text,
    ip_address text,
    user_agent text,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint sessions_actor_id_fkey foreign key (actor_id) references crm.users (id) on delete cascade,
    constraint sessions_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete set null,
    constraint sessions_kind_check check (kind in ('password', 'identity_provider', 'invitation', 'service', 'impersonation')),
    constraint sessions_reason_needs_end_check check (end_reason is null or ended_at is not null),
    constraint sessions_end_reason_check check (end_reason in (
        'logout', 'password_changed', 'refresh_token_reused', 'user_suspended', 'user_deleted', 'e_mail_taken_over'
    )),
    constraint sessions_impersonation_says_why_check
        check ((kind = 'impersonation') = (actor_id is not null) and (actor_id is null) = (reason is null))
);

create index sessions_user_id_idx on crm_private.sessions (user_id);
create index sessions_actor_id_idx on crm_private.sessions (actor_id);
create index sessions_org_id_idx on crm_private.sessions (org_id);
create index sessions_end_idx on crm_private.sessions (coalesce(ended_at, expires_at));

comment on table crm_private.sessions is 'One row per login; a token whose session has ended is refused.';
comment on column crm_private.sessions.org_id is 'The organization that was active last.';
comment on column crm_private.sessions.actor_id is 'Who of the platform''s support acts as the user.';

create trigger _900_announce_delete after delete on crm_private.sessions
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.sessions
    for each statement execute function crm_private.announce();
-- A refresh only lengthens a session, so it need not make anybody forget anything.
create trigger _900_announce after update on crm_private.sessions
    for each row
    when (new.ended_at is distinct from old.ended_at or new.expires_at < old.expires_at or new.user_id <> old.user_id
        or new.actor_id is distinct from old.actor_id or new.id <> old.id)
    execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm_private.sessions enable always trigger _900_announce_delete;
alter table crm_private.sessions enable always trigger _900_announce_truncate;
alter table crm_private.sessions enable always trigger _900_announce;

create table crm_private.refresh_tokens (
    hash bytea not null,
    session_id uuid not null,
    created_at timestamptz not null default now(),
    used_at timestamptz,
    successor_salt bytea,
    constraint refresh_tokens_pkey primary key (hash),
    constraint refresh_tokens_session_id_fkey foreign key (session_id) references crm_private.sessions (id) on delete cascade,
    constraint refresh_tokens_salt_needs_use_check check (successor_salt is null or used_at is not null)
);

create index refresh_tokens_session_id_idx on crm_private.refresh_tokens (session_id);

alter table crm_private.refresh_tokens alter column hash set statistics 0, alter column successor_salt set statistics 0;

comment on table crm_private.refresh_tokens is 'SHA-256 of refresh tokens; the newest of a session can be used.';
comment on column crm_private.refresh_tokens.successor_salt is
    'With the token itself, which is stored nowhere, gives its successor again: the answer to a repeated use within the grace.';

alter table crm_private.sessions enable row level security, force row level security;
alter table crm_private.refresh_tokens enable row level security, force row level security;

create policy sessions_all_definer on crm_private.sessions for all to crm_definer using (true) with check (true);
create policy refresh_tokens_all_definer on crm_private.refresh_tokens for all to crm_definer using (true) with check (true);

grant select, insert, update, delete on crm_private.sessions, crm_private.refresh_tokens to crm_definer;
grant select on crm_private.sessions, crm_private.refresh_tokens to crm_backup;
