-- What each role of a membership may do with each enrolled table; for every yes there is a no.

begin;
\ir actors.psql
select no_plan();

select tests.register('owner', 'Acme');
select tests.hire('admin', 'Acme', 'admin');
select tests.hire('manager', 'Acme', 'manager');
select tests.hire('sales', 'Acme', 'sales');
select tests.hire('support', 'Acme', 'support');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.register('boss', 'Borg');
select tests.join('viewer', 'Borg', 'sales');

insert into crm.accounts (org_id, id, name, owner_id)
select org_id, gen_random_uuid(), 'Account of ' || name, null from tests.organizations;
insert into crm.contacts (org_id, last_name) select org_id, 'Contact of ' || name from tests.organizations;

create table tests.statements (target text, action text, statement text);
insert into tests.statements values
    ('accounts', 'read', 'select from crm.accounts'),
    ('accounts', 'create', $$insert into crm.accounts (name) values ('new')$$),
    ('accounts', 'update', $$update crm.accounts set industry = 'x'$$),
    ('accounts', 'delete', 'delete from crm.accounts'),
    ('contacts', 'read', 'select from crm.contacts'),
    ('contacts', 'create', $$insert into crm.contacts (last_name) values ('new')$$),
    ('contacts', 'update', $$update crm.contacts set title = 'x'$$),
    ('contacts', 'delete', 'delete from crm.contacts');
grant select on tests.statements to public;

select is(
    (select array_agg(distinct target order by target) from tests.statements),
    (select array_agg(c.relname::text order by c.relname::text)
     from pg_trigger as t join pg_class as c on c.oid = t.tgrelid where t.tgname = '_500_stamp'),
    'every enrolled table is in this test'
);
select is(
    (select array_agg(distinct role order by role) from crm.memberships where org_id = tests.org_id('Acme')),
    (select array_agg(role order by role)
     from regexp_matches(
         (select pg_get_constraintdef(oid) from pg_constraint where conname = 'memberships_role_check'), '''(\w+)''', 'g'
     ) as found cross join lateral unnest(found) as role),
    'every role is in this test'
);

create function tests.may(person text) returns setof text language plpgsql as $$
declare
    one record;
begin
    perform tests.become(person, 'Acme');
    for one in select * from tests.statements order by target, action loop
        return next is(tests.outcome(one.statement), '1 rows', format('%s may %s %s', person, one.action, one.target));
    end loop;
end
$$;

create function tests.may_not_write(person text, target text) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next matches(tests.outcome(format('update crm.%I set status = ''active''', target)), '^42501 permission denied', format('%s cannot update %s', person, target));
    return next matches(tests.outcome(format('delete from crm.%I', target)), '^42501 permission denied', format('%s cannot delete %s', person, target));
    return next matches(tests.outcome(format('insert into crm.%I default values', target)), '^42501 permission denied', format('%s cannot create %s', person, target));
    return next matches(tests.outcome(format('truncate crm.%I', target)), '^42501 permission denied', format('%s cannot truncate %s', person, target));
end
$$;

select tests.may(person)
from unnest('{owner,admin,manager,sales,support}'::text[]) as person;

select tests.become('viewer', 'Acme');
select is(tests.outcome(statement), '1 rows', 'a viewer may read ' || target)
from tests.statements where action = 'read' order by target;
select is(tests.outcome(statement), format('42501 your role does not permit %s.create', target), format('a viewer cannot create %s, and is told so', target))
from tests.statements where action = 'create' order by target;
select is(tests.outcome(statement), format('42501 your role does not permit %s.%s', target, action), format('a viewer cannot %s %s, and is told so', action, target))
from tests.statements where action in ('update', 'delete') order by target, action;
select is(
    tests.outcome('select from crm.contacts for update'), '0 rows', 'a viewer finds no contact to lock'
);
select matches(
    tests.outcome($$insert into crm.contacts (id, last_name) select id, 'x' from crm.contacts on conflict (org_id, id) do update set title = 'x'$$),
    '^42501 ', 'a viewer cannot upsert contacts'
);
select is(
    (select array_agg(last_name) from crm.contacts), array['Contact of Acme'], 'what a viewer tried left nothing'
);

-- Across organizations, each one's role counts there.
select tests.become('viewer');
select results_eq(
    'select last_name from crm.contacts order by last_name', array['Contact of Acme', 'Contact of Borg'],
    'who is a viewer here and in sales there reads both'
);
select is(
    tests.outcome($$update crm.contacts set title = 'x'$$), '1 rows', 'changes the one'
);
select is(
    tests.outcome($$update crm.contacts set title = 'x' where org_id = tests.org_id('Acme')$$), '0 rows', 'and not the other'
);
select is(
    tests.outcome($$delete from crm.contacts where org_id = tests.org_id('Acme')$$), '0 rows', 'removes nothing of the other'
);
select matches(
    tests.outcome($$insert into crm.contacts (org_id, last_name) values (tests.org_id('Acme'), 'x')$$), '^42501 ', 'adds nothing to the other'
);
select is(
    tests.outcome($$insert into crm.contacts (org_id, last_name) values (tests.org_id('Borg'), 'x')$$), '1 rows', 'but to the one'
);

-- What no role may, whatever they are in their organization: what is not enrolled is only read.
select tests.may_not_write(person, target)
from unnest('{owner,viewer}'::text[]) as person, unnest('{organizations,users,memberships}'::text[]) as target;

-- A role that changes is in force at the next authentication, not only at the next login.
select tests.nobody();
update crm.memberships set role = 'read_only' where user_id = tests.user_id('owner');
select tests.become('owner', 'Acme');
select matches(tests.outcome($$update crm.contacts set title = 'x'$$), '^42501 your role', 'an owner who was made a viewer cannot change contacts with the old token');

select * from finish();
rollback;
