-- Where a MERGE reads no column of its target, PostgreSQL applies no SELECT policy, and a function among its conditions is
-- called for every tenant's row: so API roles cannot MERGE into a table with row level security.

begin;
\ir actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.become('bob', 'Borg');
insert into crm.contacts (last_name) values ('one'), ('two'), ('three');

select tests.nobody();
create sequence tests.calls;
grant usage on sequence tests.calls to public;
create function tests.called() returns boolean language sql volatile as $$select nextval('tests.calls') < 0$$;
create table tests.merges (statement text);
insert into tests.merges values
    ($$merge into crm.contacts using (select 1) as x on true when matched and tests.called() then update set title = 'x'$$),
    ($$merge into crm.contacts using (select 1) as x on true when matched and tests.called() then delete$$),
    ($$merge into crm.contacts as c using (select 1) as x on c.title = 'x' when not matched and tests.called() then insert (last_name) values ('x')$$);
grant select on tests.merges to public;

select tests.become('ann', 'Acme');
select is(
    tests.outcome(statement), '22023 MERGE is not available on tables with row level security', 'ann, in her organization, cannot ' || statement
) from tests.merges;
select tests.become('ann');
select is(
    tests.outcome(statement), '22023 MERGE is not available on tables with row level security', 'ann, across hers, cannot ' || statement
) from tests.merges;
select tests.become_role('crm_app');
select matches(tests.outcome(statement), '^(22023|42501) ', 'crm_app without an identity cannot ' || statement) from tests.merges;
select tests.nobody();
select is((select is_called from tests.calls), false, 'and nobody''s rows were gone through');

-- Before the library is loaded there is no hook: the trigger refuses who has no identity before any row is looked at.
select tests.become_role('crm_app');
select is(
    tests.outcome($$update crm.contacts set title = 'x'$$), '42501 no identity: authenticate first', 'crm_app without an identity cannot write'
);
select is(tests.outcome('delete from crm.contacts'), '42501 no identity: authenticate first', 'nor delete');

create temp table mine (id int);
select is(
    tests.outcome('merge into mine using (select 1) as x on true when not matched then insert values (1)'), '1 rows',
    'a table without row level security can be merged into'
);

select * from finish();
rollback;
