-- What a transaction did is taken back, as far as whoever asks may, and as far as it has not changed since.

\set world undo
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{a,b,c,d,account,invoice,payment,foreign,anns}'::text[]) as name;

create function tests.undone(person text, name text, dry_run boolean default false, organization text default 'Acme') returns text language sql as $$
    select tests.said(person, format('select crm.undo(%L, dry_run => %L)', tests.transaction(name), dry_run), organization)
$$;
-- The entries, without ids.
create function tests.told(answer text) returns text language sql as $$
    select case when answer like '{%' then (
        select string_agg(concat_ws(' ', e ->> 'entity', e ->> 'action', e ->> 'outcome', nullif(e ->> 'columns', '[]'), '(' || (e ->> 'reason') || ')'), ', ')
        from jsonb_array_elements(answer::jsonb -> 'entries') as e
    ) else answer end
$$;

-- Added, changed, deleted -------------------------------------------------------------------------------------------

select tests.change('added', 'sam', $$
    insert into crm.contacts (id, last_name, email) values (tests.id('a'), 'A', 'a@example.com'), (tests.id('b'), 'B', null), (tests.id('c'), 'C', null), (tests.id('d'), 'D', null)
$$);
select tests.change('anns', 'ann', $$insert into crm.contacts (id, last_name) values (tests.id('anns'), 'Ann''s')$$);
select tests.change('foreign', 'bob', $$insert into crm.contacts (id, last_name) values (tests.id('foreign'), 'Foreign')$$, 'Borg');
select tests.change('changed', 'sam', $$update crm.contacts set title = 'Head', phone = '+1 650 253 0000' where last_name in ('A', 'B', 'C')$$);
select tests.change('changed since', 'sam', $$update crm.contacts set title = 'Boss' where last_name = 'B'$$);
select tests.change('deleted since', 'sam', $$delete from crm.contacts where last_name = 'C'$$);

select is(tests.undone('sam', 'foreign'), '22023 transaction_id: there is no such transaction', 'another organization''s transaction is none');
select is(tests.said('sam', format('select crm.undo(%L)', gen_random_uuid())), '22023 transaction_id: there is no such transaction', 'nor is one that never was');
select is(tests.undone('sam', 'anns'), '22023 transaction_id: there is no such transaction', 'nor one of which sam may read nothing');
select is(tests.undone('sid', 'changed'), '22023 transaction_id: there is no such transaction', 'nor is sam''s one for sid');
select is(tests.said('sam', 'select crm.undo(request_id => ''nothing'')'), '22023 request_id: there is no such request', 'nor is there such a request');
select is(tests.said('sam', 'select crm.undo()'), '22023 transaction_id: name either a transaction or a request', 'one names something');
select matches(tests.said('sam', format('select crm.undo(%L, ''x'')', gen_random_uuid())), '^22023 ', 'and not both');
select matches(tests.undone('max', 'changed', false, null), '^42501 no organization', 'max names the organization first');
select is(tests.counts(tests.undone('viewer', 'changed')), '{"kept": 0, "failed": 3, "partly": 0, "reversed": 0}', 'the viewer sees what it did, and takes nothing back');
select is(tests.told(tests.undone('sue', 'changed')),
    'contacts update failed (you may see this row, but contacts.update reaches only your own), contacts update failed (you may see this row, but contacts.update reaches only your own), contacts update kept (it is deleted since)',
    'nor does support what is not theirs');
select is(tests.told(tests.undone('sue', 'added')), 'contacts insert failed (you lack the permission contacts.delete), contacts insert failed (you lack the permission contacts.delete), contacts insert failed (you lack the permission contacts.delete), contacts insert reversed',
    'support deletes nothing; what is gone is gone');

select tests.undone('sam', 'changed', true) as answer \gset
select is(tests.counts(:'answer'), '{"kept": 1, "failed": 0, "partly": 1, "reversed": 1}', 'sam is told what would be taken back');
select is((select count(*) from crm.contacts where title is not null), 2::bigint, 'and nothing was');
select is((select count(*) from crm.audit_transactions where actor_id = tests.user_id('sam')), 4::bigint, 'nor noted');
select tests.undone('sam', 'changed') as answer \gset
select is(tests.told(:'answer'),
    'contacts update kept (it is deleted since), contacts update partly ["title"] (it changed since), contacts update reversed',
    'then it is, but for what changed since');
select results_eq('select last_name, title, phone, phone_normalized from crm.contacts where org_id = tests.org_id(''Acme'') and owner_id = tests.user_id(''sam'') order by 1',
    $$values ('A', null, null, null), ('B', 'Boss', null, null), ('D', null, null, null)$$, 'so it is');

select tests.undone('sam', 'added') as answer \gset
select is(tests.told(:'answer'), 'contacts insert kept (it changed since), contacts insert kept (it changed since), contacts insert reversed (it is deleted already), contacts insert reversed',
    'what nobody changed since is deleted; sam''s own undo is a change');

select tests.change('deleted', 'sam', $$delete from crm.contacts where last_name in ('A', 'B')$$);
select tests.undone('sam', 'deleted') as answer \gset
select is(tests.told(:'answer'), 'contacts delete reversed, contacts delete reversed', 'what was deleted is there again');
select is(tests.told(tests.undone('sam', 'deleted')), 'contacts delete kept (it is there again), contacts delete kept (it is there again)', 'once');
select is((select count(*) from crm.deleted_records where record_id in (tests.id('a'), tests.id('b'))), 0::bigint, 'and in the trash no more');

-- An undo is a transaction as any other.
select tests.change('titled', 'sam', $$update crm.contacts set title = 'T' where last_name = 'A'$$);
select tests.change('undone', 'sam', format('select crm.undo(%L)', tests.transaction('titled')));
select is((select title from crm.contacts where last_name = 'A'), null, 'undone');
select is(tests.told(tests.undone('sam', 'undone')), 'contacts update reversed', 'and that undone');
select is((select title from crm.contacts where last_name = 'A'), 'T', 'gives what there was');

-- What others made of it --------------------------------------------------------------------------------------------

select tests.change('account', 'sam', $$insert into crm.accounts (id, name) values (tests.id('account'), 'Account')$$);
select tests.change('task', 'ann', $$insert into crm.tasks (title, account_id) values ('Call', tests.id('account'))$$);
select is(tests.told(tests.undone('sam', 'account')), 'accounts insert kept (tasks point to it)', 'what others use by now stays');
select tests.change('no task', 'ann', $$delete from crm.tasks$$);
select is(tests.told(tests.undone('sam', 'account')), 'accounts insert reversed', 'and goes when they do not');

-- Many things at once -----------------------------------------------------------------------------------------------

select tests.change('several', 'sam', $$
    insert into crm.accounts (id, name) values (tests.id('c'), 'New');
    insert into crm.contacts (id, last_name, account_id) values (tests.id('d'), 'Of new', tests.id('c'))  on conflict do nothing;
    insert into crm.deals (name, account_id) values ('Deal', tests.id('c'));
    update crm.deals set status = 'won' where name = 'Deal';
    insert into crm.contact_emails (contact_id, email) values (tests.id('a'), 'a2@example.com');
    update crm.contacts set email = 'a2@example.com' where id = tests.id('a');
    delete from crm.contacts where last_name = 'B'
$$);
select tests.undone('sam', 'several') as answer \gset
select is(tests.counts(:'answer'), (select jsonb_build_object('kept', 0, 'failed', 0, 'partly', 0, 'reversed', count(*))::text from crm.audit_log where transaction_id = tests.transaction('several') and entity <> 'deal_stage_changes'),
    'all of what one transaction did is taken back') as x;
select results_eq($$select last_name, email from crm.contacts where owner_id = tests.user_id('sam') order by 1$$, $$values ('A', 'a@example.com'), ('B', null)$$, 'every record is as it was');
select is((select count(*) from crm.deals), 0::bigint, 'the deal is gone, with its history');

-- Invoices ----------------------------------------------------------------------------------------------------------

select tests.change('invoice', 'sam', $$
    insert into crm.invoices (id, title, billing_name) values (tests.id('invoice'), 'Invoice', 'Bo');
    insert into crm.invoice_items (invoice_id, description, quantity, unit_price) values (tests.id('invoice'), 'Work', 1, 10)
$$);
select tests.change('line', 'sam', $$insert into crm.invoice_items (invoice_id, description, quantity, unit_price) values (tests.id('invoice'), 'More', 1, 5)$$);
select is(tests.told(tests.undone('sam', 'line')), 'invoice_items insert reversed', 'a line is taken back, and the sums follow');
select is((select total from crm.invoices), 10::numeric, 'so they do');
select tests.change('sent', 'sam', $$update crm.invoices set status = 'sent' where id = tests.id('invoice')$$);
select matches(tests.told(tests.undone('sam', 'sent')), '^invoices update failed \(an invoice that is sent does not become draft again\)$', 'a number that was given stays given');
select tests.change('paid', 'sam', $$insert into crm.payments (id, invoice_id, amount) values (tests.id('payment'), tests.id('invoice'), 10)$$);
select is((select status from crm.invoices), 'paid', 'paid');
select is(tests.told(tests.undone('sam', 'paid')), 'invoices update reversed, payments insert reversed', 'a payment is taken back, and the invoice is open again');
select is((select status || ' ' || amount_paid from crm.invoices), 'sent 0.0000', 'so it is');

-- What goes along, and what points nowhere since -------------------------------------------------------------------

insert into tests.ids select name, gen_random_uuid() from unnest('{parent,child,deal,estimate}'::text[]) as name;
select tests.change('family', 'sam', $$
    insert into crm.accounts (id, name) values (tests.id('parent'), 'Parent');
    insert into crm.accounts (id, name, parent_id) values (tests.id('child'), 'Child', tests.id('parent'));
    insert into crm.contacts (last_name, email, account_id) values ('Of parent', 'of@example.com', tests.id('parent'));
    insert into crm.contact_emails (contact_id, email) select id, 'of2@example.com' from crm.contacts where last_name = 'Of parent';
    insert into crm.deals (id, name, account_id) values (tests.id('deal'), 'Deal', tests.id('parent'));
    insert into crm.deal_contacts (deal_id, contact_id) select tests.id('deal'), id from crm.contacts where last_name = 'Of parent';
    insert into crm.estimates (id, title, account_id) values (tests.id('estimate'), 'Estimate', tests.id('parent'));
    insert into crm.estimate_items (estimate_id, description, quantity, unit_price) values (tests.id('estimate'), 'Work', 2, 50)
$$);
select tests.change('estimate sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('estimate')$$);
create function tests.family() returns text language sql as $$
    select jsonb_build_array(
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[] order by name) from crm.accounts as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[] order by last_name) from crm.contacts as t where owner_id = tests.user_id('sam')),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[] order by email) from crm.contact_emails as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[]) from crm.deals as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[]) from crm.deal_contacts as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[]) from crm.deal_stage_changes as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[]) from crm.estimates as t),
        (select jsonb_agg(to_jsonb(t) - '{version,updated_at,updated_by}'::text[]) from crm.estimate_items as t)
    )::text
$$;
select tests.family() as family \gset
select tests.change('family deleted', 'sam', $$
    delete from crm.accounts where id in (tests.id('parent'), tests.id('child'));
    delete from crm.contacts where last_name = 'Of parent';
    delete from crm.deals;
    delete from crm.estimates
$$);
select isnt(tests.family(), :'family', 'all of it is deleted');
select tests.undone('sam', 'family deleted') as answer \gset
select is(tests.counts(:'answer')::jsonb - 'reversed', '{"kept": 0, "failed": 0, "partly": 0}', 'and comes back');
select is(tests.family(), :'family', 'as it was, with all that it is made of');

-- One id, several times --------------------------------------------------------------------------------------------

insert into tests.ids select name, gen_random_uuid() from unnest('{twice,shared}'::text[]) as name;
select tests.change('first', 'sam', $$insert into crm.contacts (id, last_name) values (tests.id('twice'), 'First')$$);
select tests.change('second', 'sam', $$
    delete from crm.contacts where id = tests.id('twice');
    insert into crm.contacts (id, last_name) values (tests.id('twice'), 'Second');
    delete from crm.contacts where id = tests.id('twice')
$$);
select matches(tests.said('sam', format('select crm.restore_record(''contacts'', %L)', tests.id('twice'))), '"restored": \[\{', 'the second one comes back');
select tests.change('second gone', 'sam', $$delete from crm.contacts where id = tests.id('twice')$$);
select is(tests.told(tests.undone('sam', 'second')), 'contacts delete kept (it changed since), contacts delete reversed, contacts insert reversed (it is deleted already)',
    'and deleted anew: what the transaction added is not there, but what was there before is not back');
select is((select count(*) from crm.contacts where id = tests.id('twice')), 0::bigint, 'so it is');

-- Records of two kinds may have the same id.
select tests.change('shared', 'sam', $$insert into crm.accounts (id, name) values (tests.id('shared'), 'Shared')$$);
select tests.change('exchanged', 'sam', $$
    insert into crm.contacts (id, last_name) values (tests.id('shared'), 'Shared');
    delete from crm.accounts where id = tests.id('shared')
$$);
select matches(tests.said('sam', format('select crm.restore_record(''accounts'', %L)', tests.id('shared'))), '"restored": \[\{', 'the account comes back');
select tests.change('shared gone', 'sam', $$delete from crm.accounts where id = tests.id('shared')$$);
select is(tests.told(tests.undone('sam', 'exchanged')), 'accounts delete kept (it changed since), contacts insert reversed', 'that a contact was added is not that the account was');

-- A key takes back what was done with it, and what it may read ----------------------------------------------------------

begin;
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{tasks.read,tasks.create,tasks.delete}') ->> 'key' as key \gset
select tests.nobody();
commit;
begin;
set local role crm_app;
select crm.authenticate_api_key(:'key') is not null;
insert into crm.tasks (title) values ('By key');
select crm.transaction_id() as id \gset
commit;
begin;
set local role crm_app;
select crm.authenticate_api_key(:'key') is not null;
select crm.undo(:'id') as answer \gset
commit;
select is(tests.counts(:'answer'), '{"kept": 0, "failed": 0, "partly": 0, "reversed": 1}', 'a key takes back what it did');
begin;
set local role crm_app;
select crm.authenticate_api_key(:'key') is not null;
select throws_ok(format('select crm.undo(%L)', tests.transaction('family')), '22023', 'transaction_id: there is no such transaction', 'and nothing that it may not read');
commit;

-- Ten thousand ------------------------------------------------------------------------------------------------------

update crm.organizations set plan = 'enterprise' where id = tests.org_id('Acme');
select tests.change('import', 'mia', $$insert into crm.contacts (last_name, email) select 'Many', 'many' || n || '@example.com' from generate_series(1, 10000) as n$$);
select tests.change('one touched', 'mia', $$update crm.contacts set title = 'x' where email = 'many77@example.com'$$);
select clock_timestamp() as began \gset
select is(tests.counts(tests.undone('mia', 'import')), '{"kept": 1, "failed": 0, "partly": 0, "reversed": 9999}', 'an import is taken back, but for what was touched since');
select cmp_ok(clock_timestamp() - :'began', '<', interval '60 seconds', 'in seconds');
select tests.change('many deleted', 'mia', $$delete from crm.contacts where last_name = 'Many' or email = 'many77@example.com'$$);
select is(tests.counts(tests.undone('mia', 'import')), '{"kept": 0, "failed": 0, "partly": 0, "reversed": 10000}', 'what is deleted by now is taken back');
select tests.change('import again', 'mia', $$insert into crm.contacts (last_name, email) select 'Many', 'many' || n || '@example.com' from generate_series(1, 10000) as n$$);
select tests.change('many changed', 'mia', $$update crm.contacts set title = 'x', status = 'archived' where last_name = 'Many'$$);
select clock_timestamp() as began \gset
select is(tests.counts(tests.undone('mia', 'many changed')), '{"kept": 0, "failed": 0, "partly": 0, "reversed": 10000}', 'ten thousand changes are taken back');
select tests.change('many deleted again', 'mia', $$delete from crm.contacts where last_name = 'Many'$$);
select clock_timestamp() as began \gset
select is(tests.counts(tests.undone('mia', 'many deleted again')), '{"kept": 0, "failed": 0, "partly": 0, "reversed": 10000}', 'ten thousand records come back');
\ir leave_world.psql
