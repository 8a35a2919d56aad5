-- Text is checked and brought into the form that is stored, the same way on every path; an error names the column.

begin;
\ir actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'admin');
update crm.organizations set country = 'DE' where id = tests.org_id('Acme');

create table tests.accepted (kind text, given text, stored text);
insert into tests.accepted values
    ('email', '  Ann.Lee@Example.COM ', 'ann.lee@example.com'),
    ('email', 'ÄRGER@Bücher.example', 'ärger@bücher.example'),
    ('line', '  Ann  Lee ', 'Ann  Lee'),
    ('line', '', null),
    ('text', ' ', null),
    ('email', '', null),
    ('phone', ' ', null),
    ('domain', '', null),
    ('url', '', null),
    ('code', '', null),
    ('line', 'عربى 😀', 'عربى 😀'),
    ('text', E' two\nlines\t ', E' two\nlines\t '),
    ('url', ' https://example.com/a?b=c#d ', 'https://example.com/a?b=c#d'),
    ('domain', ' WWW.Example.com. ', 'example.com'),
    ('domain', 'bücher.example', 'xn--bcher-kva.example'),
    ('phone', ' (650) 253-0000 ext. 12 ', '(650) 253-0000 ext. 12'),
    ('html', '', null),
    ('html', '<p onclick="x()">Hi<script>x</script></p>', '<p>Hi</p>'),
    ('html', '<a href="javascript:x()">a</a> &amp; b', '<a rel="noopener noreferrer nofollow">a</a> &amp; b'),
    ('country', ' de ', 'DE'),
    ('currency', 'eur', 'EUR'),
    ('key', ' a_1 ', 'a_1'),
    ('mime', 'Image/PNG ', 'image/png'),
    ('rrule', 'rrule:freq=daily;count=3', 'FREQ=DAILY;COUNT=3'),
    ('time_zone', 'Europe/Berlin', 'Europe/Berlin');

create table tests.refused (kind text, given text, problem text);
insert into tests.refused values
    ('email', 'ann', 'not a valid e-mail address'),
    ('email', 'Ann <ann@example.com>', 'not a valid e-mail address'),
    ('email', E'ann@example.com\nbcc: x', 'not a valid e-mail address'),
    ('email', repeat('a', 250) || '@example.com', 'not a valid e-mail address'),
    ('line', E'a\nb', 'line breaks and control characters are not allowed'),
    ('line', E'a\x1bb', 'line breaks and control characters are not allowed'),
    ('text', E'a\x07b', 'control characters are not allowed'),
    ('url', 'example.com', 'not a web address like https://example.com'),
    ('url', 'javascript:alert(1)', 'not a web address like https://example.com'),
    ('url', 'data:text/html,x', 'not a web address like https://example.com'),
    ('domain', 'localhost', 'not a domain name like example.com'),
    ('domain', '127.0.0.1', 'not a domain name like example.com'),
    ('phone', 'call me', 'not a phone number'),
    ('phone', '<script>123</script>', 'not a phone number'),
    ('country', 'XX', 'not a country''s code of two letters (ISO 3166-1) like DE'),
    ('country', 'Germany', 'not a country''s code of two letters (ISO 3166-1) like DE'),
    ('currency', 'EU', 'not a currency''s code of three letters (ISO 4217) like EUR'),
    ('key', 'A b', 'not a name of lower-case letters, digits and _ that begins with a letter, of at most 63'),
    ('mime', 'png', 'not a type of file like image/png'),
    ('mime', 'text/plain; charset=utf-8', 'not a type of file like image/png'),
    ('rrule', 'every day', 'not a recurrence rule like FREQ=WEEKLY;BYDAY=MO,TH'),
    ('time_zone', 'Europe/Atlantis', 'there is no such time zone');
grant select on tests.accepted, tests.refused to public;

-- Every rule of every enrolled table, as its trigger carries it.
create table tests.rules as
select t.tgrelid::regclass as target, words[1] as column_name, 'required' = any (words) as required,
    case when words[2] = 'required' then words[3] else words[2] end as kind,
    substring(rule from '\d+$')::int as longest,
    -- Names and permissions have a form of their own besides.
    words[1] ~ '^(name|permission|trigger_event|event_name)$' and exists (
        select from pg_constraint as c
        join pg_attribute as a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
        where c.conrelid = t.tgrelid and c.contype = 'c' and a.attname = words[1]
    ) as formed
from pg_trigger as t
cross join lateral unnest(string_to_array(encode(t.tgargs, 'escape'), '\000')) as rule
cross join lateral string_to_array(rule, ' ') as words
where t.tgname = '_100_normalize' and rule <> ''
    -- What the database keeps, and lists, are no text: records.sql and entities/messages.sql have those.
    and words[2] not in ('kept', 'steps', 'since', 'owner', 'lines')
    -- Into the others nobody inserts: profiles.sql has those.
    and has_table_privilege('crm_app', t.tgrelid, 'insert');
grant select on tests.rules to public;

-- What a row needs.
insert into crm.groups (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000001', 'Group');
insert into crm.contacts (org_id, id, last_name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000002', 'Contact');
insert into crm.appointments (org_id, id, title, starts_at, ends_at)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000003', 'Appointment', '2026-01-01T10:00:00Z', '2026-01-01T11:00:00Z');
insert into crm.accounts (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000003', 'Account');
insert into crm.deals (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000004', 'Deal');
insert into crm.pipelines (org_id, id, name) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000005', 'Pipeline');
insert into crm.estimates (org_id, id) values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000004');
insert into crm.invoices (org_id, id, billing_name)
select tests.org_id('Acme'), id::uuid, 'Customer' from unnest('{018f0000-0000-7000-8000-000000000005,018f0000-0000-7000-8000-000000000006}'::text[]) as id;
insert into crm.invoice_items (org_id, invoice_id, description, unit_price)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000006', 'Needed', 1);
update crm.invoices set status = 'sent' where id = '018f0000-0000-7000-8000-000000000006';
delete from crm.number_series where kind = 'ticket';
create table tests.needs (target regclass, content jsonb);
insert into tests.needs values
    ('crm.accounts', '{"name": "Needed"}'),
    ('crm.contacts', '{"last_name": "Needed"}'),
    ('crm.custom_fields', '{"entity": "contacts", "key": "needed", "label": "Needed", "type": "text"}'),
    ('crm.roles', '{"name": "needed"}'),
    ('crm.role_permissions', '{"role": "sales", "permission": "contacts.read"}'),
    ('crm.groups', '{"name": "Needed"}'),
    ('crm.group_permissions', '{"group_id": "018f0000-0000-7000-8000-000000000001", "permission": "contacts.read"}'),
    ('crm.activities', '{"subject": "Needed"}'),
    ('crm.appointment_attendees', jsonb_build_object('appointment_id', '018f0000-0000-7000-8000-000000000003', 'user_id', tests.user_id('ann'))),
    ('crm.appointments', '{"title": "Needed", "starts_at": "2026-01-01T10:00:00Z", "ends_at": "2026-01-01T11:00:00Z"}'),
    ('crm.attachments', '{"file_name": "Needed", "size_bytes": 1, "storage_key": "Needed", "contact_id": "018f0000-0000-7000-8000-000000000002"}'),
    ('crm.automations', '{"name": "Needed", "trigger_event": "contact.created"}'),
    ('crm.estimate_items', '{"estimate_id": "018f0000-0000-7000-8000-000000000004", "description": "Needed"}'),
    ('crm.estimates', '{}'),
    ('crm.integration_rules', '{"name": "Needed", "event_name": "needed.event", "entity": "contacts", "mapping": {"last_name": "$.name"}}'),
    ('crm.invoice_items', '{"invoice_id": "018f0000-0000-7000-8000-000000000005", "description": "Needed"}'),
    ('crm.invoices', '{}'),
    ('crm.jobs', '{"title": "Needed"}'),
    ('crm.messages', '{}'),
    ('crm.notifications', jsonb_build_object('user_id', tests.user_id('ann'), 'kind', 'needed', 'title', 'Needed')),
    ('crm.number_series', '{"kind": "ticket"}'),
    ('crm.payments', '{"invoice_id": "018f0000-0000-7000-8000-000000000006", "amount": 1}'),
    ('crm.projects', '{"name": "Needed"}'),
    ('crm.saved_filters', '{"entity": "contacts", "name": "Needed"}'),
    ('crm.tasks', '{"title": "Needed"}'),
    ('crm.tags', '{"name": "Needed"}'),
    ('crm.tickets', '{"subject": "Needed"}'),
    ('crm.contact_accounts', '{"contact_id": "018f0000-0000-7000-8000-000000000002", "account_id": "018f0000-0000-7000-8000-000000000003"}'),
    ('crm.contact_emails', '{"contact_id": "018f0000-0000-7000-8000-000000000002", "email": "needed@example.com"}'),
    ('crm.contact_phones', '{"contact_id": "018f0000-0000-7000-8000-000000000002", "phone": "+16502530000"}'),
    ('crm.deal_contacts', '{"deal_id": "018f0000-0000-7000-8000-000000000004", "contact_id": "018f0000-0000-7000-8000-000000000002"}'),
    ('crm.deals', '{"name": "Needed"}'),
    ('crm.leads', '{"last_name": "Needed", "company": "Needed"}'),
    ('crm.pipeline_stages', '{"pipeline_id": "018f0000-0000-7000-8000-000000000005", "name": "Needed"}'),
    ('crm.pipelines', '{"name": "Needed"}');
grant select on tests.needs to public;
select set_eq('select distinct target from tests.rules', 'select target from tests.needs', 'every table with rules is in this test');

-- A row of the table with this one column set; the rest is what a row needs.
create function tests.write(target regclass, column_name text, value text) returns text language plpgsql as $$
declare
    needs constant jsonb := (select n.content from tests.needs as n where n.target = write.target);
    stored text;
    said text;
begin
    -- In an exception block, and undone, so that each value meets an empty table.
    begin
        execute format(
            'with one as (select * from jsonb_populate_record(null::%1$s, $1))
             insert into %1$s (%2$s) select %2$s from one returning %3$I',
            target,
            (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(needs || jsonb_build_object(column_name, value)) as key),
            column_name
        ) into stored using needs || jsonb_build_object(column_name, value);
        raise exception using errcode = 'UNDO1';
    exception
        when sqlstate 'UNDO1' then said := stored;
        when others then said := sqlstate || ' ' || sqlerrm;
    end;
    return said;
end
$$;

select tests.become('ann', 'Acme');

select cmp_ok((select count(*) from tests.rules), '>=', 34::bigint, 'the rules of the built-in tables are found');

select is(
    tests.write(r.target, r.column_name, a.given), a.stored,
    format('ann writes %s to %s.%s', to_json(a.given), r.target, r.column_name)
)
from tests.rules as r
join tests.accepted as a on a.kind = r.kind and not r.formed and not (r.required and a.stored is null) and (r.longest is null or length(a.given) <= r.longest)
order by r.target::text, r.column_name, a.given;

select is(
    tests.write(r.target, r.column_name, b.given), format('22023 %s: %s', r.column_name, b.problem),
    format('ann cannot write %s to %s.%s, and is told which column', to_json(left(b.given, 30)), r.target, r.column_name)
)
from tests.rules as r
join tests.refused as b on b.kind = r.kind
order by r.target::text, r.column_name, b.given;

select is(tests.write(target, column_name, repeat('ü', longest)), repeat('ü', longest), format('%s.%s takes %s characters', target, column_name, longest))
from tests.rules
where kind in ('line', 'text') and not formed
order by target::text, column_name;
select is(
    tests.write(target, column_name, repeat('ü', longest + 1)),
    format('22023 %s: too long: %s characters, at most %s are allowed', column_name, longest + 1, longest),
    format('%s.%s takes no more', target, column_name)
)
from tests.rules
where kind in ('line', 'text')
order by target::text, column_name;

select is(tests.write(target, column_name, E' \t\u00a0 '), format('22023 %s: must not be empty', column_name), format('%s.%s is not blank', target, column_name))
from tests.rules
where required
order by target::text, column_name;
select matches(
    tests.write(target, column_name, null), format('^23502 .*"%s"|^22023 %1$s: ', column_name), format('%s.%s is not null', target, column_name)
)
from tests.rules
where required
order by target::text, column_name;

-- Names that other rows refer to, and permissions, are trimmed and bounded like the rest, and have a form of their own.
select tests.nobody();
insert into crm.permissions (resource, action, description) values (repeat('r', 63), repeat('a', 63), 'The longest.');
select tests.become('ann', 'Acme');
select is(tests.write(target::regclass, column_name, given), stored, format('ann writes %s to %s.%s', to_json(given), target, column_name))
from (values
    ('crm.roles', 'name', '  analyst_2 ', 'analyst_2'),
    ('crm.roles', 'name', repeat('x', 63), repeat('x', 63)),
    ('crm.role_permissions', 'permission', ' contacts.read', 'contacts.read'),
    ('crm.role_permissions', 'permission', 'contacts.*', 'contacts.*'),
    ('crm.group_permissions', 'permission', '*.read ', '*.read'),
    ('crm.group_permissions', 'permission', repeat('r', 63) || '.' || repeat('a', 63), repeat('r', 63) || '.' || repeat('a', 63))
) as formed (target, column_name, given, stored);
select is(
    tests.write(target::regclass, column_name, given),
    case column_name
        when 'name' then '23514 new row for relation "roles" violates check constraint "roles_name_check"'
        else '22023 permission: ' || case given when 'vehicles.read' then 'there is none like this: see /permissions' else 'must be like contacts.read, contacts.* or *.*' end
    end,
    format('ann cannot write %s to %s.%s', to_json(given), target, column_name)
)
from (values
    ('crm.roles', 'name', 'Analyst'), ('crm.roles', 'name', '2nd'), ('crm.roles', 'name', 'an alyst'),
    ('crm.role_permissions', 'permission', 'contacts'), ('crm.role_permissions', 'permission', 'Contacts.read'),
    ('crm.role_permissions', 'permission', 'vehicles.read'), ('crm.group_permissions', 'permission', 'contacts.read.all'),
    ('crm.group_permissions', 'permission', 'vehicles.read'), ('crm.group_permissions', 'permission', '.read')
) as formed (target, column_name, given);

-- Every text column that clients write is ruled by a rule, a CHECK or a foreign key.
select is_empty(
    $$select a.attrelid::regclass, a.attname
      from pg_attribute as a
      join pg_trigger as t on t.tgrelid = a.attrelid and t.tgname = '_100_normalize'
      where a.attrelid in (select target from tests.rules) and a.atttypid = 'text'::regtype and a.attnum > 0 and not a.attisdropped
          and a.attname not like '%\_normalized' and (a.attrelid, a.attname) <> ('crm.tags'::regclass, 'name_key')
          and not exists (select from tests.rules as r where r.target = a.attrelid and r.column_name = a.attname)
          and a.attname || ' kept' <> all (string_to_array(encode(t.tgargs, 'escape'), '\000'))
          and not exists (
              select from pg_constraint as c
              where c.conrelid = a.attrelid
                  and (c.contype = 'c' and c.conkey = array[a.attnum] or c.contype = 'f' and a.attnum = any (c.conkey))
          )$$,
    'no text column takes just anything'
);
select is(
    tests.outcome(format('insert into crm.contacts (last_name, %I) values (''x'', %L)', name, value)),
    format('23514 new row for relation "contacts" violates check constraint "contacts_%s_check"', name),
    format('ann cannot write %s to contacts.%s, and is told which column', to_json(value), name)
)
from (values ('status', 'gone'), ('birthday', '1066-10-14'), ('birthday', 'infinity')) as bad (name, value);
select is(
    tests.outcome(format('insert into crm.accounts (name, %I) values (''x'', %L)', name, value)),
    format('23514 new row for relation "accounts" violates check constraint "accounts_%s_check"', name),
    format('ann cannot write %s to accounts.%s, and is told which column', to_json(value), name)
)
from (values ('type', 'x'), ('status', 'x'), ('employees', '-1'), ('annual_revenue', '-1'), ('annual_revenue', 'NaN')) as bad (name, value);
select is(tests.write(target, column_name, repeat('x', longest)), repeat('X', longest), format('%s.%s is stored in upper case', target, column_name))
from tests.rules
where kind = 'code'
order by target::text, column_name;
select is(
    tests.write(r.target, r.column_name, given), format('22023 %s: not a code of %s letters', r.column_name, r.longest),
    format('ann cannot write %s to %s.%s, and is told which column', to_json(given), r.target, r.column_name)
)
from tests.rules as r
cross join lateral (values (repeat('x', r.longest + 1)), (repeat('1', r.longest)), (repeat('ü', r.longest)), ('Germany')) as bad (given)
where r.kind = 'code'
order by r.target::text, r.column_name, given;

-- Phone numbers ----------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
create function pg_temp.phone(name text) returns text[] language sql as $$
    select array[phone, phone_normalized] from crm.contacts where last_name = name
$$;

insert into crm.contacts (last_name, phone) values ('with code', '+1 (650) 253-0000'), ('national', '030 123456'), ('extension', '123');
select is(pg_temp.phone('with code'), '{+1 (650) 253-0000,+16502530000}', 'a number with a country code is kept as given, and in E.164 form');
select is(pg_temp.phone('national'), '{030 123456,+4930123456}', 'a national number is read as one of the organization''s country');
select is(pg_temp.phone('extension'), '{123,null}', 'what is no valid number has no E.164 form');
insert into crm.contacts (last_name, phone_normalized) values ('forged', '+16502530000');
select is(pg_temp.phone('forged'), '{null,null}', 'the E.164 form cannot be written by hand');
update crm.contacts set phone_normalized = '+49' where last_name = 'national';
select is(pg_temp.phone('national'), '{030 123456,+4930123456}', 'nor changed by hand');
update crm.contacts set phone = '030 654321', phone_normalized = '+49' where last_name = 'national';
select is(pg_temp.phone('national'), '{030 654321,+4930654321}', 'it follows the number');
update crm.contacts set phone = null where last_name = 'national';
select is(pg_temp.phone('national'), '{null,null}', 'and goes with it');

select tests.become('bob', 'Borg');
insert into crm.contacts (last_name, phone) values ('elsewhere', '030 123456'), ('later', '030 123456');
select is(pg_temp.phone('elsewhere'), '{030 123456,null}', 'an organization without a country has only numbers with a country code');
select tests.nobody();
update crm.organizations set country = 'DE' where id = tests.org_id('Borg');
select tests.become('bob', 'Borg');
update crm.contacts set title = 'x' where last_name = 'later';
select is(pg_temp.phone('later'), '{030 123456,+4930123456}', 'once it has one, the next change of a contact finds the number');

-- The same number, whoever writes it.
select tests.become('bob');
insert into crm.contacts (org_id, last_name, phone) values (tests.org_id('Acme'), 'across', '030 123456');
select is(
    pg_temp.phone('across'), '{030 123456,+4930123456}',
    'bob, looking across his organizations, writes a national number: it is one of the country of the organization that the contact belongs to'
);
update crm.contacts set phone = '030 123457' where last_name = 'with code';
select is(pg_temp.phone('with code'), '{030 123457,+4930123457}', 'the same when he changes one');
select tests.nobody();
insert into crm.contacts (org_id, last_name, phone) values (tests.org_id('Acme'), 'loaded', '030 123456');
select is(pg_temp.phone('loaded'), '{030 123456,+4930123456}', 'and when the DBA loads one (pg_restore --data-only)');

-- Unchanged values ---------------------------------------------------------------------------------------------------

alter table crm.contacts disable trigger user;
update crm.contacts set first_name = E'old\nrow' where last_name = 'elsewhere';
alter table crm.contacts enable trigger user;
select tests.become('bob', 'Borg');
select is(
    tests.outcome($$update crm.contacts set title = 'x' where last_name = 'elsewhere'$$), '1 rows',
    'a row from before a rule can still be changed elsewhere'
);
select is(
    tests.outcome($$update crm.contacts set first_name = E'new\nrow' where last_name = 'elsewhere'$$),
    '22023 first_name: line breaks and control characters are not allowed', 'but not against the rule'
);

select * from finish();
rollback;
