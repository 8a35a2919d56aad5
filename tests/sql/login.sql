-- Registering, logging in, and tokens that the platform issues: answers, refusals, and what they leave.

begin;
\ir actors.psql
select plan(49);

select tests.register('bob', 'Borg');
create function tests.claims(token text) returns jsonb language sql immutable as $$
    select convert_from(decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64'), 'utf8')::jsonb
    from split_part(token, '.', 2) as part
$$;
create table tests.answers (name text, answer jsonb);
grant select, insert on tests.answers to public;

-- register -----------------------------------------------------------------------------------------------------------

select tests.become_role('crm_anon');
insert into tests.answers select 'register', crm.register('  Ann@Example.COM', 'correct horse', ' Acme, Inc. ', 'Ann Lee');
select is((crm.whoami() ->> 'authenticated')::boolean, false, 'registering does not make the transaction ann''s');
select tests.nobody();
select is(answer #>> '{user,email}', 'ann@example.com', 'ann registers, and her e-mail is normalised') from tests.answers;
select is(answer #>> '{user,full_name}', 'Ann Lee', 'her name is kept') from tests.answers;
select is(
    (answer -> 'organization') - 'id', '{"slug": "acme-inc", "name": "Acme, Inc.", "role": "owner", "notification_email": false}', 'she owns her organization'
) from tests.answers;
select is(answer -> 'organizations', jsonb_build_array((answer -> 'organization') || '{"status": "active", "status_reason": null, "status_changed_at": null}'), 'which is the only one') from tests.answers;
select is(answer - array['access_token', 'refresh_token', 'user', 'organization', 'organizations'], '{"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 604800}', 'the token lives 15 minutes')
from tests.answers;
select is(
    tests.claims(answer ->> 'access_token') - array['iat', 'nbf', 'exp', 'jti', 'sid'],
    jsonb_build_object('iss', 'crm_ext', 'aud', 'crm', 'role', 'crm_app', 'sub', answer #> '{user,id}', 'org_id', answer #> '{organization,id}'),
    'and says who, where and as which role'
) from tests.answers;
select is(
    (c ->> 'exp')::bigint - (c ->> 'iat')::bigint, 900::bigint, 'for as long as the answer says'
) from tests.answers, tests.claims(answer ->> 'access_token') as c;
select matches(hash, '^\$argon2id\$v=19\$m=19456,t=2,p=1\$', 'her password is stored as an Argon2id hash')
from crm_private.passwords as p join crm.users as u on u.id = p.user_id where u.email = 'ann@example.com';

select tests.become_role('crm_anon');
select is(tests.outcome(format('select crm.register(%L, %L, %L, %L)', email, password, organization, name)), problem, sentence)
from (values
    ('ann@example.com', 'a fine password', 'Other', null, '23505 this e-mail cannot be registered', 'a known e-mail is not registered twice'),
    ('ANN@example.com', 'a fine password', 'Other', null, '23505 this e-mail cannot be registered', 'in whatever case'),
    ('ann', 'a fine password', 'Other', null, '22023 email: not a valid e-mail address', 'an e-mail must be one'),
    (null, 'a fine password', 'Other', null, '22023 email: is missing', 'and given'),
    ('new@example.com', '1234567', 'Other', null, '22023 password: too short: at least 8 characters are needed', 'a password has 8 characters'),
    ('new@example.com', repeat('x', 257), 'Other', null, '22023 password: too long: at most 256 characters are allowed', 'and no more than 256'),
    ('new@example.com', null, 'Other', null, '22023 password: is missing', 'and is given'),
    ('new@example.com', 'a fine password', ' ', null, '22023 organization_name: must not be empty', 'an organization has a name'),
    ('new@example.com', 'a fine password', null, null, '22023 organization_name: is missing', 'that is given'),
    ('new@example.com', 'a fine password', repeat('x', 201), null, '22023 organization_name: too long: 201 characters, at most 200 are allowed', 'not too long a one'),
    ('new@example.com', 'a fine password', E'a\nb', null, '22023 organization_name: line breaks and control characters are not allowed', 'of one line'),
    ('new@example.com', 'a fine password', 'Other', repeat('x', 201), '22023 full_name: too long: 201 characters, at most 200 are allowed', 'a name is not too long'),
    ('new@example.com', repeat('ü', 256), repeat('名', 200), repeat('😀', 200), '1 rows', 'the longest are fine')
) as bad (email, password, organization, name, problem, sentence);
select tests.nobody();
select is((select count(*) from crm.users where email like 'new%'), 0::bigint, 'what is refused leaves nobody');
select is((select count(*) from crm.organizations where name = 'Other'), 0::bigint, 'and no organization');
select matches(
    crm.register('second@example.com', 'a fine password', 'Acme Inc') #>> '{organization,slug}', '^acme-inc-[0-9a-f]{8}$', 'a second Acme, Inc. has a slug with a random end'
);
select matches(
    crm.register('third@example.com', 'a fine password', '00000000-0000-0000-0000-000000000001') #>> '{organization,slug}', '^organization', 'a slug never reads as an id'
);

-- login ----------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_anon');
create function pg_temp.login(email text, password text, organization text default null) returns jsonb language sql volatile as $$
    select crm.login(email, password, organization)
$$;
select is(pg_temp.login(' ANN@example.com ', 'correct horse') #>> '{organization,slug}', 'acme-inc', 'ann logs in');
select is((crm.whoami() ->> 'authenticated')::boolean, false, 'which does not make the transaction hers');
\set wrong '{"code": "28P01", "message": "the e-mail or the password is wrong", "details": null, "hint": null}'
select is(pg_temp.login('ann@example.com', 'Correct horse'), :'wrong'::jsonb, 'with a wrong password she does not');
select is(current_setting('response.status'), '401', 'PostgREST is told to answer 401');
select is(pg_temp.login('nobody@example.com', 'correct horse'), :'wrong'::jsonb, 'an unknown e-mail gets the same answer');
select is(pg_temp.login('', ''), :'wrong'::jsonb, 'nothing at all as well');
select is(pg_temp.login('ann@example.com', repeat('x', 100000)), :'wrong'::jsonb, 'and a far too long password');
select is(tests.outcome('select crm.login(null, ''x'')'), '22023 email: is missing', 'an e-mail that is not given is named');
select is(tests.outcome('select crm.login(''x'', null)'), '22023 password: is missing', 'and a password');
select is(
    pg_temp.login('ann@example.com', 'correct horse', 'borg'),
    '{"code": "42501", "message": "no access to this organization", "details": null, "hint": null}', 'ann cannot log in to bob''s organization'
);
select is(current_setting('response.status'), '403', 'PostgREST is told to answer 403');
select is(
    pg_temp.login('ann@example.com', 'correct horse', 'nowhere'), pg_temp.login('ann@example.com', 'correct horse', 'borg'),
    'nor to one that does not exist, with the same answer'
);
select is(pg_temp.login('ann@example.com', 'wrong password', 'borg'), :'wrong'::jsonb, 'with a wrong password she does not even learn that');

select tests.nobody();
insert into crm.memberships (org_id, user_id, role)
select tests.org_id('Borg'), id, 'sales' from crm.users where email = 'ann@example.com';
insert into tests.answers select 'several', crm.login('ann@example.com', 'correct horse');
select is(answer -> 'organization', 'null', 'a member of several organizations who names none has none active') from tests.answers where name = 'several';
select is(jsonb_array_length(answer -> 'organizations'), 2, 'and is told which there are') from tests.answers where name = 'several';
select is(
    (select array[c ->> 'role', c ->> 'org_id'] from tests.claims(answer ->> 'access_token') as c), '{crm_multi,null}', 'the token looks across them'
) from tests.answers where name = 'several';
select is(crm.login('ann@example.com', 'correct horse', 'Borg') #>> '{organization,role}', 'sales', 'one can be named by its slug');
select is(crm.login('ann@example.com', 'correct horse', tests.org_id('Borg')::text) #>> '{organization,slug}', 'borg', 'or by its id');
update crm.users set status = 'disabled' where email = 'ann@example.com';
select is(crm.login('ann@example.com', 'correct horse'), :'wrong'::jsonb, 'who is disabled does not log in, with the same answer');

-- issue_token ------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select is(
    crm.issue_token(tests.user_id('bob'), tests.org_id('Borg')) - array['access_token', 'token'], '{"token_type": "Bearer", "expires_in": 3600, "expiresIn": 3600}',
    'the platform has a token made for bob that lives an hour'
);
select is(tests.outcome(format('select crm.issue_token(%s)', arguments)), problem, sentence)
from (values
    ('null', '22023 user_id: is missing', 'for nobody there is no token'),
    ('gen_random_uuid()', '42501 this user is not an active member of this organization', 'nor for somebody unknown'),
    ('tests.user_id(''bob''), gen_random_uuid()', '42501 this user is not an active member of this organization', 'nor for an organization bob is not in')
) as bad (arguments, problem, sentence);

select * from finish();
rollback;
