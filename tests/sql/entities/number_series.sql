-- Number series: every organization has one of each kind; who may change what of it; where it begins.

begin;
\ir ../actors.psql
select plan(29);

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('adam', 'Acme', 'admin'), tests.hire('sam', 'Acme', 'sales'), tests.hire('vera', 'Acme', 'read_only');

select tests.become('sam', 'Acme');
select results_eq(
    'select kind, prefix, padding, first_number, last_number from crm.number_series order by kind',
    $$values ('estimate', 'EST-', 4, 1::bigint, 0::bigint), ('invoice', 'INV-', 4, 1, 0), ('ticket', 'T-', 4, 1, 0)$$,
    'a salesperson of a new organization sees its series of numbers'
);
select is(tests.outcome($$update crm.number_series set prefix = 'R-'$$), '42501 your role does not permit number_series.update', 'and cannot change them');
select is(tests.outcome($$select crm.set_next_number('invoice', 100)$$), '42501 your role does not permit number_series.update', 'nor say where they begin');
select tests.become('vera', 'Acme');
select is(tests.outcome('delete from crm.number_series'), '42501 your role does not permit number_series.delete', 'a viewer cannot delete them');

select tests.become('adam', 'Acme');
select is(tests.outcome($$update crm.number_series set prefix = ' R/', padding = 6 where kind = 'invoice'$$, false), '1 rows', 'an admin changes prefix and padding');
select is((select prefix from crm.number_series where kind = 'invoice'), 'R/', 'which are stored trimmed');
select is(
    tests.outcome($$update crm.number_series set last_number = 99, first_number = 50 where kind = 'invoice'$$, false), '1 rows',
    'an admin who sends numbers is not refused'
);
select is((select last_number + first_number from crm.number_series where kind = 'invoice'), 1::bigint, 'but they stay');
select is(
    tests.outcome($$update crm.number_series set kind = 'ticket' where kind = 'invoice'$$), '42501 kind cannot be changed', 'an admin cannot change what a series is of'
);
select is(
    tests.outcome($$insert into crm.number_series (kind) values ('invoice')$$),
    '23505 duplicate key value violates unique constraint "number_series_org_id_kind_key"', 'nor add a second one'
);
select is(
    tests.outcome($$insert into crm.number_series (kind) values ('order')$$),
    '23514 new row for relation "number_series" violates check constraint "number_series_kind_check"', 'nor one of another kind'
);
select is(
    tests.outcome(format('update crm.number_series set %I = %L', name, value)),
    format('23514 new row for relation "number_series" violates check constraint "number_series_%s_check"', name),
    format('nor set %s to %s', name, value)
)
from (values ('prefix', 'INV1'), ('padding', '0'), ('padding', '13')) as bad (name, value);
select is(tests.outcome('update crm.number_series set prefix = null'), '3 rows', 'numbers may stand alone');
select is(tests.outcome($$delete from crm.number_series where kind = 'ticket'$$), '1 rows', 'an admin may delete a series that gave no number');

-- Where it begins.
select is(crm.set_next_number('estimate', 1000), '{"kind": "estimate", "next_number": 1000}', 'an admin says where a series begins');
select is(crm.set_next_number('estimate', 9998), '{"kind": "estimate", "next_number": 9998}', 'and again, while it has given no number');
insert into crm.estimates (title) values ('First'), ('Second');
select results_eq(
    'select title, number from crm.estimates order by number', $$values ('First', 'EST-9998'), ('Second', 'EST-9999')$$, 'the first one gets that number'
);
insert into crm.estimates (title) values ('Third');
select is((select number from crm.estimates where title = 'Third'), 'EST-10000', 'a number longer than its padding is not cut');
select is(
    tests.outcome($$select crm.set_next_number('estimate', 20000)$$), '23503 this series gave numbers already',
    'once it gave numbers, its beginning stays'
);
select is(
    tests.outcome($$delete from crm.number_series where kind = 'estimate'$$), '23503 a series that gave numbers cannot be deleted',
    'and it cannot be deleted'
);
select is(tests.outcome(format('select crm.set_next_number(%s)', arguments)), said, format('set_next_number(%s)', arguments))
from (values
    ($$'order', 1$$, '22023 kind: must be one of invoice, estimate, ticket'),
    ($$null, 1$$, '22023 kind: is missing'),
    ($$'ticket', 0$$, '22023 number: must be between 1 and 1000000000000'),
    ($$'ticket', null$$, '22023 number: is missing')
) as bad (arguments, said);

-- A series that somebody deleted comes back.
delete from crm.number_series where kind = 'ticket';
select is(crm.set_next_number('ticket', 7), '{"kind": "ticket", "next_number": 7}', 'a series that is missing is made where it is needed');

select tests.become('bob', 'Borg');
select is((select count(*) from crm.number_series), 3::bigint, 'bob sees those of his organization');
select is((select sum(last_number) from crm.number_series), 0::numeric, 'which gave no numbers');

select * from finish();
rollback;
