-- Estimates: their numbers, steps and amounts, and who does what to them and to their lines. What estimates and invoices have in
-- common is tried here; what only invoices have, in invoices.sql.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('mia', 'Acme', 'manager'), tests.hire('sam', 'Acme', 'sales'), tests.hire('sue', 'Acme', 'sales'), tests.hire('vera', 'Acme', 'read_only');
update crm.organizations set currency = 'EUR' where id = tests.org_id('Acme');

create table tests.ids (name text primary key, id uuid not null default gen_random_uuid());
insert into tests.ids (name) values ('sam''s'), ('mia''s'), ('bob''s'), ('vector'), ('many'), ('step'), ('copy'), ('yen');
grant select, insert on tests.ids to public;
create function tests.id(name text) returns uuid language sql stable as $$ select id from tests.ids where ids.name = id.name $$;

-- quantity, price, discount, net; half away from zero.
create table tests.vectors (currency text, quantity numeric, price numeric, discount numeric, net numeric, off numeric);
insert into tests.vectors values
    ('EUR', 3, 0.335, 0, 1.01, 0), ('EUR', 1, 0.005, 0, 0.01, 0), ('EUR', -1, 0.005, 0, -0.01, 0), ('EUR', 1, 0.0049, 0, 0, 0),
    ('EUR', 1, 100, 33.3333, 66.67, 33.33), ('EUR', 7, 19.99, 12.5, 122.44, 17.49), ('EUR', 1, 10, 100, 0, 10), ('EUR', 0, 10, 5, 0, 0),
    ('EUR', 0.0001, 0.0001, 0, 0, 0), ('EUR', 1000000, 99999999.9999, 0, 99999999999900, 0), ('EUR', 1, -25, 10, -22.50, -2.50),
    ('JPY', 1, 0.5, 0, 1, 0), ('JPY', 3, 33.3333, 0, 100, 0), ('JPY', 1, 1999, 5, 1899, 100),
    ('KWD', 1, 0.0005, 0, 0.001, 0), ('KWD', 3, 1.2345, 10, 3.333, 0.371), ('CLF', 1, 0.0001, 0, 0.0001, 0), ('BHD', 2, 0.00025, 0, 0.001, 0);
grant select on tests.vectors to public;
create function tests.comes_to(currency text, quantity numeric, price numeric, discount numeric) returns text language plpgsql as $$
declare
    made uuid;
    answer text;
begin
    insert into crm.estimates (currency) values (comes_to.currency) returning id into made;
    insert into crm.estimate_items (estimate_id, description, quantity, unit_price, discount_percent, line_total, discount_amount)
    values (made, 'x', quantity, price, discount, 77, 77) returning line_total + 0.0 || ' less ' || discount_amount into answer;
    return answer;
end
$$;
create function tests.amounts(name text) returns text language sql stable as $$
    select concat_ws(' ', trim_scale(subtotal), trim_scale(discount_total), trim_scale(tax_total), trim_scale(total)) from crm.estimates where id = tests.id(name)
$$;
create function tests.step(name text, status text) returns text language sql as $$
    select tests.outcome(format('update crm.estimates set status = %L where id = tests.id(%L)', status, name), false)
$$;

select tests.become('bob', 'Borg');
insert into crm.estimates (id, title) values (tests.id('bob''s'), 'Borg''s');
insert into crm.estimate_items (estimate_id, description, unit_price) values (tests.id('bob''s'), 'Cube', 1);

-- A new one --------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
insert into crm.estimates (id, title, number, subtotal, tax_total, total, taxes, sent_at)
values (tests.id('sam''s'), 'Sam''s', 'MINE-1', 5, 5, 10, '[1]', now());
select results_eq(
    'select number, status, currency, subtotal, discount_total, tax_total, total, taxes, sent_at, owner_id from crm.estimates',
    $$values ('EST-0001', 'draft', 'EUR', 0::numeric(19, 4), 0::numeric(19, 4), 0::numeric(19, 4), 0::numeric(19, 4), '[]'::jsonb, null::timestamptz, tests.user_id('sam'))$$,
    'a new estimate has a number, the organization''s currency, and nothing else that sam sent of what is the database''s'
);
update crm.estimates set number = 'MINE-1', total = 99, tax_total = 99, subtotal = 1, accepted_at = now(), taxes = '{}';
select results_eq(
    'select number, subtotal, tax_total, total, taxes, accepted_at, version from crm.estimates',
    $$values ('EST-0001', 0::numeric(19, 4), 0::numeric(19, 4), 0::numeric(19, 4), '[]'::jsonb, null::timestamptz, 2)$$, 'nor can he change it'
);
select is(
    tests.outcome($$insert into crm.estimates (currency) values ('EURO')$$), '22023 currency: not a currency''s code of three letters (ISO 4217) like EUR',
    'a currency is one of ISO 4217'
);
select is(
    tests.outcome($$insert into crm.estimates (issue_date, valid_until) values ('2024-02-02', '2024-02-01')$$),
    '23514 new row for relation "estimates" violates check constraint "estimates_valid_until_check"', 'an estimate is not over before it begins'
);

-- What lines come to -----------------------------------------------------------------------------------------------------

insert into crm.estimates (id, currency) values (tests.id('vector'), 'EUR'), (tests.id('yen'), 'JPY');
select is(
    tests.comes_to(currency, quantity, price, discount), format('%s less %s', net::numeric(19, 4) + 0.0, off::numeric(19, 4)),
    format('%s × %s %s with %s %% off come to %s', quantity, price, currency, discount, net)
)
from tests.vectors;
select is(
    tests.outcome(format(
        'insert into crm.estimate_items (estimate_id, description, quantity, unit_price, discount_percent, tax_rate) values (tests.id(''vector''), ''x'', %s)', sent
    )),
    said, format('a line of %s is refused', sent)
)
from (values
    ('1000000000, 1000000000000, 0, 0', '22023 line_total: is too large: amounts have at most 15 digits before the decimal point'),
    ('1000000001, 1, 0, 0', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_quantity_check"'),
    ('1, 1000000000001, 0, 0', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_unit_price_check"'),
    ('1, 1, 101, 0', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_discount_percent_check"'),
    ('1, 1, -1, 0', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_discount_percent_check"'),
    ('1, 1, 0, 100.0001', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_tax_rate_check"'),
    ('''NaN'', 1, 0, 0', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_quantity_check"'),
    ('1, 1, 0, ''NaN''', '23514 new row for relation "estimate_items" violates check constraint "estimate_items_tax_rate_check"'),
    ('null, 1, 0, 0', '23502 null value in column "quantity" of relation "estimate_items" violates not-null constraint')
) as bad (sent, said);

-- What documents come to ---------------------------------------------------------------------------------------------------

-- ZUGFeRD's example EN16931_Einfach: 20 × 9.90 at 19 % and 50 × 5.50 at 7 %.
insert into crm.estimate_items (estimate_id, position, description, quantity, unit, unit_price, tax_rate) values
    (tests.id('vector'), 1, 'Trennblätter A4', 20, 'pieces', 9.90, 19), (tests.id('vector'), 2, 'Joghurt Banane', 50, 'pieces', 5.50, 7);
select is(tests.amounts('vector'), '473 0 56.87 529.87', 'the amounts of ZUGFeRD''s example are those it has');
select is(
    (select taxes from crm.estimates where id = tests.id('vector')),
    '[{"rate": 7, "net": 275.00, "tax": 19.25}, {"rate": 19, "net": 198.00, "tax": 37.62}]', 'also by rate'
);
delete from crm.estimate_items where estimate_id = tests.id('vector');
select is(tests.amounts('vector'), '0 0 0 0', 'without lines they are zero');
-- Peppol BIS Billing 3.0, base-example.xml, its charge as a line.
insert into crm.estimate_items (estimate_id, description, quantity, unit_price, tax_rate) values
    (tests.id('vector'), 'item name', 7, 400, 25), (tests.id('vector'), 'item name 2', -3, 500, 25), (tests.id('vector'), 'Insurance', 1, 25, 25);
select is(tests.amounts('vector'), '1325 0 331.25 1656.25', 'the amounts of Peppol''s example are those it has');
delete from crm.estimate_items where estimate_id = tests.id('vector');
-- Three times 0.33 at 10 %: 0.099 altogether, and not three times 0.03.
insert into crm.estimate_items (estimate_id, description, unit_price, tax_rate, discount_percent)
select tests.id('vector'), 'x', 0.66, 10.0, 50 from generate_series(1, 3);
select is(tests.amounts('vector'), '0.99 0.99 0.1 1.09', 'tax is computed on the sum of a rate''s lines, not line by line');
insert into crm.estimate_items (estimate_id, description, unit_price, tax_rate) values (tests.id('yen'), 'x', 105, 10), (tests.id('yen'), 'y', 100, 10);
select is(tests.amounts('yen'), '205 0 21 226', 'and rounded to the currency''s decimals: 20.5 yen are 21');
update crm.estimate_items set unit_price = 95 where description = 'x' and estimate_id = tests.id('yen');
select is(tests.amounts('yen'), '195 0 20 215', 'a line that is changed counts as it is now');
update crm.estimate_items set tax_rate = 8 where description = 'y' and estimate_id = tests.id('yen');
select is(tests.amounts('yen'), '195 0 18 213', 'also at another rate');
select is((select version from crm.estimates where id = tests.id('yen')), 4, 'every change of lines is a version of the document');
update crm.estimate_items set description = 'z', position = 5 where estimate_id = tests.id('yen');
select is((select version from crm.estimates where id = tests.id('yen')), 4, 'but for what changes no amount');
update crm.estimate_items set line_total = 1000, discount_amount = 1000 where estimate_id = tests.id('yen');
select is(tests.amounts('yen'), '195 0 18 213', 'what a client sends as a line''s amount does not count');
update crm.estimate_items set estimate_id = tests.id('vector') where description = 'z' and unit_price = 95;
select is(tests.amounts('yen') || ', ' || tests.amounts('vector'), '100 0 8 108, 95.99 0.99 9.6 105.59', 'a line moved to another document counts there, in its currency');

insert into crm.estimates (id) values (tests.id('many'));
insert into crm.estimate_items (estimate_id, description, quantity, unit_price, tax_rate)
select tests.id('many'), 'Item ' || n, n, 0.01, case when n % 2 = 0 then 7 else 19 end from generate_series(1, 1000) as n;
select is(tests.amounts('many'), '5005 0 650.35 5655.35', 'a thousand lines in one statement');
select is((select version from crm.estimates where id = tests.id('many')), 2, 'are one change of the document');
delete from crm.estimate_items where estimate_id = tests.id('many') and quantity > 500;
select is(tests.amounts('many'), '1252.5 0 162.68 1415.18', 'five hundred less in one statement');
select is(
    tests.outcome($$insert into crm.estimate_items (estimate_id, description, quantity, unit_price) select tests.id('many'), 'x', 1000, 900000000000 from generate_series(1, 2)$$),
    '22023 total: is too large: amounts have at most 15 digits before the decimal point', 'a document that comes to too much is refused'
);

-- Steps --------------------------------------------------------------------------------------------------------------------

insert into crm.estimates (id, title) values (tests.id('step'), 'Step');
select is(
    tests.outcome($$insert into crm.estimates (status) values ('sent')$$),
    '23514 status: a new one cannot be sent / {"column":"status","from":null,"to":"sent","allowed":["draft"]}', 'an estimate begins as a draft'
);
select is(tests.step('step', 'accepted'), '23514 status: there is no step from draft to accepted / {"column":"status","from":"draft","to":"accepted","allowed":["sent"]}', 'a draft cannot be accepted');
select is(tests.step('step', 'sent'), '23514 an estimate without lines cannot leave draft / {"column":"status","from":"draft"}', 'nor sent without lines');
insert into crm.estimate_items (estimate_id, description, unit_price) values (tests.id('step'), 'x', -5);
select is(tests.step('step', 'sent'), '23514 an estimate with a negative total cannot leave draft / {"column":"total","from":"draft"}', 'nor with less than nothing');
update crm.estimate_items set unit_price = 5 where estimate_id = tests.id('step');
select is(tests.outcome($$update crm.estimates set currency = 'USD' where id = tests.id('step')$$), '23514 the currency of an estimate with lines cannot be changed / {"column":"currency","from":"draft"}', 'with lines, its currency stays');
select is(tests.outcome($$update crm.estimates set currency = 'USD', status = 'sent' where id = tests.id('step')$$), '23514 the currency of an estimate with lines cannot be changed / {"column":"currency","from":"draft"}', 'also when it is sent');
select is(tests.step('step', 'sent'), '1 rows', 'a draft is sent');
select results_eq(
    $$select sent_at, issue_date, accepted_at from crm.estimates where id = tests.id('step')$$,
    $$values (now(), (now() at time zone 'UTC')::date, null::timestamptz)$$, 'which is noted, with the day'
);
select is(tests.outcome(statement), said, statement)
from (values
    ($$insert into crm.estimate_items (estimate_id, description) values (tests.id('step'), 'x')$$, '23514 the lines of an estimate that is sent cannot be changed / {"column":"estimate_id","from":"sent"}'),
    ($$update crm.estimate_items set description = 'y' where estimate_id = tests.id('step')$$, '23514 the lines of an estimate that is sent cannot be changed / {"column":"estimate_id","from":"sent"}'),
    ($$delete from crm.estimate_items where estimate_id = tests.id('step')$$, '23514 the lines of an estimate that is sent cannot be changed / {"column":"estimate_id","from":"sent"}'),
    ($$update crm.estimate_items set estimate_id = tests.id('step') where estimate_id = tests.id('vector')$$, '23514 the lines of an estimate that is sent cannot be changed / {"column":"estimate_id","from":"sent"}'),
    ($$update crm.estimates set title = 'Other' where id = tests.id('step')$$, '23514 title of an estimate that is sent cannot be changed / {"column":"title","from":"sent"}'),
    ($$update crm.estimates set currency = 'USD' where id = tests.id('step')$$, '23514 currency of an estimate that is sent cannot be changed / {"column":"currency","from":"sent"}'),
    ($$update crm.estimates set tags = '{}', external_id = 'x', title = title where id = tests.id('step')$$, '1 rows'),
    ($$update crm.estimates set title = 'Other', status = 'draft' where id = tests.id('step')$$, '1 rows')
) as tried (statement, said);
select is(tests.step('step', 'declined'), '1 rows', 'it is declined');
select is((select declined_at from crm.estimates where id = tests.id('step')), now(), 'which is noted');
select is(
    tests.step('step', 'accepted'),
    '23514 status: there is no step from declined to accepted / {"column":"status","from":"declined","to":"accepted","allowed":["draft"]}', 'and then not accepted'
);
select is(tests.step('step', 'draft') || tests.step('step', 'sent') || tests.step('step', 'expired') || tests.step('step', 'draft') || tests.step('step', 'sent'), repeat('1 rows', 5), 'but made a draft again');
select is(tests.step('step', 'accepted'), '1 rows', 'it is accepted');
select ok(accepted_at = now() and declined_at is null, 'which is noted, too') from crm.estimates where id = tests.id('step');
select is(
    tests.step('step', 'draft'), '23514 status: there is no step from accepted to draft / {"column":"status","from":"accepted","to":"draft","allowed":[]}', 'and stays so'
);

-- Who ----------------------------------------------------------------------------------------------------------------------

insert into crm.estimate_items (estimate_id, description, unit_price, owner_id) values (tests.id('sam''s'), 'Sam''s', 1, tests.user_id('mia'));
select is((select owner_id from crm.estimate_items where description = 'Sam''s'), tests.user_id('sam'), 'a line has its estimate''s owner');
select tests.become('sue', 'Acme');
select is((select count(*) from crm.estimates) + (select count(*) from crm.estimate_items), 0::bigint, 'another salesperson sees neither');
select is(tests.outcome(statement), said, 'sue: ' || statement)
from (values
    ($$insert into crm.estimate_items (estimate_id, description) values (tests.id('sam''s'), 'x')$$, '22023 estimate_id: there is no such estimate'),
    ($$insert into crm.estimate_items (estimate_id, description) values (tests.id('step'), 'x')$$, '22023 estimate_id: there is no such estimate'),
    ($$insert into crm.estimate_items (estimate_id, description) values (gen_random_uuid(), 'x')$$, '22023 estimate_id: there is no such estimate'),
    ($$insert into crm.estimate_items (estimate_id, description) values (tests.id('bob''s'), 'x')$$, '22023 estimate_id: there is no such estimate'),
    ($$insert into crm.estimate_items (org_id, estimate_id, description) values (tests.org_id('Borg'), tests.id('bob''s'), 'x')$$, '42501 new row violates row-level security policy for table "estimate_items"'),
    ($$insert into crm.estimates (org_id) values (tests.org_id('Borg'))$$, '42501 new row violates row-level security policy for table "estimates"'),
    ($$insert into crm.estimates (org_id) values (gen_random_uuid())$$, '42501 new row violates row-level security policy for table "estimates"'),
    ($$delete from crm.estimate_items$$, '0 rows'), ($$update crm.estimates set title = 'x'$$, '0 rows')
) as tried (statement, said);
select tests.become('vera', 'Acme');
select is((select count(*) from crm.estimate_items where description = 'Sam''s'), 1::bigint, 'a viewer sees all lines');
select is(tests.outcome(statement), '42501 your role does not permit estimates.' || permission, 'vera: ' || statement)
from (values
    ('delete from crm.estimate_items', 'update'), ('update crm.estimate_items set quantity = 2', 'update'), ('insert into crm.estimates (title) values (''x'')', 'create'),
    ($$insert into crm.estimate_items (estimate_id, description) values (tests.id('sam''s'), 'x')$$, 'update'), ('delete from crm.estimates', 'delete')
) as tried (statement, permission);
select tests.become('ann', 'Acme');
update crm.estimates set owner_id = tests.user_id('sue') where id = tests.id('step');
update crm.estimates set owner_id = tests.user_id('mia') where id = tests.id('sam''s');
select is(
    (select array_agg(distinct owner_id) from crm.estimate_items where estimate_id in (tests.id('step'), tests.id('sam''s'))),
    (select array_agg(user_id order by user_id) from tests.people where name in ('mia', 'sue')), 'the lines go to a new owner with the estimate, also what was accepted'
);
select is(tests.amounts('step'), '5 0 0 5', 'whose amounts stay');

-- Deletion -----------------------------------------------------------------------------------------------------------------

insert into crm.accounts (id, name) values (tests.id('copy'), 'Customer');
update crm.estimates set account_id = tests.id('copy') where id = tests.id('vector');
update crm.estimates set status = 'sent' where id = tests.id('vector');
delete from crm.accounts;
select is((select (account_id is null)::text from crm.estimates where id = tests.id('vector')), 'true', 'an estimate that was sent may lose its account');
select is(tests.outcome($$delete from crm.estimates where id = tests.id('vector')$$, false), '1 rows', 'an estimate can be deleted, also one that was sent');
select is((select count(*) from crm.estimate_items where estimate_id = tests.id('vector')), 0::bigint, 'its lines go with it');
select tests.nobody();
select tests.become('bob', 'Borg');
select is((select number from crm.estimates), 'EST-0001', 'every organization has numbers of its own');

select * from finish();
rollback;
