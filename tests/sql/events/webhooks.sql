-- Webhooks: who may have them, what they are told, and how deliveries are claimed, signed and reported.

\set world webhooks
\ir ../audit/world.psql

update crm.organizations set plan = 'pro' where id = tests.org_id('Acme');

-- Makes a webhook and remembers its id and secret.
create table tests.webhooks (name text primary key, id uuid, secret text, answer jsonb);
grant select, insert on tests.webhooks to public;
create function tests.make(person text, name text, arguments text default '', organization text default 'Acme') returns text language plpgsql as $$
declare
    answer jsonb;
begin
    perform tests.become(person, organization);
    execute format('select crm.create_webhook(%L, %L %s)', name, 'https://example.com/' || name, arguments) into answer;
    perform tests.nobody();
    insert into tests.webhooks values (name, (answer ->> 'id')::uuid, answer ->> 'secret', answer);
    return 'made';
exception when others then
    perform tests.nobody();
    return sqlstate || ' ' || sqlerrm;
end
$$;
create function tests.webhook(name text) returns uuid language sql stable as $$
    select id from tests.webhooks where name = webhook.name
$$;

-- As whoever delivers.
create function tests.as_worker(query text) returns text language plpgsql as $$
declare
    answer text;
begin
    perform tests.become_role('crm_worker');
    execute query into answer;
    perform tests.nobody();
    return answer;
end
$$;
create function tests.fan_out() returns integer language sql as $$
    select (tests.as_worker('select crm.fan_out_events()')::jsonb ->> 'deliveries')::integer
$$;
create table tests.claimed (
    org_id uuid, id uuid, attempt integer, webhook_id uuid, event_id uuid, event_type text, url text, headers jsonb, body text
);
grant all on tests.claimed to public;
create function tests.claim(at_most integer default 100, lease interval default '1 minute') returns text language plpgsql as $$
begin
    delete from tests.claimed;
    perform tests.become_role('crm_worker');
    insert into tests.claimed select * from crm.claim_webhook_deliveries(at_most, lease);
    perform tests.nobody();
    return (
        select coalesce(string_agg(w.name || ':' || c.event_type, ' ' order by c.id), '')
        from tests.claimed as c left join tests.webhooks as w on w.id = c.webhook_id
    );
end
$$;
create function tests.complete_all() returns bigint language sql as $$
    select count(*) from (
        select tests.as_worker(format('select crm.complete_webhook_delivery(%L, %L, %s, 200, 12, %L)', org_id, id, attempt, 'ok')) as done from tests.claimed
    ) as reported where done::boolean
$$;
-- As if a webhook's deliveries were due.
create function tests.make_due() returns void language sql as $$
    update crm.webhook_deliveries set run_at = clock_timestamp() - interval '1 second' where run_at is not null
$$;

insert into tests.ids select name, gen_random_uuid() from unnest('{contact,deal,task,foreign}'::text[]) as name;

-- Who may have one --------------------------------------------------------------------------------------------------

select is(tests.make('ann', 'all'), 'made', 'ann makes a webhook for everything');
select matches((select secret from tests.webhooks where name = 'all'), '^whsec_[A-Za-z0-9+/]{43}=$', 'and is told its secret');
select is((select answer ->> 'created_by' from tests.webhooks where name = 'all'), tests.user_id('ann')::text, 'she made it');
select is(tests.said('ann', $$select string_agg(name, ' ') from crm.webhooks$$), 'all', 'she sees it');
select is(tests.said('ann', $$select string_agg(to_jsonb(w)::text, '') like '%whsec%' from crm.webhooks as w$$), 'false', 'without the secret');
select is(tests.said('bob', $$select count(*) from crm.webhooks$$, 'Borg'), '0', 'bob, of another organization, does not');
select is(tests.said('sam', $$select count(*) from crm.webhooks$$), '0', 'nor does sam');
select is(tests.said('mia', $$select count(*) from crm.webhooks$$), '1', 'a manager sees it');
select is(tests.make('mia', 'mias'), '42501 your role does not permit webhooks.create', 'but makes none');
select is(tests.make('sam', 'sams'), '42501 your role does not permit webhooks.create', 'nor does sam');
select matches(tests.said('ann', $$insert into crm.webhooks (name, url) values ('x', 'https://example.com') returning id$$), '^42501 ', 'none is made without a secret');
select matches(tests.said('mia', format('select crm.rotate_webhook_secret(%L)', tests.webhook('all'))), '^42501 ', 'a manager gives it no new secret');
select is(tests.said('bob', format('select crm.rotate_webhook_secret(%L)', tests.webhook('all')), 'Borg'), '22023 webhook_id: there is no such webhook', 'to bob it is not there');
select is(tests.said('bob', format('select crm.test_webhook(%L)', gen_random_uuid()), 'Borg'), '22023 webhook_id: there is no such webhook', 'as one that never was');
select is(tests.said('bob', format('select crm.replay_webhook(%L)', tests.webhook('all')), 'Borg'), '22023 webhook_id: there is no such webhook', 'nor can he have it replayed');
select is(tests.said('bob', format('select crm.set_webhook_headers(%L, %L)', tests.webhook('all'), '{"x-a": "b"}'), 'Borg'), '22023 webhook_id: there is no such webhook', 'nor set its headers');
select matches(tests.make('ann', 'all'), '^23505 ', 'a name is taken once');

-- Whoever may make webhooks, and not read contacts, does not have contacts sent to themselves.
select tests.nobody();
insert into crm.roles (org_id, name, rank) select tests.org_id('Acme'), 'plumber', 10;
insert into crm.role_permissions (org_id, role, permission, scope)
select tests.org_id('Acme'), 'plumber', permission, 'all' from unnest('{webhooks.create,webhooks.read,webhooks.update,deals.read}'::text[]) as permission;
begin;
select tests.hire('pam', 'Acme', 'plumber');
commit;
select is(tests.make('pam', 'pams'), '42501 you lack accounts.read for all records, which these events tell of: name only events that you may know', 'who may not read all that it tells makes no webhook for it');
select is(tests.make('pam', 'pams', $$, '{deal.won}'$$), 'made', 'for what she may read she does');
select matches(tests.said('pam', format('update crm.webhooks set events = %L where id = %L returning id', '{contact.*}', tests.webhook('pams'))), '^42501 ', 'nor does she change it to more');
select matches(tests.said('pam', format('update crm.webhooks set url = %L where id = %L returning id', 'https://pam.example', tests.webhook('all'))), '^42501 ', 'nor has ann''s sent to herself');
select is(tests.said('pam', 'select count(*) from crm.webhook_deliveries'), '0', 'deliveries hold records: they take audit.read as well');

-- What is refused -----------------------------------------------------------------------------------------------------

create function tests.refused(arguments text, url text default 'https://example.com') returns text language plpgsql as $$
begin
    perform tests.become('ann', 'Acme');
    execute format('select crm.create_webhook(%L, %L %s)', 'refused', url, arguments);
    perform tests.nobody();
    return 'made';
exception when others then
    perform tests.nobody();
    return sqlstate || ' ' || sqlerrm;
end
$$;
select is(tests.refused('', 'ftp://example.com'), '22023 url: must begin with https:// and name a host', 'only HTTP is spoken');
select is(tests.refused('', 'https://user:pass@example.com'), '22023 url: must not hold a user name or password: use headers for what the receiver wants to know', 'no password in a URL');
select matches(tests.refused('', 'example.com'), '^22023 url: ', 'nor what is none');
select is(tests.refused($$, '{Deal.won}'$$), '22023 events: "Deal.won" is no event like deal.won, deal.*, *.created or *', 'no event is called so');
select is(tests.refused($$, '{dael.won}'$$), '22023 events: there are no events of dael', 'nor so');
select is(tests.refused($$, '{}'$$), '22023 events: must be 1 to 50 patterns like deal.won', 'none at all');
select matches(tests.refused($$, condition => '$.data.amount >'$$), '^22023 condition: syntax error', 'what is no path');
select matches(tests.refused($$, condition => '$.data ? (@.amount > 5)'$$), '^22023 condition: must be an SQL/JSON path that is true or false', 'a path that is no predicate');
select is(tests.refused($$, condition => '$.data.name like_regex "(a*)*b"'$$), '22023 condition: like_regex is not available here', 'what could take for ever');
select is(tests.refused($$, condition => '$.data.name LIKE_REGEX "(a*)*b"'$$), '22023 condition: like_regex is not available here', 'however it is written');
select is(tests.refused($$, condition => 'exists($.** ? (@ == 1))'$$), '22023 condition: ** is not available in paths', 'or very long');
select is(tests.refused($$, headers => '{"Host": "x"}'$$), '22023 headers: "Host" is set by the sender', 'headers that are not the receiver''s to ask for');
select is(tests.refused($$, headers => '{"X-A": "a\r\nHost: b"}'$$), '22023 headers: "X-A" must be a text of 1 to 2000 printable ASCII characters', 'nor two in one');
select is(tests.refused(format(', max_per_minute => %s', pace)), '22023 max_per_minute: must be between 1 and 60000', 'nor as many a minute: ' || pace)
from unnest('{0,-1,60001}'::integer[]) as pace;
select is(tests.refused($$, headers => (repeat('{"a":', 130) || '1' || repeat('}', 130))::jsonb$$), '22023 headers: is nested too deeply, holds too great a number, or has another form than this takes', 'headers one in the other');
select is(tests.refused(arguments), '22023 events: must not hold null', 'no event is nothing: ' || arguments)
from unnest(array[', array[null]::text[]', $$, '{*,null}'$$]) as arguments;
select is(tests.refused($$, '{*}', '{stage_id,null}'$$), '22023 fields: must not hold null', 'nor a field');
select is(tests.refused(format(', array[%L]', pattern)), format('22023 events: there is no event that "%s" fits', pattern), 'nothing comes to be a ' || pattern)
from unnest('{deal.wonn,*.qwerty,task.won,organization.assigned}'::text[]) as pattern;
select is(
    tests.refused(format(', %L, array[%L]', events, field)),
    format('22023 fields: no update of what these events are of changes a column "%s" (custom fields are all in custom_fields)', field), format('%s is no column of %s', field, events)
)
from (values ('{*}', 'nope'), ('{task.*}', 'stage_id'), ('{deal.won,task.*}', 'unit_price'), ('{deal.*}', 'updated_at'), ('{*}', '')) as cases (events, field);
select matches(tests.refused(arguments, url), '^22023 ' || argument || ': ', argument || ' is checked')
from (values ('url', '', ''), ('url', '', 'https://example.com/' || repeat('x', 2000)), ('condition', ', condition => repeat(''x'', 1001)', 'https://example.com')) as cases (argument, arguments, url);
select matches(tests.said('ann', format('select crm.create_webhook(%s, %L)', name, 'https://example.com')), '^22023 name: ', 'so is the name: ' || name)
from unnest(array['''''', 'null', 'repeat(''x'', 101)', 'E''a\nb''']) as name;
select is(
    tests.said('ann', format('update crm.webhooks set %s where id = %L returning id', change, tests.webhook('all'))), problem, 'nor is it changed to that: ' || change
)
from (values
    ('events = array[null]::text[]', '22023 events: must not hold null'), ('events = ''{*,null}''', '22023 events: must not hold null'),
    ('events = null', '22023 events: must be 1 to 50 patterns like deal.won'), ('events = ''{{deal.won},{deal.wonn}}''', '22023 events: there is no event that "deal.wonn" fits'),
    ('fields = array[null]::text[]', '22023 fields: must not hold null'), ('max_per_minute = 0', '22023 max_per_minute: must be between 1 and 60000')
) as cases (change, problem);
select is(
    tests.said('ann', format('select crm.set_webhook_headers(%L, (%L)::jsonb)', tests.webhook('all'), repeat('{"a":', 130) || '1' || repeat('}', 130))),
    '22023 headers: is nested too deeply, holds too great a number, or has another form than this takes', 'nor to such headers'
);

-- From the event to the receiver ----------------------------------------------------------------------------------------

select is(tests.make('bob', 'foreign', organization => 'Borg'), 'made', 'bob has a webhook, too');
select is(tests.make('ann', 'won', $$, '{deal.won}', condition => '$.data.amount > 1000'$$), 'made', 'ann one for large deals that were won');
select is(tests.make('ann', 'stage', $$, '{deal.*}', '{stage_id}', headers => '{"X-Token": "t0ken"}'$$), 'made', 'and one for another stage');
select cmp_ok(tests.fan_out(), '>=', 0, 'what was before is handed over');
select tests.claim(1000), tests.complete_all();

select tests.change('made', 'sam', $$
    insert into crm.deals (id, name, amount) values (tests.id('deal'), 'Deal', 5000)
$$);
select tests.change('amount', 'sam', $$update crm.deals set amount = 6000 where id = tests.id('deal')$$);
select tests.change('won', 'sam', $$update crm.deals set status = 'won' where id = tests.id('deal')$$);
select tests.change('small', 'sam', $$insert into crm.deals (name, amount, status) values ('Small', 10, 'won')$$);
select tests.change('foreign', 'bob', $$insert into crm.contacts (last_name) values ('Foreign')$$, 'Borg');
select is(tests.as_worker('select count(*) from crm.claim_webhook_deliveries()'), '0', 'nothing is claimed before it is handed over');
select cmp_ok(tests.fan_out(), '>', 10, 'it is handed over');
select is(tests.fan_out(), 0, 'once');
select tests.claim(1000);
select is(
    (select string_agg(c.event_type, ' ' order by c.id) from tests.claimed as c where c.webhook_id = tests.webhook('won')), 'deal.won',
    'of the deals that were won the large one'
);
select is(
    (select string_agg(c.event_type, ' ' order by c.id) from tests.claimed as c where c.webhook_id = tests.webhook('stage')),
    'deal.created deal.updated deal.stage_changed deal.won deal.created deal.won', 'of updates those of the stage'
);
select is(
    (select string_agg(c.event_type, ' ' order by c.id) from tests.claimed as c where c.webhook_id = tests.webhook('foreign')), 'contact.created',
    'bob gets what is his'
);
select is((select count(*) from tests.claimed as c where (c.body::jsonb ->> 'org_id')::uuid <> c.org_id), 0::bigint, 'nobody gets another organization''s');
select is((select count(*) from tests.claimed where (headers ->> 'webhook-id') <> event_id::text or body::jsonb ->> 'id' <> event_id::text), 0::bigint, 'webhook-id is the event');
select is((select headers ->> 'x-token' from tests.claimed where webhook_id = tests.webhook('stage') limit 1), 't0ken', 'the receiver''s header is sent along');
select is(tests.said('ann', $$select header_names from crm.webhooks where name = 'stage'$$), '{x-token}', 'ann sees only its name');

-- Signed as the specification says, computed here by PostgreSQL''s own functions.
create function tests.hmac(key bytea, message bytea) returns bytea language sql immutable as $$
    with padded as (select rpad(encode(case when length(key) > 64 then sha256(key) else key end, 'hex'), 128, '0') as key),
    pads as (
        select string_agg(lpad(to_hex(get_byte(decode(padded.key, 'hex'), i) # 54), 2, '0'), '' order by i) as inner_pad,
            string_agg(lpad(to_hex(get_byte(decode(padded.key, 'hex'), i) # 92), 2, '0'), '' order by i) as outer_pad
        from padded, generate_series(0, 63) as i
    )
    select sha256(decode(outer_pad, 'hex') || sha256(decode(inner_pad, 'hex') || message)) from pads
$$;
create function tests.signature(secret text, c tests.claimed) returns text language sql as $$
    select 'v1,' || encode(tests.hmac(
        decode(substr(secret, 7), 'base64'),
        convert_to((c.headers ->> 'webhook-id') || '.' || (c.headers ->> 'webhook-timestamp') || '.' || c.body, 'UTF8')
    ), 'base64')
$$;
select is(
    (select array_agg(distinct c.headers ->> 'webhook-signature' = tests.signature(w.secret, c)) from tests.claimed as c join tests.webhooks as w on w.id = c.webhook_id),
    '{t}', 'each is signed with its webhook''s secret'
);
select is(
    (select array_agg(distinct c.headers ->> 'x-webhook-signature' = encode(tests.hmac(convert_to(w.secret, 'UTF8'), convert_to(c.body, 'UTF8')), 'hex')) from tests.claimed as c join tests.webhooks as w on w.id = c.webhook_id),
    '{t}', 'and in the simple way'
);
select cmp_ok(abs(extract(epoch from clock_timestamp()) - (select (headers ->> 'webhook-timestamp')::bigint from tests.claimed limit 1)), '<', 60::numeric, 'for now');

-- Two organizations can have a webhook of one id, when one was copied: each gets its own, signed with its own secret.
begin;
insert into crm.webhooks (org_id, id, name, url, events) values (tests.org_id('Borg'), tests.webhook('won'), 'twin', 'https://twin.example', '{contact.created}');
insert into crm_private.webhook_secrets (org_id, webhook_id, secret) values (tests.org_id('Borg'), tests.webhook('won'), sha256('twin'));
update crm_private.webhook_states set headers = '{"x-twin": "yes"}' where org_id = tests.org_id('Borg') and webhook_id = tests.webhook('won');
commit;
create table tests.kept as select * from tests.claimed;
select tests.change('both', 'bob', $$insert into crm.contacts (last_name) values ('Twin')$$, 'Borg');
select tests.change('both won', 'sam', $$insert into crm.deals (name, amount, status) values ('Twin', 9999, 'won')$$);
select tests.fan_out();
select tests.claim(1000);
select is(
    (select array_agg(c.url || coalesce(' ' || (c.headers ->> 'x-twin'), '') order by c.url) from tests.claimed as c where c.webhook_id = tests.webhook('won')),
    '{https://example.com/won,"https://twin.example yes"}', 'where each goes'
);
select is(
    (select array_agg(c.headers ->> 'webhook-signature' = tests.signature(
        case c.org_id when tests.org_id('Acme') then w.secret else 'whsec_' || encode(sha256('twin'), 'base64') end, c
    )) from tests.claimed as c join tests.webhooks as w on w.id = c.webhook_id where w.name = 'won'),
    '{t,t}', 'and what it is signed with'
);
select tests.complete_all();
delete from crm.webhooks where org_id = tests.org_id('Borg') and id = tests.webhook('won');
select tests.fan_out(), tests.claim(1000), tests.complete_all();
delete from tests.claimed;
insert into tests.claimed select * from tests.kept;

-- Claimed, reported -----------------------------------------------------------------------------------------------------

select is(tests.as_worker('select count(*) from crm.claim_webhook_deliveries(100)'), '0', 'what is claimed is claimed once');
select cmp_ok(tests.complete_all(), '>', 10::bigint, 'what has arrived is reported');
select is((select count(*) from crm.webhook_deliveries), 0::bigint, 'and is in the queue no more');
select is(tests.complete_all(), 0::bigint, 'nor is it reported twice');
select is(tests.said('ann', $$select count(*) > 10 and bool_and(outcome = 'delivered' and status = 200 and duration_ms = 12 and response = 'ok' and attempt = 1) from crm.webhook_attempts$$), 'true', 'the log tells it');
select is(tests.said('bob', $$select count(distinct org_id) from crm.webhook_attempts$$, 'Borg'), '1', 'to each their own');
select is(tests.said('sam', $$select count(*) from crm.webhook_attempts$$), '0', 'to others nothing');
select is(tests.said('mia', $$select count(*) from crm.webhook_attempts$$), '0', 'nor to a manager: what a receiver answers may hold records that are not hers to read');

select tests.change('task', 'sam', $$insert into crm.tasks (id, title) values (tests.id('task'), 'Task')$$);
select tests.fan_out();
select is(tests.claim(1, '1 second'), 'all:task.created', 'a short lease');
select pg_sleep(1.1);
create table tests.first as select * from tests.claimed;
select is(tests.claim(1), 'all:task.created', 'when it is over, somebody else gets it');
select is((select c.attempt::text || (c.event_id = f.event_id)::text from tests.claimed as c, tests.first as f), '2true', 'as a second attempt, of the same event');
select is(
    tests.as_worker((select format('select crm.fail_webhook_delivery(%L, %L, %s, 500)', org_id, id, attempt) from tests.first)),
    '{"outcome": "gone", "next_attempt_at": null}', 'who had it before does not say that it failed'
);
select is(tests.as_worker((select format('select crm.release_webhook_delivery(%L, %L, %s)', org_id, id, attempt) from tests.first)), 'false', 'nor gives it back');
select is(tests.as_worker((select format('select crm.release_webhook_delivery(%L, %L, %s)', org_id, id, attempt) from tests.claimed)), 'true', 'who has it does');
select is(tests.claim(1), 'all:task.created', 'and it is claimed again');
select is((select attempt from tests.claimed), 2, 'as what was not tried');

-- Fails once more; for how long it is left alone then, in seconds.
create function tests.fail(arguments text) returns text language plpgsql as $$
declare
    answer jsonb;
begin
    answer := tests.as_worker((select format('select crm.fail_webhook_delivery(%L, %L, %s, %s)', org_id, id, attempt, arguments) from tests.claimed limit 1));
    return (answer ->> 'outcome') || coalesce(' ' || round(extract(epoch from (answer ->> 'next_attempt_at')::timestamptz - clock_timestamp()))::text, '');
end
$$;
create function tests.is_about(answer text, seconds integer, description text) returns text language sql as $$
    select ok(answer like 'retry %' and split_part(answer, ' ', 2)::numeric between seconds - 2 and seconds * 1.2 + 2, description || ' (' || answer || ')')
$$;
create function tests.misreported(called text, arguments text) returns text language plpgsql as $$
declare
    statement text := (select format('select crm.%s_webhook_delivery(%L, %L, %s)', called, org_id, id, arguments) from tests.claimed limit 1);
begin
    perform tests.become_role('crm_worker');
    execute statement;
    perform tests.nobody();
    return 'taken';
exception when others then
    perform tests.nobody();
    return sqlstate || ' ' || sqlerrm;
end
$$;
select is(tests.misreported(called, arguments), '22023 ' || problem, format('no report: %s(%s)', called, arguments))
from (values
    ('complete', '2, 404', 'status: must be 200 to 299: report any other with crm.fail_webhook_delivery'),
    ('complete', '2, 301', 'status: must be 200 to 299: report any other with crm.fail_webhook_delivery'),
    ('complete', '-2147483648, 200', 'attempt: must be the one that was claimed, 1 or more'),
    ('fail', '-2147483648, 500, retry_after => -2147483648', 'attempt: must be the one that was claimed, 1 or more'),
    ('fail', '0, 500', 'attempt: must be the one that was claimed, 1 or more'),
    ('fail', '2, 500, retry_after => -1', 'retry_after: must not be negative'),
    ('release', '0', 'attempt: must be the one that was claimed, 1 or more')
) as cases (called, arguments, problem);
-- The second attempt was spent above.
select tests.is_about(tests.fail('500, 30, ''oops'''), 300, 'after the second attempt it waits five minutes');
select is(tests.claim(), '', 'and is not claimed before');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('429, retry_after => 4000'), 4000, 'longer where the receiver says so');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('503, retry_after => 1'), 7200, 'and not shorter');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('null, 15000, error => ''timeout'''), 18000, 'five hours then');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('302'), 36000, 'ten');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('400'), 50400, 'fourteen');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('500'), 72000, 'twenty');
select tests.make_due(), tests.claim();
select tests.is_about(tests.fail('500'), 86400, 'a day');
select tests.make_due(), tests.claim();
select is(tests.fail('500'), 'failed', 'the tenth attempt was the last');
select is(tests.said('ann', $$select state || ' ' || attempts || ' ' || last_error from crm.webhook_deliveries$$), 'failed 10 HTTP 500', 'it stays as failed');
select is(
    tests.said('ann', $$select string_agg(attempt || ':' || coalesce(status::text, error), ' ' order by id) from crm.webhook_attempts where event_type = 'task.created'$$),
    '2:500 3:429 4:503 5:timeout 6:302 7:400 8:500 9:500 10:500', 'the log tells each attempt'
);
select is(tests.said('ann', format('select crm.replay_webhook(%L)', tests.webhook('all'))), '{"replayed": 1}', 'ann has it tried again');
select is(tests.claim(), 'all:task.created', 'so it is');
select is((select attempt from tests.claimed), 1, 'from the beginning');
select is(tests.complete_all(), 1::bigint, 'and arrives');
select is(
    tests.said('ann', format('select crm.replay_webhook(%L, (select event_id from crm.webhook_attempts where event_type = %L limit 1))', tests.webhook('all'), 'task.created')),
    '{"replayed": 1}', 'what has arrived can be sent once more'
);
select is(tests.claim(), 'all:task.created', 'out of history');
select is((select event_id from tests.claimed), (select event_id from tests.first), 'with the same id');
select is((select body::jsonb from tests.claimed), (select body::jsonb from tests.first), 'and the same content');
select tests.complete_all();

-- Order ---------------------------------------------------------------------------------------------------------------

select tests.said('ann', format('delete from crm.webhooks where id = any (%L) returning id', array[tests.webhook('all'), tests.webhook('won'), tests.webhook('stage'), tests.webhook('pams')]));
select is((select count(*) from crm_private.webhook_secrets where webhook_id = tests.webhook('all')), 0::bigint, 'with a webhook goes its secret');
select is(tests.make('ann', 'line', $$, '{task.updated}', ordered => true$$), 'made', 'a webhook that keeps the order of each record');
select tests.change('first', 'sam', $$update crm.tasks set title = 'first' where id = tests.id('task')$$);
select tests.change('second', 'sam', $$update crm.tasks set title = 'second' where id = tests.id('task')$$);
select tests.change('other', 'sam', $$insert into crm.tasks (title) values ('Other')$$);
select tests.change('others', 'sam', $$update crm.tasks set title = 'other' where title = 'Other'$$);
select tests.fan_out();
create function tests.titles() returns text language sql as $$
    select coalesce(string_agg(body::jsonb -> 'data' ->> 'title', ' ' order by id), '') from tests.claimed
$$;
select tests.claim();
select is(tests.titles(), 'first other', 'of each record the first is sent');
select tests.change('third', 'sam', $$update crm.tasks set title = 'third' where id = tests.id('task')$$);
select tests.fan_out();
create table tests.both as select * from tests.claimed;
select tests.claim();
select is(tests.titles(), '', 'and nothing else before it is known what became of that');
select tests.as_worker((select format('select crm.fail_webhook_delivery(%L, %L, 1, 500)', org_id, id) from tests.both where body like '%first%'));
select tests.claim();
select is(tests.titles(), '', 'also while it is to be tried again');
select tests.make_due(), tests.claim();
select is(tests.titles(), 'first', 'it comes again');
select tests.complete_all(), tests.claim();
select is(tests.titles(), 'second', 'then the next');
select tests.complete_all(), tests.claim();
select is(tests.titles(), 'third', 'and the one that came meanwhile');
select tests.complete_all();
update crm.webhook_deliveries set state = 'waiting', run_at = null, leased_until = null;
select is(tests.as_worker('select (crm.maintain_webhooks() ->> ''unblocked'')::integer'), '1', 'what waits for nothing goes on');

-- Limits, ends ----------------------------------------------------------------------------------------------------------

select tests.said('ann', format('update crm.webhooks set ordered = false, max_per_minute = 60, events = %L where id = %L returning id', '{task.created}', tests.webhook('line')));
update crm.webhook_deliveries set leased_until = null;
select tests.claim(1000), tests.complete_all();
select tests.change('many', 'sam', $$insert into crm.tasks (title) select 'many ' || n from generate_series(1, 10) as n$$);
select tests.fan_out();
select tests.claim();
select cmp_ok((select count(*) from tests.claimed), '<=', 3::bigint, 'of ten a few go at once, where one a second may');
select cmp_ok((select count(*) from crm.webhook_deliveries where run_at > clock_timestamp()), '>=', 7::bigint, 'the others have their turn');
select cmp_ok((select max(run_at) - clock_timestamp() from crm.webhook_deliveries), '<', interval '11 seconds', 'one a second');
select tests.complete_all(), tests.make_due();
select tests.said('ann', format('update crm.webhooks set max_per_minute = null where id = %L returning id', tests.webhook('line')));
select tests.claim(1000), tests.complete_all();

select tests.change('gone', 'sam', $$insert into crm.tasks (title) values ('gone 1'), ('gone 2')$$);
select tests.fan_out(), tests.claim(1);
select is(tests.fail('410'), 'disabled', 'a receiver that is gone for good gets no more');
select is(tests.said('ann', $$select enabled || ' ' || disabled_reason from crm.webhooks where name = 'line'$$), 'false the receiver says that it is gone for good (HTTP 410)', 'the webhook says why');
select is(tests.claim(), '', 'nothing is sent to it');
select is(tests.said('ann', $$select string_agg(distinct state, '') from crm.webhook_deliveries$$), 'failed', 'what was to be sent is kept');
select is(tests.said('ann', $$select count(*) from json_array_elements(crm.changes_since(types => '{webhook.disabled}') -> 'events')$$), '1', 'that it was disabled is an event');
select matches(tests.said('ann', format('select crm.test_webhook(%L)', tests.webhook('line'))), '^23505 the webhook is disabled', 'nor is it tried');
select tests.change('meanwhile', 'sam', $$insert into crm.tasks (title) values ('meanwhile')$$);
select is(tests.fan_out(), 0, 'meanwhile it gets nothing');
select tests.said('ann', format('update crm.webhooks set enabled = true where id = %L returning id', tests.webhook('line')));
select is(tests.said('ann', $$select (disabled_at is null and disabled_reason is null)::text from crm.webhooks where name = 'line'$$), 'true', 'enabled again it is as new');
select is(tests.fan_out(), 0, 'from then on');
select matches(tests.said('ann', format('select crm.replay_webhook(%L, since => %L)', tests.webhook('line'), (select created_at from crm.tasks where title = 'meanwhile'))), '"from"', 'what came meanwhile is sent when she asks for it');
select is(tests.fan_out(), 1, 'all of it');
select tests.claim();
select is(tests.titles(), 'meanwhile', 'as it was');
select tests.complete_all();

update crm_private.webhook_states set failing_since = now() - interval '6 days' where webhook_id = tests.webhook('line');
select tests.change('failing', 'sam', $$insert into crm.tasks (title) values ('failing')$$);
select tests.fan_out(), tests.claim();
select tests.is_about(tests.fail('500'), 5, 'one that arrived meanwhile counts, also when somebody held what would have been noted then');
select is(
    (select failing_since from crm_private.webhook_states where webhook_id = tests.webhook('line')),
    (select max(created_at) from crm.webhook_attempts where webhook_id = tests.webhook('line') and outcome = 'delivered'),
    'it has been failing since then'
);
delete from crm.webhook_attempts where webhook_id = tests.webhook('line') and outcome = 'delivered';
update crm_private.webhook_states set failing_since = now() - interval '6 days' where webhook_id = tests.webhook('line');
select tests.make_due(), tests.claim();
select is(tests.fail('500'), 'disabled', 'after five days without one that arrived it is disabled');
select tests.said('ann', format('update crm.webhooks set enabled = true where id = %L returning id', tests.webhook('line')));

select is(tests.said('ann', format('select crm.test_webhook(%L) ? %L', tests.webhook('line'), 'event_id')), 'true', 'ann tries it');
select tests.make_due();
select is(tests.claim(), 'line:task.created line:webhook.test', 'it gets the test, whatever its events are');
select tests.complete_all();
select is((select failing_since from crm_private.webhook_states where webhook_id = tests.webhook('line')), null, 'one that arrives ends the failing');

-- A new secret: the old one signs along for a while.
select tests.said('ann', format('select crm.test_webhook(%L)', tests.webhook('line')));
create table tests.rotated as
select tests.said('ann', format('select crm.rotate_webhook_secret(%L)', tests.webhook('line'))) ::jsonb ->> 'secret' as secret;
select tests.claim();
select is(
    (select c.headers ->> 'webhook-signature' from tests.claimed as c),
    (select tests.signature(r.secret, c) || ' ' || tests.signature(w.secret, c) from tests.claimed as c, tests.rotated as r, tests.webhooks as w where w.name = 'line'),
    'both secrets sign, the new one first'
);
select tests.complete_all();
select tests.said('ann', format('select crm.rotate_webhook_secret(%L, 0)', tests.webhook('line')));
select is((select count(*) from crm_private.webhook_secrets where webhook_id = tests.webhook('line')), 1::bigint, 'or only the new one, where she says so');

-- What is old goes.
create table tests.age as select count(*) as attempts from crm.webhook_attempts;
begin;
set local session_replication_role = replica;
-- As if it had been 31 days ago: an id begins with the milliseconds since 1970.
update crm.webhook_attempts as a set id = (lpad(to_hex((extract(epoch from now() - interval '31 days') * 1000)::bigint), 12, '0') || substr(replace(a.id::text, '-', ''), 13))::uuid
from (select org_id, id from crm.webhook_attempts order by id limit 5) as old where a.org_id = old.org_id and a.id = old.id;
commit;
select is((tests.as_worker('select crm.maintain_webhooks(3)')::jsonb -> 'attempts_removed')::integer, 3, 'what was tried 31 days ago is forgotten, so many at a time');
select is((tests.as_worker('select crm.maintain_webhooks()')::jsonb -> 'attempts_removed')::integer, 2, 'to the end');
select is((select count(*) from crm.webhook_attempts), (select attempts - 5 from tests.age), 'and nothing else');

-- Who delivers can do only that ----------------------------------------------------------------------------------------

create function tests.worker_said(statement text) returns text language plpgsql as $$
begin
    perform tests.become_role('crm_worker');
    execute statement;
    return 'done';
exception when others then
    return sqlstate;
end
$$;
select is(tests.worker_said(statement), '42501', 'who delivers does not: ' || statement)
from unnest(array[
    'select * from crm.contacts', 'select * from crm.webhooks', 'select * from crm.webhook_deliveries', 'select * from crm.webhook_attempts',
    'select * from crm_private.webhook_secrets', 'select * from crm_private.webhook_states', 'delete from crm.webhook_deliveries',
    'select crm.changes_since()', 'select crm.create_webhook(''a'', ''https://example.com'')', 'select * from crm.audit_log'
]) as statement;
select tests.nobody();
select is(tests.said('ann', 'select count(*) from crm.claim_webhook_deliveries()'), '42501 permission denied for function claim_webhook_deliveries', 'nor does an owner deliver');
select is(tests.said('ann', 'select crm.fan_out_events()'), '42501 permission denied for function fan_out_events', 'nor hand over');

-- A condition that cannot be evaluated, or not in time, is that webhook's alone.
select tests.make('ann', 'plain', $$, '{lead.created}'$$), tests.make('ann', 'dated', $$, '{lead.created}', condition => '$.data.created_at.datetime() > "2020-01-01".datetime()'$$),
    tests.make('ann', 'undated', $$, '{lead.created}', condition => '$.data.last_name.datetime() > "2020-01-01".datetime()'$$),
    tests.make('ann', 'long', $$, '{lead.created}', condition => 'exists($.data.* ? (exists($.data.* ? (exists($.data.* ? (exists($.data.* ? (exists($.data.* ? (exists($.data.* ? (exists($.data.* ? (@ == "never"))))))))))))))'$$),
    tests.make('bob', 'others', $$, '{lead.created}'$$, 'Borg');
select tests.fan_out(), tests.claim(1000), tests.complete_all();
select tests.change('a lead', 'sam', $$insert into crm.leads (last_name) values ('Condition')$$), tests.change('a lead of others', 'bob', $$insert into crm.leads (last_name) values ('Condition')$$, 'Borg');
select clock_timestamp() as began \gset
select tests.fan_out();
select cmp_ok(clock_timestamp() - :'began', '<', interval '15 seconds', 'a condition that takes for ever is given up');
select is(
    (select string_agg(name, ' ' order by name) from tests.webhooks as w where name in ('plain', 'dated', 'undated', 'long', 'others') and exists (
        select from crm.webhook_deliveries as d where d.webhook_id = w.id and d.event_type = 'lead.created'
    )),
    'dated others plain', 'the others get what they want, and what lacks what is asked for does not fit'
);
select is(
    tests.said('ann', $$select string_agg(name || ': ' || disabled_reason, ', ') from crm.webhooks where not enabled and name in ('plain', 'dated', 'undated', 'long')$$),
    'long: its condition cannot be evaluated: it takes too long', 'it is switched off, and its owner is told why'
);
delete from crm.webhooks where name in ('plain', 'dated', 'undated', 'long', 'others');
select tests.fan_out(), tests.claim(1000), tests.complete_all();

-- What stands between an ordered delivery and the next one in another's transaction.
select tests.make('ann', 'rows', $$, '{lead.*}', ordered => true$$);
insert into tests.ids values ('lane', gen_random_uuid());
select tests.change('lane', 'sam', $$insert into crm.leads (id, last_name) values (tests.id('lane'), 'one')$$);
select tests.fan_out();
select is(tests.claim(), 'rows:lead.created', 'the first of a record is being sent');
select tests.change('lane 2', 'sam', $$update crm.leads set last_name = 'two' where id = tests.id('lane')$$);
select is(tests.fan_out(), 1, 'when the second is added');
select is((select array_agg(state) from crm.webhook_deliveries where state in ('ordering', 'waiting')), '{ordering}', 'it may not have been seen that the first one is done with');
delete from crm.webhook_deliveries where state = 'pending';
select is(tests.claim(), '', 'as if that had been reported just then');
select tests.fan_out();
select is(tests.claim(), 'rows:lead.updated', 'the second one goes with the next call');
select tests.change('lane 3', 'sam', $$update crm.leads set last_name = 'three' where id = tests.id('lane')$$);
select tests.change('lane 4', 'sam', $$update crm.leads set last_name = 'four' where id = tests.id('lane')$$);
select is(tests.fan_out(), 2, 'of two that are added');
select is((select array_agg(state order by id) from crm.webhook_deliveries where state in ('ordering', 'waiting')), '{ordering,waiting}', 'the second one waits for the first');
select tests.change('lane 5', 'sam', $$update crm.leads set last_name = 'five' where id = tests.id('lane')$$);
select is(tests.fan_out(), 1, 'of one that comes later');
select is((select array_agg(state order by id) from crm.webhook_deliveries where state in ('ordering', 'waiting')), '{ordering,waiting,ordering}', 'those before it may all be done with meanwhile');
update crm.webhook_deliveries set created_at = created_at - interval '2 minutes' where state = 'ordering';
select tests.fan_out();
select is((select array_agg(state order by id) from crm.webhook_deliveries where state in ('ordering', 'waiting')), '{waiting,waiting,waiting}', 'after a while it is known that nobody was reporting');
select is(tests.complete_all(), 1::bigint, 'then the one that was sent is reported');
select is(tests.claim(), 'rows:lead.updated', 'and the next one goes');
select tests.complete_all(), tests.claim(), tests.complete_all();
delete from crm.webhooks where name = 'rows';
select tests.fan_out(), tests.claim(1000), tests.complete_all();

-- A copy delivers nothing, and a plan without webhooks has none.
select crm.unbind_deployment();
select tests.change('copy', 'sam', $$insert into crm.tasks (title) values ('copy')$$);
select is(tests.fan_out(), 0, 'a copy hands nothing over');
select is(tests.claim(), '', 'and delivers nothing');
select crm.bind_deployment();
select is(tests.fan_out(), 1, 'where it is bound it does');
select tests.claim(), tests.complete_all();
select crm.set_plan_override(tests.org_id('Acme'), 'webhooks', enabled => false, reason => 'test');
select tests.change('no feature', 'sam', $$insert into crm.tasks (title) values ('no feature')$$);
select is(tests.fan_out(), 0, 'without the feature nothing is handed over');
select crm.remove_plan_override(tests.org_id('Acme'), 'webhooks');
update crm.organizations set plan = 'free' where id = tests.org_id('Acme');
select is(tests.make('ann', 'second'), 'made', 'a free plan has two');
select matches(tests.make('ann', 'third'), '^53400 the plan''s limit is reached: webhooks', 'and no third');
update crm.organizations set status = 'suspended' where id = tests.org_id('Acme');
select is(tests.fan_out(), 0, 'of a suspended organization nothing is handed over');
update crm.organizations set status = 'active' where id = tests.org_id('Acme');

-- What was erased is sent to nobody.
select tests.change('person', 'sam', $$insert into crm.contacts (id, last_name) values (tests.id('contact'), 'Person')$$);
select tests.fan_out();
select is((select count(*) from crm.webhook_deliveries where record_id = tests.id('contact')), 1::bigint, 'a person is on the way to a webhook');
select matches(tests.said('ann', format('select crm.erase_person(%L, %L)', 'contacts', tests.id('contact'))), '^{', 'and is erased');
select is((select count(*) from crm.webhook_deliveries where record_id = tests.id('contact')), 0::bigint, 'so it is not sent');

-- Who leads a webhook elsewhere -----------------------------------------------------------------------------------------

update crm.organizations set plan = 'pro' where id = tests.org_id('Acme');
insert into crm.roles (org_id, name, rank) select tests.org_id('Acme'), 'fitter', 10;
insert into crm.role_permissions (org_id, role, permission, scope)
select tests.org_id('Acme'), 'fitter', permission, 'all' from unnest('{webhooks.create,webhooks.read,webhooks.update,webhooks.delete}'::text[]) as permission;
begin;
select tests.hire('fay', 'Acme', 'fitter');
commit;
create function tests.fay(change text) returns text language sql as $$
    select tests.said('fay', format('update crm.webhooks set %s where id = %L returning name', change, tests.webhook('led')))
$$;
create table tests.unread as select '42501 you lack deals.read for all records, which the webhook tells of so far, or is about to: who says where that goes must be allowed to read it' as answer;

select is(tests.make('ann', 'led', $$, '{deal.*}', headers => '{"Authorization": "Bearer x"}'$$), 'made', 'ann has deals sent to her receiver');
select tests.change('secret', 'sam', $$insert into crm.deals (name) values ('Secret')$$);
select tests.fan_out();
select is((select count(*) from crm.webhook_deliveries where webhook_id = tests.webhook('led')), 1::bigint, 'one is on its way');
select is(tests.fay($$events = '{webhook.*}', url = 'https://fay.example'$$), (select answer from tests.unread), 'fay, who may not read deals, does not lead it to herself for other events');
select is(tests.fay($$events = '{webhook.*}'$$), 'led', 'that it tells less she may say');
create function tests.lies(as_state text) returns void language sql as $$
    update crm.webhook_deliveries set state = as_state, run_at = case when as_state = 'pending' then now() end where webhook_id = tests.webhook('led')
$$;
create function tests.leads_it_while(as_state text) returns text language plpgsql as $$
begin
    perform tests.lies(as_state);
    return tests.fay($change$url = 'https://fay.example'$change$);
end
$$;
select is(tests.leads_it_while(as_state), (select answer from tests.unread), 'nor while a deal is ' || as_state)
from unnest('{waiting,backlog,failed,pending}'::text[]) as as_state;
select tests.make_due(), tests.claim(1000), tests.complete_all();
select is(tests.fay($$url = 'https://example.com/led/elsewhere'$$), 'led', 'when all of it has arrived she may');
select is((select header_names from crm.webhooks where id = tests.webhook('led')), '{authorization}', 'at the same receiver the headers stay');
select is(tests.fay($$url = 'https://EXAMPLE.com:443/led'$$), 'led', 'however it is written');
select is((select header_names from crm.webhooks where id = tests.webhook('led')), '{authorization}', 'it is the same');
create function tests.headers() returns text language sql as $$
    select w.header_names::text || s.headers::text from crm.webhooks as w join crm_private.webhook_states as s on s.webhook_id = w.id where w.id = tests.webhook('led')
$$;
select is(tests.fay($$url = 'https://fay.example'$$), 'led', 'she leads it to herself');
select is(tests.headers(), '{}{}', 'another receiver is not told what the one before is to get');
select tests.said('fay', format('select crm.test_webhook(%L)', tests.webhook('led')));
select tests.claim();
select is((select url || (headers ? 'authorization')::text from tests.claimed where event_type = 'webhook.test'), 'https://fay.examplefalse', 'nor with a test');
select tests.complete_all();
create table tests.told as select distinct event_id from crm.webhook_attempts where webhook_id = tests.webhook('led') and event_type = 'deal.created';
select is(
    tests.said('fay', format('select crm.replay_webhook(%L, %L)', tests.webhook('led'), (select event_id from tests.told))),
    '22023 event_id: is a deal.created, which is not among the webhook''s events', 'what it told before is not sent there once more'
);
select is(tests.said('fay', format('select crm.replay_webhook(%L, since => %L)', tests.webhook('led'), now() - interval '1 day')) like '{"from"%', true, 'all that it wants is');
select is((select count(*) from crm.webhook_deliveries where webhook_id = tests.webhook('led') and event_type not like 'webhook.%'), 0::bigint, 'which are no deals');
select tests.fan_out(), tests.claim(1000), tests.complete_all();
select is((select count(*) from tests.claimed where webhook_id = tests.webhook('led') and event_type like 'deal.%'), 0::bigint, 'nor later');

-- What was given up goes only where it is wanted by now.
select tests.said('ann', format('update crm.webhooks set events = %L where id = %L returning id', '{deal.*}', tests.webhook('led')));
select tests.change('second secret', 'sam', $$insert into crm.deals (name) values ('Second secret')$$);
select tests.fan_out(), tests.lies('failed');
select tests.said('ann', format('update crm.webhooks set events = %L where id = %L returning id', '{webhook.*}', tests.webhook('led')));
select is(
    tests.said('ann', format('select crm.replay_webhook(%L, %L)', tests.webhook('led'), (select event_id from crm.webhook_deliveries where webhook_id = tests.webhook('led')))),
    '22023 event_id: is a deal.created, which is not among the webhook''s events', 'nobody sends what was given up where it is not wanted any more'
);
select is(tests.said('ann', format('select crm.replay_webhook(%L)', tests.webhook('led'))), '{"replayed": 0}', 'nor all of it');
select tests.said('ann', format('update crm.webhooks set events = %L where id = %L returning id', '{deal.*}', tests.webhook('led')));
select is(tests.said('ann', format('select crm.replay_webhook(%L)', tests.webhook('led'))), '{"replayed": 1}', 'where it is, it goes');
select tests.claim(1000), tests.complete_all();

-- By whatever way it is led elsewhere.
select tests.change('led', 'ann', format('update crm.webhooks set url = %L where id = %L', 'https://ann.example', tests.webhook('led')));
select tests.said('ann', format('select crm.set_webhook_headers(%L, %L)', tests.webhook('led'), '{"x-key": "y"}'));
select is(tests.headers(), '{x-key}{"x-key": "y"}', 'ann leads it back, and tells the headers');
select tests.change('third secret', 'sam', $$insert into crm.deals (name) values ('Third secret')$$);
select tests.fan_out();
select tests.said('ann', format('update crm.webhooks set events = %L where id = %L returning id', '{webhook.*}', tests.webhook('led')));
select is(
    '42501 ' || (tests.said('fay', format('select crm.undo(%L)', tests.transaction('led')))::jsonb #>> '{entries,0,reason}'), (select answer from tests.unread),
    'fay does not take that back while a deal is on its way'
);
select is(
    tests.said('fay', format('select crm.restore_record(''webhooks'', %L, 1)', tests.webhook('led'))),
    '42501 you lack deals.read for all records, which these events tell of: name only events that you may know', 'nor bring back what it was'
);
select is((select url from crm.webhooks where id = tests.webhook('led')), 'https://ann.example', 'it is where ann led it');
select matches(tests.said('ann', format('select crm.undo(%L)', tests.transaction('led'))), '"reversed": 1', 'ann does');
select is((select url from crm.webhooks where id = tests.webhook('led')) || tests.headers(), 'https://fay.example{}{}', 'without the headers');

\ir ../audit/leave_world.psql
