-- Tags of records: put in order, spelled as the organization spells them, and made by naming them.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('ann', 'Borg', 'admin');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

create function tests.tags_of(organization text) returns text[] language sql stable as $$
    select array_agg(name order by name_key) from crm.tags where org_id = tests.org_id(organization)
$$;

-- Stored -----------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is(current_user::text, 'crm_app', 'sam is crm_app');
insert into crm.contacts (last_name, tags) values ('One', '{ vip ,Lead,VIP,"  ","Big   deal",null,lead}');
select is((select tags from crm.contacts), '{Big deal,Lead,vip}', 'tags are trimmed and sorted, and each is there once');
select is((select array_agg(name order by name) from crm.tags), '{Big deal,Lead,vip}', 'those that are new are made, without a permission to create tags');
select results_eq(
    $$select name_key, color, created_by, version from crm.tags where name = 'Lead'$$,
    $$values ('lead', null::text, tests.user_id('sam'), 1)$$, 'by who named them'
);
insert into crm.accounts (name, tags) values ('Two', '{LEAD,new}');
select is((select tags from crm.accounts), '{Lead,new}', 'a record takes the spelling there is');
insert into crm.contacts (last_name) values ('None');
insert into crm.contacts (last_name, tags) values ('Null', null), ('Empty', '{}');
select is((select count(*) from crm.contacts where tags = '{}'), 3::bigint, 'no tags, NULL and an empty list are no tags');
update crm.contacts set tags = '{x,vip}' where last_name = 'One';
update crm.contacts set tags = null where last_name = 'Null';
select is((select tags from crm.contacts where last_name = 'One'), '{vip,x}', 'tags are changed');
update crm.contacts set title = 'y' where last_name = 'One';
select is((select tags from crm.contacts where last_name = 'One'), '{vip,x}', 'and stay when something else is');
insert into crm.contacts (last_name, tags) values ('Square', '{{a,b},{c,d}}'), ('Shifted', '[5:6]={a,b}');
select is((select tags from crm.contacts where last_name = 'Square'), '{a,b,c,d}', 'a list of lists is a list');
select is((select array_lower(tags, 1) from crm.contacts where last_name = 'Shifted'), 1, 'that begins with its first');

-- Refused ----------------------------------------------------------------------------------------------------------

select is(
    tests.outcome(format('insert into crm.contacts (last_name, tags) values (''Bad'', %L)', array[tag])), '22023 tags: ' || problem, format('%s is no tag', to_json(tag))
)
from (values
    ('a,b', 'a tag contains no comma, brace, quotation mark or backslash'),
    ('{a', 'a tag contains no comma, brace, quotation mark or backslash'),
    ('a}', 'a tag contains no comma, brace, quotation mark or backslash'),
    ('"a"', 'a tag contains no comma, brace, quotation mark or backslash'),
    (E'a\\b', 'a tag contains no comma, brace, quotation mark or backslash'),
    ('null', '"null" would be read as nothing: choose another name'),
    (E'a\nb', 'line breaks and control characters are not allowed'),
    (repeat('x', 51), 'too long: 51 characters, at most 50 are allowed')
) as bad (tag, problem);
select is(
    tests.outcome($$insert into crm.contacts (last_name, tags) select 'Many', array_agg('t' || n) from generate_series(1, 51) as n$$),
    '22023 tags: a record has at most 50 tags', 'nor has a record more than 50'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name, tags) select 'Fifty', array_agg('t' || n) from generate_series(1, 50) as n$$), '1 rows', 'but 50'
);
select matches(tests.outcome($$insert into crm.tags (name) values ('mine')$$), '^42501 ', 'sam makes no tag without a record');
select matches(tests.outcome($$update crm.tags set color = '#ff0000'$$), '^42501 ', 'nor changes one');
select matches(tests.outcome($$delete from crm.tags$$), '^42501 ', 'nor deletes one');
select tests.become('viewer', 'Acme');
select matches(tests.outcome($$insert into crm.contacts (last_name, tags) values ('No', '{mine}')$$), '^42501 ', 'who may not write records makes no tags');
select cmp_ok((select count(*) from crm.tags), '>', 4::bigint, 'but sees them');

-- The other organization -------------------------------------------------------------------------------------------

select tests.nobody();
select is(tests.tags_of('Borg'), null, 'Borg has no tags yet');
select tests.become('bob', 'Borg');
insert into crm.contacts (last_name, tags) values ('Theirs', '{VIP}');
select is((select array_agg(name) from crm.tags), '{VIP}', 'another organization spells its tags for itself');
select is((select tags from crm.contacts), '{VIP}', 'and sees its own alone');
select tests.become('sam', 'Acme');
select is(
    (select array_agg(distinct tests.outcome(format($$insert into crm.contacts (org_id, last_name, tags) values (%L, 'x', '{VIP,fresh}')$$, org_id)))
     from unnest(array[tests.org_id('Borg'), '018f0000-0000-7000-8000-000000000009']) as org_id),
    array['42501 new row violates row-level security policy for table "contacts"'], 'sam names no tags elsewhere, and is told the same where there is nothing'
);
select is(
    tests.outcome(format('update crm.contacts set org_id = %L, tags = ''{VIP,fresh}'' where last_name = ''One''', tests.org_id('Borg'))),
    '42501 org_id cannot be changed', 'nor by moving a record'
);
select tests.become('ann');
select is(
    tests.outcome(format($$insert into crm.contacts (org_id, last_name, tags) values (%L, 'Across', '{vip}'), (%L, 'Across', '{vip}')$$, tests.org_id('Acme'), tests.org_id('Borg')), undo => false),
    '2 rows', 'ann adds to both of hers at once'
);
select results_eq(
    $$select org_id, tags from crm.contacts where last_name = 'Across'$$,
    $$values (tests.org_id('Acme'), '{vip}'::text[]), (tests.org_id('Borg'), '{VIP}')$$, 'each spelled as it is there'
);

-- What a transaction remembers of tags it holds --------------------------------------------------------------------

select tests.become('ann', 'Acme');
savepoint taken_back;
insert into crm.contacts (last_name, tags) values ('Undone', '{undone}');
rollback to taken_back;
insert into crm.contacts (last_name, tags) values ('Redone', '{undone}');
select is((select array_agg(name) from crm.tags where name = 'undone'), '{undone}', 'a tag that was rolled back is made again');
delete from crm.tags where name = 'undone';
insert into crm.contacts (last_name, tags) values ('Again', '{Undone}');
select is((select array_agg(name) from crm.tags where name_key = 'undone'), '{Undone}', 'one that was deleted too, as it is named now');
update crm.tags set name = 'changed' where name = 'Undone';
insert into crm.contacts (last_name, tags) values ('After', '{undone,changed}');
select is((select tags from crm.contacts where last_name = 'After'), '{changed,undone}', 'one that was renamed is another one');

-- The DBA ----------------------------------------------------------------------------------------------------------

select tests.nobody();
set local role crm_owner;
select is(
    tests.outcome(format($$insert into crm.tags (org_id, name, name_key) values (%L, 'x', 'x')$$, tests.org_id('Acme'))), '42501 new row violates row-level security policy for table "tags"',
    'the tables'' owner is bound like everybody'
);
select tests.nobody();
insert into crm.contacts (org_id, last_name, tags) values (tests.org_id('Borg'), 'Loaded', '{loaded, vip}');
select is((select tags from crm.contacts where last_name = 'Loaded'), '{loaded,VIP}', 'what an administrator loads is put in order as well');
select is(tests.tags_of('Borg'), '{loaded,VIP}', 'and its tags are made');
set local row_security = off;
insert into crm.contacts (org_id, last_name, tags) values (tests.org_id('Borg'), 'Restored', '{b,a}');
select is((select tags from crm.contacts where last_name = 'Restored'), '{b,a}', 'a restore brings rows as they were');
set local row_security = on;

select * from finish();
rollback;
