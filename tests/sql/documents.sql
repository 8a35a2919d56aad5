-- What the documents say of tables and columns is what there is.

begin;
\ir actors.psql
select no_plan();

-- docs/vocabulary.md ------------------------------------------------------------------------------------------------

\set vocabulary `cat docs/vocabulary.md`
create table tests.words as
select trim(cells[2]) as word, named[1] as name
from string_to_table(:'vocabulary', E'\n') as line
cross join lateral string_to_array(line, '|') as cells
cross join lateral regexp_matches(cells[cardinality(cells) - 1], '`([a-z_.]+)`', 'g') as named
where line ~ '^\|';
create table tests.existing as
select c.relname::text as name from pg_class as c where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p', 'v')
union all
select c.relname || '.' || a.attname
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p', 'v');
grant select on all tables in schema tests to public;

select cmp_ok((select count(*) from tests.words), '>=', 120::bigint, 'the vocabulary is read');
select is_empty(
    $$select word, name from tests.words where name <> 'contact_id' and name <> 'deal_id' except select word, name from tests.words join tests.existing using (name)$$,
    'every word leads to something that is there'
);
select is_empty(
    $$select c.relname from pg_class as c
      where c.relnamespace = 'crm'::regnamespace and c.relkind in ('r', 'p', 'v')
          and c.relname not in (select split_part(name, '.', 1) from tests.words)
          -- How permissions are kept is docs/permissions.md's.
          and c.relname not in ('permissions', 'built_in_roles', 'built_in_permissions', 'group_permissions', 'group_roles')$$,
    'and every table has its words'
);

select finish();
rollback;
