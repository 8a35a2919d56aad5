-- invitations, the single-use tokens that prove an e-mail address is read, and the messages that carry them.

create table crm_private.invitations (
    org_id uuid not null,
    id uuid not null default crm.uuid_v7(),
    email text not null,
    role text not null,
    invited_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz,
    constraint invitations_pkey primary key (org_id, id),
    constraint invitations_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint invitations_invited_by_fkey foreign key (invited_by) references crm.users (id) on delete set null,
    constraint invitations_email_check check (email = lower(email) and char_length(email) <= 254),
    constraint invitations_org_id_role_fkey foreign key (org_id, role)
        references crm.roles (org_id, name) on update cascade on delete cascade,
    constraint invitations_one_end_check check (accepted_at is null or revoked_at is null)
);

create index invitations_org_id_email_idx on crm_private.invitations (org_id, email);
create index invitations_expires_at_idx on crm_private.invitations (expires_at);
create index invitations_org_id_role_idx on crm_private.invitations (org_id, role);
create index invitations_invited_by_idx on crm_private.invitations (invited_by);

comment on table crm_private.invitations is 'Who was invited into which organization, as what.';

create table crm_private.one_time_tokens (
    hash bytea not null,
    purpose text not null,
    user_id uuid,
    org_id uuid,
    invitation_id uuid,
    email text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint one_time_tokens_pkey primary key (hash),
    constraint one_time_tokens_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint one_time_tokens_org_id_invitation_id_fkey foreign key (org_id, invitation_id)
        references crm_private.invitations (org_id, id) on delete cascade,
    constraint one_time_tokens_purpose_check check (purpose in ('password_reset', 'email_verification', 'invitation')),
    constraint one_time_tokens_invitation_check check ((purpose = 'invitation') = (invitation_id is not null))
);

create index one_time_tokens_user_id_idx on crm_private.one_time_tokens (user_id);
create index one_time_tokens_org_id_invitation_id_idx on crm_private.one_time_tokens (org_id, invitation_id);
create index one_time_tokens_expires_at_idx on crm_private.one_time_tokens (expires_at);

alter table crm_private.one_time_tokens alter column hash set statistics 0;

comment on table crm_private.one_time_tokens is 'SHA-256 of tokens that were sent to an e-mail address.';
comment on column crm_private.one_time_tokens.user_id is
    'Null for an address that has no account: the row is written all the same, so that the time taken does not tell.';

create table crm_private.messages (
    id uuid not null default crm.uuid_v7(),
    org_id uuid,
    kind text not null,
    recipient text,
    content jsonb not null default '{}',
    secret text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    claimed_until timestamptz,
    attempts integer not null default 0,
    finished_at timestamptz,
    user_id uuid,
    notification_id uuid,
    constraint messages_pkey primary key (id),
    constraint messages_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint messages_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade,
    constraint messages_kind_check
        check (kind in ('password_reset', 'email_verification', 'invitation', 'password_changed', 'notification')),
    constraint messages_notification_check check (
        case when kind = 'notification' then num_nonnulls(org_id, user_id, notification_id) = 3 else num_nonnulls(user_id, notification_id) = 0 end
    ),
    constraint messages_finished_forgets_check check (finished_at is null or secret is null)
);

create index messages_waiting_idx on crm_private.messages (id) where finished_at is null;
create index messages_org_id_idx on crm_private.messages (org_id);
create index messages_org_id_user_id_created_at_idx on crm_private.messages (org_id, user_id, created_at);
create index messages_expires_at_idx on crm_private.messages (expires_at);

alter table crm_private.messages alter column secret set statistics 0;

comment on table crm_private.messages is 'What is to be sent to people; crm.claim_messages() hands it to whoever delivers it.';
comment on column crm_private.messages.org_id is
    'The organization that invites or notifies, with which the message goes; null for what is between a person and the platform.';
comment on column crm_private.messages.user_id is 'Whom a notification is for. Where it goes and what it says is looked up when it is handed out.';
comment on column crm_private.messages.secret is 'The token the message carries; gone as soon as the message is delivered.';

alter table crm_private.invitations enable row level security, force row level security;
alter table crm_private.one_time_tokens enable row level security, force row level security;
alter table crm_private.messages enable row level security, force row level security;

create policy invitations_all_definer on crm_private.invitations for all to crm_definer using (true) with check (true);
create policy one_time_tokens_all_definer on crm_private.one_time_tokens for all to crm_definer using (true) with check (true);
create policy messages_all_definer on crm_private.messages for all to crm_definer using (true) with check (true);

grant select, insert, update, delete on crm_private.invitations, crm_private.one_time_tokens, crm_private.messages to crm_definer;
grant select on crm_private.invitations, crm_private.one_time_tokens, crm_private.messages to crm_backup;
