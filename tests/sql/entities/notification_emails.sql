-- Notifications as e-mail: for whom wants it, of what they have not read, and not too many.

begin;
\ir ../actors.psql
\ir ../access/helpers.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.register('sue', 'Support');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.join('sam', 'Borg', 'sales');
select tests.make_key('Acme', 'all', '{*.*}');
update crm.users set email_verified_at = now() where id in (tests.user_id('sam'), tests.user_id('viewer'), tests.user_id('ann'));
delete from crm_private.messages;

create function tests.wants(person text, organization text, enabled boolean default true) returns text language plpgsql as $$
begin
    perform tests.become(person, organization);
    return tests.outcome(format('select crm.set_notification_email(%L)', enabled), false);
end
$$;
create function tests.wanting() returns text language sql stable security definer as $$
    select coalesce(string_agg(p.name || ' ' || o.name, ', ' order by p.name, o.name), 'nobody')
    from crm_private.notification_emails as e
    join tests.people as p using (user_id)
    join tests.organizations as o using (org_id)
$$;
-- Whom the DBA's program tells something, so many times in one statement.
create function tests.tell(person text, organization text, title text, many integer default 1) returns void language sql security definer as $$
    insert into crm.notifications (org_id, user_id, kind, title)
    select tests.org_id(organization), tests.user_id(person), 'mention', title from generate_series(1, many)
$$;
create function tests.messages(person text, organization text) returns bigint language sql stable security definer as $$
    select count(*) from crm_private.messages where kind = 'notification' and user_id = tests.user_id(person) and org_id = tests.org_id(organization)
$$;
create function tests.claimed() returns text language plpgsql as $$
begin
    perform tests.become_role('crm_worker');
    return (select string_agg(concat_ws(' ', kind, recipient, content ->> 'title'), ', ' order by id) from crm.claim_messages());
end
$$;
create function tests.read_all() returns void language sql volatile security definer as $$
    delete from crm.notifications;
    delete from crm_private.messages;
$$;

-- The preference -----------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is((crm.me() -> 'organization' ->> 'notification_email')::boolean, false, 'at first sam gets no e-mail');
select is(crm.set_notification_email(true), '{"notification_email": true}', 'he asks for it');
select is(tests.outcome('select crm.set_notification_email(true)'), '1 rows', 'twice is as good as once');
select is((crm.me() -> 'organization' ->> 'notification_email')::boolean, true, 'and sees that he did');
select is(
    (select jsonb_object_agg(o ->> 'name', o -> 'notification_email') from jsonb_array_elements(crm.me() -> 'organizations') as o),
    '{"Acme": true, "Borg": false}', 'in Acme, and not in Borg'
);
select is(tests.wanting(), 'sam Acme', 'nobody else did');
select is(tests.wants('viewer', 'Acme'), '1 rows', 'who only reads asks for theirs, too');
select is(tests.wants('viewer', 'Acme', false), '1 rows', 'and ends it');
select is(tests.wanting(), 'sam Acme', 'which ends nobody else''s');
select is(tests.wants('viewer', 'Acme', null), '22023 enabled: is missing', 'whether it is wanted is said');

select tests.nobody();
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('key all', 'Acme', 'select crm.set_notification_email(true)', '^42501 an API key has no profile', 'a key has no e-mail'),
    ('sam', null, 'select crm.set_notification_email(true)', '^22023 organization: none is active', 'across organizations it is not known for which one'),
    ('ann', 'Acme', 'delete from crm_private.notification_emails', '^42501 permission denied for schema crm_private', 'an owner ends nobody''s past the function'),
    ('ann', 'Acme', 'insert into crm_private.notification_emails values (crm.current_org_id(), tests.user_id(''viewer''))',
        '^42501 permission denied for schema crm_private', 'and asks for nobody else');
select tests.attempted();
select tests.become_role('crm_anon');
select is(tests.outcome('select crm.set_notification_email(true)'), '42501 permission denied for function set_notification_email', 'nobody asks without a login');
select tests.become_role('crm_app');
select is(tests.outcome('select crm.set_notification_email(true)'), '42501 nobody is logged in', 'nor without an identity');
select tests.nobody();
select crm.grant_platform_role(tests.user_id('sue'), 'support');
select tests.become('sue', 'Support');
select crm.impersonate(tests.user_id('sam'), 'help', 'acme') ->> 'access_token' as acting \gset
select crm.authenticate(:'acting');
select is(tests.outcome('select crm.set_notification_email(false)'), '42501 not while acting as somebody else', 'nor does support, acting as sam');
select tests.become('sam', 'Acme');
select is(
    tests.outcome($$with x as (select set_config('transaction_read_only', 'on', true)) select crm.set_notification_email(false) from x$$),
    '25006 set_notification_email needs a POST request', 'nor does a GET'
);
select tests.nobody();
select is(tests.wanting(), 'sam Acme', 'all of which changed nothing');

-- Who gets one ---------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.notifications (user_id, kind, title, body, entity, record_id)
values (tests.user_id('sam'), 'mention', 'Look', 'Well done', 'deals', '00000000-0000-0000-0000-000000000001');
insert into crm.notifications (user_id, kind, title) values (tests.user_id('viewer'), 'mention', 'Look'), (tests.user_id('ann'), 'mention', 'Look');
select tests.tell('sam', 'Borg', 'Elsewhere');
select is(tests.messages('sam', 'Acme'), 1::bigint, 'ann notifies sam, who gets an e-mail');
select is(
    tests.messages('viewer', 'Acme') + tests.messages('ann', 'Acme') + tests.messages('sam', 'Borg'), 0::bigint,
    'who did not ask gets none, nor sam from Borg'
);
select tests.nobody();
select is(
    (select row(recipient, content, secret, expires_at - created_at)::text from crm_private.messages), '(,{},,"1 day")', 'what waits tells nothing of it'
);
select is(tests.wants('ann', 'Acme'), '1 rows', 'ann asks, too');
insert into crm.notifications (user_id, kind, title) values (tests.user_id('ann'), 'reminder', 'Call');
select is(tests.messages('ann', 'Acme'), 1::bigint, 'and gets what she tells herself');
insert into crm.notifications (user_id, kind, title, read_at) values (tests.user_id('ann'), 'reminder', 'Read', now());
select is(tests.messages('ann', 'Acme'), 1::bigint, 'but not what is read already');
insert into crm.notifications as n (id, user_id, kind, title) select id, user_id, kind, 'Again' from crm.notifications as n where title = 'Call'
on conflict (org_id, id) do update set title = excluded.title;
select is(tests.messages('ann', 'Acme'), 1::bigint, 'nor again what is changed');

-- What is handed out -----------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_worker');
select kind, recipient, content, token is null as has_no_token, content ->> 'notification_id' as notification, id, attempt
from crm.claim_messages(1) \gset
select is(
    :'content'::jsonb - 'notification_id',
    '{"organization": "Acme", "full_name": "Sam", "title": "Look", "body": "Well done", "entity": "deals", "record_id": "00000000-0000-0000-0000-000000000001"}',
    'the worker is told what it is about'
);
select is(:'kind' || ' ' || :'recipient' || ' ' || :'has_no_token' || ' ' || :'attempt', 'notification sam@example.com t 1', 'and whom it is for');
select is(crm.complete_message(:'id'), true, 'and completes it');
select tests.nobody();
select is((select content from crm_private.messages where id = :'id'), '{}', 'after which it tells nothing either');
select ok(exists (select from crm.notifications where id = :'notification' and user_id = tests.user_id('sam')), 'it is the one that sam has');
select is(tests.claimed(), 'notification ann@example.com Again', 'ann''s says what it says now');
select tests.nobody();
update crm_private.messages set claimed_until = null;
update crm.notifications set read_at = now() where title = 'Again';
select is(tests.claimed(), null, 'one that is read meanwhile comes no second time');
select tests.nobody();
select is((select count(*) from crm_private.messages where finished_at is null), 0::bigint, 'it has ended');

-- How many messages are made for sam when he is told something after one change and before another, and which go out; undone.
create function tests.sent(before text, meanwhile text) returns text language plpgsql as $$
declare
    said text;
begin
    perform tests.nobody();
    begin
        perform tests.read_all();
        execute before;
        perform tests.tell('sam', 'Acme', 'Look');
        said := tests.messages('sam', 'Acme');
        execute meanwhile;
        said := said || ' ' || coalesce(tests.claimed(), 'none');
        raise exception using errcode = 'UNDO1';
    exception when sqlstate 'UNDO1' then
        return said;
    end;
end
$$;
create table tests.changes (change text, sentence text);
insert into tests.changes values
    ('update crm.users set status = ''disabled'' where id = tests.user_id(''sam'')', 'a user who is suspended gets none'),
    ('update crm.users set email_verified_at = null where id = tests.user_id(''sam'')', 'nor one whose address is not proven'),
    ('update crm.memberships set status = ''ended'', ended_at = now() where org_id = tests.org_id(''Acme'') and user_id = tests.user_id(''sam'')', 'nor one who left'),
    ('update crm.organizations set status = ''suspended'' where id = tests.org_id(''Acme'')', 'nor of an organization that is suspended'),
    ('delete from crm_private.notification_emails', 'nor one who wants none any more');
select is(tests.sent('select', 'select'), '1 notification sam@example.com Look', 'sam is told');
select is(tests.sent(change, 'select'), '0 none', sentence) from tests.changes;
select is(tests.sent('select', change), '1 none', sentence || ', also from then on') from tests.changes;
select is(tests.sent('select', change), '1 none', sentence)
from (values
    ('update crm.notifications set read_at = now()', 'what is read is not sent'), ('delete from crm.notifications', 'what is gone is not sent'),
    ('update crm.notifications set user_id = tests.user_id(''viewer'')', 'what is somebody else''s by now is not sent')
) as changes (change, sentence);
select tests.nobody();

-- What ends takes no other message's place.
select tests.read_all();
select tests.tell('sam', 'Acme', 'Look', 15);
delete from crm.notifications;
select crm.request_password_reset('sam@example.com');
select is(tests.claimed(), 'password_reset sam@example.com', 'behind fifteen notifications that are gone a password reset does not wait');
select tests.nobody();
select is((select count(*) from crm_private.messages where finished_at is null), 1::bigint, 'which ended all at once');

-- Not too many -----------------------------------------------------------------------------------------------------------------------

select tests.read_all();
select tests.tell('sam', 'Acme', 'Look', 15);
select tests.tell('sam', 'Acme', 'Look', 15);
select tests.tell('ann', 'Acme', 'Look', 5);
select is(tests.messages('sam', 'Acme'), 20::bigint, 'of thirty notifications in an hour twenty are e-mails');
select is((select count(*) from crm.notifications where user_id = tests.user_id('sam')), 30::bigint, 'the others are there to be read');
select is(tests.messages('ann', 'Acme'), 5::bigint, 'which takes nothing from ann');
select is(tests.wants('sam', 'Borg'), '1 rows', 'sam wants those of Borg');
select tests.nobody();
select tests.tell('sam', 'Borg', 'Look', 25);
select is(tests.messages('sam', 'Borg'), 20::bigint, 'of which there are as many');
update crm_private.messages set created_at = now() - interval '61 minutes';
select tests.tell('sam', 'Acme', 'Later', 25);
select is(tests.messages('sam', 'Acme'), 40::bigint, 'an hour later there are twenty more');
-- As if statements that ran at the same time had added them.
select tests.read_all();
select tests.tell('sam', 'Acme', 'Look', 20);
insert into crm_private.messages (kind, org_id, user_id, notification_id, expires_at)
select kind, org_id, user_id, notification_id, expires_at from crm_private.messages where kind = 'notification';
select tests.become_role('crm_worker');
select is((select count(*) from crm.claim_messages(100) where kind = 'notification'), 20::bigint, 'and of those made at the same time twenty go out');
select tests.nobody();

-- What brings rows back is no news -----------------------------------------------------------------------------------------------

select tests.read_all();
select tests.become('ann', 'Acme');
insert into crm.notifications (user_id, kind, title) values (tests.user_id('ann'), 'reminder', 'Call') returning id as call \gset
delete from crm.notifications where id = :'call';
select is(tests.messages('ann', 'Acme'), 1::bigint, 'ann is told');
select is(tests.outcome(format('select crm.restore_record(''notifications'', %L)', :'call'), false), '1 rows', 'and brings it back');
select isnt_empty(format('select from crm.notifications where id = %L', :'call'), 'it is there again');
select is(tests.messages('ann', 'Acme'), 1::bigint, 'and no e-mail says so');
select tests.nobody();
select tests.read_all();
set local row_security = off;
insert into crm.notifications (org_id, user_id, kind, title, owner_id)
values (tests.org_id('Acme'), tests.user_id('ann'), 'reminder', 'Call', tests.user_id('ann'));
set local row_security = on;
select is(tests.messages('ann', 'Acme'), 0::bigint, 'the script of a dump sends none');
set local session_replication_role = replica;
insert into crm.notifications (org_id, user_id, kind, title, owner_id)
values (tests.org_id('Acme'), tests.user_id('ann'), 'reminder', 'Call', tests.user_id('ann'));
set local session_replication_role = origin;
select is(tests.messages('ann', 'Acme'), 0::bigint, 'nor does replication');

-- What remains -------------------------------------------------------------------------------------------------------------------------

select tests.tell('sam', 'Acme', 'Look'), tests.tell('sam', 'Borg', 'Look'), tests.tell('ann', 'Acme', 'Look');
savepoint before;
delete from crm.memberships where org_id = tests.org_id('Acme') and user_id = tests.user_id('sam');
select is(tests.messages('sam', 'Acme') || ' ' || tests.messages('sam', 'Borg') || ' ' || tests.wanting(), '0 1 ann Acme, sam Borg', 'a membership takes along what is of it');
rollback to before;
select tests.become_role('crm_service');
select crm.delete_user(tests.user_id('sam'));
select is(tests.messages('sam', 'Acme') + tests.messages('sam', 'Borg') || ' ' || tests.wanting(), '0 ann Acme', 'and a person who is deleted, everywhere');
rollback to before;
select crm.delete_organization(tests.org_id('Acme'));
select is(tests.messages('sam', 'Acme') || ' ' || tests.messages('sam', 'Borg') || ' ' || tests.wanting(), '0 1 sam Borg', 'and an organization');
rollback to before;
select tests.become('ann', 'Acme');
select crm.remove_member(tests.user_id('sam'));
select crm.invite_user('sam@example.com', 'sales');
select tests.nobody();
select secret as invited from crm_private.messages where kind = 'invitation' \gset
select tests.become('sam', 'Borg');
select is(
    (crm.accept_invitation(:'invited') -> 'organization' ->> 'notification_email')::boolean, false, 'who was removed and comes back is asked anew'
);

select finish();
rollback;
