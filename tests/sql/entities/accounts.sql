-- Accounts: who sees and changes them, their order of parents and children, the view companies, and what their deletion does.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('vera', 'Acme', 'read_only');
insert into crm.accounts (org_id, name, owner_id) values (tests.org_id('Borg'), 'Borg''s', tests.user_id('bob'));

select tests.become('ann', 'Acme');
insert into crm.accounts (name, domain, currency, billing_country, external_id) values ('Holding', 'WWW.Holding.example', 'eur', 'de', 'h');
insert into crm.accounts (name, parent_id, external_id) select 'Subsidiary', id, 's' from crm.accounts where external_id = 'h';
insert into crm.accounts (name, parent_id, external_id) select 'Branch', id, 'b' from crm.accounts where external_id = 's';
select results_eq(
    $$select domain, currency, billing_country from crm.accounts where external_id = 'h'$$, $$values ('holding.example', 'EUR', 'DE')$$,
    'domain, currency and country are stored in one form'
);

-- Who ------------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is((select count(*) from crm.accounts), 0::bigint, 'sam, in sales, does not see an account of ann''s');
select is(tests.outcome($$insert into crm.accounts (name) values ('Sam''s')$$, false), '1 rows', 'sam adds an account of his own');
select is(tests.outcome($$update crm.accounts set industry = 'Steel'$$), '1 rows', 'and changes that one only');
select tests.become('vera', 'Acme');
select is((select count(*) from crm.accounts), 4::bigint, 'vera, who only reads, sees all accounts');
select is(tests.outcome($$insert into crm.accounts (name) values ('x')$$), '42501 your role does not permit accounts.create', 'vera adds none');
select is(tests.outcome($$update crm.accounts set name = 'x'$$), '42501 your role does not permit accounts.update', 'vera changes none');
select is(tests.outcome($$delete from crm.accounts$$), '42501 your role does not permit accounts.delete', 'vera deletes none');
select tests.become('bob', 'Borg');
select is((select array_agg(name) from crm.accounts), array['Borg''s'], 'bob sees the accounts of Borg alone');

-- Parents --------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
create function pg_temp.put(child text, parent text) returns text language sql as $$
    select tests.outcome(format(
        'update crm.accounts set parent_id = %L where external_id = %L', (select id from crm.accounts where external_id = parent), child
    ))
$$;
select is(pg_temp.put('h', 'b'), '22023 parent_id: would make a circle: the record would belong to itself', 'a holding cannot belong to a branch of a subsidiary of its own');
select is(pg_temp.put('h', 's'), '22023 parent_id: would make a circle: the record would belong to itself', 'nor to a subsidiary');
select matches(pg_temp.put('h', 'h'), '^23514 .*accounts_parent_id_check', 'nor to itself');
select is(pg_temp.put('b', 'h'), '1 rows', 'a branch can belong to the holding');
select is(
    tests.outcome($$insert into crm.accounts (id, name, parent_id) values
        ('018f0000-0000-7000-8000-00000000000a', 'a', '018f0000-0000-7000-8000-00000000000b'),
        ('018f0000-0000-7000-8000-00000000000b', 'b', '018f0000-0000-7000-8000-00000000000a')$$),
    '22023 parent_id: would make a circle: the record would belong to itself', 'two new accounts cannot belong to each other'
);
select is(
    tests.outcome($$insert into crm.accounts (id, name, parent_id) values
        ('018f0000-0000-7000-8000-00000000000a', 'a', '018f0000-0000-7000-8000-00000000000b'),
        ('018f0000-0000-7000-8000-00000000000b', 'b', null)$$),
    '2 rows', 'but one to the other, in any order'
);
select is(
    tests.outcome($$update crm.accounts as c set parent_id = p.id from crm.accounts as p where (c.external_id, p.external_id) in (('h', 's'), ('s', 'b'), ('b', 'h'))$$),
    '22023 parent_id: would make a circle: the record would belong to itself', 'a circle cannot be made in one statement'
);
select is(pg_temp.put('s', null), '1 rows', 'a subsidiary can become independent');
-- Who sees only some of the chain makes no circle through the rest either.
select tests.nobody();
update crm.accounts set owner_id = tests.user_id('sam') where external_id in ('h', 'b');
create table tests.ids as select external_id, id from crm.accounts where external_id is not null;
grant select on tests.ids to public;
select tests.become('sam', 'Acme');
select is(
    tests.outcome($$update crm.accounts set parent_id = (select id from tests.ids where external_id = 'b') where external_id = 'h'$$),
    '22023 parent_id: would make a circle: the record would belong to itself', 'sam makes no circle through an account he does not see'
);
select tests.nobody();
select matches(
    tests.outcome(format('update crm.accounts set parent_id = %L where external_id = ''h''', (select id from crm.accounts where name = 'Borg''s'))),
    '^23503 .*accounts_org_id_parent_id_fkey',
    'not even the DBA gives an account a parent of another organization'
);

-- What is embedded: as far as it may be read.
select tests.nobody();
update crm.accounts set parent_id = (select id from tests.ids where external_id = 'h') where external_id = 's';
create function tests.family() returns text language sql volatile as $$
    select string_agg(format('%s of %s with %s', a.external_id, (select p.external_id from crm.parent(a) as p), (select string_agg(c.external_id, ',') from crm.subsidiaries(a) as c)), '; ' order by a.external_id desc)
    from crm.accounts as a
    where a.external_id is not null
$$;
select tests.become('ann', 'Acme');
select is(tests.family(), 's of h with b; h of  with s; b of s with ', 'ann sees each account''s parent and subsidiaries');
select tests.become('sam', 'Acme');
select is(tests.family(), 'h of  with ; b of  with ', 'sam, who does not see the one between, sees neither the one nor the other');
select tests.become('bob', 'Borg');
select is(
    (select count(*) from jsonb_populate_record(null::crm.accounts, jsonb_build_object('org_id', tests.org_id('Acme'), 'parent_id', (select id from tests.ids where external_id = 'h'), 'id', (select id from tests.ids where external_id = 's'))) as forged,
        lateral (select from crm.parent(forged) union all select from crm.subsidiaries(forged)) as found), 0::bigint, 'a row that bob made up shows him nothing of Acme'
);
select tests.become_role('crm_anon');
select matches(tests.outcome('select crm.parent(null), crm.subsidiaries(null)'), '^42501 permission denied for function', 'strangers may not ask');
select tests.become('ann');
select is(tests.family(), 's of h with b; h of  with s; b of s with ', 'across organizations it is the same');

-- The view companies -----------------------------------------------------------------------------------------------------

select set_eq(
    $$select attname from pg_attribute where attrelid = 'crm.companies'::regclass and attnum > 0$$,
    $$select attname from pg_attribute where attrelid = 'crm.accounts'::regclass and attnum > 0 and not attisdropped$$,
    'companies have the columns of accounts'
);
select is_empty(
    $$select v.attname from pg_attribute as v join pg_attribute as t on t.attrelid = 'crm.accounts'::regclass and t.attname = v.attname
      where v.attrelid = 'crm.companies'::regclass and v.attnum > 0
          and col_description(v.attrelid, v.attnum) is distinct from col_description(t.attrelid, t.attnum)$$,
    'and their comments'
);
select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.companies (name, currency) values ('By the view', 'usd')$$, false), '1 rows', 'ann adds a company');
select results_eq(
    $$select type, currency, created_by, version from crm.accounts where name = 'By the view'$$, $$values ('prospect', 'USD', tests.user_id('ann'), 1)$$,
    'it is an account like any, with defaults, rules and stamps'
);
select is(tests.outcome($$update crm.companies set industry = 'Steel' where name = 'By the view'$$, false), '1 rows', 'ann changes it');
select is((select version from crm.companies where name = 'By the view'), 2, 'which is its second version');
select is(
    tests.outcome($$insert into crm.companies (name, external_id) values ('Upserted', 'h') on conflict (org_id, external_id) do update set name = excluded.name$$),
    '1 rows', 'ann upserts a company'
);
select is(tests.outcome($$delete from crm.companies where name = 'By the view'$$), '1 rows', 'and deletes one');
select is(
    tests.outcome(format('insert into crm.companies (org_id, name) values (%L, ''x'')', tests.org_id('Borg'))),
    '42501 new row violates row-level security policy for table "accounts"', 'ann adds none to Borg'
);
select tests.become('bob', 'Borg');
select is((select array_agg(name) from crm.companies), array['Borg''s'], 'bob sees the companies of Borg alone');
select is(tests.outcome($$update crm.companies set name = 'x' where name = 'Holding'$$), '0 rows', 'and changes none of Acme');
select tests.become('vera', 'Acme');
select is(tests.outcome($$delete from crm.companies$$), '42501 your role does not permit accounts.delete', 'vera deletes no company');
select tests.become('ann');
select is((select count(*) from crm.companies), 5::bigint, 'across her organizations ann sees their companies');
select tests.become_role('crm_anon');
select is(tests.outcome('select from crm.companies'), '42501 permission denied for view companies', 'a stranger sees none');

-- Deletion -------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
create temporary table doomed as select id from crm.accounts where external_id = 's';
insert into crm.contacts (last_name, account_id, external_id) select 'Employee', id, 'e' from doomed;
insert into crm.contact_accounts (contact_id, account_id, role) select c.id, d.id, 'CEO' from crm.contacts as c, doomed as d;
insert into crm.deals (name, account_id) select 'Deal', id from doomed;
insert into crm.leads (company, converted_account_id) select 'Was a lead', id from doomed;
select is(tests.outcome($$delete from crm.accounts where id in (select id from doomed)$$, false), '1 rows', 'ann deletes an account');
select results_eq(
    $$select 'contact', account_id from crm.contacts union all select 'deal', account_id from crm.deals
      union all select 'lead', converted_account_id from crm.leads union all select 'branch', parent_id from crm.accounts where external_id = 'b' order by 1$$,
    $$values ('branch', null::uuid), ('contact', null), ('deal', null), ('lead', null)$$,
    'contacts, deals, leads and its own branches stay, without it'
);
select is((select count(*) from crm.contact_accounts), 0::bigint, 'who had a role there has none');

select * from finish();
rollback;
