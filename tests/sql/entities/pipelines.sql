-- Pipelines: everybody sees them, administrators set them up; every organization has one, and one is the default.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');

-- What an organization begins with -------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select results_eq('select name, is_default, archived_at from crm.pipelines', $$values ('Sales', true, null::timestamptz)$$, 'a new organization has a pipeline, which is the default');
select results_eq(
    'select name, position, probability, kind from crm.pipeline_stages order by position',
    $$values ('Qualification', 1, 10, 'open'), ('Needs analysis', 2, 25, 'open'), ('Proposal', 3, 50, 'open'), ('Negotiation', 4, 75, 'open'), ('Won', 5, 100, 'won'), ('Lost', 6, 0, 'lost')$$,
    'with stages'
);

-- Who --------------------------------------------------------------------------------------------------------------------------

select is(tests.outcome($$insert into crm.pipelines (name) values ('Partners')$$, false), '1 rows', 'ann adds a pipeline');
select is(tests.outcome($$insert into crm.pipeline_stages (pipeline_id, name, kind) select id, 'First', 'open' from crm.pipelines where name = 'Partners'$$, false), '1 rows', 'and a stage');
select tests.become('sam', 'Acme');
select is((select count(*) from crm.pipelines), 2::bigint, 'sam, in sales, sees the pipelines');
select is((select count(*) from crm.pipeline_stages), 7::bigint, 'and their stages');
select is(tests.outcome($$insert into crm.pipelines (name) values ('x')$$), '42501 your role does not permit pipelines.create', 'and adds none');
select tests.become('mia', 'Acme');
select is(tests.outcome($$update crm.pipeline_stages set probability = 99$$), '42501 your role does not permit pipeline_stages.update', 'mia, a manager, changes no stage');
select tests.become('bob', 'Borg');
select is((select count(*) from crm.pipelines), 1::bigint, 'bob sees the one of Borg');
select is(tests.outcome($$update crm.pipelines set name = 'x' where name = 'Partners'$$), '0 rows', 'and changes none of Acme');
select is(tests.outcome($$insert into crm.pipelines (name) values ('Partners')$$), '1 rows', 'a name that is taken there is free here');

-- Bad input --------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select matches(tests.outcome($$insert into crm.pipelines (name) values ('Sales')$$), '^23505 .*pipelines_org_id_name_key', 'a pipeline''s name occurs once');
select matches(tests.outcome($$insert into crm.pipeline_stages (pipeline_id, name) select pipeline_id, name from crm.pipeline_stages limit 1$$), '^23505 .*pipeline_stages_org_id_pipeline_id_name_key', 'a stage''s name once in its pipeline');
select matches(tests.outcome(format('update crm.pipeline_stages set %s = %L', name, value)), wanted, format('a stage''s %s cannot be %s', name, value))
from (values ('probability', '101', '^23514 .*pipeline_stages_probability_check'), ('kind', 'x', '^23514 .*pipeline_stages_kind_check'), ('rotting_days', '0', '^23514 .*pipeline_stages_rotting_days_check'))
    as bad (name, value, wanted);

-- The default one ----------------------------------------------------------------------------------------------------------------

create function pg_temp.default_one() returns text language sql as $$ select string_agg(name, ',') from crm.pipelines where is_default $$;
update crm.pipelines set is_default = true where name = 'Partners';
select is(pg_temp.default_one(), 'Partners', 'a pipeline that becomes the default takes the place of the one before');
select is(tests.outcome($$update crm.pipelines set is_default = false where name = 'Partners'$$), '22023 is_default: make another pipeline the default one instead', 'the default cannot just end');
select matches(tests.outcome($$update crm.pipelines set archived_at = now() where name = 'Partners'$$), '^23514 .*pipelines_default_is_in_use_check', 'nor be archived');
insert into crm.pipelines (name, is_default) values ('New', true);
select is(pg_temp.default_one(), 'New', 'a new one can be the default at once');
insert into crm.pipelines (name, is_default) values ('A', true), ('B', true);
select is(pg_temp.default_one(), 'B', 'of several it is the last');
insert into crm.pipelines (name, is_default) values ('Sales', true) on conflict (org_id, name) do update set is_default = excluded.is_default;
select is(pg_temp.default_one(), 'Sales', 'also by an upsert');
delete from crm.pipelines where name = 'Sales';
select is(pg_temp.default_one(), 'Partners', 'when the default is deleted, the next one is it');
delete from crm.pipelines;
select is((select count(*) from crm.pipelines), 0::bigint, 'an organization can do without pipelines');
insert into crm.pipelines (name, archived_at) values ('Old', now());
select is(pg_temp.default_one(), null, 'an archived one is no default');
insert into crm.pipelines (name) values ('Next'), ('Later');
select is(pg_temp.default_one(), 'Next', 'the first one is');

-- With deals ---------------------------------------------------------------------------------------------------------------------

insert into crm.pipeline_stages (pipeline_id, name, kind, position) select id, kind, kind, 1 from crm.pipelines, unnest('{open,won,lost}'::text[]) as kind where pipelines.name = 'Next';
insert into crm.deals (name) values ('Deal');
select matches(tests.outcome($$delete from crm.pipeline_stages where name = 'open'$$), '^23503 .*deals_org_id_pipeline_id_stage_id_status_fkey', 'a stage that has deals is not deleted');
select matches(tests.outcome($$delete from crm.pipelines where name = 'Next'$$), '^23503 .*deals_', 'nor is their pipeline');
select matches(tests.outcome($$update crm.pipeline_stages set kind = 'won' where name = 'open'$$), '^23503 .*deals_', 'nor does its kind change');
select matches(
    tests.outcome($$update crm.pipeline_stages set pipeline_id = (select id from crm.pipelines where name = 'Later') where name = 'open'$$), '^23503 .*deals_', 'nor its pipeline'
);
select is(tests.outcome($$update crm.pipeline_stages set name = 'Renamed', probability = 5 where name = 'open'$$), '1 rows', 'but its name and probability');
select is(tests.outcome($$delete from crm.pipeline_stages where name = 'won'$$), '1 rows', 'a stage without deals is deleted');
delete from crm.deals;
select is(tests.outcome($$delete from crm.pipelines where name = 'Next'$$, false), '1 rows', 'so is a pipeline');
select is((select count(*) from crm.pipeline_stages), 0::bigint, 'with its stages');

-- An organization that goes --------------------------------------------------------------------------------------------------------

insert into crm.pipeline_stages (pipeline_id, name) select id, 'Only' from crm.pipelines where name = 'Later';
insert into crm.deals (name) values ('Deal');
select tests.nobody();
select is(tests.outcome(format('delete from crm.organizations where id = %L', tests.org_id('Acme')), false), '1 rows', 'an organization is deleted with its pipelines and deals');
select is((select count(*) from crm.deals where org_id = tests.org_id('Acme')), 0::bigint, 'nothing is left of them');

select * from finish();
rollback;
