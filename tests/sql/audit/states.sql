-- What history takes back leaves no record in a state that it could not come to otherwise.

\set world states
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{task,ticket,contact,invoice,owned,deal}'::text[]) as name;
create function tests.undone(person text, name text) returns text language sql as $$
    select tests.said(person, format('select crm.undo(%L)', tests.transaction(name)))
$$;
create function tests.told(answer text) returns text language sql as $$
    select case when answer like '{%' then (
        select string_agg(concat_ws(' ', e ->> 'entity', e ->> 'action', e ->> 'outcome', nullif(e ->> 'columns', '[]'), '(' || (e ->> 'reason') || ')'), ', ')
        from jsonb_array_elements(answer::jsonb -> 'entries') as e
    ) else answer end
$$;

-- Since when a state is ------------------------------------------------------------------------------------------------

select tests.change('task', 'sam', $$insert into crm.tasks (id, title) values (tests.id('task'), 'Task')$$);
select tests.change('done', 'sam', $$update crm.tasks set status = 'completed' where id = tests.id('task')$$);
select tests.change('open', 'sam', $$update crm.tasks set status = 'open' where id = tests.id('task')$$);
select tests.change('done again', 'sam', $$update crm.tasks set status = 'completed' where id = tests.id('task')$$);
select is(tests.told(tests.undone('sam', 'done')), 'tasks update reversed', 'sam takes back that a task is done');
select results_eq($$select status, completed_at from crm.tasks where id = tests.id('task')$$, $$values ('open', null::timestamptz)$$, 'it is open, and was not done at any time');

select tests.change('ticket', 'sue', $$insert into crm.tickets (id, subject) values (tests.id('ticket'), 'Ticket')$$);
select tests.change('solved', 'sue', $$update crm.tickets set status = 'solved' where id = tests.id('ticket')$$);
select tests.change('closed', 'sue', $$update crm.tickets set status = 'closed' where id = tests.id('ticket')$$);
select is(tests.told(tests.undone('sue', 'solved')), 'tickets update kept ["status", "resolved_at"] (it changed since)', 'a ticket that was closed since is kept');
select isnt((select resolved_at from crm.tickets where id = tests.id('ticket')), null, 'with the time when it was solved');

select tests.change('invoice', 'sam', $$
    insert into crm.invoices (id, title, billing_name, issue_date) values (tests.id('invoice'), 'Invoice', 'Bo', '2026-01-01');
    insert into crm.invoice_items (invoice_id, description, unit_price) values (tests.id('invoice'), 'Work', 10)
$$);
select tests.change('sent', 'sam', $$update crm.invoices set status = 'sent' where id = tests.id('invoice')$$);
select tests.change('paid', 'sam', $$insert into crm.payments (invoice_id, amount) values (tests.id('invoice'), 1)$$);
select is(tests.told(tests.undone('sam', 'sent')), 'invoices update kept ["number", "status", "sent_at"] (it changed since)', 'an invoice that is paid in part is kept');
select results_eq($$select status, sent_at is null from crm.invoices$$, $$values ('partially_paid', false)$$, 'with the time when it was sent');

select tests.change('deal', 'sam', $$insert into crm.deals (id, name) values (tests.id('deal'), 'Deal')$$);
select tests.change('won', 'sam', $$update crm.deals set status = 'won' where id = tests.id('deal')$$);
select tests.change('reopened', 'sam', $$update crm.deals set status = 'open' where id = tests.id('deal')$$);
select tests.change('won again', 'sam', $$update crm.deals set status = 'won' where id = tests.id('deal')$$);
select tests.undone('sam', 'won');
select results_eq(
    $$select d.status, s.kind, d.closed_at is null, d.probability < 100
      from crm.deals as d join crm.pipeline_stages as s on s.id = d.stage_id$$,
    $$values ('open', 'open', true, true)$$, 'a deal is open in all that it says'
);

-- The normal form of a number -------------------------------------------------------------------------------------------

select tests.change('contact', 'sam', $$insert into crm.contacts (id, last_name, phone) values (tests.id('contact'), 'Bo', '+1 650 253 0000')$$);
select tests.change('number', 'sam', $$update crm.contacts set phone = '+1 650 253 0001' where id = tests.id('contact')$$);
select tests.change('spelled', 'sam', $$update crm.contacts set phone = '+1 (650) 253-0001' where id = tests.id('contact')$$);
select tests.undone('sam', 'number');
select results_eq($$select phone, phone_normalized from crm.contacts$$, $$values ('+1 (650) 253-0001', '+16502530001')$$, 'a number that was spelled anew is still the same number');

-- Who works on it owns it -----------------------------------------------------------------------------------------------

select tests.change('owned', 'ann', $$insert into crm.tasks (id, title, assignee_id) values (tests.id('owned'), 'Owned', tests.user_id('sam'))$$);
select tests.change('nobody works on it', 'ann', $$update crm.tasks set assignee_id = null where id = tests.id('owned')$$);
select tests.change('another owns it', 'ann', $$update crm.tasks set owner_id = tests.user_id('sid') where id = tests.id('owned')$$);
select tests.undone('ann', 'nobody works on it');
select is((select owner_id = assignee_id from crm.tasks where id = tests.id('owned')), true, 'who is to work on a task again is its owner');

-- What is paid --------------------------------------------------------------------------------------------------------

select tests.change('unpaid', 'sam', $$delete from crm.payments$$);
select tests.change('paid by another', 'sam', $$insert into crm.payments (invoice_id, amount) values (tests.id('invoice'), 10)$$);
select is(tests.told(tests.undone('sam', 'unpaid')), 'payments delete failed (the invoice is paid already), invoices update kept ["status", "amount_paid", "balance_due"] (it changed since)',
    'a payment does not come back to an invoice that is paid by now');
select tests.change('unpaid again', 'sam', $$delete from crm.payments$$);
select tests.change('void', 'sam', $$update crm.invoices set status = 'void'$$);
select matches(tests.told(tests.undone('sam', 'unpaid again')), '^payments delete failed \(the payments of a void invoice stay as they are\)', 'nor to one that is void');
select matches(tests.told(tests.undone('sam', 'void')), '^invoices update failed \(an invoice that is void does not become sent again\)', 'which stays void');
select results_eq($$select status, amount_paid from crm.invoices$$, $$values ('void', 0::numeric)$$, 'unpaid');

-- Parts of what is another's --------------------------------------------------------------------------------------------

select tests.change('address', 'sam', $$insert into crm.contact_emails (contact_id, email) values (tests.id('contact'), 'bo@home.example')$$);
select tests.change('no address', 'sam', $$delete from crm.contact_emails$$);
insert into tests.ids select 'address', record_id from crm.audit_log where transaction_id = tests.transaction('no address');
select matches(tests.said('sue', format('select crm.restore_record(%L, %L)', 'contact_emails', tests.id('address'))), '^42501 ', 'support brings no address back to a contact that is not theirs');
select matches(tests.told(tests.undone('sue', 'no address')), '^contact_emails delete failed ', 'nor by taking back what deleted it');
select matches(tests.said('viewer', format('select crm.restore_record(%L, %L)', 'contact_emails', tests.id('address'))), '^42501 ', 'nor does the viewer');
select is((select count(*) from crm.contact_emails), 0::bigint, 'there is none');

-- Whose it is ----------------------------------------------------------------------------------------------------------

select tests.change('handed over', 'ann', $$update crm.contacts set owner_id = tests.user_id('sid') where id = tests.id('contact')$$);
select is(tests.told(tests.undone('sam', 'handed over')), '22023 transaction_id: there is no such transaction', 'sam does not take back what was his');
select tests.change('deleted', 'sid', $$delete from crm.contacts where id = tests.id('contact')$$);
select is(tests.said('sam', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('contact'))), '22023 id: there is no such record', 'nor does he bring it back, as it is another''s by now');
select is(tests.said('sam', format('select crm.restore_record(%L, %L, 1)', 'contacts', tests.id('contact'))), '22023 id: there is no such record', 'nor as the version that was his');
\ir leave_world.psql
