-- Profiles: people change their own and nobody else's, those who may an organization's; and nothing else of either.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.register('sue', 'Sues');
select crm.grant_platform_role(tests.user_id('sue'), 'support');
create function tests.update_user(person uuid, assignment text default 'full_name = ''x''') returns text language sql volatile as $$
    select tests.outcome(format('update crm.users set %s where id = %L', assignment, person))
$$;
create function tests.update_organization(organization uuid, assignment text default 'name = ''x''') returns text language sql volatile as $$
    select tests.outcome(format('update crm.organizations set %s where id = %L', assignment, organization))
$$;
\set own '''42501 everybody changes their own profile only'''
\set there '''42501 organizations.update is not permitted to you there: work in that organization'''
\set role_ '''42501 your role does not permit organizations.update'''

-- People ----------------------------------------------------------------------------------------------------------------------------

update crm.users set updated_at = '2020-01-01';
alter table crm.users disable trigger _500_touch;
update crm.users set updated_at = '2020-01-01';
alter table crm.users enable trigger _500_touch;
select tests.become('ann', 'Acme');
select is(
    tests.outcome($$update crm.users set full_name = ' Ann Lee ', time_zone = 'Europe/Berlin', locale = 'de_at', avatar_url = ' https://example.com/a.png '
        where id = crm.current_user_id()$$, false), '1 rows', 'ann changes her profile'
);
select is(
    (select row(full_name, time_zone, locale, avatar_url, updated_at = now(), email)::text from crm.users where id = crm.current_user_id()),
    '("Ann Lee",Europe/Berlin,de-AT,https://example.com/a.png,t,ann@example.com)', 'which is stored in its form, with the time'
);
select is(crm.me() #>> '{user,time_zone}', 'Europe/Berlin', 'and told');
select is(tests.update_user(tests.user_id('ann'), assignment), said, sentence)
from (values
    ('full_name = ''''', '1 rows', 'a name can be removed'), ('time_zone = null', '1 rows', 'and a zone'),
    ('full_name = repeat(''x'', 201)', '22023 full_name: too long: 201 characters, at most 200 are allowed', 'a name is no book'),
    ('full_name = E''a\nb''', '22023 full_name: line breaks and control characters are not allowed', 'nor two lines'),
    ('time_zone = ''Mars/Olympus_Mons''', '22023 time_zone: there is no such time zone', 'a zone is on Earth'),
    ('time_zone = ''europe/berlin''', '22023 time_zone: there is no such time zone', 'and spelled as the database has it'),
    ('time_zone = ''UTC+3''', '22023 time_zone: not a time zone like Europe/Berlin or UTC', 'no rule of POSIX'),
    ('time_zone = ''../../etc/passwd''', '22023 time_zone: not a time zone like Europe/Berlin or UTC', 'no file'),
    ('locale = ''german''', '22023 locale: not a language like de, pt-BR or zh-Hant-TW', 'a language is a code'),
    ('avatar_url = ''javascript:alert(1)''', '22023 avatar_url: not a web address like https://example.com', 'a picture is on the web'),
    ('email = ''x@example.com''', '42501 permission denied for table users', 'the e-mail is not changed here'),
    ('status = ''deleted''', '42501 permission denied for table users', 'nor the status'),
    ('email_verified_at = now()', '42501 permission denied for table users', 'nor what was proven'),
    ('id = gen_random_uuid()', '42501 permission denied for table users', 'nor who it is'),
    ('updated_at = null', '42501 permission denied for table users', 'nor when')
) as cases (assignment, said, sentence);
select is(tests.update_user(tests.user_id('bob')), :own, 'ann does not change bob, whom she sees');
select is(tests.update_user(tests.user_id('sue')), '0 rows', 'of whom she does not see she is told nothing');
select is(tests.update_user(gen_random_uuid()), '0 rows', 'nor of whom there is not');
select is(tests.outcome('update crm.users set full_name = ''x'''), :own, 'nor does she change everybody');
select is(tests.outcome('update crm.users set full_name = ''x'' where email = ''sue@example.com'''), '0 rows', 'whom she cannot see is not found by anything');
select is(tests.outcome('delete from crm.users where id = crm.current_user_id()'), '42501 permission denied for table users', 'she does not delete herself');
select is(tests.outcome('insert into crm.users (full_name) values (''x'')'), '42501 permission denied for table users', 'or make somebody');
select tests.become('viewer', 'Acme');
select is(tests.update_user(tests.user_id('viewer')), '1 rows', 'who may only read changes their own');
select is(tests.update_user(tests.user_id('ann')), :own, 'and no owner''s');
select tests.become('bob');
select is(tests.update_user(tests.user_id('bob')), '1 rows', 'bob does across his organizations');
select is(tests.update_user(tests.user_id('ann')), :own, 'not ann''s');
select tests.become_role('crm_app');
select is(tests.update_user(tests.user_id('ann')), '42501 no identity: authenticate first', 'nobody changes anything');
select tests.become('ann', 'Acme');
select crm.create_api_key('All', '{*.*}') ->> 'key' as key, crm.create_api_key('Few', '{contacts.*}') ->> 'key' as few \gset
select tests.become('sue', 'Sues');
select crm.impersonate(tests.user_id('ann'), 'help', 'acme') ->> 'access_token' as acting \gset
select tests.become_role('crm_app');
select crm.authenticate_api_key(:'key') is not null as done \gset
select is(tests.update_user(tests.user_id('ann')), '42501 an API key has no profile', 'a key does not');
select is(tests.update_user(gen_random_uuid()), '42501 an API key has no profile', 'whomever it is about');
select crm.authenticate(:'acting') is not null as done \gset
select is(tests.update_user(tests.user_id('ann')), '42501 not while acting as somebody else', 'nor support, acting as ann');
select is(tests.update_user(gen_random_uuid()), '42501 not while acting as somebody else', 'whomever it is about');

-- Organizations -----------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(
    tests.outcome($$update crm.organizations set name = ' Acme & Co ', country = 'de', currency = 'eur', time_zone = 'Europe/Berlin' where id = crm.current_org_id()$$, false),
    '1 rows', 'ann, the owner, changes her organization'
);
select is(
    (select row(name, country, currency, time_zone, slug, updated_at = now())::text from crm.organizations where id = crm.current_org_id()),
    '("Acme & Co",DE,EUR,Europe/Berlin,acme,t)', 'which is stored in its form, with the time'
);
-- The identity of this transaction was established before.
select tests.become('ann', 'Acme');
insert into crm.contacts (last_name, phone) values ('Caller', '030 123456');
select is((select phone_normalized from crm.contacts), '+4930123456', 'numbers are read as that country''s from then on');
select is(tests.update_organization(tests.org_id('Acme'), assignment), said, sentence)
from (values
    ('name = '' ''', '22023 name: must not be empty', 'it has a name'), ('country = ''''', '1 rows', 'it may have no country'),
    ('country = ''DEU''', '22023 country: not a country''s code of two letters (ISO 3166-1) like DE', 'a country is a code'), ('currency = null', '23502', 'it has a currency'),
    ('time_zone = ''Mars/Olympus_Mons''', '22023 time_zone: there is no such time zone', 'its zone is on Earth'),
    ('slug = ''other''', '42501 permission denied for table organizations', 'the slug is not changed here'),
    ('status = ''cancelled''', '42501 permission denied for table organizations', 'nor the status'),
    ('status_reason = null', '42501 permission denied for table organizations', 'nor its reason'),
    ('id = gen_random_uuid()', '42501 permission denied for table organizations', 'nor which it is')
) as cases (assignment, said, sentence)
where said <> '23502';
select matches(tests.update_organization(tests.org_id('Acme'), 'currency = null'), '^23502 ', 'it has a currency');
select is(tests.update_organization(tests.org_id('Borg')), '0 rows', 'of Borg, where she is not, she is told nothing');
select is(tests.update_organization(gen_random_uuid()), '0 rows', 'nor of what there is not');
select tests.become('bob', 'Acme');
select is(tests.update_organization(tests.org_id('Acme')), :role_, 'bob, a seller there, does not');
select is(tests.update_organization(tests.org_id('Borg')), :role_, 'nor his own, while he works in Acme');
select is(tests.update_organization(gen_random_uuid()), :role_, 'whichever it is about');
select tests.become('bob', 'Borg');
select is(tests.update_organization(tests.org_id('Acme')), :there, 'nor Acme, which he sees, while he works in his own');
select is(tests.outcome('update crm.organizations set name = ''x'''), :there, 'nor both');
select is(tests.update_organization(tests.org_id('Borg')), '1 rows', 'but his own');
select tests.become('bob');
select is(tests.update_organization(tests.org_id('Borg')), '1 rows', 'or across his organizations');
select is(tests.update_organization(tests.org_id('Acme')), :there, 'not where he may not');
select tests.become_role('crm_app');
select crm.authenticate_api_key(:'key') is not null as done \gset
select is(tests.update_organization(tests.org_id('Acme')), '1 rows', 'a key that may does');
select crm.authenticate_api_key(:'few') is not null as done \gset
select is(tests.update_organization(tests.org_id('Acme')), '42501 your key does not permit organizations.update', 'another does not');
select is((select count(*) from crm.organizations), 0::bigint, 'or see it');
select tests.become_role('crm_multi');
select is(tests.update_organization(tests.org_id('Acme')), '42501 no identity: authenticate first', 'nobody does');

select * from finish();
rollback;
