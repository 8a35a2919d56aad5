-- Passwords: changing and resetting them, proving an e-mail address, hashes of other systems, and how often one may fail.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('olga', 'Borg', 'owner');
create function tests.login(person text, password text default null) returns text language sql volatile as $$
    select coalesce(a ->> 'code', 'accepted')
    from crm.login(person || '@example.com', coalesce(password, 'password of ' || person)) as a
$$;
-- The token of the newest message of this kind to a person.
create function tests.message(person text, message_kind text) returns text language sql volatile as $$
    select secret from crm_private.messages where kind = message_kind and recipient = person || '@example.com' order by id desc limit 1
$$;
create function tests.cost(person text) returns text language sql volatile as $$
    select substring(hash from '^\$argon2id\$v=19\$[^$]*|^\$2.\$..') from crm_private.passwords where user_id = tests.user_id(person)
$$;
\set bad_token '22023 token: is not valid: it is unknown, was used, or has expired'

-- Who may not ---------------------------------------------------------------------------------------------------------------

create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, call)
from unnest('{crm_anon,crm_service,crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.change_password(''x'', ''y'')', 'crm.request_email_verification()']) as call;
select tests.denied(role, call)
from unnest('{crm_worker,crm_admin,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.request_password_reset(''x'')', 'crm.reset_password(''x'', ''y'')', 'crm.verify_email(''x'')']) as call;
select tests.become_role('crm_app');
select is(tests.outcome('select ' || call), '42501 nobody is logged in', 'nobody may not call ' || call)
from unnest(array['crm.change_password(''x'', ''y'')', 'crm.change_password(null, null)', 'crm.request_email_verification()']) as call;

-- change_password -------------------------------------------------------------------------------------------------------------

select tests.nobody();
select tests.login('ann');
select tests.become('ann', 'Acme');
select is(tests.outcome(format('select crm.change_password(%L, %L)', current, new)), '22023 ' || problem, sentence)
from (values
    (null, 'a new password', 'current_password: is missing', 'ann gives her password'),
    ('password of ann', null, 'new_password: is missing', 'and a new one'),
    ('password of ann', '1234567', 'new_password: too short: at least 8 characters are needed', 'that is long enough'),
    ('password of ann', repeat('x', 257), 'new_password: too long: at most 256 characters are allowed', 'and not too long'),
    ('password of ann', 'password1', 'new_password: one of the commonest passwords: choose another', 'none of the commonest'),
    ('password of ann', 'Ann@Example.com', 'new_password: too close to your e-mail or name: choose another', 'and not her e-mail')
) as bad (current, new, problem, sentence);
select is(
    crm.change_password('wrong', 'a new password'), '{"code": "28P01", "message": "the current password is wrong", "details": null, "hint": null}',
    'with a wrong password she does not change it'
);
select is(current_setting('response.status'), '403', 'PostgREST is told to answer 403');
select is(crm.change_password('password of ann', 'a new password'), '{"ended_sessions": 1}', 'she changes it, and her other session ends');
select is(tests.outcome(format('select crm.authenticate(%L)', tests.token('ann', 'Acme'))), '1 rows', 'this one goes on');
select tests.nobody();
select is(tests.login('ann'), '28P01', 'the old password is good no more');
select is(tests.login('ann', 'a new password'), 'accepted', 'the new one is');
select is(
    (select array_agg(distinct end_reason) from crm_private.sessions where user_id = tests.user_id('ann') and ended_at is not null), '{password_changed}',
    'it is noted why they ended'
);
select is(
    (select row(recipient, content, secret)::text from crm_private.messages where kind = 'password_changed'),
    row('ann@example.com', '{"full_name": "Ann"}'::jsonb, null::text)::text, 'she is told by mail'
);
select is(
    (select count(*) from crm_private.sessions where user_id = tests.user_id('bob') and ended_at is not null), 0::bigint,
    'bob''s sessions go on'
);
select is(tests.login('bob'), 'accepted', 'and so does his password');
select tests.become('bob', 'Borg');
select is(crm.change_password('a new password', 'another password') ->> 'code', '28P01', 'ann''s password is not bob''s');

-- reset_password ----------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_anon');
\set on_its_way '{"message": "if somebody has this e-mail, a message is on its way to it"}'
select is(crm.request_password_reset(' ANN@example.com '), :'on_its_way'::jsonb, 'ann asks for a message');
select is(crm.request_password_reset('nobody@example.com'), :'on_its_way'::jsonb, 'nobody gets the same answer');
select is(tests.outcome('select crm.request_password_reset(null)'), '22023 email: is missing', 'an address is given');
select is(tests.outcome('select crm.request_password_reset(''ann'')'), '22023 email: not a valid e-mail address', 'and is one');
select tests.nobody();
select is(
    (select array_agg(recipient order by recipient) from crm_private.messages where kind = 'password_reset' and finished_at is null), '{ann@example.com}',
    'only ann''s message goes out'
);
select tests.message('ann', 'password_reset') as first \gset
select crm.request_password_reset('ann@example.com');
select tests.message('ann', 'password_reset') as second \gset
select tests.message('ann', 'email_verification') as verification \gset
select is_empty(
    format('select from crm_private.one_time_tokens as t where t::text like any (array[%L, %L])', '%' || :'first' || '%', '%' || :'second' || '%'),
    'of the tokens only hashes are kept'
);
select tests.become_role('crm_anon');
select is(tests.outcome(format('select crm.reset_password(%L, %L)', token, new)), '22023 ' || problem, sentence)
from (values
    (null, 'a third password', 'token: is missing', 'a token is given'),
    (:'first', null, 'new_password: is missing', 'and a password'),
    ('', 'a third password', 'token: is not valid: it is unknown, was used, or has expired', 'an empty token is not valid'),
    (repeat('A', 43), 'a third password', 'token: is not valid: it is unknown, was used, or has expired', 'nor one that nobody sent'),
    (:'verification', 'a third password', 'token: is not valid: it is unknown, was used, or has expired', 'nor one for another purpose'),
    (:'first', 'password1', 'new_password: one of the commonest passwords: choose another', 'the password is none of the commonest'),
    (:'first', 'ann', 'new_password: too short: at least 8 characters are needed', 'and long enough')
) as bad (token, new, problem, sentence);
select is(
    crm.reset_password(' ' || :'first' || ' ', 'a third password') ? 'ended_sessions', true,
    'which does not use the token up: ann sets a password'
);
select is(tests.outcome(format('select crm.reset_password(%L, ''a fourth password'')', token)), :'bad_token', sentence)
from (values (:'first', 'the token works once'), (:'second', 'and ends the others')) as tokens (token, sentence);
select tests.nobody();
select is(tests.login('ann', 'a third password'), 'accepted', 'ann logs in with it');
select is(
    (select count(*) from crm_private.sessions where user_id = tests.user_id('ann') and ended_at is null), 1::bigint, 'every session before has ended'
);
select is((select email_verified_at is not null from crm.users where id = tests.user_id('ann')), true, 'it proves her address');
select is((select email_verified_at is not null from crm.users where id = tests.user_id('bob')), false, 'not bob''s');

create function tests.reset_after(change text) returns text language plpgsql as $$
declare
    token text;
    said text;
begin
    delete from crm_private.login_failures;
    perform crm.request_password_reset('bob@example.com');
    token := tests.message('bob', 'password_reset');
    begin
        execute change;
        said := tests.outcome(format('select crm.reset_password(%L, ''a fine password'')', token));
        raise exception 'undone';
    exception
        when raise_exception then null;
    end;
    return said;
end
$$;
select is(tests.reset_after(change), said, sentence)
from (values
    ('select 1', '1 rows', 'bob''s token is good'),
    ('update crm_private.one_time_tokens set expires_at = now()', :'bad_token', 'not when it has expired'),
    ('update crm_private.one_time_tokens set used_at = now()', :'bad_token', 'nor when it was used'),
    ('update crm.users set status = ''disabled''', :'bad_token', 'nor when he is disabled'),
    ('update crm.users set email = ''new@example.com'' where full_name = ''Bob''', :'bad_token', 'nor when his address is another'),
    ('delete from crm.users where full_name = ''Bob''', :'bad_token', 'nor when he is deleted')
) as cases (change, said, sentence);
delete from crm_private.login_failures;
select is(
    (select array_agg(coalesce(crm.request_password_reset('Flood@example.com') ->> 'code', 'ok')) from generate_series(1, 7)),
    '{ok,ok,ok,ok,ok,53400,53400}', 'the sixth message to one address is refused, whether somebody has it or not'
);
select is(current_setting('response.status'), '429', 'PostgREST is told to answer 429');
select ok((current_setting('response.headers')::jsonb #>> '{0,Retry-After}')::int between 890 and 900, 'and when to come back');

delete from tests.tokens;

-- verify_email --------------------------------------------------------------------------------------------------------------------

select tests.become('bob', 'Borg');
select is(crm.request_email_verification(), '{"message": "a message is on its way"}', 'bob asks for a message');
select tests.nobody();
select tests.message('bob', 'email_verification') as newest \gset
select secret as oldest from crm_private.messages where kind = 'email_verification' and recipient = 'bob@example.com' order by id limit 1 \gset
select tests.become('bob', 'Borg');
select is(tests.outcome(format('select crm.verify_email(%L)', token)), problem, sentence)
from (values
    (null, '22023 token: is missing', 'a token is given'), ('', :'bad_token', 'an empty one is not valid'),
    (:'oldest', :'bad_token', 'a newer one ends the one before'),
    (:'first', :'bad_token', 'one for another purpose is not valid')
) as bad (token, problem, sentence);
select tests.become('ann', 'Acme');
select is(tests.outcome(format('select crm.verify_email(%L)', :'newest')), :'bad_token', 'ann cannot prove it for him');
select tests.become('bob', 'Borg');
select is(crm.verify_email(:'newest'), '{"email": "bob@example.com"}', 'bob proves his address');
select is(tests.outcome(format('select crm.verify_email(%L)', :'newest')), :'bad_token', 'once');
select tests.nobody();
select is((select email_verified_at is not null from crm.users where id = tests.user_id('bob')), true, 'that is noted');
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{*.*}') ->> 'key' as key \gset
select crm.authenticate_api_key(:'key');
select is(tests.outcome('select ' || call), '42501 only for users who logged in here', 'a key may not call ' || call)
from unnest(array['crm.change_password(''x'', ''y'')', 'crm.request_email_verification()']) as call;

-- Hashes of other systems -----------------------------------------------------------------------------------------------------------

select tests.nobody();
-- Of the test of crypt_blowfish (wrapper.c), and of the reference implementation of Argon2 (src/test.c).
select count(crm.create_user(name || '@example.com', password_hash => hash)) as users
from (values
    ('bcrypt', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'),
    ('argon', '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4')
) as made (name, hash) \gset
insert into tests.people select split_part(email, '@', 1), id from crm.users where email in ('bcrypt@example.com', 'argon@example.com');
select is(tests.login('bcrypt', 'U*U*'), '28P01', 'a wrong password does not belong to a hash of bcrypt');
select is(tests.cost('bcrypt'), '$2a$05', 'which stays');
select is(tests.login('bcrypt', 'U*U'), 'accepted', 'the right one does');
select is(tests.cost('bcrypt'), '$argon2id$v=19$m=19456,t=2,p=1', 'and is hashed anew');
select is(tests.login('bcrypt', 'U*U'), 'accepted', 'and is good again');
select is(tests.login('argon', 'password'), 'accepted', 'a cheap hash of Argon2id is good as well');
select is(tests.cost('argon'), '$argon2id$v=19$m=19456,t=2,p=1', 'and made anew at our cost');
select hash as before from crm_private.passwords where user_id = tests.user_id('argon') \gset
select is(tests.login('argon', 'password'), 'accepted', 'the next login');
select is((select hash from crm_private.passwords where user_id = tests.user_id('argon')), :'before', 'leaves it alone');
update crm_private.settings set argon2_memory_kib = 12288, argon2_iterations = 3;
select is(tests.login('argon', 'wrong'), '28P01', 'when the cost changes, a wrong password');
select is(tests.cost('argon'), '$argon2id$v=19$m=19456,t=2,p=1', 'changes nothing');
select is(tests.login('argon', 'password'), 'accepted', 'the right one');
select is(tests.cost('argon'), '$argon2id$v=19$m=12288,t=3,p=1', 'is hashed at the new cost');
update crm_private.settings set argon2_memory_kib = 19456, argon2_iterations = 2;
select throws_matching(format('update crm_private.passwords set hash = %L', hash), 'passwords_hash_check', sentence)
from (values ('plain', 'no password is stored as it is'), ('$1$salt$hash', 'nor hashed otherwise'), ('$2x$05$x', 'nor by the bcrypt of 2011')) as bad (hash, sentence);

-- Failures ------------------------------------------------------------------------------------------------------------------------------

delete from crm_private.login_failures;
select is(
    (select array_agg(tests.login('ann', 'wrong')) from generate_series(1, 7)), '{28P01,28P01,28P01,28P01,28P01,53400,53400}',
    'after five wrong passwords ann is locked out'
);
select is(current_setting('response.status'), '429', 'PostgREST is told to answer 429');
select is(tests.login('ann', 'a third password'), '53400', 'even with the right one');
select is(
    (select array_agg(tests.login('nobody', 'wrong')) from generate_series(1, 6)), '{28P01,28P01,28P01,28P01,28P01,53400}', 'somebody unknown is, too'
);
select is(tests.login('bob'), 'accepted', 'bob is not');
select tests.become('ann', 'Acme');
select is(crm.change_password('a third password', 'a fourth password') ->> 'code', '53400', 'nor can she try her password in crm.change_password');
select is(current_setting('response.status'), '429', 'PostgREST is told to answer 429');
select tests.nobody();
select crm.request_password_reset('ann@example.com');
select crm.reset_password(tests.message('ann', 'password_reset'), 'a fifth password');
delete from tests.tokens;
select is(tests.login('ann', 'a fifth password'), 'accepted', 'resetting her password lifts the lock-out');
select tests.login('ann', 'wrong') from generate_series(1, 4);
select is(tests.login('ann', 'a fifth password'), 'accepted', 'after four wrong ones she logs in');
select is(
    (select array_agg(tests.login('ann', 'wrong')) from generate_series(1, 5)), '{28P01,28P01,28P01,28P01,28P01}', 'and they count no more'
);
select is(tests.login('ann', 'a fifth password'), '53400', 'until there are five again');
update crm_private.login_failures set window_started_at = window_started_at - interval '14 minutes 50 seconds';
select is(tests.login('ann', 'a fifth password'), '53400', 'a quarter of an hour');
select ok((current_setting('response.headers')::jsonb #>> '{0,Retry-After}')::int between 1 and 10, 'less what has passed');
update crm_private.login_failures set window_started_at = window_started_at - interval '10 seconds';
select is(tests.login('ann', 'a fifth password'), 'accepted', 'later she logs in');
select is_empty('select from crm_private.login_failures as f where f::text like ''%ann@%''', 'addresses are counted by their hashes');

-- From one network address
delete from crm_private.login_failures;
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.7"}', true);
select is(
    (select array_agg(tests.login('person' || n, 'wrong')) from generate_series(1, 6) as n), '{28P01,28P01,28P01,28P01,28P01,53400}',
    'from one address five wrong passwords are taken, whosever they are'
);
select is(tests.login('bob'), '53400', 'and then not even bob''s right one');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.8"}', true);
select is(tests.login('bob'), 'accepted', 'from another he logs in');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.8, 203.0.113.7"}', true);
select is(tests.login('bob'), '53400', 'the entry that the proxy wrote counts');
update crm_private.settings set trusted_proxies = 0;
select is(tests.login('bob'), 'accepted', 'without a proxy the header is not believed');
update crm_private.settings set trusted_proxies = 1;
update crm_private.settings set login_failures_max = 1;
select set_config('request.headers', '{"x-forwarded-for": "2001:db8:1:2::1"}', true);
select tests.login('person8', 'wrong');
select set_config('request.headers', '{"x-forwarded-for": "2001:db8:1:2:ffff::2"}', true);
select is(tests.login('bob'), '53400', 'of IPv6 a whole /64 is one address');
select set_config('request.headers', '{"x-forwarded-for": "2001:db8:1:3::1"}', true);
select is(tests.login('bob'), 'accepted', 'and the next /64 is another');

select * from finish();
rollback;
