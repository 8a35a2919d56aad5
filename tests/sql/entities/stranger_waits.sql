-- Nobody waits for rows that they may not change, and so nobody learns by waiting that there are such rows; and nobody makes another
-- organization wait.

\set world strangers
\ir ../access/sessions.psql

begin;
select tests.register('alice', 'Acme');
select tests.register('eve', 'Evil');
select tests.hire('sally', 'Acme', 'sales');
select tests.token('sally', 'Acme');
insert into crm.contacts (org_id, id, last_name, owner_id)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000001', 'Victim', tests.user_id('alice'));
insert into crm.invoices (org_id, id, title, owner_id)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000002', 'Invoice', tests.user_id('alice'));
create procedure tests.meet(held text, person text, organization text, tried text, wanted text, sentence text) language plpgsql as $$
declare
    said text;
begin
    perform tests.begin_as('a', format('crm.authenticate(%L)', tests.token('alice', 'Acme')), 'read committed');
    perform tests.say('a', held);
    perform tests.begin_as('b', format('crm.authenticate(%L)', tests.token(person, organization)), 'read committed');
    perform tests.say('b', 'set local lock_timeout = ''500ms''');
    said := tests.say('b', tried);
    insert into tests.results (had, wanted, sentence) values (left(said, 5), wanted, sentence);
    perform tests.say('b', 'rollback'), tests.say('a', 'rollback');
end
$$;
commit;
select tests.connect('a'), tests.connect('b');

select format('insert into crm.contact_phones (org_id, contact_id, phone) values (%L, ''018f0000-0000-7000-8000-000000000001'', ''+4930123456'')', tests.org_id('Acme')) as phone,
    format('insert into crm.contact_emails (org_id, contact_id, email) values (%L, gen_random_uuid(), ''x@acme.example'')', tests.org_id('Acme')) as email,
    format('insert into crm.invoice_items (org_id, invoice_id, description) values (%L, ''018f0000-0000-7000-8000-000000000002'', ''x'')', tests.org_id('Acme')) as item
\gset
\set changed 'update crm.contacts set title = ''x'''
\set added 'insert into crm.contacts (last_name, email) values (''New'', ''new@acme.example'')'
\set invoiced 'update crm.invoices set notes = ''x'''
call tests.meet(:'changed', 'eve', 'Evil', :'phone', '42501', 'eve does not wait for a contact of Acme that is being changed');
call tests.meet(:'changed', 'sally', 'Acme', :'phone', '42501', 'nor does sally, who does not see it');
call tests.meet(:'changed', 'alice', 'Acme', :'phone', '55P03', 'alice does, who may change it');
call tests.meet(:'added', 'eve', 'Evil', :'email', '42501', 'eve does not wait for Acme''s writers of addresses, nor they for her');
call tests.meet(:'added', 'alice', 'Acme', :'email', '55P03', 'those of Acme wait for each other');
call tests.meet(:'invoiced', 'eve', 'Evil', :'item', '42501', 'eve does not wait for an invoice of Acme');
call tests.meet(:'invoiced', 'sally', 'Acme', :'item', '22023', 'nor does sally, to whom there is no such invoice');
call tests.meet(:'invoiced', 'alice', 'Acme', :'item', '55P03', 'alice does');

\ir ../access/leave_sessions.psql
