-- passwords: hashes. login_failures: how often it was tried in vain.

create table crm_private.passwords (
    user_id uuid not null,
    hash text not null,
    changed_at timestamptz not null default now(),
    constraint passwords_pkey primary key (user_id),
    constraint passwords_user_id_fkey foreign key (user_id) references crm.users (id) on delete cascade,
    constraint passwords_hash_check check (hash ~ '^\$(argon2id\$|2[aby]\$)')
);

alter table crm_private.passwords alter column hash set statistics 0;

comment on table crm_private.passwords is
    'Argon2id hashes in PHC string format; bcrypt hashes of another system until their owner''s next login.';

create table crm_private.login_failures (
    kind text not null,
    subject bytea not null,
    failures integer not null,
    window_started_at timestamptz not null,
    constraint login_failures_pkey primary key (kind, subject),
    constraint login_failures_kind_check check (kind in ('account', 'address', 'password_reset', 'email_verification', 'invitation'))
);

create index login_failures_window_started_at_idx on crm_private.login_failures (window_started_at);

alter table crm_private.login_failures alter column subject set statistics 0;

comment on table crm_private.login_failures is
    'Attempts within the current window, for known and unknown e-mail addresses alike.';
comment on column crm_private.login_failures.subject is 'SHA-256 of the e-mail address or the network address (IPv6: the /64).';

alter table crm_private.passwords enable row level security, force row level security;
alter table crm_private.login_failures enable row level security, force row level security;

create policy passwords_all_definer on crm_private.passwords for all to crm_definer using (true) with check (true);
create policy login_failures_all_definer on crm_private.login_failures for all to crm_definer using (true) with check (true);

grant select, insert, update, delete on crm_private.passwords, crm_private.login_failures to crm_definer;
grant select on crm_private.passwords, crm_private.login_failures to crm_backup;
