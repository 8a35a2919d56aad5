-- Invoices: when they get their number and keep it, what stays once they left draft, and what deletion does. What they have in
-- common with estimates is in estimates.sql, what payments do to them in payments.sql.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales'), tests.hire('sue', 'Acme', 'sales'), tests.hire('vera', 'Acme', 'read_only'), tests.hire('rita', 'Acme', 'read_only');
update crm.organizations set currency = 'EUR', time_zone = 'Pacific/Kiritimati' where id = tests.org_id('Acme');
-- rita may send invoices that she is shown, and sees no accounts.
insert into crm.roles (org_id, name) values (tests.org_id('Acme'), 'clerk');
insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Acme'), 'clerk', 'invoices.read'), (tests.org_id('Acme'), 'clerk', 'invoices.update');
update crm.memberships set role = 'clerk' where user_id = tests.user_id('rita');

create table tests.ids (name text primary key, id uuid not null default gen_random_uuid());
insert into tests.ids (name) select unnest('{account,one,two,three,free,void,named,clerk,old,bob''s}'::text[]);
grant select on tests.ids to public;
create function tests.id(name text) returns uuid language sql stable as $$ select id from tests.ids where ids.name = id.name $$;
create function tests.step(name text, status text) returns text language sql as $$
    select tests.outcome(format('update crm.invoices set status = %L where id = tests.id(%L)', status, name), false)
$$;
-- An invoice over 119, with a line of 100 and 19 % tax.
create function tests.draft(name text, account text default 'account') returns void language sql as $$
    insert into crm.invoices (id, title, account_id) values (tests.id(name), name, tests.id(account));
    insert into crm.invoice_items (invoice_id, description, unit_price, tax_rate) values (tests.id(name), 'Consulting', 100, 19)
$$;

select tests.become('bob', 'Borg');
select tests.draft('bob''s', null);
select tests.become('sam', 'Acme');
insert into crm.accounts (id, name, billing_street, billing_city, billing_country) values (tests.id('account'), 'Customer Ltd', E'Road 1\nHouse 2', 'Town', 'DE');

-- Numbers ------------------------------------------------------------------------------------------------------------------

insert into crm.invoices (id, number, amount_paid, balance_due, total, sent_at) values (tests.id('one'), 'MINE-1', 5, 5, 10, now());
select results_eq(
    'select number, status, currency, total, amount_paid, balance_due, issue_date, sent_at from crm.invoices',
    $$values (null::text, 'draft', 'EUR', 0::numeric(19, 4), 0::numeric(19, 4), 0::numeric(19, 4), null::date, null::timestamptz)$$,
    'a new invoice is a draft without a number, whatever sam sent'
);
select is(tests.step('one', 'sent'), '23514 an invoice without lines cannot leave draft / {"column":"status","from":"draft"}', 'without lines it stays one');
insert into crm.invoice_items (invoice_id, description, unit_price, tax_rate) values (tests.id('one'), 'Consulting', 100, 19);
select results_eq(
    'select total, amount_paid, balance_due from crm.invoices', 'values (119::numeric(19, 4), 0::numeric(19, 4), 119::numeric(19, 4))', 'what is due is what its lines come to'
);
select is(tests.step('one', 'sent'), '23514 an invoice to nobody cannot leave draft / {"column":"billing_name","from":"draft"}', 'without a recipient, too');
update crm.invoices set account_id = tests.id('account');
select is(tests.step('one', status), format('23514 status: there is no step from draft to %s / {"column":"status","from":"draft","to":"%1$s","allowed":["sent"]}', status), 'a draft cannot be ' || status)
from unnest('{overdue,void,paid,partially_paid}'::text[]) as status;
select is(tests.outcome($$insert into crm.invoices (status) values ('sent')$$), '23514 status: a new one cannot be sent / {"column":"status","from":null,"to":"sent","allowed":["draft"]}', 'nor can a new one be sent');
select is(tests.step('one', 'sent'), '1 rows', 'sam sends it');
select results_eq(
    'select number, sent_at, issue_date, billing_name, billing_street, billing_city, billing_postal_code, billing_country from crm.invoices',
    $$values ('INV-0001', now(), (now() at time zone 'Pacific/Kiritimati')::date, 'Customer Ltd', E'Road 1\nHouse 2', 'Town', null::text, 'DE')$$,
    'it has the first number, the day where sam''s organization is, and the account''s name and address as they are'
);
update crm.accounts set name = 'Renamed', billing_city = 'City';
select is((select billing_name || billing_city from crm.invoices), 'Customer LtdTown', 'which stay when the account''s change');
update crm.invoices set number = 'MINE-2', total = 0, balance_due = 0, issue_date = issue_date;
select is((select number || total::integer || balance_due::integer from crm.invoices), 'INV-0001119119', 'its number stays, and its amounts');
select tests.draft('two'), tests.draft('three');
update crm.invoices set billing_name = 'Somebody', billing_city = 'Elsewhere' where id = tests.id('two');
update crm.invoices set status = 'sent' where status = 'draft';
select bag_eq('select number from crm.invoices', $$values ('INV-0001'), ('INV-0002'), ('INV-0003')$$, 'several sent in one statement have the next ones');
select results_eq(
    $$select billing_name, billing_street, billing_city from crm.invoices where id = tests.id('two')$$, $$values ('Somebody', null::text, 'Elsewhere')$$,
    'what the invoice says of its recipient goes before the account'
);
-- A number that was not kept is given again.
select tests.draft('void');
select is(tests.outcome($$update crm.invoices set status = 'sent' where status = 'draft' returning 1/0$$), '22012 division by zero', 'a statement that fails');
select is(tests.outcome($$update crm.invoices set status = 'sent' where status = 'draft'$$), '1 rows', 'and one that is rolled back');
update crm.invoices set status = 'sent' where status = 'draft';
select is((select number from crm.invoices where id = tests.id('void')), 'INV-0004', 'leave no gap');
select is((select last_number from crm.number_series where kind = 'invoice'), 4::bigint, 'the series knows the last one');

-- What stays -----------------------------------------------------------------------------------------------------------------

select is(tests.outcome(statement || $$ where id = tests.id('one')$$), said, statement)
from (
    select format('update crm.invoices set %I = %L', name, value),
        format('23514 %s of an invoice that is sent cannot be changed / {"column":"%1$s","from":"sent"}', name)
    from (values
        ('account_id', null), ('currency', 'USD'), ('title', 'x'), ('issue_date', '2020-01-01'), ('purchase_order', 'x'), ('billing_name', 'x'),
        ('billing_street', 'x'), ('billing_city', 'x'), ('billing_state', 'x'), ('billing_postal_code', 'x'), ('billing_country', 'FR'), ('notes', 'x'), ('terms', 'x')
    ) as frozen (name, value)
    union all
    values
        ('update crm.invoices set due_date = ''2199-01-01'', external_id = ''x'', contact_id = null, currency = currency', '1 rows'),
        ('update crm.invoices set status = ''draft''', '23514 status: there is no step from sent to draft / {"column":"status","from":"sent","to":"draft","allowed":["overdue","void"]}'),
        ('update crm.invoices set status = ''paid''', '23514 status: there is no step from sent to paid / {"column":"status","from":"sent","to":"paid","allowed":["overdue","void"]}'),
        ('update crm.invoices set status = ''overdue''', '23514 new row for relation "invoices" violates check constraint "invoices_overdue_has_due_date_check"')
) as tried (statement, said);
select is(tests.outcome(statement), '23514 the lines of an invoice that is sent cannot be changed / {"column":"invoice_id","from":"sent"}', statement)
from (values
    ($$insert into crm.invoice_items (invoice_id, description) values (tests.id('one'), 'x')$$),
    ($$update crm.invoice_items set quantity = 2 where invoice_id = tests.id('one')$$), ($$delete from crm.invoice_items where invoice_id = tests.id('one')$$)
) as tried (statement);
select tests.nobody();
select is(
    tests.outcome($$delete from crm.invoice_items where invoice_id = tests.id('one')$$),
    '23514 the lines of an invoice that is sent cannot be changed / {"column":"invoice_id","from":"sent"}', 'not even the DBA changes lines'
);
select is(
    tests.outcome($$delete from crm.invoices where id = tests.id('one')$$), '23503 invoice INV-0001 has a number and cannot be deleted', 'or deletes an invoice with a number'
);
select matches(
    tests.outcome($$update crm.invoices set number = null where id = tests.id('one')$$),
    '^23514 new row for relation "invoices" violates check constraint "invoices_number_check"', 'or takes a number away'
);
select tests.become('sam', 'Acme');
select is(
    tests.outcome($$delete from crm.invoices where id = tests.id('one')$$), '23503 invoice INV-0001 has a number and cannot be deleted', 'sam cannot delete it'
);
update crm.invoices set due_date = '2199-01-01' where id in (tests.id('one'), tests.id('void'));
select is(tests.step('one', 'overdue') || tests.step('one', 'sent') || tests.step('one', 'overdue'), repeat('1 rows', 3), 'an invoice becomes overdue, and no longer');
select is(tests.step('void', 'void'), '1 rows', 'an invoice is voided');
select results_eq(
    $$select number, voided_at, sent_at, paid_at from crm.invoices where status = 'void'$$, $$values ('INV-0004', now(), now(), null::timestamptz)$$, 'and keeps its number'
);
select is(
    tests.step('void', 'sent'), '23514 status: there is no step from void to sent / {"column":"status","from":"void","to":"sent","allowed":[]}', 'for good'
);
select is(tests.outcome($$delete from crm.invoices where status = 'void'$$), '23503 invoice INV-0004 has a number and cannot be deleted', 'nor is it deleted then');

-- Nothing to pay is paid; a recipient needs no account.
insert into crm.invoices (id, billing_name, issue_date) values (tests.id('free'), 'Mrs Private', '2024-02-29');
insert into crm.invoice_items (invoice_id, description, unit_price, discount_percent) values (tests.id('free'), 'Sample', 10, 100);
select is(tests.step('free', 'sent'), '1 rows', 'an invoice over nothing is sent');
select results_eq(
    $$select number, status, issue_date, paid_at, sent_at from crm.invoices where id = tests.id('free')$$,
    $$values ('INV-0005', 'paid', date '2024-02-29', now(), now())$$, 'and is paid with that'
);

-- Who ------------------------------------------------------------------------------------------------------------------------

select tests.draft('named');
select tests.become('sue', 'Acme');
select is((select count(*) from crm.invoices) + (select count(*) from crm.invoice_items), 0::bigint, 'another salesperson sees neither invoices nor lines');
select is(tests.outcome(statement), said, 'sue: ' || statement)
from (values
    ($$insert into crm.invoice_items (invoice_id, description) values (tests.id('named'), 'x')$$, '22023 invoice_id: there is no such invoice'),
    ($$insert into crm.invoice_items (invoice_id, description) values (tests.id('one'), 'x')$$, '22023 invoice_id: there is no such invoice'),
    ($$insert into crm.invoice_items (invoice_id, description) values (tests.id('bob''s'), 'x')$$, '22023 invoice_id: there is no such invoice'),
    ($$insert into crm.invoice_items (org_id, invoice_id, description) values (tests.org_id('Borg'), tests.id('bob''s'), 'x')$$, '42501 new row violates row-level security policy for table "invoice_items"'),
    ($$insert into crm.invoices (org_id) values (tests.org_id('Borg'))$$, '42501 new row violates row-level security policy for table "invoices"'),
    ($$insert into crm.invoices (account_id) values (tests.id('bob''s'))$$, '23503 insert or update on table "invoices" violates foreign key constraint "invoices_org_id_account_id_fkey" / Key is not present in table "accounts".'),
    ($$update crm.invoices set status = 'sent'$$, '0 rows')
) as tried (statement, said);
select tests.become('vera', 'Acme');
select is(tests.outcome($$update crm.invoices set status = 'sent'$$), '42501 your role does not permit invoices.update', 'a viewer cannot send');
select tests.become('rita', 'Acme');
select is(tests.step('named', 'sent'), '1 rows', 'a clerk who sees no accounts sends an invoice');
select is((select number || coalesce(billing_name, ' to nobody') from crm.invoices where id = tests.id('named')), 'INV-0006 to nobody', 'and is not told of the account by that');

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(
    tests.outcome('delete from crm.accounts'),
    '23503 update or delete on table "accounts" violates foreign key constraint "invoices_org_id_account_id_fkey" on table "invoices" / Key is still referenced from table "invoices".',
    'an account with invoices cannot be deleted'
);
insert into crm.estimates (id, title) values (tests.id('old'), 'Estimate');
insert into crm.deals (id, name) values (tests.id('old'), 'Deal');
insert into crm.contacts (id, last_name) values (tests.id('old'), 'Contact');
insert into crm.projects (id, name) values (tests.id('old'), 'Project');
update crm.invoices set estimate_id = tests.id('old'), deal_id = tests.id('old'), contact_id = tests.id('old'), project_id = tests.id('old') where id = tests.id('one');
delete from crm.estimates;
delete from crm.deals;
delete from crm.contacts;
delete from crm.projects;
select ok(
    estimate_id is null and deal_id is null and contact_id is null and project_id is null and number = 'INV-0001' and total = 119,
    'what an invoice came from may be deleted: the invoice stays as it is'
)
from crm.invoices where id = tests.id('one');
select tests.draft('clerk');
select is(tests.outcome($$delete from crm.invoices where status = 'draft'$$, false), '1 rows', 'a draft can be deleted');
select is((select count(*) from crm.invoice_items where invoice_id = tests.id('clerk')), 0::bigint, 'and its lines go with it');
update crm.invoices set owner_id = tests.user_id('sue') where status = 'void';
select is((select owner_id from crm.invoice_items where invoice_id = tests.id('void')), tests.user_id('sue'), 'lines follow their invoice to a new owner, also of what is void');
insert into crm.payments (invoice_id, amount) values (tests.id('one'), 19);
select tests.nobody();
-- What the DBA brings from elsewhere keeps its number.
insert into crm.invoices (org_id, id, number, billing_name, issue_date) values (tests.org_id('Acme'), tests.id('old'), null, 'Old', '2020-01-01');
insert into crm.invoice_items (org_id, invoice_id, description, unit_price) values (tests.org_id('Acme'), tests.id('old'), 'x', 1);
update crm.invoices set number = 'OLD-17', status = 'sent', sent_at = '2020-01-02' where id = tests.id('old');
select results_eq(
    $$select number, sent_at, issue_date from crm.invoices where id = tests.id('old')$$, $$values ('OLD-17', timestamptz '2020-01-02', date '2020-01-01')$$,
    'an invoice that the DBA brings from elsewhere keeps its number and time'
);
select is(
    tests.outcome(format('delete from crm.organizations where id = %L', tests.org_id('Acme')), false), '1 rows', 'an organization is deleted with all its invoices'
);
select is(
    (select count(*) from crm.invoices where org_id = tests.org_id('Acme')) + (select count(*) from crm.payments) + (select count(*) from crm.number_series where org_id = tests.org_id('Acme')),
    0::bigint, 'payments and series'
);
select is((select count(*) from crm.invoice_items), 1::bigint, 'other organizations'' stay');

select * from finish();
rollback;
