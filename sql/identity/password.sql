-- Passwords, and proving that an e-mail address is one's own.

create function crm.change_password(current_password text, new_password text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'change_password_wrapper';

revoke all on function crm.change_password(text, text) from public;
grant execute on function crm.change_password(text, text) to crm_app, crm_multi;

comment on function crm.change_password(text, text) is
$$Changes the caller's password and ends all other sessions of theirs. new_password: 8 to 256 characters, none of the commonest, not one's e-mail or name.
Returns {ended_sessions}. Refused, not raised: HTTP 403 and code 28P01 when current_password is wrong, 429 with Retry-After after too many failures. Errors: 22023 naming the argument, 42501 without a session or for support acting as the user.$$;

create function crm.request_password_reset(email text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'request_password_reset_wrapper';

revoke all on function crm.request_password_reset(text) from public;
grant execute on function crm.request_password_reset(text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.request_password_reset(text) is
    'Sends a token for crm.reset_password to the address, if somebody has it. The answer is the same in any case: {message}. Refused with HTTP 429 and Retry-After after 5 requests in 15 minutes for one address.';

create function crm.reset_password(token text, new_password text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'reset_password_wrapper';

revoke all on function crm.reset_password(text, text) from public;
grant execute on function crm.reset_password(text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.reset_password(text, text) is
    'Sets a new password with the token of the message, which works once. Ends all sessions, counts as proof of the e-mail address (if it is the first, what was opened before ends too: API keys, invitations), and lifts a lock-out. Returns {ended_sessions}. Errors: 22023 naming the argument; a token that is unknown, used or expired is 22023 for token.';

create function crm.request_email_verification()
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'request_email_verification_wrapper';

revoke all on function crm.request_email_verification() from public;
grant execute on function crm.request_email_verification() to crm_app, crm_multi;

comment on function crm.request_email_verification() is
    'Sends a token for crm.verify_email to the caller''s address. Returns {message}. Errors: 42501 without a user.';

create function crm.verify_email(token text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'verify_email_wrapper';

revoke all on function crm.verify_email(text) from public;
grant execute on function crm.verify_email(text) to crm_app, crm_multi;

comment on function crm.verify_email(text) is
    'Notes that the e-mail address is its user''s, with the token of the message, which works once. Called by that user, logged in. Returns {email}. Errors: 42501 without a user, 22023 for a token that is somebody else''s or that is unknown, used or expired.';
