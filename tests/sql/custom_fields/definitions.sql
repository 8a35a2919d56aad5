-- Definitions: who makes them, what makes sense, and that the records' values follow them.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('adam', 'Acme', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('vera', 'Acme', 'read_only');

create function tests.define(columns text, given text) returns text language sql as $$
    select tests.outcome(format('insert into crm.custom_fields (%s) values (%s)', columns, given))
$$;
create function tests.fields(name text) returns jsonb language sql as $$ select custom_fields from crm.contacts where last_name = name $$;

-- Who -----------------------------------------------------------------------------------------------------------------

select tests.become('adam', 'Acme');
select lives_ok($$insert into crm.custom_fields (entity, key, label, type) values ('contacts', 'seat', 'Seat', 'text')$$, 'an administrator defines a field');
select tests.become('mia', 'Acme');
select is((select array_agg(key) from crm.custom_fields), '{seat}', 'a manager sees it');
select is(
    tests.outcome(statement), '42501 your role does not permit custom_fields.' || action, 'and may not ' || action
)
from (values
    ('create', $$insert into crm.custom_fields (entity, key, label, type) values ('contacts', 'x', 'X', 'text')$$),
    ('update', $$update crm.custom_fields set label = 'x'$$),
    ('delete', 'delete from crm.custom_fields')
) as denied (action, statement);
select tests.become('bob', 'Borg');
select is((select count(*) from crm.custom_fields), 0::bigint, 'another organization sees nothing of it');
select is(
    tests.outcome(format($$insert into crm.custom_fields (org_id, entity, key, label, type) values (%L, 'contacts', 'x', 'X', 'text')$$, tests.org_id('Acme'))),
    '42501 new row violates row-level security policy for table "custom_fields"', 'nor adds to it'
);
select tests.become('ann');
select is(
    tests.outcome($$update crm.custom_fields set label = 'x'$$), '42501 permission denied for table custom_fields', 'fields are defined in one organization at a time'
);

-- What makes sense --------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select alike(tests.define(columns, given), '22023 ' || problem || '%', given)
from (values
    ('entity, key, label, type', $$'nothing', 'x', 'X', 'text'$$, 'entity: must be a table with custom fields'),
    ('entity, key, label, type', $$'groups', 'x', 'X', 'text'$$, 'entity: must be a table with custom fields'),
    ('entity, key, label, type', $$'contacts', 'Tier', 'X', 'text'$$, 'key: must begin with a lower case letter'),
    ('entity, key, label, type', $$'contacts', 'x', ' ', 'text'$$, 'label: must not be empty'),
    ('entity, key, label, type', $$'contacts', 'x', 'X', 'json'$$, 'type: must be one of: text'),
    ('entity, key, label, type', $$'contacts', 'x', 'X', 'select'$$, 'options: are needed'),
    ('entity, key, label, type', $$'contacts', 'x', 'X', 'reference'$$, 'reference_entity: is needed'),
    ('entity, key, label, type, reference_entity', $$'contacts', 'x', 'X', 'reference', 'users'$$, 'reference_entity: must be a table with custom fields'),
    ('entity, key, label, type, reference_entity', $$'contacts', 'x', 'X', 'text', 'accounts'$$, 'reference_entity: is for fields of type reference'),
    ('entity, key, label, type, options', $$'contacts', 'x', 'X', 'text', '["a"]'$$, 'options: are for fields of type select'),
    ('entity, key, label, type, options', $$'contacts', 'x', 'X', 'select', '["a", "a"]'$$, 'options: "a" is there twice'),
    ('entity, key, label, type, options', $$'contacts', 'x', 'X', 'select', '{"a": 1}'$$, 'options: must be an array'),
    ('entity, key, label, type, default_value', $$'contacts', 'x', 'X', 'number', '"1"'$$, 'default_value: must be a number'),
    ('entity, key, label, type, default_value', $$'contacts', 'x', 'X', 'number', '1e400'$$, 'default_value: must be a number'),
    ('entity, key, label, type, is_unique', $$'contacts', 'x', 'X', 'boolean', true$$, 'is_unique: values of type boolean'),
    ('entity, key, label, type, is_unique, default_value', $$'contacts', 'x', 'X', 'text', true, '"a"'$$, 'default_value: a unique field')
) as refused (columns, given, problem);
select alike(tests.define('entity, key, label, type', $$'contacts', 'seat', 'X', 'text'$$), '23505 %', 'a key occurs once per entity');
select is(tests.define('entity, key, label, type', $$'accounts', 'seat', 'X', 'text'$$), '1 rows', 'and again for another');
select is(
    tests.outcome(format('update crm.custom_fields set %s', change)), '22023 ' || split_part(change, ' ', 1) || ': cannot be changed: add another field', change
)
from unnest(array[$$entity = 'accounts'$$, $$type = 'number'$$, $$reference_entity = 'accounts'$$]) as change;
insert into crm.custom_fields (entity, key, label, type, options, default_value)
values ('contacts', 'tier', 'Tier', 'select', '["silver", {"value": " gold ", "label": "Gold!", "more": 1}]', '"gold"') returning id as tier \gset
select is(
    (select options from crm.custom_fields where key = 'tier'),
    '[{"value": "silver", "label": "silver"}, {"value": "gold", "label": "Gold!"}]', 'options are stored in one form'
);
select is(
    tests.outcome($$insert into crm.custom_fields (entity, key, label, type) select 'accounts', 'f' || n, 'F', 'text' from generate_series(1, 201) as n$$),
    '22023 entity: accounts can have 200 custom fields at most', 'there is an end to it'
);

-- Values follow -------------------------------------------------------------------------------------------------------------

insert into crm.custom_fields (entity, key, label, type, options) values ('contacts', 'colors', 'Colors', 'multi_select', '["red", "green", "blue"]') returning id as colors \gset
insert into crm.contacts (last_name, custom_fields)
values ('One', '{"seat": "1", "tier": "gold", "colors": ["red", "green"]}'), ('Two', '{"seat": "2", "colors": ["blue"]}'), ('Three', '{"seat": "2", "tier": null}');

update crm.custom_fields set key = 'place' where key = 'seat';
select is(tests.fields('One'), '{"place": "1", "tier": "gold", "colors": ["green", "red"]}', 'values move to another key');
select is((select version from crm.contacts where last_name = 'One'), 2, 'which is a change of the record');
select is(tests.outcome($$update crm.contacts set custom_fields = '{"seat": "3"}'$$), '22023 custom_fields.seat: there is no such field', 'the key of before is none');

select is(
    tests.outcome($$update crm.custom_fields set options = '["silver"]', default_value = null where key = 'tier'$$), '23503 options: 2 of contacts have "gold"',
    'an option that records have is not removed'
);
select is(
    tests.outcome($$update crm.custom_fields set options = '["red", "green"]' where key = 'colors'$$), '23503 options: 1 of contacts have "blue"', 'also of several'
);
select is(
    crm.rename_custom_field_option(:'tier', 'gold', 'Premium'),
    jsonb_build_object('field_id', :'tier', 'old_value', 'gold', 'new_value', 'Premium'), 'an option is renamed'
);
select is(tests.fields('One'), '{"place": "1", "tier": "Premium", "colors": ["green", "red"]}', 'and records follow');
select is((select default_value from crm.custom_fields where key = 'tier'), '"Premium"', 'so does the default');
select crm.rename_custom_field_option(:'colors', 'red', 'green');
select is(tests.fields('One'), '{"place": "1", "tier": "Premium", "colors": ["green"]}', 'two options become one');
select crm.rename_custom_field_option(:'colors', 'green', 'zinc');
select crm.rename_custom_field_option(:'colors', 'blue', 'azure');
select is(tests.fields('Two') -> 'colors', '["azure"]', 'in every record');
select is(
    tests.outcome(format('select crm.rename_custom_field_option(%L, %L, %L)', field, old, new)), '22023 ' || problem, problem
)
from (values
    (:'tier', 'nope', 'x', 'old_value: there is no such option'),
    ('018f0000-0000-7000-8000-000000000001', 'a', 'x', 'field_id: there is no such field'),
    (:'tier', null, 'x', 'old_value: is missing')
) as refused (field, old, new, problem);
select is(
    tests.outcome(format('select crm.rename_custom_field_option(%L, %L, %L)', :'tier', 'silver', ' ')), '22023 options: a value must not be empty', 'not to nothing'
);
select tests.become('mia', 'Acme');
select is(
    tests.outcome(format('select crm.rename_custom_field_option(%L, %L, %L)', :'tier', 'silver', 'x')), '42501 your role does not permit custom_fields.update',
    'a manager renames none'
);
select tests.become('bob', 'Borg');
select is(
    tests.outcome(format('select crm.rename_custom_field_option(%L, %L, %L)', :'tier', 'silver', 'x')), '22023 field_id: there is no such field',
    'nor does somebody of another organization'
);

select tests.become('ann', 'Acme');
select is(
    tests.outcome($$update crm.custom_fields set is_unique = true where key = 'place'$$),
    '23505 is_unique: several records have the same value in custom_fields.place', 'what is not unique cannot be made so'
);
update crm.contacts set custom_fields = '{"place": "3"}' where last_name = 'Three';
update crm.custom_fields set is_unique = true where key = 'place';
select is(
    tests.outcome($$update crm.contacts set custom_fields = '{"place": "1"}' where last_name = 'Three'$$), '23505 custom_fields.place: another record has this value',
    'what is unique can, and then counts'
);
update crm.custom_fields set key = 'spot' where key = 'place';
select is(
    tests.outcome($$update crm.contacts set custom_fields = '{"spot": "1"}' where last_name = 'Three'$$), '23505 custom_fields.spot: another record has this value',
    'also by another key'
);
update crm.custom_fields set is_unique = false where key = 'spot';
select is(tests.outcome($$update crm.contacts set custom_fields = '{"spot": "1"}' where last_name = 'Three'$$), '1 rows', 'until it need not be unique');

delete from crm.custom_fields where key = 'colors';
select is(tests.fields('One'), '{"spot": "1", "tier": "Premium"}', 'with a field go its values');
select is(tests.outcome($$update crm.contacts set custom_fields = '{"colors": null}'$$), '22023 custom_fields.colors: there is no such field', 'and its key');

select tests.nobody();
select is(
    (select count(*) from crm.contacts where updated_by = tests.user_id('ann') and version > 1), 3::bigint, 'whoever changed the definition changed the records'
);

select * from finish();
rollback;
