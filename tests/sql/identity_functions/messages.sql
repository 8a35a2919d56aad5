-- Messages: handed to whoever delivers them, for a while; and what is kept of the token that one carries.

begin;
\ir ../actors.psql
select no_plan();

delete from crm_private.messages;
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('olga', 'Acme', 'owner');
create function tests.claim(count integer default 10, lease interval default '1 minute') returns text language sql volatile as $$
    select string_agg(concat_ws(' ', kind, recipient, attempt), ', ' order by id) from crm.claim_messages(count, lease)
$$;
create function tests.leased() returns interval language sql volatile security definer as $$
    select date_trunc('second', max(claimed_until) - clock_timestamp() + interval '0.5 seconds') from crm_private.messages
$$;
create function tests.free() returns void language sql volatile security definer as $$
    update crm_private.messages set claimed_until = null
$$;

-- Who may not
create function tests.denied(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return is(tests.outcome('select ' || call), '42501 permission denied for function ' || substring(call from '\.(\w+)'), format('%s may not call %s', role, call));
end
$$;
select tests.denied(role, call)
from unnest('{crm_anon,crm_app,crm_multi,crm_service,crm_admin,crm_owner,crm_backup}'::text[]) as role,
    unnest(array['crm.claim_messages()', 'crm.complete_message(gen_random_uuid())']) as call;
select tests.become('ann', 'Acme');
select is(tests.outcome('select crm.claim_messages()'), '42501 permission denied for function claim_messages', 'ann sees no messages');

-- claim_messages
select tests.become_role('crm_worker');
select is(tests.claim(1), 'email_verification ann@example.com 1', 'the worker claims a message, the oldest first');
select is(tests.leased(), '1 minute', 'for a minute');
select is(tests.claim(), 'email_verification bob@example.com 1', 'then the others');
select is(tests.claim(), null, 'and no one twice while the lease runs');
select tests.free();
select is(tests.claim(), 'email_verification ann@example.com 2, email_verification bob@example.com 2', 'after the lease they come again');
select is(tests.claim(), null, 'leased anew');
select tests.free();
select is(tests.claim(0), null, 'no messages are none');
select is(tests.claim(-1), null, 'and fewer than none as well');
select is(tests.claim(null, null), 'email_verification ann@example.com 3, email_verification bob@example.com 3', 'null stands for the defaults');
select is(tests.leased(), '1 minute', 'of the lease, too');
select tests.free();
select tests.claim(1, '-1 hour');
select is(tests.leased(), '1 second', 'a lease has a second at least');
select tests.free();
select tests.claim(1, '1 year');
select is(tests.leased(), '1 hour', 'and an hour at most');
select tests.nobody();
insert into crm_private.messages (kind, recipient, expires_at, claimed_until)
select 'password_changed', 'many@example.com', now() + interval '1 hour', null from generate_series(1, 150);
select tests.become_role('crm_worker');
select is((select count(*) from crm.claim_messages(1000)), 100::bigint, 'a hundred are handed out at once at most');
select tests.nobody();
delete from crm_private.messages where recipient = 'many@example.com';

-- Whatever the planner makes of it: what it knows of the table dates from when it had one row.
savepoint before;
delete from crm_private.messages;
insert into crm_private.messages (kind, recipient, expires_at) values ('password_changed', 'many@example.com', now() + interval '1 hour');
analyze crm_private.messages;
insert into crm_private.messages (kind, recipient, expires_at)
select 'password_changed', 'many@example.com', now() + interval '1 hour' from generate_series(1, 4);
select tests.become_role('crm_worker');
select is((select count(*) from crm.claim_messages(2)), 2::bigint, 'who claims two messages of a table that has grown gets two');
rollback to before;

select tests.free();
update crm_private.messages set expires_at = now() where recipient = 'ann@example.com';
select tests.become_role('crm_worker');
select is(tests.claim(), 'email_verification bob@example.com 5', 'an expired one is not handed out');

-- The token
select tests.free();
select token as bobs, id, content, expires_at > now() + interval '47 hours' as lives from crm.claim_messages() \gset
select is(:'content'::jsonb, '{"full_name": "Bob"}', 'the message says what it is about');
select ok(:'lives', 'and until when its token is good');
select tests.become('bob', 'Borg');
select is(crm.verify_email(:'bobs'), '{"email": "bob@example.com"}', 'it carries a token that is good');
select tests.become_role('crm_worker');
select is(crm.complete_message(:'id'), true, 'the worker has delivered it');
select is(crm.complete_message(:'id'), false, 'once');
select is(crm.complete_message(gen_random_uuid()), false, 'and nothing that there is not');
select is(crm.complete_message(null), null::boolean, 'null is no message');
select tests.free();
select is(tests.claim(), null, 'it is not handed out again');
select tests.nobody();
select is((select row(secret is null, finished_at is not null)::text from crm_private.messages where id = :'id'), '(t,t)', 'its token is forgotten');
select throws_matching(
    format('update crm_private.messages set secret = ''x'' where id = %L', :'id'), 'messages_finished_forgets_check', 'and stays so'
);
select tests.become_role('crm_worker');
select is(
    tests.outcome('select from crm_private.messages'), '42501 permission denied for schema crm_private',
    'the worker sees messages in no other way'
);

-- To nobody
select tests.nobody();
select crm.request_password_reset('nobody@example.com');
select is(
    (select row(secret, finished_at is not null)::text from crm_private.messages where recipient = 'nobody@example.com'), '(,t)',
    'a message to nobody has no token, and does not go out'
);
select is(
    (select count(*) from crm_private.one_time_tokens where email = 'nobody@example.com' and user_id is null), 1::bigint, 'though the same is written'
);
select tests.become_role('crm_worker');
select is(tests.claim(), null, 'the worker is not handed it');

-- What becomes of a deleted person's
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('ann');
update crm_private.messages set expires_at = now() + interval '1 day';
select crm.delete_user(tests.user_id('ann'));
select is_empty('select from crm_private.messages where recipient = ''ann@example.com''', 'with ann, the messages go that name her and her address');

select * from finish();
rollback;
