-- What is written into custom_fields: checked by the organization's definitions, merged into what there is, and of nobody else.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.join('sam', 'Borg', 'sales');

insert into crm.custom_fields (org_id, entity, key, label, type, required, is_unique, default_value, options, reference_entity)
select tests.org_id('Acme'), 'contacts', f.*
from (values
    ('tier', 'Tier', 'select', false, false, '"silver"'::jsonb, '["silver", "gold"]'::jsonb, null),
    ('score', 'Score', 'number', false, false, null, null, null),
    ('vat', 'VAT number', 'text', false, true, null, null, null),
    ('page', 'Page', 'url', false, true, null, null, null),
    ('code', 'Code', 'number', false, true, null, null, null),
    ('notes', 'Notes', 'long_text', false, false, null, null, null),
    ('vip', 'VIP', 'boolean', false, false, 'false', null, null),
    ('since', 'Since', 'date', false, false, null, null, null),
    ('signed_at', 'Signed', 'datetime', false, false, null, null, null),
    ('colors', 'Colors', 'multi_select', false, false, null, '["red", "blue"]', null),
    ('home', 'Home', 'email', false, false, null, null, null),
    ('partner', 'Partner', 'reference', false, false, null, null, 'accounts')
) as f;
insert into crm.custom_fields (org_id, entity, key, label, type, required)
values (tests.org_id('Acme'), 'accounts', 'region', 'Region', 'text', true), (tests.org_id('Borg'), 'contacts', 'secret_of_borg', 'Secret', 'text', true);
insert into crm.accounts (org_id, id, name, owner_id, custom_fields)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-00000000000a', 'Ours', tests.user_id('sam'), '{"region": "EU"}'),
    (tests.org_id('Acme'), '018f0000-0000-7000-8000-00000000000b', 'Sue''s', tests.user_id('sue'), '{"region": "EU"}'),
    (tests.org_id('Borg'), '018f0000-0000-7000-8000-00000000000c', 'Theirs', null, '{}');

create function tests.stored(fields jsonb) returns jsonb language sql as $$
    insert into crm.contacts (last_name, custom_fields) values ('Stored', fields) returning custom_fields
$$;
create function tests.patched(fields jsonb) returns jsonb language sql as $$
    update crm.contacts set custom_fields = fields where last_name = 'Patched' returning custom_fields
$$;
create function tests.refusal(fields text) returns text language sql as $$
    select tests.outcome(format('insert into crm.contacts (last_name, custom_fields) values (''Refused'', %L)', fields))
$$;

-- Adding ----------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(tests.stored('{}'), '{"tier": "silver", "vip": false}', 'a new record has the defaults');
select is(tests.stored(null), '{"tier": "silver", "vip": false}', 'also where nothing was sent');
select is(
    tests.stored('{"tier": "gold", "score": 12.50, "vat": " DE1 ", "vip": true, "since": "2026-02-28", "signed_at": "2026-02-28T23:30:00-02:00",
        "colors": ["red", "blue", "red"], "home": "Ann@Example.com", "page": "https://example.com", "partner": "018F0000-0000-7000-8000-00000000000A"}'),
    '{"tier": "gold", "score": 12.5, "vat": "DE1", "vip": true, "since": "2026-02-28", "signed_at": "2026-03-01T01:30:00.000Z",
        "colors": ["blue", "red"], "home": "ann@example.com", "page": "https://example.com", "partner": "018f0000-0000-7000-8000-00000000000a"}',
    'each value is stored in one form'
);
select is(tests.stored('{"tier": null, "vip": null, "vat": "", "score": " "}'), '{}', 'null and what a form leaves blank are nothing');

select alike(tests.refusal(bad), '22023 custom_fields.' || problem || '%', bad)
from (values
    ('{"score": "12"}', 'score: must be a number'),
    ('{"score": 1e400}', 'score: must be a number of at most 15 digits'),
    ('{"score": 1234567890123456}', 'score: must be a number of at most 15 digits'),
    ('{"score": {"a": 1}}', 'score: must be a number'),
    ('{"tier": "platinum"}', 'tier: must be one of: silver, gold'),
    ('{"tier": ["gold"]}', 'tier: must be a text'),
    ('{"colors": ["green"]}', 'colors: must be one of: red, blue'),
    ('{"colors": "red"}', 'colors: must be an array'),
    ('{"vip": "yes"}', 'vip: must be true or false'),
    ('{"vat": 5}', 'vat: must be a text'),
    ('{"vat": "a\nb"}', 'vat: line breaks'),
    (jsonb_build_object('vat', repeat('x', 501))::text, 'vat: too long'),
    ('{"since": "2026-02-29"}', 'since: must be a date like'),
    ('{"signed_at": "2026-02-28T23:30:00"}', 'signed_at: must be a time with its offset'),
    ('{"home": "ann"}', 'home: not a valid e-mail'),
    ('{"page": "javascript:alert(1)"}', 'page: not a web address'),
    ('{"partner": "acme"}', 'partner: must be the id of one of accounts'),
    ('{"nope": 1}', 'nope: there is no such field'),
    ('{"nope": null}', 'nope: there is no such field')
) as refused (bad, problem);
select is(tests.refusal(bad), '22023 custom_fields: must be an object of keys and values', bad)
from unnest(array['[]', '"tier"', '1', 'true', 'null', '[{"tier": "gold"}]']) as bad;
select is(
    tests.outcome('insert into crm.accounts (name) values (''None'')'), '22023 custom_fields.region: is required', 'what is required is demanded'
);
prepare unknown as insert into crm.contacts (last_name, custom_fields) values ('x', '{"nope": 1}');
create function pg_temp.hint() returns text language plpgsql as $$
declare
    hint text;
begin
    execute 'execute unknown';
exception
    when others then
        get stacked diagnostics hint = pg_exception_hint;
        return hint;
end
$$;
select alike(pg_temp.hint(), 'The fields are: code, colors, home, %', 'the hint names those that there are');

-- Changing ----------------------------------------------------------------------------------------------------------------

insert into crm.contacts (last_name, custom_fields) values ('Patched', '{"score": 1, "vat": "P"}');
select is(tests.patched('{"score": 2}'), '{"tier": "silver", "vip": false, "score": 2, "vat": "P"}', 'what is not sent stays');
select is(tests.patched('{"score": null, "vip": ""}'), '{"tier": "silver", "vat": "P"}', 'null removes');
select is(tests.patched(null), '{"tier": "silver", "vat": "P"}', 'nothing sent changes nothing');
update crm.contacts set custom_fields = custom_fields - 'tier' where last_name = 'Patched';
select is(
    (select custom_fields from crm.contacts where last_name = 'Patched'), '{"tier": "silver", "vat": "P"}', 'to leave a key out removes nothing'
);
select is(
    tests.outcome('update crm.accounts set custom_fields = ''{"region": null}'''), '22023 custom_fields.region: is required', 'what is required stays'
);
select is(tests.outcome('update crm.contacts set custom_fields = ''{"nope": 1}'' where last_name = ''Patched'''), '22023 custom_fields.nope: there is no such field',
    'a change is checked');
update crm.contacts set title = 'x' where last_name = 'Patched';
select is((select custom_fields from crm.contacts where last_name = 'Patched'), '{"tier": "silver", "vat": "P"}', 'what else changes does not touch them');

-- Unique ----------------------------------------------------------------------------------------------------------------

select is(tests.refusal('{"vat": "DE1"}'), '23505 custom_fields.vat: another record has this value', 'a unique value occurs once');
select is(
    tests.outcome($$update crm.contacts set custom_fields = '{"vat": "DE1"}' where last_name = 'Patched'$$),
    '23505 custom_fields.vat: another record has this value', 'also in changes'
);
select is(tests.refusal('{"vat": "Q"}'), '1 rows', 'another value is free');
select tests.patched('{"vat": "Q"}');
select is(tests.refusal('{"vat": "P"}'), '1 rows', 'what was given up is free');
select is(tests.refusal('{"vat": "Q"}'), '23505 custom_fields.vat: another record has this value', 'and what was taken is not');
delete from crm.contacts where last_name = 'Patched';
select is(tests.refusal('{"vat": "Q"}'), '1 rows', 'what goes with its record is free');
select lives_ok($$insert into crm.contacts (last_name, custom_fields) values ('a', '{"code": 1.10}')$$, 'a number');
select is(tests.refusal('{"code": 1.1}'), '23505 custom_fields.code: another record has this value', 'is the same however it is written');
select lives_ok(format($$insert into crm.contacts (last_name, custom_fields) values ('long', jsonb_build_object('page', 'https://example.com/%s'))$$,
    (select string_agg(md5(n::text), '') from generate_series(1, 60) as n)), 'a long address is unique too');
select alike(tests.refusal(jsonb_build_object('page', 'https://example.com/' || (select string_agg(md5(n::text), '') from generate_series(1, 60) as n))::text),
    '23505 custom_fields.page%', 'and taken');
update crm.contacts set custom_fields = '{"page": null}' where last_name = 'long';
select is(tests.refusal(jsonb_build_object('page', 'https://example.com/' || (select string_agg(md5(n::text), '') from generate_series(1, 60) as n))::text),
    '1 rows', 'until it is given up');
select is(
    tests.outcome($$insert into crm.contacts (last_name, custom_fields) values ('x', '{"vat": "twice"}'), ('y', '{"vat": "twice"}')$$),
    '23505 custom_fields.vat: another record has this value', 'nor twice in one statement'
);

-- References --------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is(tests.refusal('{"partner": "018f0000-0000-7000-8000-00000000000a"}'), '1 rows', 'sam points to his own account');
select is(tests.refusal(format('{"partner": "%s"}', id)), '22023 custom_fields.partner: must be the id of one of accounts that you may read', what)
from (values
    ('018f0000-0000-7000-8000-00000000000b', 'not to one that he may not read'),
    ('018f0000-0000-7000-8000-00000000000c', 'not to another organization''s'),
    ('018f0000-0000-7000-8000-00000000000d', 'nor to one that there is not')
) as refused (id, what);
select tests.become('sam');
select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name, custom_fields) values (%L, 'x', '{"partner": "018f0000-0000-7000-8000-00000000000c"}')$$,
        tests.org_id('Acme'))),
    '22023 custom_fields.partner: must be the id of one of accounts that you may read', 'also across organizations'
);
select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name, custom_fields) values (%L, 'x', '{"secret_of_borg": "x"}')$$, tests.org_id('Borg'))),
    '1 rows', 'in each organization by its own fields'
);

select tests.become('ann', 'Acme');
insert into crm.accounts (id, name, custom_fields) values ('018f0000-0000-7000-8000-00000000000e', 'Gone', '{"region": "x"}');
insert into crm.contacts (last_name, custom_fields) values ('Pointing', '{"partner": "018f0000-0000-7000-8000-00000000000e"}');
delete from crm.accounts where name = 'Gone';
select is((select custom_fields || jsonb_build_object('v', version) from crm.contacts where last_name = 'Pointing'), '{"tier": "silver", "vip": false, "v": 2}',
    'a reference to what goes is removed');
insert into crm.accounts (id, name, custom_fields) values ('018f0000-0000-7000-8000-00000000000e', 'Gone', '{"region": "x"}');
update crm.contacts set custom_fields = '{"partner": "018f0000-0000-7000-8000-00000000000e"}' where last_name = 'Pointing';
update crm.custom_fields set required = true where key = 'partner';
select is(tests.outcome('delete from crm.accounts where name = ''Gone'''), '23503 1 of contacts need this record in custom_fields.partner', 'and kept where it is needed');
select is(tests.outcome('delete from crm.accounts where name = ''Ours'''), '23503 1 of contacts need this record in custom_fields.partner', 'of each');
update crm.contacts set custom_fields = '{"partner": "018f0000-0000-7000-8000-00000000000a"}' where last_name = 'Pointing';
select is(tests.outcome('delete from crm.accounts where name = ''Gone'''), '1 rows', 'until nobody points to it');
update crm.custom_fields set required = false where key = 'partner';

-- Whoever it is ------------------------------------------------------------------------------------------------------------

select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name, custom_fields) values (%L, 'x', '{"nope": 1}')$$, tests.org_id('Borg'))),
    '42501 new row violates row-level security policy for table "contacts"', 'nobody learns what fields another organization has'
);
select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name) values (%L, 'x')$$, tests.org_id('Borg'))),
    '42501 new row violates row-level security policy for table "contacts"', 'nor what it requires'
);
select tests.nobody();
select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name) values (%L, 'x')$$, tests.org_id('Borg'))),
    '22023 custom_fields.secret_of_borg: is required', 'the DBA is checked like everybody'
);
select tests.become('bob', 'Borg');
select is(tests.refusal('{"secret_of_borg": "x", "vat": "DE1"}'), '22023 custom_fields.vat: there is no such field', 'another organization''s fields are none here');
select is((select count(*) from crm.custom_fields), 1::bigint, 'and not seen');

select tests.nobody();
truncate crm.contacts cascade;
select is_empty(
    format('select from crm_private.custom_unique_values where org_id = %1$L union all select from crm_private.custom_references where org_id = %1$L', tests.org_id('Acme')),
    'where a table is emptied, all its values are free'
);
select tests.become('ann', 'Acme');
select tests.stored('{"vat": "DE1", "partner": "018f0000-0000-7000-8000-00000000000a"}');
select tests.nobody();
-- The organization goes with all of it.
select lives_ok(format('delete from crm.organizations where id = %L', tests.org_id('Acme')), 'an organization goes with its custom fields');
select is_empty(
    format($$select from crm.custom_fields where org_id = %1$L union all select from crm_private.custom_unique_values where org_id = %1$L
        union all select from crm_private.custom_references where org_id = %1$L$$, tests.org_id('Acme')),
    'and nothing is left of them'
);

select * from finish();
rollback;
