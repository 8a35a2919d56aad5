-- Contacts with several addresses: further ones beside the primary ones, which change places; one address once per
-- organization; parts are seen and changed with their contact; what deletion does.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('vera', 'Acme', 'read_only');
update crm.organizations set country = 'DE' where id = tests.org_id('Acme');
create table tests.contacts as select 'lee' as name, '018f0000-0000-7000-8000-000000000001'::uuid as id
union all select 'kim', '018f0000-0000-7000-8000-000000000002';
grant select on tests.contacts to public;
create function tests.id_of(wanted text) returns uuid language sql stable as $$ select id from tests.contacts where name = wanted $$;

select tests.become('ann', 'Acme');
insert into crm.contacts (id, last_name, email, phone, phone_kind) values
    (tests.id_of('lee'), 'Lee', 'lee@example.com', '089 1234567', 'mobile'), (tests.id_of('kim'), 'Kim', 'kim@example.com', null, 'work');
select is(
    tests.outcome(format('insert into crm.contact_emails (contact_id, kind, email) values (%L, ''home'', '' Lee@Home.example '')', tests.id_of('lee')), false), '1 rows',
    'ann adds a further address'
);
insert into crm.contact_phones (contact_id, kind, phone) values (tests.id_of('lee'), 'home', '089 7654321');
select results_eq(
    'select email, kind, owner_id, created_by, version from crm.contact_emails', $$values ('lee@home.example', 'home', tests.user_id('ann'), tests.user_id('ann'), 1)$$,
    'it is stored in lower case, stamped, and has the contact''s owner'
);
select is((select phone_normalized from crm.contact_phones), '+49897654321', 'a further number has its E.164 form');

-- Bad input --------------------------------------------------------------------------------------------------------------

create function pg_temp.lee(statement text) returns text language sql as $$ select tests.outcome(format(statement, tests.id_of('lee'))) $$;
select is(pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, ''lee'')'), '22023 email: not a valid e-mail address', 'a bad address is refused, and the column named');
select is(pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, '' '')'), '22023 email: must not be empty', 'and one that is none');
select is(pg_temp.lee('insert into crm.contact_phones (contact_id, phone) values (%L, ''call me'')'), '22023 phone: not a phone number', 'and a bad number');
select matches(pg_temp.lee('insert into crm.contact_emails (contact_id, email, kind) values (%L, ''x@example.com'', ''x'')'), '^23514 .*contact_emails_kind_check', 'and a kind there is not');
select is(pg_temp.lee('update crm.contacts set email = ''lee'' where id = %L'), '22023 email: not a valid e-mail address', 'and a bad primary one');

-- Once per organization -----------------------------------------------------------------------------------------------------

select is(
    pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, ''KIM@example.com'')'), '23505 email: kim@example.com is an address of a contact already',
    'a further address cannot be another''s primary one'
);
select is(
    pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, ''lee@example.com'')'), '23505 email: lee@example.com is an address of a contact already',
    'nor one''s own primary one'
);
select matches(pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, ''lee@home.example'')'), '^23505 .*contact_emails_org_id_email_key', 'nor a further one twice');
select is(
    tests.outcome($$insert into crm.contacts (last_name, email) values ('A', 'a@example.com'), ('B', 'lee@home.example')$$), '23505 email: lee@home.example is an address of a contact already',
    'a new contact cannot have another''s further address'
);
select is(
    tests.outcome($$update crm.contacts set email = 'lee@home.example' where last_name = 'Kim'$$), '23505 email: lee@home.example is an address of a contact already',
    'nor can another contact get it'
);
select is(
    tests.outcome($$update crm.contact_emails set email = 'kim@example.com'$$), '23505 email: kim@example.com is an address of a contact already', 'nor can it become another''s primary one'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name, email) values ('Upserted', 'kim@example.com') on conflict (org_id, email) do update set last_name = excluded.last_name$$),
    '1 rows', 'an upsert by the primary address is what it was'
);
select tests.become('bob', 'Borg');
select is(tests.outcome($$insert into crm.contacts (last_name, email) values ('Lee', 'lee@home.example')$$), '1 rows', 'in another organization it is free');

-- Changing places -----------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
create function pg_temp.addresses() returns text language sql as $$
    select concat_ws(' ', c.email, c.email_kind, '|', e.email, e.kind) from crm.contacts as c left join crm.contact_emails as e on e.contact_id = c.id
    where c.last_name = 'Lee'
$$;
update crm.contacts set email = 'LEE@home.example' where last_name = 'Lee';
select is(pg_temp.addresses(), 'lee@home.example home | lee@example.com work', 'a further address that becomes the primary one changes places with it, kind and all');
update crm.contacts set email = 'lee@example.com', email_kind = 'other' where last_name = 'Lee';
select is(pg_temp.addresses(), 'lee@example.com other | lee@home.example home', 'and back; a kind that is named counts');
update crm.contacts set email = 'new@example.com' where last_name = 'Lee';
select is(pg_temp.addresses(), 'new@example.com other | lee@home.example home', 'a new address takes the place of the primary one');
update crm.contacts set email = null where last_name = 'Lee';
select is(pg_temp.addresses(), 'other | lee@home.example home', 'without a primary address the further ones stay what they are');
update crm.contacts set email = 'lee@home.example' where last_name = 'Lee';
select is(pg_temp.addresses(), 'lee@home.example home |', 'one that becomes the primary one where there was none is no further one any more');
select is(tests.outcome($$update crm.contacts set phone = '089 7654321' where last_name = 'Lee'$$, false), '1 rows', 'ann makes a further number the primary one');
select results_eq(
    $$select c.phone, c.phone_kind, c.phone_normalized, p.phone, p.kind, p.phone_normalized from crm.contacts as c join crm.contact_phones as p on p.contact_id = c.id$$,
    $$values ('089 7654321', 'home', '+49897654321', '089 1234567', 'mobile', '+49891234567')$$, 'which changes places with the one before'
);
select is((select version from crm.contact_phones), 2, 'a change of places is a new version of the further one');

-- Parts of the contact --------------------------------------------------------------------------------------------------------

insert into crm.contact_emails (contact_id, email) values (tests.id_of('lee'), 'further@example.com');
insert into crm.contacts (last_name, owner_id) values ('Sam''s', tests.user_id('sam'));
select tests.become('sam', 'Acme');
select is((select count(*) from crm.contact_emails) + (select count(*) from crm.contact_phones), 0::bigint, 'sam, in sales, sees no addresses of contacts that are not his');
select is(
    pg_temp.lee('insert into crm.contact_emails (contact_id, email) values (%L, ''x@example.com'')'), '42501 new row violates row-level security policy for table "contact_emails"',
    'sam adds none to them'
);
select is(
    tests.outcome($$insert into crm.contact_emails (contact_id, email) select id, 'sams@example.com' from crm.contacts$$), '1 rows', 'but to his own contact'
);
select tests.become('vera', 'Acme');
select is((select count(*) from crm.contact_emails), 1::bigint, 'vera, who only reads, sees the addresses');
select is(tests.outcome('delete from crm.contact_emails'), '42501 your role does not permit contacts.update', 'and deletes none, for that changes the contact');
select tests.become('bob', 'Borg');
select is((select count(*) from crm.contact_emails) + (select count(*) from crm.contact_phones), 0::bigint, 'bob sees none of Acme''s');
select matches(
    pg_temp.lee('insert into crm.contact_phones (contact_id, phone) values (%L, ''089 1'')'), '^23503 .*contact_phones_org_id_contact_id_fkey',
    'and adds none to a contact of Acme, which for Borg is none'
);
select is(
    pg_temp.lee(format('insert into crm.contact_phones (org_id, contact_id, phone) values (%L, %%L, ''089 1'')', tests.org_id('Acme'))),
    '42501 new row violates row-level security policy for table "contact_phones"', 'nor as one of Acme''s'
);
select tests.become('ann', 'Acme');
update crm.contacts set owner_id = tests.user_id('sam') where last_name = 'Lee';
select tests.become('sam', 'Acme');
select is((select count(*) from crm.contact_emails) + (select count(*) from crm.contact_phones), 2::bigint, 'sam gets the contact, and sees its addresses');

-- Companies ---------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.accounts (name) values ('Main'), ('Second');
update crm.contacts set account_id = (select id from crm.accounts where name = 'Main') where last_name = 'Lee';
insert into crm.contact_accounts (contact_id, account_id, role) select tests.id_of('lee'), id, 'Board' from crm.accounts where name = 'Second';
select matches(
    tests.outcome($$insert into crm.contact_accounts (contact_id, account_id) select contact_id, account_id from crm.contact_accounts$$), '^23505 .*contact_accounts_org_id_contact_id_account_id_key',
    'a contact has one role at a company'
);

-- Deletion ----------------------------------------------------------------------------------------------------------------------

insert into crm.deals (name, contact_id) values ('Deal', tests.id_of('lee'));
insert into crm.deals (name) values ('With others');
insert into crm.deal_contacts (deal_id, contact_id) select id, tests.id_of('lee') from crm.deals where name = 'With others';
insert into crm.leads (company, converted_contact_id) values ('Was a lead', tests.id_of('lee'));
select is(pg_temp.lee('delete from crm.contacts where id = %L'), '1 rows', 'ann may delete a contact');
delete from crm.contacts where last_name = 'Lee';
select is(
    (select count(*) from crm.contact_emails) + (select count(*) from crm.contact_phones) + (select count(*) from crm.contact_accounts), 0::bigint, 'further addresses and companies go with it'
);
select results_eq(
    $$select 'deal', contact_id from crm.deals where name = 'Deal' union all select 'lead', converted_contact_id from crm.leads$$, $$values ('deal', null::uuid), ('lead', null)$$,
    'deals and leads stay, without it'
);
select is((select count(*) from crm.deals), 2::bigint, 'also those it had to do with');
select is((select count(*) from crm.deal_contacts), 0::bigint, 'which it is no part of any more');
select is(tests.outcome($$insert into crm.contacts (last_name, email) values ('x', 'further@example.com')$$), '1 rows', 'its addresses are free again');

select * from finish();
rollback;
