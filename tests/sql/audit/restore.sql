-- What was deleted comes back, with what went with it, by whoever may; and a record goes back to what it was.

\set world restore
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{account,contact,deal,estimate,foreign,gone}'::text[]) as name;

select tests.change('made', 'sam', $$
    insert into crm.accounts (id, name, phone) values (tests.id('account'), 'Account', '+1 650 253 0000');
    insert into crm.contacts (id, last_name, email, account_id) values (tests.id('contact'), 'Bo', 'bo@example.com', tests.id('account'));
    insert into crm.contact_emails (contact_id, email) values (tests.id('contact'), 'bo@home.example');
    insert into crm.deals (id, name, amount, account_id, contact_id) values (tests.id('deal'), 'Deal', 100, tests.id('account'), tests.id('contact'));
    insert into crm.deal_contacts (deal_id, contact_id, role) values (tests.id('deal'), tests.id('contact'), 'buyer');
    insert into crm.estimates (id, title, account_id) values (tests.id('estimate'), 'Estimate', tests.id('account'));
    insert into crm.estimate_items (estimate_id, description, quantity, unit_price, tax_rate) values (tests.id('estimate'), 'Work', 2, 50, 19)
$$);
select tests.change('won', 'sam', $$update crm.deals set status = 'won' where id = tests.id('deal')$$);
select tests.change('sent', 'sam', $$update crm.estimates set status = 'sent' where id = tests.id('estimate')$$);
select tests.change('foreign', 'bob', $$insert into crm.contacts (id, last_name) values (tests.id('foreign'), 'Foreign')$$, 'Borg');
create table tests.before as
select 'contacts' as entity, to_jsonb(t) - 'version' - 'updated_at' as image from crm.contacts as t where id = tests.id('contact')
union all
select 'deals', to_jsonb(t) - 'version' - 'updated_at' from crm.deals as t where id = tests.id('deal')
union all
select 'estimates', to_jsonb(t) - 'version' - 'updated_at' from crm.estimates as t where id = tests.id('estimate')
union all
select 'contact_emails', to_jsonb(t) - 'version' - 'updated_at' from crm.contact_emails as t
union all
select 'deal_stage_changes', to_jsonb(t) - 'version' - 'updated_at' - 'updated_by' from crm.deal_stage_changes as t
union all
select 'estimate_items', to_jsonb(t) - 'version' - 'updated_at' from crm.estimate_items as t
union all
select 'deal_contacts', to_jsonb(t) - 'version' - 'updated_at' from crm.deal_contacts as t;

-- Brought back ------------------------------------------------------------------------------------------------------

select tests.change('deleted', 'sam', $$
    delete from crm.deals where id = tests.id('deal');
    delete from crm.contacts where id = tests.id('contact');
    delete from crm.estimates where id = tests.id('estimate')
$$);
select is((select count(*) from crm.deals), 0::bigint, 'sam deleted the deal');

select is(tests.said('sid', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('contact'))), '22023 id: there is no such record', 'sid, who could not read the contact, is not told of it');
select is(tests.said('sid', format('select crm.restore_record(%L, %L)', 'contacts', gen_random_uuid())), '22023 id: there is no such record', 'nor of one that never was');
select is(tests.said('sam', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('foreign'))), '22023 id: there is no such record', 'nor sam of another organization''s');
select is(tests.said('ann', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('foreign'))), '22023 id: there is no such record', 'nor ann, who reads all of hers');
select matches(tests.said('viewer', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('contact'))), '^42501 ', 'the viewer, who could, brings nothing back');
select matches(tests.said('sue', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('contact'))), '^42501 ', 'nor does support bring back what is somebody else''s');
select matches(tests.said('max', format('select crm.restore_record(%L, %L)', 'contacts', tests.id('contact')), null), '^42501 no organization', 'max names the organization first');
select is(tests.said('ann', $$select crm.restore_record('nothing', gen_random_uuid())$$), '22023 entity: there is no such entity', 'there is no such table');
select is(tests.said('ann', $$select crm.restore_record('users', gen_random_uuid())$$), '22023 entity: there is no such entity', 'nor is a table without history one');

-- Asks for a record to be restored; what is told of it without ids.
create function tests.restored(person text, entity text, id uuid, version integer default null) returns text language plpgsql as $$
declare
    answer text := tests.said(person, format('select crm.restore_record(%L, %L, %L)', entity, id, version));
begin
    if answer not like '{%' then
        return answer;
    end if;
    return (
        select format('%s; %s; %s', coalesce(string_agg(r ->> 'entity', ' ' order by r ->> 'entity'), 'nothing'), answer::jsonb ->> 'relinked', (
            select string_agg(concat(s ->> 'entity', ': ', regexp_replace(s ->> 'reason', '[0-9a-f]{8}-[0-9a-f-]{27}', 'x')), ', ')
            from jsonb_array_elements(answer::jsonb -> 'skipped') as s
        ))
        from jsonb_array_elements(answer::jsonb -> 'restored') as r
    );
end
$$;

select is(tests.restored('sam', 'contacts', tests.id('contact')), 'contact_emails contacts; 0; deal_contacts: deal_id: deals x is gone',
    'sam brings the contact back, with its addresses, and is told what waits for the deal');
select is(tests.restored('sam', 'deals', tests.id('deal')), 'deal_contacts deal_stage_changes deal_stage_changes deals; 0; ', 'and the deal, with what it is made of');
select is(tests.restored('sam', 'crm.estimates', tests.id('estimate')), 'estimate_items estimates; 0; ', 'and an estimate that was sent, with its lines');
select results_eq(
    $$select 'contacts' as entity, to_jsonb(t) - 'version' - 'updated_at' from crm.contacts as t where id = tests.id('contact')
    union all
    select 'deals', to_jsonb(t) - 'version' - 'updated_at' from crm.deals as t where id = tests.id('deal')
    union all
    select 'estimates', to_jsonb(t) - 'version' - 'updated_at' from crm.estimates as t where id = tests.id('estimate')
    union all
    select 'contact_emails', to_jsonb(t) - 'version' - 'updated_at' from crm.contact_emails as t
    union all
    (select 'deal_stage_changes', to_jsonb(t) - 'version' - 'updated_at' - 'updated_by' from crm.deal_stage_changes as t order by id)
    union all
    select 'estimate_items', to_jsonb(t) - 'version' - 'updated_at' from crm.estimate_items as t
    union all
    select 'deal_contacts', to_jsonb(t) - 'version' - 'updated_at' from crm.deal_contacts as t$$,
    'select * from tests.before', 'everything is as it was: ids, numbers, states and stamps'
);
select results_eq(
    $$select version, updated_by from crm.contacts where id = tests.id('contact')$$, $$values (2, tests.user_id('sam'))$$,
    'the version goes on, and says who changed it'
);
select is(tests.restored('sam', 'deals', tests.id('deal')), '23505 the record is there already', 'what is there is not brought back');
select is((select count(*) from crm.deleted_records where org_id = tests.org_id('Acme')), 0::bigint, 'nothing is left in the trash');

-- What pointed to it ------------------------------------------------------------------------------------------------

insert into tests.ids values ('other', gen_random_uuid()), ('big', gen_random_uuid());
select tests.change('others'' link', 'ann', $$
    insert into crm.contacts (id, last_name, account_id) values (tests.id('other'), 'Ann''s', tests.id('account'))
$$);
select tests.change('account deleted', 'ann', $$delete from crm.accounts where id = tests.id('account')$$);
select is((select count(*) from crm.contacts where account_id is not null), 0::bigint, 'the account is gone, and nothing points to it');
select tests.change('pointed elsewhere', 'ann', $$
    insert into crm.accounts (id, name) values (tests.id('big'), 'Big');
    update crm.deals set account_id = tests.id('big') where id = tests.id('deal')
$$);
select is(tests.restored('sam', 'accounts', tests.id('account')), 'accounts; 2; ',
    'sam brings his account back, and what he may change points to it again, but not ann''s contact, of which he is not told, and not the deal, which has another');
select results_eq(
    'select last_name, account_id = tests.id(''account'') from crm.contacts where org_id = tests.org_id(''Acme'') order by last_name',
    $$values ('Ann''s', null), ('Bo', true)$$, 'so it is'
);

-- What it needs is gone ---------------------------------------------------------------------------------------------

select tests.change('part deleted', 'sam', $$delete from crm.contact_emails where contact_id = tests.id('contact')$$);
select tests.change('contact deleted', 'sam', $$delete from crm.contacts where id = tests.id('contact')$$);
insert into tests.ids select 'part', record_id from crm.audit_log where transaction_id = tests.transaction('part deleted');
select matches(tests.restored('sam', 'contact_emails', tests.id('part')), '^23503 contacts [0-9a-f-]+ is deleted: restore it first$', 'a part needs its record');
select tests.change('account deleted again', 'ann', $$delete from crm.accounts where id = tests.id('account')$$);
select is(tests.restored('sam', 'contacts', tests.id('contact')), 'contacts deal_contacts; 1; contacts: account_id: accounts x is gone',
    'what would be empty by now is, and sam is told so');
select is(tests.restored('sam', 'contact_emails', tests.id('part')), 'contact_emails; 0; ', 'then its part comes back by itself');

select tests.change('contact deleted once more', 'sam', $$delete from crm.contacts where id = tests.id('contact')$$);
select tests.change('address taken', 'ann', $$insert into crm.contacts (last_name, email) values ('New', 'bo@example.com')$$);
select matches(tests.restored('sam', 'contacts', tests.id('contact')), '^23505 ', 'what is unique may be taken by now');
select tests.change('address free', 'ann', $$delete from crm.contacts where last_name = 'New'$$);

-- Whose it is -------------------------------------------------------------------------------------------------------

select is(tests.restored('ann', 'contacts', tests.id('contact')), 'contact_emails contacts deal_contacts; 1; ', 'ann brings sam''s contact back');
select results_eq(
    $$select owner_id, created_by, updated_by from crm.contacts where id = tests.id('contact')$$,
    $$values (tests.user_id('sam'), tests.user_id('sam'), tests.user_id('ann'))$$, 'it is his as before'
);

-- Custom fields and plans --------------------------------------------------------------------------------------------

select tests.change('fields', 'ann', $$
    insert into crm.custom_fields (entity, key, label, type) values ('contacts', 'tier', 'Tier', 'text'), ('contacts', 'gone', 'Gone', 'text')
$$);
select tests.change('values', 'sam', $$update crm.contacts set custom_fields = '{"tier": "gold", "gone": "x"}' where id = tests.id('contact')$$);
select tests.change('deleted with values', 'sam', $$delete from crm.contacts where id = tests.id('contact')$$);
select tests.change('field gone', 'ann', $$
    delete from crm.custom_fields where key = 'gone';
    insert into crm.custom_fields (entity, key, label, type, required) values ('contacts', 'needed', 'Needed', 'text', true)
$$);
select is(tests.restored('sam', 'contacts', tests.id('contact')), 'contact_emails contacts deal_contacts; 1; ', 'a field that is gone, or new, is in nobody''s way');
select is((select custom_fields from crm.contacts where id = tests.id('contact')), '{"tier": "gold"}', 'the others have their values');

select tests.change('deleted for the plan', 'sam', $$delete from crm.deals where id = tests.id('deal')$$);
insert into crm_private.plan_overrides (org_id, name, kind, maximum, reason) values (tests.org_id('Acme'), 'deals', 'limit', 0, 'test');
select matches(tests.restored('sam', 'deals', tests.id('deal')), '^53400 ', 'a plan''s limit counts');
delete from crm_private.plan_overrides;

-- Back to a version -------------------------------------------------------------------------------------------------

select tests.change('changed', 'sam', $$
    update crm.contacts set email = 'new@example.com', title = 'Head', phone = '+1 650 253 0001', tags = '{vip}', custom_fields = '{"tier": "silver", "needed": "x"}'
    where id = tests.id('contact')
$$);
create table tests.versions as select * from crm.contacts where id = tests.id('contact');
select is(tests.restored('sid', 'contacts', tests.id('contact'), 1), '22023 id: there is no such record', 'sid, who cannot read the contact, sets nothing back');
select matches(tests.restored('viewer', 'contacts', tests.id('contact'), 1), '^42501 ', 'nor does the viewer');
select matches(tests.restored('sue', 'contacts', tests.id('contact'), 1), '^42501 ', 'nor support, whose it is not');
select is(tests.restored('sam', 'contacts', tests.id('contact'), 1), 'contacts; 0; contacts: account_id: accounts x is gone', 'sam sets it back to what it was');
select is((select email from crm.contacts where id = tests.id('contact')), 'bo@example.com', 'its own columns are what they were');
select is((select version from crm.contacts where id = tests.id('contact')), (select version + 1 from tests.versions), 'in a new version');
select is(tests.restored('sam', 'contacts', tests.id('contact'), 9999), '22023 version: history does not have this version of the record', 'a version that never was');
select is(tests.restored('sam', 'contacts', tests.id('contact'), 0), '22023 version: history does not have this version of the record', 'one before the first');
select is(tests.restored('sam', 'contacts', tests.id('contact'), (select version from crm.contacts where id = tests.id('contact'))), 'nothing; 0; ', 'the present one changes nothing');
select is(tests.restored('sam', 'estimates', tests.id('estimate'), 1), 'estimates; 0; estimates: account_id: accounts x is gone', 'an estimate goes back');
select is((select status || ' ' || total from crm.estimates where id = tests.id('estimate')), 'draft 119.0000', 'to its state, while its sums stay what its lines say');

-- An invoice's number stays given.
insert into tests.ids values ('invoice', gen_random_uuid());
select tests.change('invoice', 'ann', $$
    insert into crm.invoices (id, title, billing_name) values (tests.id('invoice'), 'Invoice', 'Bo');
    insert into crm.invoice_items (invoice_id, description, quantity, unit_price) values (tests.id('invoice'), 'Work', 1, 10)
$$);
select tests.change('invoice sent', 'ann', $$update crm.invoices set status = 'sent' where id = tests.id('invoice')$$);
select matches(tests.restored('ann', 'invoices', tests.id('invoice'), 1), '^23514 an invoice that is sent does not become draft again', 'an invoice that was sent stays so');

-- A DBA's own table, in a schema of its own, without most of what ours have.
create schema app;
grant usage on schema app to crm_app, crm_multi;
create table app.things (
    org_id uuid not null, id uuid not null default crm.uuid_v7(), name text not null, size numeric, at timestamptz, owner_id uuid,
    twice numeric generated always as (size * 2) stored, counted bigint generated always as identity,
    primary key (org_id, id)
);
select crm.enroll('app.things');
select tests.change('thing', 'sam', $$insert into app.things (name, size, at) values ('Thing', 1.50, '2026-01-01 00:00:00+09')$$);
insert into tests.ids select 'thing', id from app.things;
create table tests.things as select * from app.things;
select tests.change('thing deleted', 'sam', $$delete from app.things$$);
select is(tests.restored('sid', 'app.things', tests.id('thing')), '22023 id: there is no such record', 'sid brings no thing of sam''s back');
select is(tests.restored('sam', 'app.things', tests.id('thing')), 'app.things; 0; ', 'sam brings his back');
select results_eq('select * from app.things', 'select * from tests.things', 'as it was');
select tests.change('thing changed', 'sam', $$update app.things set size = 2$$);
select is(tests.counts(tests.said('sam', format('select crm.undo(%L)', tests.transaction('thing changed')))), '{"kept": 0, "failed": 0, "partly": 0, "reversed": 1}', 'and takes back what he changed');
select results_eq('select * from app.things', 'select * from tests.things', 'so it is');

-- Where nothing was written, nothing is restored by GET.
select matches(
    (select tests.said('ann', format($$with x as (select set_config('transaction_read_only', 'on', true)) select crm.restore_record('contacts', %L) from x$$, tests.id('contact')))),
    '^25006 ', 'a GET request brings nothing back'
);
\ir leave_world.psql
