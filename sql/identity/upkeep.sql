-- What delivers messages and clears away what has expired.

create function crm.claim_messages(count integer default 10, lease interval default '1 minute')
    returns table (id uuid, kind text, recipient text, content jsonb, token text, expires_at timestamptz, attempt integer)
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'claim_messages_wrapper';

revoke all on function crm.claim_messages(integer, interval) from public;
grant execute on function crm.claim_messages(integer, interval) to crm_worker;

comment on function crm.claim_messages(integer, interval) is
    'For whoever delivers messages to people: those that wait, leased to the caller for a while. token: what the message carries, for the function the kind names (password_reset: crm.reset_password, email_verification: crm.verify_email, invitation: crm.accept_invitation). One of the kind notification only as long as its person is to get it, and has not read it. Ends with crm.complete_message; without it they come again after the lease. None in a copy of another database: see crm.bind_deployment. Errors: 25006 in a transaction that only reads.';

create function crm.complete_message(id uuid)
    returns boolean
    language c
    volatile
    strict
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'complete_message_wrapper';

revoke all on function crm.complete_message(uuid) from public;
grant execute on function crm.complete_message(uuid) to crm_worker;

comment on function crm.complete_message(uuid) is
    'For whoever delivers messages: it was delivered, or never can be. The token it carried is forgotten. Returns whether it was waiting.';

create function crm.clear_expired(batch integer default 10000)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'clear_expired_wrapper';

revoke all on function crm.clear_expired(integer) from public;
grant execute on function crm.clear_expired(integer) to crm_worker, crm_admin;

comment on function crm.clear_expired(integer) is
    'Clears away what has expired: sessions a week after their end, refresh and one-time tokens, messages, invitations, signing keys, sign-ins, failures; adds up what was counted of resources without a limit; at most so many rows of each kind. Returns how many of each. Call it every few minutes.';
