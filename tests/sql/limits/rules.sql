-- Plans and what is agreed beside them: what they allow, who sees it, who changes it, and when it counts.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.join('bob', 'Acme', 'sales');
select tests.org_id('Acme') as acme, tests.org_id('Borg') as borg \gset

-- What the limit, and the feature, of a name are now.
create function tests.maximum(named text) returns text language sql as $$
    select coalesce((select coalesce(maximum::text, 'none') || coalesce(' until ' || override_ends_at, '') from crm.usage() where limit_name = named), 'not named')
$$;

-- The plans --------------------------------------------------------------------------------------------------------

select results_eq(
    'select name, limits from crm.plans order by name',
    $$values ('enterprise', '{}'::jsonb), ('free', '{"users": 10, "records": 10000, "webhooks": 2, "history_days": 90}'),
        ('pro', '{"users": 50, "records": 250000, "webhooks": 20, "history_days": 730}')$$,
    'there are three plans'
);
select is((select plan from crm.organizations where id = :'acme'), 'free', 'who registers has the free one');
select matches(tests.outcome(statement), '^23514 .*' || rule, statement)
from (values
    ($$insert into crm.plans values ('Free!', 'x')$$, 'plans_name_check'),
    ($$insert into crm.plans values ('x', '')$$, 'plans_title_check'),
    ($$update crm.plans set features = array[null]::text[]$$, 'plans_features_check'),
    ($$update crm.plans set limits = '[]'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = 'null'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": -1}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": 1.5}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": 1.0}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": null}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": "1"}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": 1, "records": {"a": 1}}'$$, 'plans_limits_check'),
    ($$update crm.plans set limits = '{"users": 1e30}'$$, 'plans_limits_check')
) as bad (statement, rule);
select matches(tests.outcome($$delete from crm.plans where name = 'free'$$), '^23503 ', 'a plan that somebody has stays');

create role tests_dba_of_rules in role crm_owner;
grant usage on schema tests to tests_dba_of_rules;
select set_config('role', 'tests_dba_of_rules', true);
select is(tests.outcome($$update crm.plans set limits = '{"users": 10, "records": 10000, "deals": 7, "webhooks": 2}' where name = 'free'$$, undo => false), '1 rows', 'the DBA changes a plan');
select is(tests.outcome('select from crm_private.plan_overrides'), '0 rows', 'and sees what was agreed');
select matches(tests.outcome('delete from crm_private.plan_overrides'), '^0 rows', 'but changes it by the functions');

select tests.become(person, organization) from (values ('ann', 'Acme')) as a (person, organization);
select is((select count(*) from crm.plans), 3::bigint, 'ann sees the plans');
select matches(tests.outcome('update crm.plans set limits = ''{}'''), '^42501 ', 'and cannot change them');
select matches(tests.outcome('update crm.organizations set plan = ''enterprise'''), '^42501 ', 'nor take another');
select tests.become_role('crm_anon');
select matches(tests.outcome('select from crm.plans'), '^42501 ', 'a stranger sees no plans');

-- Usage ------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select results_eq(
    'select limit_name, current, maximum, plan, override_ends_at from crm.usage()
     where limit_name in (''accounts'', ''contacts'', ''deals'', ''roles'', ''tags'', ''users'', ''webhooks'') order by limit_name',
    $$values ('accounts', 0::bigint, 10000::bigint, 'free', null::timestamptz), ('contacts', 0, 10000, 'free', null), ('deals', 0, 7, 'free', null),
        ('roles', 6, 10000, 'free', null), ('tags', 0, 10000, 'free', null), ('users', 3, 10, 'free', null), ('webhooks', 0, 2, 'free', null)$$,
    'ann sees what Acme has and may have'
);
insert into crm.contacts (last_name) values ('One'), ('Two');
select is((select current from crm.usage() where limit_name = 'contacts'), 2::bigint, 'two contacts are counted at once');
select set_eq(
    'select limit_name from crm.usage()',
    $$select distinct c.relname::text
      from pg_trigger as t
      join pg_proc as p on p.oid = t.tgfoid
      join pg_class as c on c.oid = t.tgrelid
      where p.proname = 'count_usage' and c.relname <> 'memberships'
      union all values ('deals'), ('users'), ('webhooks')$$,
    'of every table, and whatever else the plan names'
);
select is((select count(*) from crm.usage(:'acme')), (select count(*) from crm.usage()), 'and may name it');
select is(tests.outcome(format('select crm.usage(%L)', :'borg')), '42501 organizations.read is not permitted to you there', 'but no other');
select is(
    tests.outcome(format('select crm.usage(%L)', gen_random_uuid())), tests.outcome(format('select crm.usage(%L)', :'borg')),
    'whether it exists or not'
);
select tests.become('viewer', 'Acme');
select is((select current from crm.usage() where limit_name = 'users'), 3::bigint, 'a viewer sees it too');
select tests.become('bob');
select is(tests.outcome('select crm.usage()'), '42501 your role does not permit organizations.read', 'across organizations there is no active one');
select is((select current from crm.usage(:'borg') where limit_name = 'users'), 1::bigint, 'one of his may be named');
select tests.become_role('crm_app');
select is(tests.outcome('select crm.usage()'), '42501 nobody is logged in', 'nobody is told nothing');
select tests.become_role('crm_service');
select is((select current from crm.usage(:'acme') where limit_name = 'users'), 3::bigint, 'the platform asks for any');
select is(tests.outcome(format('select crm.usage(%L)', gen_random_uuid())), '22023 org_id: there is no such organization', 'and is told when there is none');

-- Features ---------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select ok(crm.feature_enabled('webhooks') and crm.feature_enabled('webhooks', :'acme'), 'ann''s plan has webhooks');
select ok(not crm.feature_enabled('sso') and not crm.feature_enabled('nonsense') and not crm.feature_enabled(null), 'and not what it has not');
select ok(not crm.feature_enabled('webhooks', :'borg'), 'of another organization she learns nothing');
select tests.become('bob');
select ok(not crm.feature_enabled('webhooks') and crm.feature_enabled('webhooks', :'borg'), 'bob has to name one of his');
select tests.become_role('crm_multi');
select ok(not crm.feature_enabled('webhooks') and not crm.feature_enabled('webhooks', :'borg'), 'nobody has nothing');
select tests.become_role('crm_service');
select ok(crm.feature_enabled('webhooks', :'borg') and not crm.feature_enabled('webhooks') and not crm.feature_enabled('webhooks', gen_random_uuid()), 'the platform asks for any');

-- Another plan -----------------------------------------------------------------------------------------------------

select is(crm.set_plan(:'acme', 'pro'), jsonb_build_object('org_id', :'acme', 'plan', 'pro'), 'the platform sets a plan');
select is(tests.outcome(format('select crm.set_plan(%L, %L)', :'acme', 'gold')), '22023 plan: there is no such plan', 'that exists');
select is(tests.outcome(format('select crm.set_plan(%L, %L)', gen_random_uuid(), 'pro')), '22023 org_id: there is no such organization', 'of an organization that does');
select is(tests.outcome(format('select crm.set_plan(%L, null)', :'acme')), '22023 plan: is missing', 'and is named');
select tests.become('ann', 'Acme');
select is(tests.maximum('users') || ' ' || tests.maximum('deals') || ' ' || crm.feature_enabled('teams'), '50 250000 true', 'it counts at once');
select matches(tests.outcome(statement), '^42501 ', 'ann cannot: ' || statement)
from unnest(array[
    format('select crm.set_plan(%L, ''enterprise'')', :'acme'), format('select crm.set_plan_override(%L, ''users'', 1, reason => ''x'')', :'acme'),
    format('select crm.remove_plan_override(%L, ''users'')', :'acme'), 'select crm.check_usage()', 'select crm.recount_usage()'
]) as statement;

-- Beside the plan --------------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select is(
    crm.set_plan_override(:'acme', 'users', 60, reason => ' A trial ') - 'starts_at',
    jsonb_build_object('org_id', :'acme', 'name', 'users', 'kind', 'limit', 'enabled', null, 'maximum', 60, 'ends_at', null, 'reason', 'A trial'),
    'the platform agrees a limit'
);
select tests.become('ann', 'Acme');
select is(tests.maximum('users'), '60', 'it counts');
select tests.become('bob', 'Borg');
select is(tests.maximum('users'), '10', 'for the one organization');
select tests.become_role('crm_service');
select crm.set_plan_override(:'acme', 'records', 5, ends_at => now() + interval '1 day', reason => 'x') \gset
select crm.set_plan_override(:'acme', 'contacts', unlimited => true, reason => 'x') \gset
select crm.set_plan_override(:'acme', 'webhooks', enabled => false, reason => 'x') \gset
select crm.set_plan_override(:'acme', 'webhooks', 99, reason => 'x') \gset
select tests.become('ann', 'Acme');
select is(tests.maximum('accounts'), '5 until ' || now() + interval '1 day', 'one for records counts for all tables, until it ends');
select is(tests.maximum('contacts'), 'none', 'but for those with one of their own');
select ok(tests.maximum('webhooks') = '99' and not crm.feature_enabled('webhooks'), 'a limit and a feature may have one name');
select tests.nobody();
update crm_private.plan_overrides set starts_at = clock_timestamp() - interval '1 minute', ends_at = clock_timestamp() + interval '300 ms' where name = 'records';
update crm_private.plan_overrides set starts_at = clock_timestamp() + interval '300 ms' where name = 'contacts';
select tests.become('ann', 'Acme');
select ok(tests.maximum('accounts') like '5 until %' and tests.maximum('contacts') like '5 until %', 'before the times of beginning and end');
select pg_sleep(0.35) \gset
select ok(tests.maximum('accounts') = '250000' and tests.maximum('contacts') = 'none', 'and after');

select tests.become_role('crm_service');
select is(tests.outcome(format('select crm.set_plan_override(%L, %s)', :'acme', arguments)), said, arguments)
from (values
    ('''users'', reason => ''x''', '22023 maximum: give one of maximum, unlimited and enabled'),
    ('''users'', 1, true, reason => ''x''', '22023 maximum: give one of maximum, unlimited and enabled'),
    ('''users'', 1, unlimited => true, reason => ''x''', '22023 maximum: give one of maximum, unlimited and enabled'),
    ('''users'', -1, reason => ''x''', '22023 maximum: must be between 0 and 999999999999999'),
    ('''users'', 1000000000000000, reason => ''x''', '22023 maximum: must be between 0 and 999999999999999'),
    ('''users'', 1', '22023 reason: is missing'),
    ('''users'', 1, reason => '' ''', '22023 reason: must not be empty'),
    ('''user'', 1, reason => ''x''', '22023 name: there is no such limit: users, webhooks, records, or a table''s'),
    ('null, 1, reason => ''x''', '22023 name: is missing'),
    ('''No word'', enabled => true, reason => ''x''', '22023 name: must be lower case letters, digits and _'),
    ('''users'', 1, ends_at => now(), reason => ''x''', '22023 ends_at: must be in the future'),
    ('''users'', 1, ends_at => ''infinity'', reason => ''x''', '22023 ends_at: leave it out for an override without an end'),
    ('''deals'', 1, reason => ''x''', '1 rows'),
    ('''accounts'', 0, reason => ''x''', '1 rows')
) as cases (arguments, said);
select is(tests.outcome(format('select crm.set_plan_override(%L, ''users'', 1, reason => ''x'')', gen_random_uuid())), '22023 org_id: there is no such organization', 'of nobody');
select is(crm.set_plan_override(:'acme', 'users', 70, reason => 'y') ->> 'maximum', '70', 'another takes its place');
select is(crm.remove_plan_override(:'acme', 'users'), '{"removed": 1}', 'it is removed');
select is(crm.remove_plan_override(:'acme', 'webhooks'), '{"removed": 2}', 'a limit and a feature together');
select is(crm.remove_plan_override(:'acme', 'users'), '{"removed": 0}', 'once');
select tests.become('ann', 'Acme');
select ok(tests.maximum('users') = '50' and crm.feature_enabled('webhooks'), 'and the plan counts again');
select tests.become_role('crm_worker');
select matches(tests.outcome('select crm.recount_usage()'), '^42501 ', 'the worker corrects nothing');
select tests.become_role('crm_service');
select matches(tests.outcome('select crm.check_usage()'), '^42501 ', 'nor does the platform look');

select * from finish();
rollback;
