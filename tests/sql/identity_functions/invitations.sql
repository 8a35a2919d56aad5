-- Invitations: who may invite whom, and what becomes of the token that the message carries.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('admin', 'Acme', 'admin');
select tests.hire('manager', 'Acme', 'manager');
select tests.hire('sales', 'Acme', 'sales');
select tests.hire('support', 'Acme', 'support');
select tests.register('sue', 'Sues');
select tests.hire('viewer', 'Acme', 'read_only');
create function tests.message(email text) returns text language sql volatile security definer as $$
    select secret from crm_private.messages where kind = 'invitation' and recipient = email order by id desc limit 1
$$;
create table tests.made (name text, id uuid);
grant select, insert on tests.made to public;
\set bad_token '22023 token: is not valid: it is unknown, was used or revoked, or has expired'

-- Who may not ---------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, call)
from unnest('{crm_anon,crm_multi,crm_service,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.invite_user(''x'', ''y'')', 'crm.revoke_invitation(null)', 'crm.list_invitations()']) as call;
select tests.denied(role, 'crm.accept_invitation(''x'')') from unnest('{crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role;

select tests.nobody();
create function tests.refused(person text) returns setof text language plpgsql as $$
declare
    call record;
begin
    perform tests.become(person, 'Acme');
    for call in
        values ('crm.invite_user(''new@example.com'', ''read_only'')', 'create'), ('crm.revoke_invitation(gen_random_uuid())', 'delete'), ('crm.list_invitations()', 'read')
    loop
        return next is(
            tests.outcome('select ' || call.column1), '42501 your role does not permit invitations.' || call.column2, format('%s cannot call %s', person, call.column1)
        );
    end loop;
end
$$;
select tests.refused(person) from unnest('{manager,sales,support,viewer}'::text[]) as person;
select tests.become_role('crm_app');
select is(tests.outcome('select ' || call), '42501 nobody is logged in', 'nobody may call ' || call)
from unnest(array['crm.invite_user(null, null)', 'crm.revoke_invitation(null)', 'crm.list_invitations()']) as call;

-- invite_user -----------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select crm.invite_user(' New@Example.com ', 'sales') as answer \gset
select is(:'answer'::jsonb - array['id', 'expires_at'], '{"email": "new@example.com", "role": "sales"}', 'ann invites somebody');
select ok(
    (:'answer'::jsonb ->> 'expires_at')::timestamptz between now() + interval '6 days 23 hours' and now() + interval '7 days 1 hour',
    'for a week'
);
insert into tests.made values ('first', (:'answer'::jsonb ->> 'id')::uuid);
select is(tests.outcome(format('select crm.invite_user(%L, %L)', email, role)), problem, sentence)
from (values
    (null, 'sales', '22023 email: is missing', 'ann gives an address'),
    ('new', 'sales', '22023 email: not a valid e-mail address', 'that is one'),
    ('new@example.com', null, '22023 role: is missing', 'and a role'),
    ('new@example.com', 'root', '22023 role: this organization has no such role', 'that there is'),
    ('SALES@example.com', 'sales', '23505 somebody with this e-mail is a member already', 'and nobody who is a member'),
    ('other@example.com', 'owner', '1 rows', 'she may invite an owner')
) as cases (email, role, problem, sentence);
select tests.become('admin', 'Acme');
select is(
    tests.outcome('select crm.invite_user(''x@example.com'', ''owner'')'), '42501 nobody can grant more than they have: this role is above yours',
    'an administrator cannot'
);
select is(tests.outcome(format('select crm.invite_user(''x@example.com'', %L)', role)), '1 rows', 'but ' || role)
from unnest('{admin,manager,sales,support,read_only}'::text[]) as role;
select is((select count(*) from crm.list_invitations()), 1::bigint, 'and sees who is invited');
select results_eq(
    'select id, email, role, invited_by from crm.list_invitations()',
    'select id, ''new@example.com'', ''sales'', tests.user_id(''ann'') from tests.made', 'as what, and by whom'
);
select tests.become('bob', 'Borg');
select is_empty('select crm.list_invitations()', 'bob sees nothing of it');
select is(crm.revoke_invitation((select id from tests.made)), '{"revoked": 0}', 'nor can he revoke it');
select is(crm.revoke_invitation(gen_random_uuid()), '{"revoked": 0}', 'with the same answer as where there is none');
select tests.nobody();
select is(content, '{"organization": "Acme", "role": "sales", "invited_by": "Ann"}', 'the message says who invites into what')
from crm_private.messages where kind = 'invitation' and recipient = 'new@example.com';
select tests.message('new@example.com') as first \gset
select tests.become('ann', 'Acme');
select is(crm.invite_user('new@example.com', 'manager') ->> 'role', 'manager', 'ann invites the same person as something else');
select is((select array_agg(role) from crm.list_invitations()), '{manager}', 'which ends the invitation before');
select tests.message('new@example.com') as token \gset

-- accept_invitation -------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_anon');
select is(tests.outcome(format('select crm.accept_invitation(%L, %L)', token, password)), problem, sentence)
from (values
    (:'first', 'a fine password', :'bad_token', 'its token is not valid any more'),
    (null, 'a fine password', '22023 token: is missing', 'a token is given'),
    ('', 'a fine password', :'bad_token', 'and valid'),
    (repeat('A', 43), 'a fine password', :'bad_token', 'not any other'),
    (:'token', null, '22023 password: is missing', 'somebody new chooses a password'),
    (:'token', 'short', '22023 password: too short: at least 8 characters are needed', 'that is long enough'),
    (:'token', 'password1', '22023 password: one of the commonest passwords: choose another', 'and none of the commonest')
) as cases (token, password, problem, sentence);
select crm.accept_invitation(:'token', 'a fine password', 'Newman') as answer \gset
select is(
    :'answer'::jsonb - array['access_token', 'refresh_token', 'organizations'] #- '{organization,id}' #- '{user,id}',
    '{"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 604800, "organization": {"slug": "acme", "name": "Acme", "role": "manager", "notification_email": false},
        "user": {"email": "new@example.com", "full_name": "Newman", "email_verified": true, "time_zone": null, "locale": null, "avatar_url": null}}',
    'the token was not used up by that: the invited person is a manager of Acme, with a proven address'
);
select is(tests.outcome(format('select crm.accept_invitation(%L, ''a fine password'')', :'token')), :'bad_token', 'it works once');
select tests.nobody();
select is(crm.login('new@example.com', 'a fine password') #>> '{organization,slug}', 'acme', 'they log in');
select is(
    (select kind from crm_private.sessions where user_id = (:'answer'::jsonb #>> '{user,id}')::uuid order by id limit 1), 'invitation',
    'and their session says how it began'
);
insert into tests.people values ('new', (:'answer'::jsonb #>> '{user,id}')::uuid);
select tests.become('new', 'Acme');
select is(
    tests.outcome('select crm.invite_user(''x@example.com'', ''read_only'')'), '42501 your role does not permit invitations.create',
    'a manager invites nobody'
);

-- Who has an account already
select tests.become('ann', 'Acme');
select crm.invite_user('bob@example.com', 'read_only');
select tests.message('bob@example.com') as token \gset
select tests.become_role('crm_anon');
select is(
    tests.outcome(format('select crm.accept_invitation(%L, ''a fine password'')', :'token')), '42501 log in first, as the user with the invited e-mail',
    'bob, who has an account, has to log in first'
);
select tests.become('sales', 'Acme');
select is(
    tests.outcome(format('select crm.accept_invitation(%L)', :'token')), '42501 this invitation is for another e-mail',
    'another user cannot accept it'
);
select tests.nobody();
select crm.grant_platform_role(tests.user_id('sue'), 'support');
select tests.become('sue', 'Sues');
select crm.impersonate(tests.user_id('bob'), 'help') ->> 'access_token' as acting \gset
select crm.authenticate(:'acting');
select is(
    tests.outcome(format('select crm.accept_invitation(%L)', :'token')), '42501 not while acting as somebody else',
    'nor can support, acting as bob'
);
select is(tests.outcome('select crm.invite_user(''x@example.com'', ''sales'')'), '42501 not while acting as somebody else', 'nor invite anybody');
select is(tests.outcome('select crm.revoke_invitation(gen_random_uuid())'), '42501 not while acting as somebody else', 'nor revoke an invitation');
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{*.*}') ->> 'key' as key, crm.create_api_key('Other', '{contacts.*}') ->> 'key' as narrow \gset
select crm.authenticate_api_key(:'key');
select is(tests.outcome(format('select crm.accept_invitation(%L)', :'token')), '42501 only for users who logged in here', 'nor can a key');
select is(
    tests.outcome('select crm.invite_user(''x@example.com'', ''sales'')'), '42501 only for users who logged in here',
    'which cannot invite either'
);
select is((select count(*) from crm.list_invitations()), 1::bigint, 'but may read who is, with the scope');
select crm.authenticate_api_key(:'narrow');
select is(tests.outcome('select crm.list_invitations()'), '42501 your key does not permit invitations.read', 'and not without');
select tests.become('bob', 'Borg');
select is(crm.accept_invitation(:'token') #>> '{organization,role}', 'read_only', 'bob accepts it');
select is(tests.outcome(format('select crm.accept_invitation(%L)', :'token')), :'bad_token', 'once');
select tests.become('bob', 'Acme');
select is(crm.whoami() ->> 'role', 'read_only', 'and is in Acme');
select tests.become('ann', 'Acme');
select is(
    tests.outcome('select crm.invite_user(''bob@example.com'', ''sales'')'), '23505 somebody with this e-mail is a member already',
    'a member is not invited'
);
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('bob') and org_id = tests.org_id('Acme');
select tests.become('ann', 'Acme');
select crm.invite_user('bob@example.com', 'sales') ->> 'id' as id \gset
select tests.message('bob@example.com') as token \gset
select tests.nobody();
update crm.memberships set status = 'active', ended_at = null where user_id = tests.user_id('bob');
select tests.become('bob', 'Borg');
select is(
    tests.outcome(format('select crm.accept_invitation(%L)', :'token')), '23505 you are a member of this organization already',
    'who has joined meanwhile is told so'
);
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('bob') and org_id = tests.org_id('Acme');
select tests.become('bob', 'Borg');
select is(crm.accept_invitation(:'token') #>> '{organization,role}', 'sales', 'who had left joins again, as what the invitation says');

-- revoke_invitation, and what else ends one ----------------------------------------------------------------------------------------

select tests.become('admin', 'Acme');
select is(crm.revoke_invitation(:'id'), '{"revoked": 0}', 'an accepted invitation cannot be revoked');
select is(tests.outcome('select crm.revoke_invitation(null)'), '22023 invitation_id: is missing', 'nor one that is not given');
select crm.invite_user('late@example.com', 'sales') ->> 'id' as id \gset
select tests.message('late@example.com') as token \gset
select is(crm.revoke_invitation(:'id'), '{"revoked": 1}', 'an administrator revokes an open one');
select is(crm.revoke_invitation(:'id'), '{"revoked": 0}', 'once');
select tests.become_role('crm_anon');
select is(tests.outcome(format('select crm.accept_invitation(%L, ''a fine password'')', :'token')), :'bad_token', 'its token is not valid then');

select tests.nobody();
create function tests.accepted_after(change text) returns text language plpgsql as $$
declare
    said text;
    sent text;
begin
    perform tests.become('ann', 'Acme');
    perform crm.invite_user('late@example.com', 'sales');
    perform tests.nobody();
    -- With the organization the message goes, too.
    sent := tests.message('late@example.com');
    begin
        execute change;
        said := tests.outcome(format('select crm.accept_invitation(%L, ''a fine password'')', sent));
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    return said;
end
$$;
select is(tests.accepted_after(change), said, sentence)
from (values
    ('select 1', '1 rows', 'an open invitation is accepted'),
    ('update crm_private.invitations set expires_at = now()', :'bad_token', 'not when it has expired'),
    ('update crm_private.one_time_tokens set expires_at = now()', :'bad_token', 'nor when its token has'),
    ('update crm.organizations set status = ''suspended''', :'bad_token', 'nor when Acme is suspended'),
    ('delete from crm.organizations', :'bad_token', 'nor when it is deleted'),
    ('insert into crm.users (email) values (''late@example.com'')', '42501 log in first, as the user with the invited e-mail',
        'somebody who has registered meanwhile logs in first')
) as cases (change, said, sentence);

select * from finish();
rollback;
