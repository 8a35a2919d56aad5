-- Saved filters: whose they are, and who sees them. Automations and daily metrics, which few do.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('adam', 'Acme', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.join('bob', 'Acme', 'sales');
insert into crm.groups (org_id, id, name) values
    (tests.org_id('Acme'), '018f0000-0000-7000-8000-0000000000e1', 'Team'), (tests.org_id('Borg'), '018f0000-0000-7000-8000-0000000000e2', 'Borg''s');
insert into crm.group_members (org_id, group_id, user_id) values
    (tests.org_id('Acme'), '018f0000-0000-7000-8000-0000000000e1', tests.user_id('sue')), (tests.org_id('Acme'), '018f0000-0000-7000-8000-0000000000e1', tests.user_id('bob')),
    (tests.org_id('Borg'), '018f0000-0000-7000-8000-0000000000e2', tests.user_id('bob'));

select tests.become('sam', 'Acme');
insert into crm.saved_filters (entity, name, visibility, group_id, query, shown_columns) values
    ('contacts', 'mine', 'private', null, 'status=eq.active', array['last_name', 'email']), ('contacts', 'team''s', 'team', '018f0000-0000-7000-8000-0000000000e1', null, '{}'),
    ('contacts', 'all''s', 'organization', null, null, '{}');

create function pg_temp.sees(person text, organization text, wanted text[], sentence text) returns text language plpgsql as $$
begin
    perform tests.become(person, organization);
    return is((select coalesce(array_agg(name order by name), '{}') from crm.saved_filters), wanted, sentence);
end
$$;
select pg_temp.sees('sam', 'Acme', '{all''s,mine,team''s}', 'sam sees his own');
select pg_temp.sees('sue', 'Acme', '{all''s,team''s}', 'sue, who is in the group, sees the team''s and the organization''s');
select pg_temp.sees('mia', 'Acme', '{all''s}', 'a manager who is not sees the organization''s');
select pg_temp.sees('adam', 'Acme', '{all''s}', 'so does an administrator');
select pg_temp.sees('ann', 'Acme', '{all''s}', 'and the organization''s owner');
select pg_temp.sees('viewer', 'Acme', '{all''s}', 'and a viewer');
select pg_temp.sees('bob', 'Borg', '{}', 'in Borg bob sees none, though he is in the group');
select pg_temp.sees('bob', null, '{all''s,team''s}', 'across his organizations he does');
select tests.become('bob', 'Borg');
select is(crm.my_group_ids(), array['018f0000-0000-7000-8000-0000000000e2'::uuid], 'my_group_ids tells those of the active organization');
select tests.become('bob');
select is(cardinality(crm.my_group_ids()), 2, 'and without one those of all');
select tests.become('sam', 'Acme');
select is(crm.my_group_ids(), '{}', 'sam is in none');
select tests.nobody();
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('bob') and org_id = tests.org_id('Acme');
select tests.become('bob');
select is(crm.my_group_ids(), array['018f0000-0000-7000-8000-0000000000e2'::uuid], 'who has left an organization is in no group there');

-- Changing -------------------------------------------------------------------------------------------------------------------

select tests.become('adam', 'Acme');
select is(tests.outcome($$update crm.saved_filters set name = 'x' where name = 'mine'$$), '0 rows', 'an administrator finds nobody''s private filter to change');
select is(tests.outcome($$delete from crm.saved_filters where name in ('mine', 'team''s')$$), '0 rows', 'nor to delete');
select is(tests.outcome($$update crm.saved_filters set is_pinned = true$$), '1 rows', 'but changes the organization''s');
select matches(
    tests.outcome(format($$insert into crm.saved_filters (entity, name, owner_id) values ('contacts', 'planted', %L)$$, tests.user_id('sam'))),
    '^42501 new row violates row-level security policy "saved_filters_by_visibility"', 'and puts none among sam''s'
);
select tests.become('sue', 'Acme');
select is(
    tests.outcome($$update crm.saved_filters set name = 'x' where name = 'team''s'$$), '42501 you may see this row, but saved_filters.update reaches only your own',
    'sue sees the team''s filter, and does not change it'
);
select tests.become('sam', 'Acme');
select is(tests.outcome($$update crm.saved_filters set visibility = 'organization' where name = 'mine'$$), '1 rows', 'sam shares his own');
select matches(
    tests.outcome(format($$update crm.saved_filters set owner_id = %L where name = 'mine'$$, tests.user_id('sue'))), '^42501 ', 'and gives none away'
);
select tests.become('viewer', 'Acme');
select is(
    tests.outcome($$insert into crm.saved_filters (entity, name) values ('contacts', 'x')$$), '42501 your role does not permit saved_filters.create', 'a viewer keeps none'
);

-- Content --------------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select matches(tests.outcome(format($$insert into crm.saved_filters (entity, name, %s) values ('deals', 'x', %s)$$, columns, given)), said, sentence)
from (values
    ('visibility', $$'team'$$, '^23514 .*"saved_filters_team_has_group_check"', 'a team''s has a group'),
    ('group_id', $$'018f0000-0000-7000-8000-0000000000e1'$$, '^23514 .*"saved_filters_team_has_group_check"', 'and a private one none'),
    ('visibility, group_id', $$'team', '018f0000-0000-7000-8000-0000000000e2'$$, '^23503 ', 'a group of Borg''s is none of Acme''s'),
    ('definition', $$'[]'$$, '^23514 .*"saved_filters_definition_check"', 'a definition is an object'),
    ('definition', $$jsonb_build_object('x', repeat('x', 20000))$$, '^23514 .*"saved_filters_definition_check"', 'of some size'),
    ('query', $$repeat('x', 4001)$$, '^22023 query: too long', 'a query has at most 4000 characters'),
    ('shown_columns', $$array_fill('x'::text, array[101])$$, '^22023 shown_columns: too many', 'and there are at most 100 columns')
) as bad (columns, given, said, sentence);
select matches(
    tests.outcome($$insert into crm.saved_filters (entity, name) values ('contacts', 'mine')$$), '^23505 ', 'a name is there once for each owner and entity'
);
select tests.become('sue', 'Acme');
select is(tests.outcome($$insert into crm.saved_filters (entity, name) values ('contacts', 'mine')$$), '1 rows', 'sue may have one of the same name');

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.nobody();
delete from crm.groups where org_id = tests.org_id('Acme');
select set_eq('select name from crm.saved_filters', '{mine,all''s}'::text[], 'a team''s filters go with the group');
delete from crm.memberships where user_id = tests.user_id('sam');
select pg_temp.sees('ann', 'Acme', '{all''s}', 'a private filter without an owner is seen by nobody');

-- Automations and metrics ------------------------------------------------------------------------------------------------------

select tests.become('adam', 'Acme');
insert into crm.automations (name, trigger_event, actions) values ('Greet', 'contact.created', '[{"send": "greeting"}]');
select results_eq('select enabled, run_order from crm.automations', 'values (false, 100)', 'an administrator defines an automation');
select matches(tests.outcome(format('update crm.automations set %s', change)), said, 'no automation has ' || change)
from (values
    ($$trigger_event = 'whenever'$$, '^23514 .*"automations_trigger_event_check"'), ($$actions = '{}'$$, '^23514 .*"automations_actions_check"'),
    ($$conditions = '[]'$$, '^23514 .*"automations_conditions_check"'), ('run_order = -1', '^23514 .*"automations_run_order_check"')
) as bad (change, said);
select tests.become('mia', 'Acme');
select is((select count(*) from crm.automations), 1::bigint, 'a manager reads it');
select is(tests.outcome('update crm.automations set enabled = true'), '42501 your role does not permit automations.update', 'and does not switch it on');
select tests.become('sue', 'Acme');
select matches(tests.outcome('select from crm.automations'), '^0 rows', 'sue does not read it');
select tests.become('bob', 'Borg');
select is_empty('select id from crm.automations', 'nor does bob of Borg');

select tests.nobody();
insert into crm.daily_metrics (org_id, day, new_contacts, won_amount) values (tests.org_id('Acme'), '2026-01-01', 3, 1000);
select tests.become('mia', 'Acme');
select results_eq('select day, new_contacts, won_amount, new_leads from crm.daily_metrics', $$values (date '2026-01-01', 3, 1000::numeric(19, 4), 0)$$, 'a manager reads the figures');
select tests.become('ann', 'Acme');
select is(tests.outcome(statement), '42501 permission denied for table daily_metrics', 'not even the owner can: ' || statement)
from unnest(array['update crm.daily_metrics set won_deals = 9', 'delete from crm.daily_metrics', $$insert into crm.daily_metrics (day) values ('2026-01-02')$$]) as statement;
select tests.become('sue', 'Acme');
select is_empty('select id from crm.daily_metrics', 'sue, who sees her own, does not see what is all''s');
select tests.become('bob', 'Borg');
select is_empty('select id from crm.daily_metrics', 'nor does bob of Borg');

select * from finish();
rollback;
