-- Payments: what they do to their invoice, which are refused, and who records them.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales'), tests.hire('sue', 'Acme', 'sales'), tests.hire('vera', 'Acme', 'read_only');

create table tests.ids (name text primary key, id uuid not null default gen_random_uuid());
insert into tests.ids (name) select unnest('{account,one,two,draft,void,yen,sam''s,bob''s}'::text[]);
grant select on tests.ids to public;
create function tests.id(name text) returns uuid language sql stable as $$ select id from tests.ids where ids.name = id.name $$;
create function tests.invoice(name text, amount numeric, status text default 'sent', currency text default 'EUR') returns void language sql as $$
    insert into crm.invoices (id, title, billing_name, currency, due_date) values (tests.id(name), name, 'Customer', currency, '2199-01-01');
    insert into crm.invoice_items (invoice_id, description, unit_price) values (tests.id(name), 'x', amount);
    update crm.invoices set status = 'sent' where id = tests.id(name) and invoice.status <> 'draft';
    update crm.invoices set status = invoice.status where id = tests.id(name)
$$;
create function tests.state(name text) returns text language sql stable as $$
    select concat_ws(' ', status, trim_scale(amount_paid), 'of', trim_scale(total), 'due', trim_scale(balance_due), case when paid_at is not null then 'paid' end)
    from crm.invoices where id = tests.id(name)
$$;
create function tests.pay(name text, amount numeric, others text default '{}') returns text language sql as $$
    select tests.outcome(format(
        'insert into crm.payments (%s) select %1$s from jsonb_populate_record(null::crm.payments, %L)',
        (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(content) as key), content
    ), false)
    from (select jsonb_build_object('invoice_id', tests.id(name), 'amount', amount) || others::jsonb) as sent (content)
$$;

select tests.become('bob', 'Borg');
select tests.invoice('bob''s', 100);
select tests.become('sam', 'Acme');
insert into crm.accounts (id, name) values (tests.id('account'), 'Customer');
select tests.invoice('one', 100), tests.invoice('two', 50), tests.invoice('draft', 10, 'draft'), tests.invoice('void', 10, 'void'), tests.invoice('yen', 1000, 'sent', 'JPY');

-- Paid bit by bit ----------------------------------------------------------------------------------------------------------

select is(tests.pay('one', 40, '{"currency": "USD", "account_id": null, "method": "card", "reference": "ch_1", "paid_on": "2024-02-29"}'), '1 rows', 'sam records a payment');
select results_eq(
    'select currency, account_id, amount, method, paid_on from crm.payments', $$values ('EUR', null::uuid, 40::numeric(19, 4), 'card', date '2024-02-29')$$,
    'in the invoice''s currency, whatever he sent'
);
select is(tests.state('one'), 'partially_paid 40 of 100 due 60', 'the invoice is paid in part');
select is(tests.pay('one', 60), '1 rows', 'the rest is paid');
select is(tests.state('one'), 'paid 100 of 100 due 0 paid', 'the invoice is paid');
select is((select paid_at from crm.invoices where id = tests.id('one')), now(), 'as of now');
select is(tests.pay('one', 1), '23514 the invoice is paid already / {"column":"invoice_id","from":"paid"}', 'it takes no more');
select is(tests.pay('one', -30), '1 rows', 'but something can be paid back');
select is(tests.state('one'), 'partially_paid 70 of 100 due 30', 'which is due again');
select is(tests.pay('one', -70.01), '23514 more would be paid back than was paid / {"column":"amount","from":"partially_paid"}', 'no more than was paid');
update crm.payments set amount = 70 where amount = 40;
select is(tests.state('one'), 'paid 100 of 100 due 0 paid', 'a payment that is corrected counts as it is now');
delete from crm.payments where amount = -30;
select is(tests.state('one'), 'paid 130 of 100 due -30 paid', 'and so does one that is removed: too much may have been paid');
delete from crm.payments;
select is(tests.state('one'), 'sent 0 of 100 due 100', 'without payments the invoice is as it was sent');
select is(tests.pay('one', 130), '1 rows', 'more than is due may be paid at once');
select is(tests.state('one'), 'paid 130 of 100 due -30 paid', 'and stands as what is due back');
delete from crm.payments;

-- Several at once ------------------------------------------------------------------------------------------------------------

insert into crm.payments (invoice_id, amount, note) values (tests.id('two'), 20, 'a'), (tests.id('one'), 100, 'b'), (tests.id('two'), 30, 'c');
select is(tests.state('one') || ', ' || tests.state('two'), 'paid 100 of 100 due 0 paid, paid 50 of 50 due 0 paid', 'one statement pays two invoices');
update crm.payments set amount = amount / 2;
select is(tests.state('one') || ', ' || tests.state('two'), 'partially_paid 50 of 100 due 50, partially_paid 25 of 50 due 25', 'and changes both');
update crm.payments set amount = amount * 2 where note <> 'b';
select is(
    tests.outcome($$update crm.payments set invoice_id = tests.id('two') where note = 'b'$$), '23514 the invoice is paid already / {"column":"invoice_id","from":"paid"}',
    'a payment cannot be moved to a paid invoice'
);
update crm.payments set amount = amount / 2 where note <> 'b';
update crm.payments set invoice_id = tests.id('two') where note = 'b';
select is(tests.state('one') || ', ' || tests.state('two'), 'sent 0 of 100 due 100, paid 75 of 50 due -25 paid', 'a payment moves to another invoice');
select is(tests.outcome($$update crm.payments set note = 'x', reference = 'x'$$, false), '3 rows', 'what is no amount can be changed at any time');
delete from crm.payments;
insert into crm.payments (invoice_id, amount) select tests.id('one'), 0.1 from generate_series(1, 1000);
select is(tests.state('one'), 'paid 100 of 100 due 0 paid', 'a thousand payments in one statement');
delete from crm.payments;

-- Overdue, void, draft -------------------------------------------------------------------------------------------------------

update crm.invoices set status = 'overdue' where id = tests.id('one');
select is(tests.pay('one', 40), '1 rows', 'an overdue invoice is paid in part');
select is(tests.state('one'), 'overdue 40 of 100 due 60', 'and stays overdue');
select is(
    tests.outcome($$update crm.invoices set status = 'void' where id = tests.id('one')$$),
    '23514 an invoice that was paid in part cannot be voided / {"column":"status","from":"overdue"}', 'an invoice with payments cannot be voided'
);
update crm.invoices set status = 'sent' where id = tests.id('one');
select is(tests.state('one'), 'partially_paid 40 of 100 due 60', 'when it is no longer overdue it is what its payments say');
select is(
    tests.outcome($$update crm.invoices set status = 'sent' where id = tests.id('one')$$),
    '23514 status: there is no step from partially_paid to sent / {"column":"status","from":"partially_paid","to":"sent","allowed":["overdue"]}', 'which no client says'
);
update crm.invoices set status = 'overdue' where id = tests.id('one');
select is(tests.pay('one', 60), '1 rows', 'an overdue invoice is paid');
select is(tests.state('one'), 'paid 100 of 100 due 0 paid', 'and is overdue no more');
select is(tests.pay('draft', 1), '23514 a draft takes no payments / {"column":"invoice_id","from":"draft"}', 'a draft takes no payments');
select is(tests.pay('void', 1), '23514 the payments of a void invoice stay as they are / {"column":"invoice_id","from":"void"}', 'nor does a void invoice');
select is(
    tests.outcome($$insert into crm.payments (invoice_id, amount) values (tests.id('two'), 1), (tests.id('draft'), 1)$$),
    '23514 a draft takes no payments / {"column":"invoice_id","from":"draft"}', 'of several payments either all are taken or none'
);

-- What is no payment ---------------------------------------------------------------------------------------------------------

select is(tests.pay('two', amount), said, format('a payment of %s', amount))
from (values
    (0, '23514 new row for relation "payments" violates check constraint "payments_amount_check"'), ('NaN', '23514 new row for relation "payments" violates check constraint "payments_amount_check"'),
    (0.001, '22023 amount: EUR has 2 decimal places'), (null, '23502 null value in column "amount" of relation "payments" violates not-null constraint'),
    (100000000000001, '23514 new row for relation "payments" violates check constraint "payments_amount_check"')
) as bad (amount, said);
select is(tests.pay('yen', 0.5), '22023 amount: JPY has 0 decimal places', 'half a yen is no payment');
select is(tests.pay('two', 1, '{"method": "barter"}'), '23514 new row for relation "payments" violates check constraint "payments_method_check"', 'nor what is paid in kind');
select is(tests.pay('two', 1, '{"paid_on": "infinity"}'), '23514 new row for relation "payments" violates check constraint "payments_paid_on_check"', 'nor at the end of time');

-- Once -----------------------------------------------------------------------------------------------------------------------

select is(tests.pay('two', 10, '{"idempotency_key": "order-1"}'), '1 rows', 'a payment with a key is taken');
select is(
    tests.pay('two', 10, '{"idempotency_key": "order-1"}'), '23505 duplicate key value violates unique constraint "payments_org_id_idempotency_key_key"', 'once'
);
select is(
    tests.outcome($$insert into crm.payments (invoice_id, amount, idempotency_key) values (tests.id('two'), 10, 'order-1') on conflict (org_id, idempotency_key) do nothing$$, false),
    '0 rows', 'or passed over'
);
select is(tests.state('two'), 'partially_paid 10 of 50 due 40', 'the invoice was paid once');

-- Who ------------------------------------------------------------------------------------------------------------------------

select is(tests.pay('bob''s', 1), '22023 invoice_id: there is no such invoice', 'sam cannot pay another organization''s invoice');
select is(tests.pay('account', 1), '22023 invoice_id: there is no such invoice', 'nor one that does not exist, with the same answer');
select is(
    tests.pay('bob''s', 1, jsonb_build_object('org_id', tests.org_id('Borg'))::text), '42501 new row violates row-level security policy for table "payments"', 'nor in its name'
);
select is(
    tests.outcome($$update crm.payments set invoice_id = tests.id('bob''s')$$), '22023 invoice_id: there is no such invoice', 'nor move a payment there'
);
select tests.become('sue', 'Acme');
select is(tests.pay('two', 1), '22023 invoice_id: there is no such invoice', 'another salesperson does not see the invoice, and cannot pay it');
select is((select count(*) from crm.payments), 0::bigint, 'nor sees its payments');
select tests.become('vera', 'Acme');
select is((select count(*) from crm.payments), 3::bigint, 'a viewer sees them');
select is(tests.pay('two', 1), '42501 your role does not permit payments.create', 'and cannot add one');
select is(tests.outcome('delete from crm.payments'), '42501 your role does not permit payments.delete', 'or delete them');

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.invoices (id, account_id) values (tests.id('sam''s'), tests.id('account'));
insert into crm.invoice_items (invoice_id, description, unit_price) values (tests.id('sam''s'), 'x', 7);
update crm.invoices set status = 'sent' where id = tests.id('sam''s');
select is(tests.pay('sam''s', 7), '1 rows', 'ann pays an invoice to an account');
select is((select account_id from crm.payments where amount = 7), tests.id('account'), 'the payment has the account');
select is(
    tests.outcome('delete from crm.accounts'),
    '23503 update or delete on table "accounts" violates foreign key constraint "invoices_org_id_account_id_fkey" on table "invoices" / Key is still referenced from table "invoices".',
    'which stays'
);
select is(tests.outcome('delete from crm.payments', false), '4 rows', 'payments can be deleted');
select is(
    tests.state('one') || ', ' || tests.state('two') || ', ' || tests.state('sam''s'),
    'sent 0 of 100 due 100, sent 0 of 50 due 50, sent 0 of 7 due 7', 'and their invoices are due again'
);

select * from finish();
rollback;
