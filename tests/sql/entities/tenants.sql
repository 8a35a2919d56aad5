-- tenants: all organizations, for the platform alone.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sue', 'Acme', 'sales');

-- The platform's backend -------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select results_eq(
    $$select slug, name, plan, status from crm.tenants where name in ('Acme', 'Borg') order by name$$, $$values ('acme', 'Acme', 'free', 'active'), ('borg', 'Borg', 'free', 'active')$$,
    'the platform''s backend sees all tenants, filters and sorts them'
);
select results_eq(
    $$select t.slug, count(*) from crm.tenants as t join crm.memberships as m on m.org_id = t.id where t.name in ('Acme', 'Borg') group by 1 order by 1$$,
    $$values ('acme', 2::bigint), ('borg', 1)$$, 'and their members'
);
select lives_ok($$insert into crm.tenants (name, country) values ('  Corp ', 'de')$$, 'it makes one');
select lives_ok($$insert into crm.tenants (name, slug) values ('Corp', 'corp-2')$$, 'and another under a slug');
select lives_ok($$insert into crm.tenants (name) values ('Corp')$$, 'and a third of that name');
select set_eq(
    $$select slug, name, country, status from crm.tenants where name = 'Corp' and slug in ('corp', 'corp-2')$$,
    $$values ('corp', 'Corp', 'DE', 'active'), ('corp-2', 'Corp', null, 'active')$$, 'normalized as everywhere'
);
select is((select count(*) from crm.tenants where slug ~ '^corp-[0-9a-f]{8}$'), 1::bigint, 'the slug of a name that is taken has a random end');
select is(tests.outcome($$insert into crm.tenants (name, slug) values ('Corp', 'acme')$$), '23505 duplicate key value violates unique constraint "organizations_slug_key"', 'a slug is one tenant''s');
select is(
    tests.outcome(format('insert into crm.tenants (name, slug) values (%L, %L)', 'Corp', slug)), '22023 slug: must be lower case letters and digits, in words joined by hyphens',
    'no slug: ' || slug
) from unnest('{"Corp","a b","-a","a--b","4d3f4b9e-8c7a-4c55-9d4a-6a5f1f7a1b11"}'::text[] || repeat('a', 64)) as slug;
select is(tests.outcome($$insert into crm.tenants (name) values (' ')$$), '22023 name: must not be empty', 'a tenant has a name');
select lives_ok($$update crm.tenants set name = 'Acme!', currency = 'eur' where slug = 'acme'$$, 'it changes their profiles');
select is((select name || currency from crm.tenants where slug = 'acme'), 'Acme!EUR', 'normalized as well');
select is(tests.outcome($$update crm.tenants set status = 'suspended'$$), '42501 permission denied for view tenants', 'what has rules has functions: suspending');
select is(tests.outcome($$update crm.tenants set plan = 'enterprise'$$), '42501 permission denied for view tenants', 'and plans');
select is(tests.outcome($$update crm.tenants set slug = 'x'$$), '42501 permission denied for view tenants', 'a slug stays');
select is(tests.outcome($$insert into crm.tenants (name, plan) values ('x', 'enterprise')$$), '42501 permission denied for view tenants', 'nor is a plan given that way');
select ok(crm.permitted_to_platform(null) is null, 'nobody is permitted nothing');
select is(tests.outcome($$delete from crm.tenants$$), '42501 permission denied for view tenants', 'and deleting');
select is(tests.outcome('delete from crm.organizations'), '42501 permission denied for table organizations', 'the table is no second door');
select is(tests.outcome('update crm.memberships set role = ''owner'''), '42501 permission denied for table memberships', 'and members are looked at only');

select tests.nobody();
select results_eq(
    $$select r.slug, count(*) > 3 from crm.organizations as r join crm.roles on roles.org_id = r.id where r.slug = 'corp' group by 1$$, $$values ('corp', true)$$,
    'a tenant made like that has its roles'
);
select is((select count(*) from crm.pipelines as p join crm.organizations as o on o.id = p.org_id where o.slug = 'corp'), 1::bigint, 'and its pipeline');

-- The DBA ----------------------------------------------------------------------------------------------------------

select tests.become_role('crm_admin');
select is((select count(*) from crm.tenants where slug in ('acme', 'borg')), 2::bigint, 'so does the DBA see them');
select lives_ok($$update crm.tenants set name = 'Acme' where slug = 'acme'$$, 'and change them');

-- Platform keys, by their scopes -----------------------------------------------------------------------------------

select tests.nobody();
select crm.create_platform_key('reads', '{organizations.read}') ->> 'key' as reads, crm.create_platform_key('creates', '{organizations.create}') ->> 'key' as creates,
    crm.create_platform_key('people', '{users.read}') ->> 'key' as people, crm.create_platform_key('all', '{*.*}') ->> 'key' as all \gset
create function tests.hold(key text) returns void language plpgsql as $$
begin
    perform set_config('role', 'none', true);
    perform set_config('crm.identity', '', true);
    perform tests.become_role('crm_service');
    perform crm.authenticate_api_key(key);
end
$$;
select tests.hold(:'reads');
select is((select count(*) from crm.tenants where slug in ('acme', 'borg')), 2::bigint, 'a key with organizations.read sees the tenants');
select is((select count(*) from crm.memberships), 0::bigint, 'but not who is in them');
select is(tests.outcome($$insert into crm.tenants (name) values ('x')$$), '42501 only for the platform: needs organizations.create', 'it makes none');
select is(tests.outcome($$update crm.tenants set name = 'x'$$), '42501 only for the platform: needs organizations.update', 'and changes none');
select tests.hold(:'creates');
select is((select count(*) from crm.tenants), 0::bigint, 'a key with organizations.create sees none');
select lives_ok($$insert into crm.tenants (name) values ('x')$$, 'and makes one');
select tests.hold(:'people');
select cmp_ok((select count(*) from crm.memberships), '>=', 3::bigint, 'a key with users.read sees who is where');
select is((select count(*) from crm.tenants), 0::bigint, 'but not where that is');
select tests.hold(:'all');
select lives_ok($$update crm.tenants set time_zone = 'Europe/Berlin' where slug = 'borg'$$, 'a key with *.* changes them');
select is((select count(*) from crm.tenants where slug = 'borg' and time_zone = 'Europe/Berlin'), 1::bigint, 'and sees that');

-- Everybody else ---------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
select is(tests.outcome('select from crm.tenants'), '42501 permission denied for view tenants', 'ann, who owns one, does not see the others by it');
select is((select count(*) from crm.organizations), 1::bigint, 'nor by the table');
select is(tests.outcome($$insert into crm.organizations (name) values ('x')$$), '42501 permission denied for table organizations', 'nor makes one');
select is(tests.outcome($$select crm.permitted_to_platform('organizations.read')$$), '42501 permission denied for function permitted_to_platform', 'nor asks as the platform');
select tests.become_role('crm_anon');
select is(tests.outcome('select from crm.tenants'), '42501 permission denied for view tenants', 'nor does a stranger');
-- A member who set the platform's role in SQL of their own.
select tests.become('ann', 'Acme');
set local role crm_service;
select is((select count(*) from crm.tenants) + (select count(*) from crm.organizations) + (select count(*) from crm.memberships), 0::bigint, 'who only has the role, and not its rights, sees none either');
select is(tests.outcome($$update crm.tenants set name = 'x'$$), '42501 only for the platform: needs organizations.update', 'and changes none');
select is(tests.outcome($$insert into crm.tenants (name) values ('x')$$), '42501 only for the platform: needs organizations.create', 'and makes none');

select * from finish();
rollback;
