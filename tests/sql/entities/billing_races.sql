-- Two sessions at one invoice, or at one series of numbers: one waits for the other, and numbers and amounts come out as if
-- they had come one after the other.

\set world money
\ir ../access/sessions.psql

begin;
select tests.register('ann', 'Acme');
create table tests.ids (name text primary key, id uuid not null default gen_random_uuid());
create function tests.id(name text) returns uuid language sql stable as $$ select id from tests.ids where ids.name = id.name $$;
-- A draft over 10, as the DBA makes it.
create function tests.draft(name text) returns void language sql as $$
    insert into tests.ids (name) values (name);
    insert into crm.invoices (org_id, id, billing_name) values (tests.org_id('Acme'), tests.id(name), 'Customer');
    insert into crm.invoice_items (org_id, invoice_id, description, unit_price) values (tests.org_id('Acme'), tests.id(name), 'x', 10)
$$;
create function tests.number(name text) returns text language sql as $$ select number from crm.invoices where id = tests.id(name) $$;
create function tests.state(name text) returns text language sql as $$
    select concat_ws(' ', status, trim_scale(total), trim_scale(amount_paid), currency) from crm.invoices where id = tests.id(name)
$$;
create function tests.check(had text, wanted text, sentence text) returns void language sql as $$
    insert into tests.results (had, wanted, sentence) values (had, wanted, sentence)
$$;
select tests.draft(name) from unnest('{one,two,three,four,five,six,seven,eight,nine,ten,p,q}'::text[]) as name;
update crm.invoices set status = 'sent' where id in (tests.id('p'), tests.id('q'));
select tests.connect('a'), tests.connect('b');
commit;

-- Both act as ann. What b is asked for it begins, and is seen to wait for a; then it is told.
create function tests.start(who text, isolation text default 'read committed') returns text language sql as $$
    select tests.begin_as(who, format('crm.authenticate(%L)', tests.token('ann', 'Acme')), isolation)
$$;
create function tests.ask(statement text) returns text language plpgsql as $$
begin
    perform public.dblink_send_query('b', statement);
    for i in 1..150 loop
        perform pg_stat_clear_snapshot();
        if exists (select from pg_stat_activity where pid = (select pid from tests.sessions where name = 'b') and wait_event_type = 'Lock') then
            return 'waits';
        elsif public.dblink_is_busy('b') = 0 then
            return 'does not wait';
        end if;
        perform pg_sleep(0.01);
    end loop;
    return 'is slow';
end
$$;
create function tests.told() returns text language plpgsql as $$
declare
    said text;
begin
    begin
        select t.said into said from public.dblink_get_result('b') as t (said text);
    exception
        when others then said := sqlstate || ' ' || sqlerrm;
    end;
    perform * from public.dblink_get_result('b', false) as t (said text);
    return said;
end
$$;
create function tests.send(name text) returns text language sql as $$
    select format('update crm.invoices set status = ''sent'' where id = %L', tests.id(name))
$$;
create function tests.add(name text, price numeric) returns text language sql as $$
    select format('insert into crm.invoice_items (invoice_id, description, unit_price) values (%L, ''y'', %s)', tests.id(name), price)
$$;
create function tests.pay(name text, amount numeric) returns text language sql as $$
    select format('insert into crm.payments (invoice_id, amount) values (%L, %s)', tests.id(name), amount)
$$;

-- What a does and leaves open, what b asks for meanwhile, how a ends, and what b is told then.
create function tests.meet(a text, b text, ends text, isolation text default 'read committed') returns text language plpgsql as $$
declare
    meeting text;
begin
    perform tests.start('b', isolation);
    if isolation <> 'read committed' then
        perform tests.say('b', 'select count(*) from crm.invoices');
    end if;
    perform tests.start('a');
    meeting := tests.say('a', a);
    if meeting !~ '^(INSERT|UPDATE|DELETE)' then
        raise exception 'a could not begin: %', meeting;
    end if;
    meeting := tests.ask(b);
    perform tests.say('a', ends);
    meeting := meeting || ', ' || regexp_replace(tests.told(), '^(INSERT|UPDATE|DELETE) .*', 'is done');
    perform tests.say('b', 'commit');
    return meeting;
end
$$;

select tests.check(tests.meet(tests.send('one'), tests.send('two'), 'commit'), 'waits, is done', 'who sends an invoice waits for who sends one');
select tests.check(tests.number('one') || tests.number('two'), 'INV-0003INV-0004', 'and has the next number');
select tests.check(tests.meet(tests.send('three'), tests.send('four'), 'rollback'), 'waits, is done', 'also when that is rolled back');
select tests.check(tests.number('four'), 'INV-0005', 'then the number is free again');
select tests.check(
    tests.meet(tests.send('three'), 'update crm.invoices set status = ''sent'' where status = ''draft'' and currency = ''USD'' and id = ''' || tests.id('three') || '''', 'commit'),
    'waits, is done', 'who sends an invoice that was sent meanwhile'
);
select tests.check(
    tests.number('three') || (select last_number from crm.number_series where kind = 'invoice' and org_id = tests.org_id('Acme')), 'INV-00066', 'takes no number'
);

-- a sends one, b all drafts, a another one.
select tests.start('a'), tests.start('b');
select tests.say('a', tests.send('five'));
select tests.check(tests.ask($$update crm.invoices set status = 'sent' where status = 'draft' and billing_name = 'Customer'$$), 'waits', 'who sends all drafts waits with all of them');
select tests.check(tests.say('a', tests.send('six')), 'UPDATE 1', 'and does not keep anybody from sending a second one');
select tests.say('a', 'commit');
select tests.check(tests.told(), 'UPDATE 4', 'before sending the others');
select tests.say('b', 'rollback');

select tests.check(tests.meet(tests.add('seven', 20), tests.add('seven', 30), 'commit'), 'waits, is done', 'who adds a line waits for who adds one to the same invoice');
select tests.check(tests.state('seven'), 'draft 60 0 USD', 'whose total has both');
select tests.check(tests.meet(tests.add('seven', 5), tests.add('seven', 7), 'rollback'), 'waits, is done', 'or one');
select tests.check(tests.state('seven'), 'draft 67 0 USD', 'where the other was rolled back');
select tests.check(
    tests.meet(tests.add('seven', 1), tests.add('seven', 2), 'commit', 'repeatable read'), 'waits, 40001 could not serialize access due to concurrent update',
    'who looks at an older state is refused'
);
select tests.check(tests.state('seven'), 'draft 68 0 USD', 'and nothing is lost');
select tests.check(
    tests.meet(tests.add('seven', 0), tests.add('seven', 2), 'commit', 'repeatable read'), 'waits, 40001 could not serialize access due to concurrent update',
    'also when the total is what it was'
);
select tests.check(tests.meet(tests.add('seven', 2), tests.add('eight', 1), 'commit'), 'does not wait, is done', 'at another invoice nobody waits');
select tests.check(tests.meet(tests.add('seven', 30), tests.send('seven'), 'commit'), 'waits, is done', 'who sends an invoice waits for its lines');
select tests.check(tests.state('seven'), 'sent 100 0 USD', 'and sends them');
select tests.check(
    tests.meet(tests.send('eight'), tests.add('eight', 30), 'commit'), 'waits, 23514 the lines of an invoice that is sent cannot be changed', 'who adds a line to what is being sent is refused'
);
select tests.check(
    tests.meet(format('delete from crm.invoice_items where invoice_id = %L', tests.id('nine')), tests.send('nine'), 'commit'),
    'waits, 23514 an invoice without lines cannot leave draft', 'an invoice whose lines go meanwhile is not sent'
);
select tests.check(
    tests.meet(format('update crm.invoices set currency = ''JPY'' where id = %L', tests.id('nine')), tests.add('nine', 1.5), 'commit'), 'waits, is done',
    'a line that is added while the currency changes'
);
select tests.check(tests.state('nine'), 'draft 2 0 JPY', 'is rounded by the new one');
select tests.check(
    tests.meet(tests.add('ten', 1), format('update crm.invoices set currency = ''JPY'' where id = %L', tests.id('ten')), 'commit'),
    'waits, 23514 the currency of an invoice with lines cannot be changed', 'a currency does not change while lines are added'
);
select tests.check(
    tests.meet(format('delete from crm.invoices where id = %L', tests.id('ten')), tests.add('ten', 1), 'commit'),
    'waits, 22023 invoice_id: there is no such invoice', 'nor is a line added to what is deleted'
);

select tests.check(tests.meet(tests.pay('p', 4), tests.pay('p', 3), 'commit'), 'waits, is done', 'who pays waits for who pays the same invoice');
select tests.check(tests.state('p'), 'partially_paid 10 7 USD', 'which has both payments');
select tests.check(tests.meet(tests.pay('p', 3), tests.pay('p', 3), 'commit'), 'waits, 23514 the invoice is paid already', 'what is due is paid once');
select tests.check(tests.state('p'), 'paid 10 10 USD', 'and then it is paid');
select tests.check(
    tests.meet(
        format('update crm.invoices set status = ''void'' where id = %L', tests.id('q')), tests.pay('q', 1), 'commit'
    ), 'waits, 23514 the payments of a void invoice stay as they are', 'who pays what is being voided is refused'
);
select tests.check(
    tests.meet(
        format('insert into crm.payments (invoice_id, amount) values (%L, 1), (%L, 1)', tests.id('one'), tests.id('two')),
        format('insert into crm.payments (invoice_id, amount) values (%L, 2), (%L, 2)', tests.id('two'), tests.id('one')), 'commit'
    ), 'waits, is done', 'several invoices are paid in one order, whatever order they are named in'
);
select tests.check(tests.state('one') || ', ' || tests.state('two'), 'partially_paid 10 3 USD, partially_paid 10 3 USD', 'and have all payments');
select tests.check(
    tests.meet(
        format('insert into crm.payments (invoice_id, amount, idempotency_key) values (%L, 1, ''key'')', tests.id('one')),
        format('insert into crm.payments (invoice_id, amount, idempotency_key) values (%L, 1, ''key'') on conflict (org_id, idempotency_key) do nothing', tests.id('one')),
        'commit'
    ), 'waits, is done', 'a payment that is sent twice at once'
);
select tests.check(tests.state('one'), 'partially_paid 10 4 USD', 'counts once');

select tests.check(
    (select string_agg(number, ' ' order by number) from crm.invoices where number is not null),
    'INV-0001 INV-0002 INV-0003 INV-0004 INV-0005 INV-0006 INV-0007 INV-0008 INV-0009 INV-0010', 'after all of this the numbers have no gap'
);

\ir ../access/leave_sessions.psql
