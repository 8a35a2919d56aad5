-- Notifications: everybody's own.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

-- Who tells whom ---------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(
    tests.outcome(format($$insert into crm.notifications (user_id, kind, title) values (%L, 'mention', 'Look')$$, tests.user_id(person)), false), '1 rows', 'ann notifies ' || person
)
from unnest('{ann,sam,viewer}'::text[]) as person;
select matches(
    tests.outcome(format($$insert into crm.notifications (user_id, kind, title) values (%L, 'mention', 'Look') returning title$$, tests.user_id('sam'))), '^42501 ', 'and does not read what sam is told'
);
select matches(
    tests.outcome(format($$insert into crm.notifications (user_id, kind, title) values (%L, 'mention', 'Look')$$, tests.user_id('bob'))), '^23503 ', 'bob of Borg she cannot notify'
);
select is(
    tests.outcome($$insert into crm.notifications (user_id, kind, title, record_id) values (tests.user_id('sam'), 'mention', 'Look', crm.uuid_v7())$$),
    '23514 new row for relation "notifications" violates check constraint "notifications_names_entity_check"', 'a record is named with its entity'
);
select tests.become('mia', 'Acme');
select is(
    tests.outcome(format($$insert into crm.notifications (user_id, kind, title) values (%L, 'mention', 'Look')$$, tests.user_id(person))),
    '42501 your role does not permit notifications.create', 'a manager does not notify ' || person
)
from unnest('{mia,sam}'::text[]) as person;

-- Who reads ----------------------------------------------------------------------------------------------------------------------

create function pg_temp.reads_own(person text, many bigint) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next is((select count(*) from crm.notifications), many, person || ' sees what is told to them');
    return next is(tests.outcome('update crm.notifications set read_at = now()'), many || ' rows', 'marks it as read');
    return next is(tests.outcome('delete from crm.notifications'), many || ' rows', 'and removes it');
    return next is_empty('select from crm.notifications where user_id <> crm.current_user_id() or owner_id <> user_id', 'and nothing else');
end
$$;
select pg_temp.reads_own(person, many) from (values ('ann', 1), ('sam', 1), ('viewer', 1), ('mia', 0)) as people (person, many);
select tests.become('sam', 'Acme');
select matches(
    tests.outcome(format('update crm.notifications set user_id = %L', tests.user_id('mia'))), '^42501 ', 'sam passes on none'
);
select tests.become('sam');
select is((select count(*) from crm.notifications), 1::bigint, 'across his organizations sam sees his own, too');
select tests.become('bob', 'Borg');
select is_empty('select id from crm.notifications', 'bob of Borg sees none');
select is(tests.outcome('delete from crm.notifications'), '0 rows', 'and removes none');

-- Deletion -----------------------------------------------------------------------------------------------------------------------

select tests.nobody();
delete from crm.memberships where user_id = tests.user_id('sam');
select is((select count(*) from crm.notifications), 2::bigint, 'sam''s go with his membership');

select * from finish();
rollback;
