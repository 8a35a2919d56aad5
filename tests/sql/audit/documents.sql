-- Estimates and invoices that history brings back: what they come to is what their lines come to, and what was sent is whole.

\set world documents
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{draft,line,other,added,sent,accepted,moved,target,born}'::text[]) as name;

-- Of a document: what it says it comes to, and what its lines come to.
create function tests.sums(kind text, name text) returns text language plpgsql as $$
declare
    told text;
begin
    execute format(
        'select concat_ws(%L, d.status, trim_scale(d.total), (select trim_scale(sum(i.line_total)) from crm.%I as i where i.%I = d.id))
         from crm.%I as d where d.id = tests.id(%L)',
        ' ', kind || '_items', kind || '_id', kind || 's', name
    ) into told;
    return told;
end
$$;
create function tests.undone(person text, name text, dry_run boolean default false) returns text language sql as $$
    select tests.said(person, format('select crm.undo(%L, dry_run => %L)', tests.transaction(name), dry_run))
$$;
-- The entries that were not reversed, without ids.
create function tests.told(answer text) returns text language sql as $$
    select case when answer like '{%' then coalesce((
        select string_agg(t.line, ', ' order by t.line collate "C")
        from jsonb_array_elements(answer::jsonb -> 'entries') as e
        cross join lateral concat_ws(' ', e ->> 'entity', e ->> 'action', e ->> 'outcome', '(' || regexp_replace(e ->> 'reason', '[0-9a-f]{8}-[0-9a-f-]{27}', 'x') || ')') as t (line)
        where e ->> 'outcome' <> 'reversed'
    ), 'all') else answer end
$$;
create function tests.restored(person text, entity text, name text, version integer default null) returns text language plpgsql as $$
declare
    answer text := tests.said(person, format('select crm.restore_record(%L, %L, %L)', entity, tests.id(name), version));
begin
    return case when answer like '{%' then (
        select concat((select string_agg(r ->> 'entity', ' ' order by r ->> 'entity') from jsonb_array_elements(answer::jsonb -> 'restored') as r),
            (select '; ' || string_agg(concat(s ->> 'entity', ': ', s ->> 'reason'), ', ') from jsonb_array_elements(answer::jsonb -> 'skipped') as s))
    ) else regexp_replace(answer, '[0-9a-f]{8}-[0-9a-f-]{27}', 'x', 'g') end;
end
$$;
-- Both kinds have two lines, of 100 and 10.
create function tests.draft(kind text, name text) returns void language plpgsql as $$
begin
    delete from tests.transactions;
    update tests.ids set id = gen_random_uuid();
    perform tests.change('made', 'sam', format(
        'insert into crm.%1$I (id, title, %2$s) values (tests.id(%3$L), %3$L, %4$s);
         insert into crm.%5$I (id, %6$I, description, unit_price)
         values (tests.id(''line''), tests.id(%3$L), ''Line'', 100), (tests.id(''other''), tests.id(%3$L), ''Other'', 10)',
        kind || 's', case kind when 'invoice' then 'billing_name' else 'notes' end, name, quote_literal('Bo'), kind || '_items', kind || '_id'
    ));
end
$$;
grant update, delete on tests.ids, tests.transactions to public;

-- What one transaction did to a draft and its lines before it deleted it ------------------------------------------------

create table tests.kinds (kind text);
insert into tests.kinds values ('estimate'), ('invoice');

-- What sam is told when he takes back what one transaction did to a draft, what the draft comes to then, and when it is sent.
create procedure tests.try(statements text, inout told text default '') language plpgsql as $$
declare
    each text;
begin
    told := '';
    for each in select kind from tests.kinds order by kind loop
        perform tests.draft(each, 'draft');
        commit;
        perform tests.change('gone', 'sam', replace(statements, '{}', each));
        commit;
        told := concat_ws('; ', nullif(told, ''), each || ': ' || tests.told(tests.undone('sam', 'gone')), tests.sums(each, 'draft'));
        commit;
        perform tests.said('sam', format('update crm.%I set status = ''sent'' where id = tests.id(''draft'') returning id', each || 's'));
        told := concat_ws('; ', told, tests.sums(each, 'draft'));
        commit;
    end loop;
end
$$;

call tests.try($$delete from crm.{}s where id = tests.id('draft')$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'sam takes back that he deleted a draft: it is what it was');
call tests.try($$
    delete from crm.{}_items where id = tests.id('line');
    delete from crm.{}s where id = tests.id('draft')
$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'a line that was deleted before its draft is in the sums again');
call tests.try($$
    update crm.{}_items set quantity = 7 where id = tests.id('line');
    delete from crm.{}s where id = tests.id('draft')
$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'a line that was changed before is as it was before');
call tests.try($$
    insert into crm.{}_items (id, {}_id, description, unit_price) values (tests.id('added'), tests.id('draft'), 'Added', 1000);
    delete from crm.{}s where id = tests.id('draft')
$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'one that was added before is not there');
call tests.try($$
    insert into crm.{}_items (id, {}_id, description, unit_price) values (tests.id('added'), tests.id('draft'), 'Added', 1000);
    update crm.{}_items set quantity = 2 where id = tests.id('added');
    delete from crm.{}_items where id = tests.id('added');
    update crm.{}s set title = 'Other' where id = tests.id('draft');
    update crm.{}_items set quantity = 0 where id = tests.id('other');
    delete from crm.{}_items where id = tests.id('other');
    delete from crm.{}s where id = tests.id('draft')
$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'whatever was done');
call tests.try($$delete from crm.{}_items where {}_id = tests.id('draft'); update crm.{}s set title = 'Other' where id = tests.id('draft')$$) \gset
select is(:'told'::text, 'estimate: all; draft 110 110; sent 110 110; invoice: all; draft 110 110; sent 110 110', 'or without deleting the draft');

-- A draft that the transaction added, too.
select tests.change('born and gone', 'sam', $$
    insert into crm.invoices (id, title, billing_name) values (tests.id('born'), 'Born', 'Bo');
    insert into crm.invoice_items (invoice_id, description, unit_price) values (tests.id('born'), 'Line', 1);
    delete from crm.invoices where id = tests.id('born')
$$);
select is(tests.told(tests.undone('sam', 'born and gone')), 'all', 'what a transaction both added and deleted');
select is(tests.sums('invoice', 'born'), null, 'is not there');

-- An estimate that was sent, made a draft again, changed and deleted.
select tests.draft('estimate', 'sent');
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('sent')$$);
select tests.change('gone', 'sam', $$
    update crm.estimates set status = 'draft' where id = tests.id('sent');
    delete from crm.estimate_items where id = tests.id('line');
    update crm.estimate_items set quantity = 3 where id = tests.id('other');
    delete from crm.estimates where id = tests.id('sent')
$$);
select is(tests.told(tests.undone('sam', 'gone')), 'all', 'an estimate that was sent');
select is(tests.sums('estimate', 'sent'), 'sent 110 110', 'is sent as it was');

-- What comes back by its id -----------------------------------------------------------------------------------------

select tests.draft('invoice', 'draft');
select tests.change('gone', 'sam', $$
    delete from crm.invoice_items where id = tests.id('line');
    delete from crm.invoices where id = tests.id('draft')
$$);
select is(tests.restored('sam', 'invoices', 'draft'), 'invoice_items invoice_items invoices', 'a draft comes back with the lines that its transaction deleted');
select is(tests.sums('invoice', 'draft'), 'draft 110 110', 'all of them in the sums');

select tests.draft('estimate', 'sent');
select tests.change('gone', 'sam', $$
    delete from crm.estimate_items where id = tests.id('line');
    update crm.estimates set status = 'sent' where id = tests.id('sent');
    delete from crm.estimates where id = tests.id('sent')
$$);
select is(tests.restored('sam', 'estimates', 'sent'), 'estimate_items estimates; estimate_items: the lines of an estimate that is sent cannot be changed',
    'an estimate that was sent without a line');
select is(tests.sums('estimate', 'sent'), 'sent 10 10', 'comes back without it');

-- Of an older version, without the line that it has since.
select tests.draft('invoice', 'draft');
select tests.change('cheaper', 'sam', $$update crm.invoice_items set quantity = 0 where id = tests.id('line')$$);
select version as cheap from crm.invoices where id = tests.id('draft') \gset
select tests.change('dearer', 'sam', $$update crm.invoice_items set quantity = 5 where id = tests.id('line'); update crm.invoices set title = 'Dear' where id = tests.id('draft')$$);
select tests.change('gone', 'sam', $$delete from crm.invoices where id = tests.id('draft')$$);
select is(tests.restored('sam', 'invoices', 'draft', 99), '22023 version: history does not have this version of the record', 'a version that never was is not brought back');
select is(tests.restored('sam', 'invoices', 'draft', :cheap), 'invoice_items invoice_items invoices', 'a draft comes back as an earlier version was');
select is((select title from crm.invoices where id = tests.id('draft')), 'draft', 'in its own columns');
select is(tests.sums('invoice', 'draft'), 'draft 510 510', 'and its sums are those of the lines it has');

select tests.draft('estimate', 'sent');
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('sent')$$);
select version as sent from crm.estimates where id = tests.id('sent') \gset
select tests.change('changed', 'sam', $$
    update crm.estimates set status = 'draft' where id = tests.id('sent');
    update crm.estimate_items set quantity = 5 where id = tests.id('line')
$$);
select tests.change('gone', 'sam', $$delete from crm.estimates where id = tests.id('sent')$$);
select is(tests.restored('sam', 'estimates', 'sent', :sent), 'estimate_items estimate_items estimates', 'an estimate comes back sent, as it was');
select is(tests.sums('estimate', 'sent'), 'sent 510 510', 'over what its lines come to');

-- A line that is elsewhere by now.
select tests.draft('invoice', 'moved');
select tests.change('gone', 'sam', $$delete from crm.invoices where id = tests.id('moved')$$);
select tests.restored('sam', 'invoices', 'moved');
select tests.change('elsewhere', 'sam', $$
    insert into crm.invoices (id, title, billing_name) values (tests.id('target'), 'Target', 'Bo');
    update crm.invoice_items set invoice_id = tests.id('target') where id = tests.id('line')
$$);
select tests.change('gone again', 'sam', $$delete from crm.invoices where id = tests.id('moved')$$);
select is(tests.told(tests.undone('sam', 'gone')), 'invoice_items delete kept (it changed since), invoice_items delete kept (it is there again), invoices delete kept (it changed since)',
    'a draft that was brought back, changed and deleted anew does not come back as the first time');
select is(tests.sums('invoice', 'moved'), null, 'it is not there');
select is(tests.told(tests.undone('sam', 'gone again')), 'all', 'but as the last time');
select is(tests.sums('invoice', 'moved') || ', ' || tests.sums('invoice', 'target'), 'draft 10 10, draft 100 100', 'each with its lines');

-- What was sent is whole, or is not there ------------------------------------------------------------------------------

select tests.change('contact', 'sam', $$insert into crm.contacts (last_name) values ('Bo')$$);
select tests.draft('estimate', 'sent');
select tests.change('named', 'sam', $$update crm.estimate_items set external_id = 'taken', unit_price = -50 where id = tests.id('other')$$);
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('sent')$$);
select tests.change('gone', 'sam', $$delete from crm.contacts; delete from crm.estimates where id = tests.id('sent')$$);
select tests.change('taken', 'sam', $$
    insert into crm.estimates (id, title) values (tests.id('target'), 'Target');
    insert into crm.estimate_items (estimate_id, description, external_id) values (tests.id('target'), 'Taken', 'taken')
$$);
select matches(tests.restored('sam', 'estimates', 'sent'), '^23503 an estimate that is sent comes back with all of its lines or not at all: duplicate key', 'sam brings no estimate back that was sent and lacks a line');
select is(tests.sums('estimate', 'sent'), null, 'it is not there');
select matches(tests.told(tests.undone('sam', 'gone', true)), 'estimates delete failed \(an estimate that is sent comes back with all of its lines or not at all: duplicate key', 'nor by taking back what deleted it, as he is told before');
select matches(tests.told(tests.undone('sam', 'gone')), '^estimate_items delete failed \(estimates x is deleted: restore it first\), estimate_items delete failed \(estimates x is deleted: restore it first\), estimates delete failed \(an estimate that is sent comes back with all of its lines or not at all: duplicate key',
    'nor when he does');
select is(tests.sums('estimate', 'sent'), null, 'it is not there');
select is((select count(*) from crm.contacts), 1::bigint, 'while the others are');
select is((select count(*) from crm.deleted_records where record_id = tests.id('sent')), 1::bigint, 'and it is in the trash, for another day');
select tests.change('free', 'sam', $$delete from crm.estimates where id = tests.id('target')$$);
select is(tests.told(tests.undone('sam', 'gone')), 'contacts delete kept (it is there again)', 'when all of it can come, it does');
select is(tests.sums('estimate', 'sent'), 'sent 50 50', 'as it was sent');

-- A line that is elsewhere keeps back its estimate, and nothing else that has the same id.
select tests.draft('estimate', 'sent');
select tests.change('account', 'sam', $$
    insert into crm.accounts (id, name) values (tests.id('added'), 'Account');
    update crm.estimates set account_id = tests.id('added') where id = tests.id('sent');
    insert into crm.contacts (id, last_name) values (tests.id('sent'), 'Same id')
$$);
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('sent')$$);
select tests.change('gone', 'sam', $$delete from crm.contacts where id = tests.id('sent'); delete from crm.estimates where id = tests.id('sent')$$);
select tests.change('elsewhere', 'sam', $$
    insert into crm.estimates (id, title) values (tests.id('target'), 'Target');
    insert into crm.estimate_items (id, estimate_id, description) values (tests.id('line'), tests.id('target'), 'Elsewhere')
$$);
select matches(tests.told(tests.undone('sam', 'gone')), '^estimate_items [^,]*, estimate_items [^,]*, estimates delete failed \(an estimate that is sent comes back with all of its lines or not at all: it is there again\)$',
    'an estimate whose line is elsewhere is not brought back by taking back what deleted it');
select is((select last_name from crm.contacts where id = tests.id('sent')), 'Same id', 'a contact of the same id is');
select tests.change('account gone', 'sam', $$delete from crm.accounts where id = tests.id('added')$$);
select is(tests.restored('sam', 'estimates', 'sent'), '23503 an estimate that is sent comes back with all of its lines or not at all: it is there again',
    'nor by its id, for the line, not for the account that is gone');
select tests.change('nowhere', 'sam', $$delete from crm.estimates where id = tests.id('target')$$);
select is(tests.restored('sam', 'estimates', 'sent'), '23503 an estimate that is sent comes back with all of its lines or not at all: it changed since',
    'nor when the line''s id was another one''s');

-- A draft may lack a line, and comes to what it has.
select tests.draft('invoice', 'draft');
select tests.change('named', 'sam', $$update crm.invoice_items set external_id = 'taken' where id = tests.id('line')$$);
select tests.change('gone', 'sam', $$delete from crm.invoices where id = tests.id('draft')$$);
select tests.change('taken', 'sam', $$
    insert into crm.invoices (id, title, billing_name) values (gen_random_uuid(), 'Target', 'Bo');
    insert into crm.invoice_items (invoice_id, description, external_id) select id, 'Taken', 'taken' from crm.invoices where title = 'Target' order by created_at desc limit 1
$$);
select matches(tests.restored('sam', 'invoices', 'draft'), '^invoice_items invoices; invoice_items: duplicate key', 'a draft comes back without a line that cannot');
select is(tests.sums('invoice', 'draft'), 'draft 10 10', 'and comes to what it has');

-- Sums that are wrong for whatever reason are right when the document is sent.
select tests.draft('invoice', 'draft');
alter table crm.invoice_items disable trigger user;
update crm.invoice_items set quantity = 3, line_total = 300, tax_rate = 19 where id = tests.id('line');
alter table crm.invoice_items enable trigger user;
select is(tests.sums('invoice', 'draft'), 'draft 110 310', 'the DBA forged a line');
select tests.change('sent', 'sam', $$update crm.invoices set status = 'sent' where id = tests.id('draft')$$);
select results_eq($$select status, subtotal, tax_total, total, balance_due, taxes from crm.invoices where id = tests.id('draft')$$,
    $$values ('sent', 310::numeric, 57::numeric, 367::numeric, 367::numeric, '[{"net": 10.00, "tax": 0.00, "rate": 0}, {"net": 300.00, "tax": 57.00, "rate": 19}]'::jsonb)$$, 'what is sent has the sums of its lines');

-- What was accepted stays accepted.
select tests.draft('estimate', 'accepted');
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('accepted')$$);
select version as sent from crm.estimates where id = tests.id('accepted') \gset
select tests.change('accepted', 'sam', $$update crm.estimates set status = 'accepted' where id = tests.id('accepted')$$);
select is(tests.told(tests.undone('sam', 'accepted')), 'estimates update failed (an estimate that is accepted does not become sent again)', 'what a customer accepted is not taken back');
select is(tests.restored('sam', 'estimates', 'accepted', 1), '23514 an estimate that is accepted does not become draft again', 'nor made a draft');
select tests.change('gone', 'sam', $$delete from crm.estimates where id = tests.id('accepted')$$);
select is(tests.restored('sam', 'estimates', 'accepted', :sent), '23514 an estimate that is accepted does not become sent again', 'nor when it was deleted');
select is(tests.restored('sam', 'estimates', 'accepted'), 'estimate_items estimate_items estimates', 'it comes back');
select is(tests.sums('estimate', 'accepted'), 'accepted 110 110', 'as it was');
\ir leave_world.psql
