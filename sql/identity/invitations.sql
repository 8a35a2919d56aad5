-- Inviting people into an organization.

create function crm.invite_user(email text, role text)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'invite_user_wrapper';

revoke all on function crm.invite_user(text, text) from public;
grant execute on function crm.invite_user(text, text) to crm_app;

comment on function crm.invite_user(text, text) is
$$Invites somebody into the active organization. A message with a token for crm.accept_invitation goes to the address; an earlier invitation of the same address ends.
role: the name of one of the organization's roles that is not above one's own; owner only by an owner. Returns {id, email, role, expires_at}. Errors: 42501 without the permission invitations.create or for a role above one's own, 22023 naming the argument, 23505 for a member. Refused with HTTP 429 and Retry-After after 5 messages in 15 minutes to one address.$$;

create function crm.accept_invitation(token text, password text default null, full_name text default null)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'accept_invitation_wrapper';

revoke all on function crm.accept_invitation(text, text, text) from public;
grant execute on function crm.accept_invitation(text, text, text) to crm_anon, crm_app, crm_multi, crm_service;

comment on function crm.accept_invitation(text, text, text) is
$$Joins the organization one was invited to, with the token of the message, which works once.
Without a token of one's own: makes the user, with this password, and logs in. Who has an account for that e-mail already logs in first. Returns {access_token, token_type, expires_in (seconds), refresh_token, refresh_expires_in, user, organization, organizations}. Errors: 22023 for a token that is unknown, used, revoked or expired, or whose sender could not invite as that role any more, and for the password; 42501 when the invitation is for another e-mail or its user has to log in first.$$;

create function crm.revoke_invitation(invitation_id uuid)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'revoke_invitation_wrapper';

revoke all on function crm.revoke_invitation(uuid) from public;
grant execute on function crm.revoke_invitation(uuid) to crm_app;

comment on function crm.revoke_invitation(uuid) is
    'Ends an invitation of the active organization that was not accepted. Returns {revoked}: 0 when there is none. Errors: 42501 without the permission invitations.delete.';

create function crm.list_invitations()
    returns table (id uuid, email text, role text, invited_by uuid, created_at timestamptz, expires_at timestamptz)
    language c
    stable
    security definer
    set search_path = pg_catalog, pg_temp
    parallel restricted
    as 'MODULE_PATHNAME', 'list_invitations_wrapper';

revoke all on function crm.list_invitations() from public;
grant execute on function crm.list_invitations() to crm_app;

comment on function crm.list_invitations() is
    'The open invitations of the active organization, for those with the permission invitations.read.';
