-- Renaming, merging, deleting and counting tags: what is done to a tag is done to all records that have it, of one
-- organization.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

-- ann's and sam's records, and those of another organization with the same tags.
select tests.become('sam', 'Acme');
insert into crm.contacts (last_name, tags) values ('Sam 1', '{vip,new}'), ('Sam 2', '{old}');
select tests.become('ann', 'Acme');
insert into crm.contacts (last_name, tags) values ('Ann 1', '{vip}'), ('Ann 2', '{old,vip,older}'), ('Ann 3', '{}');
insert into crm.accounts (name, tags) values ('Account', '{older,vip}');
select tests.become('bob', 'Borg');
insert into crm.contacts (last_name, tags) values ('Bob', '{vip,old,older}');

select tests.nobody();
create function tests.acme() returns table (line text) language sql security definer as $$
    select last_name || ' ' || tags::text from crm.contacts where org_id = tests.org_id('Acme')
    union all
    select name || ' ' || tags::text from crm.accounts where org_id = tests.org_id('Acme')
$$;
create function tests.others_are_untouched(sentence text) returns text language sql security definer as $$
    select is(
        (select array_agg(last_name || ' ' || tags::text || ' ' || version) from crm.contacts where org_id = tests.org_id('Borg')), '{"Bob {old,older,vip} 1"}',
        sentence || ': not in another organization'
    )
$$;

-- Counted ----------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
update crm.tags set color = '#00ff00' where name = 'vip';
select results_eq(
    'select name, color, entity, count from crm.tag_counts()',
    $$values ('new', null, 'contacts', 1::bigint), ('old', null, 'contacts', 2), ('older', null, 'accounts', 1), ('older', null, 'contacts', 1),
        ('vip', '#00ff00', 'accounts', 1), ('vip', '#00ff00', 'contacts', 3)$$,
    'ann counts all records of Acme'
);
select tests.become('sam', 'Acme');
select results_eq(
    'select name, color, entity, count from crm.tag_counts()',
    $$values ('new', null, 'contacts', 1::bigint), ('old', null, 'contacts', 1), ('vip', '#00ff00', 'contacts', 1)$$,
    'sam those he may read'
);
select tests.become('bob', 'Borg');
select is((select sum(count) from crm.tag_counts()), 3::numeric, 'bob those of his organization');
select tests.become_role('crm_app');
select is_empty('select 1 from crm.tag_counts()', 'who has no identity counts nothing');
select tests.become_role('crm_anon');
select matches(tests.outcome('select crm.tag_counts()'), '^42501 ', 'nor does the anonymous role');

-- Denied -----------------------------------------------------------------------------------------------------------

select tests.nobody();
create function tests.denied(person text, statement text) returns text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return matches(tests.outcome(statement), '^42501 ', format('%s is refused: %s', person, statement));
end
$$;
select tests.denied(person, statement)
from unnest('{sam,viewer}'::text[]) as person,
    unnest(array[
        $$select crm.rename_tag('vip', 'x')$$, $$select crm.rename_tag('nothing', 'x')$$, $$select crm.merge_tags('{old}', 'vip')$$,
        $$update crm.tags set name = 'x' where name = 'vip'$$, $$delete from crm.tags where name = 'vip'$$
    ]) as statement;
select tests.denied('mia', statement)
from unnest(array[$$select crm.merge_tags('{old}', 'vip')$$, $$delete from crm.tags where name = 'vip'$$]) as statement;
select tests.become('ann');
select matches(tests.outcome($$select crm.rename_tag('vip', 'x')$$), '^42501 ', 'who works in no organization renames none');

-- Renamed ----------------------------------------------------------------------------------------------------------

select tests.become('mia', 'Acme');
select is((select crm.rename_tag(' VIP ', ' Key  account ') ->> 'name'), 'Key account', 'mia renames a tag');
select tests.nobody();
select set_eq(
    'select line from tests.acme()',
    $$values ('Sam 1 {"Key account",new}'), ('Sam 2 {old}'), ('Ann 1 {"Key account"}'), ('Ann 2 {"Key account",old,older}'), ('Ann 3 {}'), ('Account {"Key account",older}')$$,
    'in all records, in order, whosever they are'
);
select results_eq(
    $$select version, updated_by from crm.contacts where last_name = 'Ann 1'$$, $$values (2, tests.user_id('mia'))$$, 'which are changed by it, by her'
);
select is((select version from crm.contacts where last_name = 'Sam 2'), 1, 'others are not');
select tests.others_are_untouched('a renamed tag');
select tests.become('ann', 'Acme');
select is((select array_agg(color) from crm.tags where name = 'Key account'), '{#00ff00}', 'it keeps its colour');
update crm.tags set name = 'KEY ACCOUNT' where name_key = 'key account';
select is((select tags from crm.contacts where last_name = 'Ann 1'), '{KEY ACCOUNT}', 'to change the row is the same, also to another spelling');
update crm.tags set name = 'vip' where name_key = 'key account';
select is(
    tests.outcome($$select crm.rename_tag('vip', 'OLD')$$), '23505 there is a tag "old" already', 'a name that is taken is refused'
);
select is(tests.outcome($$update crm.tags set name = 'OLD' where name = 'vip'$$), '23505 there is a tag "old" already', 'on either way');
select matches(tests.outcome($$insert into crm.tags (name) values ('OLD')$$), '^23505 ', 'nor is there a second of the name');
select is(tests.outcome(statement), said, statement)
from (values
    ($$select crm.rename_tag('nothing', 'x')$$, '22023 old: there is no tag "nothing"'),
    ($$select crm.rename_tag('vip', 'a,b')$$, '22023 new: a tag contains no comma, brace, quotation mark or backslash'),
    ($$select crm.rename_tag('vip', ' ')$$, '22023 new: must not be empty'),
    ($$select crm.rename_tag('vip', null)$$, '22023 new: is missing'),
    ($$select crm.rename_tag(null, 'x')$$, '22023 old: is missing'),
    ($$update crm.tags set name = '{x}' where name = 'vip'$$, '22023 name: a tag contains no comma, brace, quotation mark or backslash'),
    ($$update crm.tags set name = ' ' where name = 'vip'$$, '22023 name: must not be empty'),
    ($$insert into crm.tags (name, color) values ('y', 'red')$$, '22023 color: not a colour like #1e90ff')
) as bad (statement, said);
update crm.tags set name_key = 'forged' where name = 'vip';
select is((select name_key from crm.tags where name = 'vip'), 'vip', 'the key is the database''s');
insert into crm.tags (name, color) values ('OLD', '#ff0000')
on conflict (org_id, name_key) do update set color = excluded.color;
select results_eq($$select name, color from crm.tags where name_key = 'old'$$, $$values ('old', '#ff0000')$$, 'an upsert by the key finds the tag');

-- Merged -----------------------------------------------------------------------------------------------------------

select is(
    crm.merge_tags('{OLDER,vip,old,Older}', 'Old'), '{"name": "old", "merged": 2, "records": 4}', 'ann makes one of three tags'
);
select tests.nobody();
select set_eq(
    'select line from tests.acme()',
    $$values ('Sam 1 {new,old}'), ('Sam 2 {old}'), ('Ann 1 {old}'), ('Ann 2 {old}'), ('Ann 3 {}'), ('Account {old}')$$, 'in all records'
);
select tests.others_are_untouched('merged tags');
select tests.become('ann', 'Acme');
select is((select array_agg(name order by name) from crm.tags), '{new,old}', 'the others are gone');
select is(crm.merge_tags('{old}', 'old'), '{"name": "old", "merged": 0, "records": 0}', 'a tag and itself are one already');
select is(tests.outcome(statement), said, statement)
from (values
    ($$select crm.merge_tags('{nothing}', 'old')$$, '22023 from: there is no tag "nothing"'),
    ($$select crm.merge_tags('{old}', 'nothing')$$, '22023 into: there is no tag "nothing"'),
    ($$select crm.merge_tags(null, 'old')$$, '22023 from: is missing'),
    ($$select crm.merge_tags('{old}', null)$$, '22023 into: is missing')
) as bad (statement, said);

-- Deleted ----------------------------------------------------------------------------------------------------------

delete from crm.tags where name = 'old';
select tests.nobody();
select set_eq(
    'select line from tests.acme()', $$values ('Sam 1 {new}'), ('Sam 2 {}'), ('Ann 1 {}'), ('Ann 2 {}'), ('Ann 3 {}'), ('Account {}')$$,
    'a tag that is deleted is taken from all records'
);
select tests.others_are_untouched('a deleted tag');
select is((select count(*) from crm.contacts where last_name = 'Ann 2' and version = 6), 1::bigint, 'each time they were changed once');
select is(tests.outcome(format('delete from crm.organizations where id = %L', tests.org_id('Borg')), undo => false), '1 rows', 'an organization goes with its tags');
select is((select count(*) from crm.tags where org_id = tests.org_id('Borg')), 0::bigint, 'of which nothing is left');

select * from finish();
rollback;
