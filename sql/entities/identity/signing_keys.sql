-- signing_keys: what access tokens are signed with. A new key is published at once and signs from active_from; the one
-- before it signs until then and verifies until the last token it signed has expired.

create table crm_private.signing_keys (
    kid text not null,
    alg text not null,
    public_jwk jsonb not null,
    private_key text,
    created_at timestamptz not null default now(),
    active_from timestamptz not null default now(),
    retired_at timestamptz,
    expires_at timestamptz,
    constraint signing_keys_pkey primary key (kid),
    constraint signing_keys_alg_check check (alg in ('RS256', 'ES256', 'EdDSA')),
    constraint signing_keys_retired_expires_check check ((retired_at is null) = (expires_at is null)),
    constraint signing_keys_active_can_sign_check check (retired_at is not null or private_key is not null)
);

-- Statistics are kept apart from the table and its policies: a secret among them could be read past both.
alter table crm_private.signing_keys alter column private_key set statistics 0;

-- The newest key is the only one without an end.
create unique index signing_keys_active_idx on crm_private.signing_keys ((retired_at is null)) where retired_at is null;

comment on table crm_private.signing_keys is 'The keys access tokens are signed with; a retired one verifies until expires_at.';
comment on column crm_private.signing_keys.kid is 'RFC 7638 thumbprint of the public key.';
comment on column crm_private.signing_keys.private_key is 'PKCS #8, PEM; gone once the key is retired.';
comment on column crm_private.signing_keys.active_from is 'Signs from here until retired_at; published before.';

create trigger _900_announce after insert or update or delete on crm_private.signing_keys
    for each row execute function crm_private.announce();
create trigger _900_announce_truncate after truncate on crm_private.signing_keys
    for each statement execute function crm_private.announce();

-- Also where rows arrive by replication.
alter table crm_private.signing_keys enable always trigger _900_announce;
alter table crm_private.signing_keys enable always trigger _900_announce_truncate;

alter table crm_private.signing_keys enable row level security, force row level security;

create policy signing_keys_all_definer on crm_private.signing_keys for all to crm_definer using (true) with check (true);

grant select, insert, update, delete on crm_private.signing_keys to crm_definer;
grant select on crm_private.signing_keys to crm_backup;
