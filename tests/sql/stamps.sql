-- Stamps: the database says who, when, whose and which version; a client's word counts only where it may.

begin;
\ir actors.psql
select plan(26);

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'admin');

select tests.become('ann', 'Acme');

insert into crm.contacts (last_name, org_id, created_at, created_by, updated_at, updated_by, version)
values ('forged', tests.org_id('Acme'), 'infinity', tests.user_id('bob'), '-infinity', tests.user_id('bob'), 99);

select results_eq(
    $$select org_id, created_at, created_by, updated_at, updated_by, owner_id, version from crm.contacts$$,
    $$values (tests.org_id('Acme'), now(), tests.user_id('ann'), now(), tests.user_id('ann'), tests.user_id('ann'), 1)$$,
    'stamps that ann sends with a new contact are replaced by the true ones'
);
select is(
    (select substr(id::text, 15, 1) = '7' from crm.contacts),
    true, 'a new contact has an id of UUID version 7'
);

insert into crm.contacts (id, last_name, owner_id, external_id)
values ('018f0000-0000-7000-8000-000000000001', 'chosen', tests.user_id('bob'), 'host-1');
select results_eq(
    $$select id, owner_id, created_by, external_id from crm.contacts where last_name = 'chosen'$$,
    $$values ('018f0000-0000-7000-8000-000000000001'::uuid, tests.user_id('bob'), tests.user_id('ann'), 'host-1')$$,
    'ann may choose the id, the owner and the external id of a new contact'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name, external_id) values ('x', 'host-1')$$),
    '23505 duplicate key value violates unique constraint "contacts_org_id_external_id_key"',
    'an external id occurs once in an organization'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name, owner_id) values ('x', gen_random_uuid())$$),
    '23503 insert or update on table "contacts" violates foreign key constraint "contacts_org_id_owner_id_fkey" / Key is not present in table "memberships".',
    'a contact cannot be owned by somebody who is no member'
);
select is(
    tests.outcome($$insert into crm.contacts (org_id, id, last_name) values (null, null, 'x')$$),
    '1 rows', 'an org_id or id that is sent as null is filled in'
);

-- Time passes between transactions only, so the row is made older by hand.
select tests.nobody();
alter table crm.contacts disable trigger user;
update crm.contacts set created_at = '2020-01-01', updated_at = '2020-01-01';
alter table crm.contacts enable trigger user;

select tests.become('bob', 'Acme');

update crm.contacts set title = 'changed' where last_name = 'forged';
select results_eq(
    $$select created_at, created_by, updated_at, updated_by, owner_id, version from crm.contacts where last_name = 'forged'$$,
    $$values ('2020-01-01'::timestamptz, tests.user_id('ann'), now(), tests.user_id('bob'), tests.user_id('ann'), 2)$$,
    'a change by bob is stamped with bob, now and the next version; who made it stays'
);

update crm.contacts
set created_at = 'epoch', created_by = tests.user_id('bob'), updated_at = 'epoch', updated_by = tests.user_id('ann'), version = 77
where last_name = 'forged';
select results_eq(
    $$select created_at, created_by, updated_at, updated_by, version from crm.contacts where last_name = 'forged'$$,
    $$values ('2020-01-01'::timestamptz, tests.user_id('ann'), now(), tests.user_id('bob'), 3)$$,
    'stamps that bob sends with a change are replaced by the true ones'
);

update crm.contacts set owner_id = tests.user_id('bob') where last_name = 'forged';
select is((select owner_id from crm.contacts where last_name = 'forged'), tests.user_id('bob'), 'bob may take a contact over');
update crm.contacts set owner_id = null where last_name = 'forged';
select is((select owner_id from crm.contacts where last_name = 'forged'), null, 'a contact may lose its owner');

select is(
    tests.outcome($$update crm.contacts set org_id = tests.org_id('Borg') where last_name = 'forged'$$),
    '42501 org_id cannot be changed', 'a contact cannot be moved to another organization of bob''s'
);
select is(
    tests.outcome($$update crm.contacts set org_id = gen_random_uuid() where last_name = 'forged'$$),
    '42501 org_id cannot be changed', 'nor to one that does not exist, with the same answer'
);
select is(
    tests.outcome($$update crm.contacts set org_id = null where last_name = 'forged'$$),
    '42501 org_id cannot be changed', 'nor to none'
);
select is(
    tests.outcome($$update crm.contacts set id = gen_random_uuid() where last_name = 'forged'$$),
    '42501 id cannot be changed', 'an id cannot be changed'
);
select is(
    tests.outcome($$update crm.contacts set org_id = org_id, id = id where last_name = 'forged'$$),
    '1 rows', 'writing the same org_id and id back is no change of them'
);

insert into crm.contacts as c (id, last_name, external_id, version, created_by)
values (gen_random_uuid(), 'upserted', 'host-1', 50, tests.user_id('bob'))
on conflict (org_id, external_id) do update
set last_name = excluded.last_name, version = excluded.version, created_by = excluded.created_by, org_id = excluded.org_id;
select results_eq(
    $$select id, version, created_by, updated_by from crm.contacts where last_name = 'upserted'$$,
    $$values ('018f0000-0000-7000-8000-000000000001'::uuid, 2, tests.user_id('ann'), tests.user_id('bob'))$$,
    'an upsert that meets a record changes it like any other change'
);

insert into crm.accounts (id, name) values ('018f0000-0000-7000-8000-00000000000a', 'Account');
update crm.contacts set account_id = '018f0000-0000-7000-8000-00000000000a' where last_name = 'upserted';
delete from crm.accounts;
select results_eq(
    $$select account_id, version, updated_by from crm.contacts where last_name = 'upserted'$$,
    $$values (null::uuid, 4, tests.user_id('bob'))$$,
    'a contact that loses its account is stamped too'
);

select tests.become('bob');

select is(
    tests.outcome($$insert into crm.contacts (last_name) values ('x')$$),
    '22023 org_id: name the organization: none is active',
    'bob, looking across his organizations, is told to name one for a new contact'
);
insert into crm.contacts (org_id, last_name) values (tests.org_id('Borg'), 'across');
select results_eq(
    $$select org_id, created_by, owner_id, version from crm.contacts where last_name = 'across'$$,
    $$values (tests.org_id('Borg'), tests.user_id('bob'), tests.user_id('bob'), 1)$$,
    'with one named, the contact is stamped with bob'
);
update crm.contacts set title = 'x' where last_name = 'across';
select is((select version from crm.contacts where last_name = 'across'), 2, 'and changed by him from there');
select is(
    tests.outcome($$update crm.contacts set org_id = tests.org_id('Acme') where last_name = 'across'$$),
    '42501 org_id cannot be changed', 'but not moved between organizations of his'
);

select tests.nobody();

insert into crm.contacts (org_id, id, last_name, created_at, created_by, updated_at, updated_by, version)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000009', 'restored', '2001-01-01', tests.user_id('bob'),
    '2002-02-02', tests.user_id('ann'), 42);
select results_eq(
    $$select created_at, created_by, updated_at, updated_by, version, owner_id from crm.contacts where last_name = 'restored'$$,
    $$values ('2001-01-01'::timestamptz, tests.user_id('bob'), '2002-02-02'::timestamptz, tests.user_id('ann'), 42, null::uuid)$$,
    'the stamps of rows that the DBA loads are kept'
);
select is(
    tests.outcome($$insert into crm.contacts (last_name) values ('x')$$),
    '22023 org_id: name the organization: none is active', 'the DBA names the organization of a new contact'
);
update crm.contacts set title = 'x' where last_name = 'restored';
select results_eq(
    $$select created_by, updated_at, updated_by, version from crm.contacts where last_name = 'restored'$$,
    $$values (tests.user_id('bob'), now(), tests.user_id('ann'), 43)$$,
    'a change by the DBA has a time and a version, and keeps the last user'
);
select is(
    tests.outcome($$update crm.contacts set org_id = tests.org_id('Borg') where last_name = 'restored'$$),
    '42501 org_id cannot be changed', 'the DBA cannot move a row between organizations either'
);
alter table crm.contacts disable trigger user;
update crm.contacts set version = 2147483647 where last_name = 'restored';
alter table crm.contacts enable trigger user;
select is(
    tests.outcome($$update crm.contacts set title = 'y' where last_name = 'restored'$$),
    '1 rows', 'the highest version does not make a record unchangeable'
);

select * from finish();
rollback;
