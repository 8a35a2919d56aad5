-- Why somebody may or may not (crm.explain_access), and whether tables are what crm.enroll makes of them (crm.check_enrollment).

begin;
\ir ../actors.psql
\ir helpers.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.make_role('Acme', 'nothing', 10, '');
select tests.make_role('Acme', 'inspector', 10, 'access.read all, contacts.read own');
select tests.make_role('Acme', 'narrow', 10, 'access.read team');
select tests.make_role('Acme', 'changer', 20, 'contacts.read own, contacts.update all, contacts.delete team');
select tests.make_role('Acme', 'teamgroups', 20, 'groups.read team, groups.update own, groups.create all');
select tests.hire('ada', 'Acme', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sol', 'Acme', 'sales');
select tests.hire('sup', 'Acme', 'support');
select tests.hire('rey', 'Acme', 'read_only');
select tests.hire('ina', 'Acme', 'inspector');
select tests.hire('nar', 'Acme', 'narrow');
select tests.hire('cha', 'Acme', 'changer');
select tests.hire('tom', 'Acme', 'teamgroups');
select tests.hire('not', 'Acme', 'nothing');
select tests.hire('end', 'Acme', 'sales');
select tests.hire('dis', 'Acme', 'sales');
select tests.make_group('Acme', 'Team', '{mia,sol,cha,end}', 'accounts.read all');
select tests.make_group('Acme', 'Given', '{not}', '', '{changer}');
update crm.group_members set is_lead = true where user_id = tests.user_id('mia');
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('end');
update crm.users set status = 'disabled' where id = tests.user_id('dis');
insert into crm.contacts (org_id, last_name, owner_id) select tests.org_id('Acme'), name, tests.user_id(name) from unnest('{ann,mia,sol,cha,end,ina}'::text[]) as name;
insert into crm.contacts (org_id, last_name) values (tests.org_id('Acme'), 'nobody');
insert into crm.contacts (org_id, last_name, owner_id) values (tests.org_id('Borg'), 'bob', tests.user_id('bob'));
select tests.make_key('Acme', 'inspects', '{access.read,contacts.read}');
select tests.make_key('Acme', 'reads', '{contacts.read}');
create table tests.rows as select last_name as name, id from crm.contacts;
insert into tests.rows values ('unknown', gen_random_uuid());
grant select on tests.rows to public;
create function tests.row_id(wanted text) returns uuid language sql stable as $$
    select id from tests.rows where name = wanted
$$;

-- What stands in the way ------------------------------------------------------------------------------------------------------------

create function tests.why(person text, resource text, action text, row_name text default null) returns text language sql as $$
    select format('%s: %s', e #>> array['may', action, 'permitted'], e #>> array['may', action, 'because'])
    from crm.explain_access(coalesce(tests.user_id(person), '00000000-0000-4000-8000-000000000000'), resource, tests.row_id(row_name)) as e
$$;
create function tests.explained(person text, resource text, row_name text default null) returns jsonb language sql as $$
    select crm.explain_access(coalesce(tests.user_id(person), '00000000-0000-4000-8000-000000000000'), resource, tests.row_id(row_name)) - 'user_id' - 'row_id'
$$;
select tests.become('ada', 'Acme');
select is(tests.why(person, resource, action, row_name), wanted, format('%s %s.%s %s', person, resource, action, row_name))
from (values
    ('ann', 'contacts', 'delete', null, 'true: contacts.delete is granted with scope all'),
    ('ann', 'contacts', 'delete', 'nobody', 'true: contacts.delete is granted with scope all'),
    ('sol', 'contacts', 'read', null, 'true: contacts.read is granted with scope own'),
    ('sol', 'contacts', 'read', 'sol', 'true: contacts.read is granted with scope own'),
    ('sol', 'contacts', 'read', 'mia', 'false: contacts.read is granted with scope own, and this row is out of it'),
    ('sol', 'contacts', 'update', 'nobody', 'false: contacts.update is granted with scope own, and this row is out of it'),
    ('mia', 'contacts', 'update', 'sol', 'true: contacts.update is granted with scope team'),
    ('mia', 'contacts', 'update', 'end', 'true: contacts.update is granted with scope team'),
    ('mia', 'contacts', 'update', 'ann', 'false: contacts.update is granted with scope team, and this row is out of it'),
    ('mia', 'contacts', 'update', 'nobody', 'false: contacts.update is granted with scope team, and this row is out of it'),
    ('sup', 'contacts', 'delete', 'ann', 'false: no role or group of the user''s grants contacts.delete'),
    ('sup', 'contacts', 'read', 'nobody', 'true: contacts.read is granted with scope all'),
    ('rey', 'contacts', 'create', null, 'false: no role or group of the user''s grants contacts.create'),
    ('cha', 'contacts', 'update', 'cha', 'true: contacts.update is granted with scope all'),
    ('cha', 'contacts', 'update', 'ann', 'false: the user cannot see this row'),
    ('cha', 'contacts', 'delete', 'sol', 'false: the user cannot see this row'),
    ('cha', 'contacts', 'delete', 'ann', 'false: contacts.delete is granted with scope team, and this row is out of it'),
    ('not', 'contacts', 'update', null, 'true: contacts.update is granted with scope all'),
    ('not', 'accounts', 'read', null, 'false: no role or group of the user''s grants accounts.read'),
    ('sol', 'accounts', 'read', null, 'true: accounts.read is granted with scope all'),
    ('tom', 'groups', 'read', null, 'false: groups.read is granted with scope team, but these rows have no owner'),
    ('tom', 'groups', 'update', null, 'false: groups.update is granted with scope own, but these rows have no owner'),
    ('tom', 'groups', 'create', null, 'true: groups.create is granted with scope all'),
    ('end', 'contacts', 'read', null, 'false: the membership is ended'),
    ('end', 'contacts', 'read', 'end', 'false: the membership is ended'),
    ('dis', 'contacts', 'read', null, 'false: the user is disabled'),
    ('bob', 'contacts', 'read', null, 'false: the user is no member of the organization'),
    ('nobody', 'contacts', 'read', null, 'false: the user is no member of the organization'),
    ('ann', 'contacts', 'read', 'bob', 'false: there is no such row in the organization'),
    ('ann', 'contacts', 'read', 'unknown', 'false: there is no such row in the organization'),
    ('ann', 'crm.contacts', 'read', null, 'true: contacts.read is granted with scope all')
) as asked (person, resource, action, row_name, wanted);


select is(tests.explained('bob', 'contacts'), tests.explained('nobody', 'contacts'), 'somebody of another organization is explained like nobody');
select is(tests.explained('bob', 'contacts', 'bob'), tests.explained('nobody', 'contacts', 'unknown'), 'with a row of theirs as well');
select is(tests.explained('sol', 'contacts', 'bob'), tests.explained('sol', 'contacts', 'unknown'), 'a row of another organization is explained like none');
select is(tests.explained('bob', 'contacts') -> 'standing', '{"user": null, "groups": [], "membership": null, "organization": {"status": "active", "reason": null}}'::jsonb, 'which tells nothing');
select is(tests.explained('mia', 'contacts', 'sol') -> 'row', jsonb_build_object('exists', true, 'owner_id', tests.user_id('sol'), 'whose', 'team''s'), 'whose the row is');
select is(tests.explained('sol', 'contacts', 'sol') #>> '{row,whose}', 'own', 'one''s own');
select is(tests.explained('rey', 'contacts', 'sol') #>> '{row,whose}', 'another''s', 'another''s');
select is(tests.explained('rey', 'contacts', 'nobody') #>> '{row,whose}', 'nobody''s', 'nobody''s');
select is(tests.explained('mia', 'contacts') #> '{standing,groups}', '[{"name": "Team", "is_lead": true}]'::jsonb, 'which groups');
select is(tests.explained('not', 'contacts') #> '{may,update,via}', '[{"via": "group Given, role changer", "scope": "all", "permission": "contacts.update"}]'::jsonb, 'by which role of which group');
select is(tests.explained('sol', 'accounts') #> '{may,read,via}', '[{"via": "role sales", "scope": "own", "permission": "accounts.read"}, {"via": "group Team", "scope": "all", "permission": "accounts.read"}]'::jsonb,
    'by everything that grants it');
select is(tests.explained('end', 'contacts') #>> '{standing,membership,status}', 'ended', 'how the membership stands');

-- What is explained is what happens.
select tests.nobody();
create table tests.explanations (person text, row_name text, action text, permitted boolean, wanted text);
grant select, insert on tests.explanations to public;
select tests.become('ann', 'Acme');
insert into tests.explanations
select person, r.name, action, (crm.explain_access(tests.user_id(person), 'contacts', r.id) #>> array['may', action, 'permitted'])::boolean
from unnest('{ann,ada,mia,sol,sup,rey,ina,cha,tom,not}'::text[]) as person, tests.rows as r, unnest('{read,update,delete}'::text[]) as action;
select tests.nobody();
create function tests.check_explanations() returns setof text language plpgsql as $$
declare
    one record;
    wrong text := '';
begin
    for one in select * from tests.explanations order by person loop
        if one.person is distinct from current_setting('tests.person', true) then
            perform tests.become(one.person, 'Acme');
            perform set_config('tests.person', one.person, true);
        end if;
        if one.permitted <> (tests.outcome(format(case one.action when 'read' then 'select from crm.contacts where id = %L'
            when 'update' then 'update crm.contacts set title = ''x'' where id = %L' else 'delete from crm.contacts where id = %L' end, tests.row_id(one.row_name))) = '1 rows') then
            wrong := wrong || format('%s %s %s; ', one.person, one.action, one.row_name);
        end if;
    end loop;
    return next is(wrong, '', 'what is explained is what happens, for everybody and each row');
end
$$;
select tests.check_explanations();

-- What the caller does not see is not told ----------------------------------------------------------------------------------------------

select tests.become('ina', 'Acme');
select is(tests.explained('ann', 'contacts', 'ann'), tests.explained('ann', 'contacts', 'unknown'), 'a row that the caller does not see is explained like none');
select is(tests.explained('ann', 'contacts', 'ina') #>> '{row,exists}', 'true', 'but their own is there');
select tests.nobody();
create table tests.hidden as
select 'groups' as resource, id from crm.groups where org_id = tests.org_id('Acme')
union all select 'group_members', id from crm.group_members where org_id = tests.org_id('Acme')
union all select 'group_permissions', id from crm.group_permissions where org_id = tests.org_id('Acme')
union all select 'group_roles', id from crm.group_roles where org_id = tests.org_id('Acme')
union all select 'roles', id from crm.roles where org_id = tests.org_id('Acme') and rank > 10
union all select 'role_permissions', id from crm.role_permissions where org_id = tests.org_id('Acme');
grant select on tests.hidden to public;
select tests.become('ina', 'Acme');
select is(
    (select string_agg(distinct resource, ', ') from tests.hidden where (crm.explain_access(tests.user_id('ann'), resource, id) #>> '{row,exists}')::boolean), null,
    'nor is a group or a role that the caller does not see'
);
select tests.nobody();
select id as owners_role from crm.roles where org_id = tests.org_id('Acme') and name = 'owner' \gset
select tests.become('ada', 'Acme');
select is(crm.explain_access(tests.user_id('sol'), 'roles', :'owners_role') #>> '{row,exists}', 'false', 'nor the role above theirs');
select tests.nobody();

insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('sol', 'Acme', 'select crm.explain_access(tests.user_id(''sol''), ''contacts'')', '^42501 your role does not permit access.read', 'only who may ask is told, also about themselves'),
    ('nar', 'Acme', 'select crm.explain_access(tests.user_id(''sol''), ''contacts'')', '^42501 your role does not permit access.read', 'scope team is not enough'),
    ('bob', 'Borg', 'select crm.explain_access(tests.user_id(''sol''), ''contacts'')', '^1 rows', 'elsewhere one may ask about elsewhere'),
    ('ina', 'Acme', 'select crm.explain_access(tests.user_id(''ann''), ''contacts'')', '^1 rows', 'who may ask may ask about those above'),
    ('key inspects', 'Acme', 'select crm.explain_access(tests.user_id(''ann''), ''contacts'')', '^1 rows', 'a key may ask'),
    ('key reads', 'Acme', 'select crm.explain_access(tests.user_id(''ann''), ''contacts'')', '^42501 your key does not permit access.read', 'where it has the scope'),
    ('ann', null, 'select crm.explain_access(tests.user_id(''ann''), ''contacts'')', '^42501 permission denied', 'not across organizations'),
    ('ann', 'Acme', 'select crm.explain_access(null, ''contacts'')', '^22023 user_id', 'not without a user'),
    ('ann', 'Acme', 'select crm.explain_access(tests.user_id(''ann''), null)', '^22023 resource', 'nor without a table'),
    ('ann', 'Acme', 'select crm.check_enrollment()', '^42501 permission denied', 'what state tables are in is for the DBA');
insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'ann', 'Acme', format('select crm.explain_access(tests.user_id(''ann''), %L)', resource), '^22023 resource: there is no enrolled table', resource || ' is no enrolled table'
from unnest('{memberships,users,organizations,permissions,api_keys,crm_private.api_keys,pg_class,pg_catalog.pg_class,Contacts,"contacts ",crm.crm.contacts,contacts;,"",vehicles}'::text[]) as resource;
select tests.attempted();

select tests.become('ann', 'Acme');
set local role none;
update crm.organizations set status = 'suspended', status_reason = 'a reason' where id = tests.org_id('Acme');
set local role crm_app;
select matches(tests.outcome('select crm.explain_access(tests.user_id(''ann''), ''contacts'')'), '^42501', 'in a suspended organization nobody asks');
select tests.nobody();
update crm.organizations set status = 'active', status_reason = null where id = tests.org_id('Acme');

-- A table made after the installation ---------------------------------------------------------------------------------------------------

select is((select string_agg(format('%s: %s', relation, problem), '; ') from crm.check_enrollment()), null, 'all tables of the CRM are enrolled');
set local role crm_owner;
create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text,
    tags text[] not null default '{}',
    owner_id uuid,
    created_at timestamptz,
    version integer,
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade,
    foreign key (org_id, owner_id) references crm.memberships (org_id, user_id) on delete set null (owner_id)
);
set local role none;
create function tests.problems() returns text language sql as $$
    select string_agg(problem, '; ' order by problem) from crm.check_enrollment() where relation = 'crm.vehicles'
$$;
select is(tests.problems(), 'is not enrolled: see crm.enroll; row level security is not enabled and forced', 'a new table is not enrolled');
set local role crm_owner;
select lives_ok($$select crm.enroll('crm.vehicles', array['plate required line 10'])$$, 'it is enrolled');
set local role none;
select is(tests.problems(), null, 'and all is well');

-- Each broken state is found, and mended by enrolling again.
create function tests.broken(statement text, wanted text, mended text default null) returns setof text language plpgsql as $$
declare
    found text;
    after text;
begin
    begin
        perform set_config('role', 'crm_owner', true);
        execute statement;
        perform set_config('role', 'none', true);
        found := tests.problems();
        begin
            perform set_config('role', 'crm_owner', true);
            perform crm.enroll('crm.vehicles', array['plate required line 10']);
            perform set_config('role', 'none', true);
            after := tests.problems();
        exception
            when others then
                after := sqlstate;
        end;
        raise exception using errcode = 'UNDO1';
    exception
        when sqlstate 'UNDO1' then
            null;
    end;
    return next matches(coalesce(found, 'all is well'), wanted, statement);
    return next is(after, mended, 'mended after: ' || statement);
end
$$;
select tests.broken(format('drop policy vehicles_%s_%s on crm.vehicles', command, who), format('the policy of %s for crm_%s is missing or was changed', command, who))
from unnest('{select,insert,update,delete}'::text[]) as command, unnest('{app,multi}'::text[]) as who;
select tests.broken(format(statement, name), case name when '_300_guard' then case when statement ~ 'drop' then 'is not enrolled' else '_300_guard is missing or does not fire' end
    else name || ' is missing or does not fire' end)
from unnest('{_140_tags,_300_guard,_400_scope,_500_stamp}'::text[]) as name,
    unnest(array['drop trigger %s on crm.vehicles', 'alter table crm.vehicles disable trigger %s', 'alter table crm.vehicles enable replica trigger %s']) as statement;
select tests.broken('alter table crm.vehicles disable trigger user', 'is missing or does not fire.*is missing or does not fire.*is missing or does not fire');
select tests.broken('alter table crm.vehicles disable row level security', 'row level security is not enabled and forced');
select tests.broken('alter table crm.vehicles no force row level security', 'row level security is not enabled and forced');
select tests.broken('grant select on crm.vehicles to public', 'PUBLIC may select');
select tests.broken('grant update on crm.vehicles to crm_anon', 'crm_anon may update');
select tests.broken('grant select (plate) on crm.vehicles to public', 'PUBLIC may select');
select tests.broken('create policy more on crm.vehicles for select to crm_app using (true)', 'policy more lets in more than the table''s own', '22023');
select tests.broken('create policy more on crm.vehicles for select to public using (true)', 'polic', '22023');
select tests.broken('create policy more on crm.vehicles as restrictive for select to crm_app using (true)', 'all is well');
select tests.broken('drop policy vehicles_delete_app on crm.vehicles; create policy vehicles_delete_all on crm.vehicles for select to crm_app using (true)', 'polic', '22023');
select tests.broken('alter policy vehicles_select_app on crm.vehicles using (true)', 'polic');
select tests.broken('alter policy vehicles_select_app on crm.vehicles to public', 'the policy of select for crm_app is missing or was changed', '22023');

-- What the built-in roles may do with it ------------------------------------------------------------------------------------------------

create function tests.access() returns text language sql as $$
    select string_agg(format('%s %s %s', role, split_part(permission, '.', 2), scope), ', ' order by role, permission) from crm.built_in_permissions where permission like 'vehicles.%'
$$;
\set usual 'manager create team, manager delete team, manager read team, manager update team, read_only read all, sales create own, sales delete own, sales read own, sales update own, support create own, support read all, support update own'
select is(tests.access(), :'usual', 'what is usual');
select is((select string_agg(action, ', ' order by action) from crm.permissions where resource = 'vehicles'), 'create, delete, read, update', 'and its permissions are known');
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('sol', 'Acme', 'insert into crm.vehicles (plate) values (''A 1'')', '^1 rows', 'a seller adds a vehicle'),
    ('rey', 'Acme', 'insert into crm.vehicles (plate) values (''A 1'')', '^42501 your role does not permit vehicles.create', 'a reader does not'),
    ('sol', 'Acme', 'insert into crm.vehicles (plate, owner_id) values (''A 1'', tests.user_id(''mia''))', '^42501', 'nor a seller for somebody else'),
    ('ann', 'Acme', 'select crm.explain_access(tests.user_id(''sol''), ''vehicles'')', '^1 rows', 'and it is explained'),
    ('ann', 'Acme', 'insert into crm.role_permissions (role, permission) values (''nothing'', ''vehicles.read'')', '^1 rows', 'and granted');
select tests.attempted();

update crm.built_in_permissions set scope = 'all' where role = 'sales' and permission = 'vehicles.read';
delete from crm.built_in_permissions where role = 'support' and permission = 'vehicles.update';
select crm.enroll('crm.vehicles', array['plate line 10']);
select is(tests.access(), replace(replace(:'usual', 'sales read own', 'sales read all'), ', support update own', ''), 'enrolled again, it keeps what the DBA has changed');
select crm.enroll('crm.vehicles', array['plate line 10'], array['sales read', 'support create,read own']);
select is(tests.access(), 'sales read all, support create own, support read own', 'unless told otherwise');
select crm.enroll('crm.vehicles');
select is(tests.access(), 'sales read all, support create own, support read own', 'which it then keeps');
select crm.enroll('crm.vehicles', access => '{}');
select is(tests.access(), null, 'and that may be nothing');
select crm.enroll('crm.vehicles');
select is(tests.access(), null, 'which it keeps as well');
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('sol', 'Acme', 'insert into crm.vehicles (plate) values (''A 1'')', '^42501 your role does not permit', 'then a seller adds none'),
    ('ada', 'Acme', 'insert into crm.vehicles (plate) values (''A 1'')', '^1 rows', 'but an administrator does');
select tests.attempted();

select matches(tests.outcome(format('select crm.enroll(''crm.vehicles'', access => %L)', entries)), '^22023 access: .*' || problem, format('access %s is refused', entries))
from (values
    (array['sales'], 'is not like'), (array[''], 'is not like'), (array['sales read own now'], 'is not like'), (array['owner read'], 'role must be'), (array['admin read'], 'role must be'),
    (array['picker read'], 'role must be'), (array['sales write'], 'the actions are'), (array['sales *'], 'the actions are'), (array['sales read,'], 'the actions are'),
    (array['sales read mine'], 'scope must be'), (array['sales read ALL'], 'scope must be'), (array['sales read', 'sales read own'], 'is there twice'),
    (array['sales read,read'], 'is there twice'), (array['Sales read'], 'role must be'), (array['sales read; drop table crm.contacts'], '')
) as bad (entries, problem);
select is(tests.access(), null, 'and changes nothing');

select tests.nobody();
insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Acme'), 'nothing', 'vehicles.read');
set local role crm_owner;
select lives_ok($$select crm.unenroll('crm.vehicles')$$, 'it is taken back');
set local role none;
select is(tests.problems(), 'is not enrolled: see crm.enroll', 'and is not enrolled');
select is((select count(*) from crm.permissions where resource = 'vehicles'), 0::bigint, 'its permissions are known no more');
select is((select relrowsecurity and relforcerowsecurity from pg_class where oid = 'crm.vehicles'::regclass), true, 'row level security stays on');
select is((select count(*) from crm.role_permissions where permission = 'vehicles.read'), 1::bigint, 'what organizations granted stays');
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('ann', 'Acme', 'select from crm.vehicles', '^42501 permission denied', 'the API sees nothing of it'),
    ('ann', 'Acme', 'select crm.explain_access(tests.user_id(''sol''), ''vehicles'')', '^22023 resource', 'nor is it explained'),
    ('ann', 'Acme', 'insert into crm.role_permissions (role, permission) values (''sales'', ''vehicles.read'')', '^22023 permission', 'nor granted'),
    ('ann', 'Acme', 'update crm.role_permissions set scope = ''own'' where permission = ''vehicles.read''', '^(22023|1 rows)', 'what is left of it'),
    ('ann', 'Acme', 'delete from crm.role_permissions where permission = ''vehicles.read''', '^1 rows', 'can be deleted');
select tests.attempted();
select lives_ok($$select crm.enroll('crm.vehicles')$$, 'enrolled once more');
select is(tests.access(), :'usual', 'it begins with what is usual');

select * from finish();
rollback;
