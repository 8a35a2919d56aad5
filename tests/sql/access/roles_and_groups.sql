-- What roles and groups give: where it comes from, whose rows it reaches, and what of all that is seen by whom.

begin;
\ir ../actors.psql
\ir helpers.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.make_role('Acme', 'nothing', 10, '');
select tests.make_role('Acme', 'teamer', 20, 'contacts.read team, contacts.update team, contacts.create team, contacts.delete own');
select tests.make_role('Acme', 'owner_of_own', 20, 'contacts.read own, contacts.update own, contacts.create own');
select tests.make_role('Acme', 'reader', 30, 'contacts.read all, contacts.update team, contacts.create own');
select tests.make_role('Acme', 'blind', 30, 'contacts.update all, contacts.delete all, contacts.create all');
select tests.make_role('Acme', 'keeper', 50, 'roles.read all, role_permissions.read all, group_roles.read all, group_permissions.read all, groups.read team, groups.create team, '
    'groups.update own, groups.delete own, organizations.update team');
select tests.hire('ada', 'Acme', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sol', 'Acme', 'sales');
select tests.hire('sup', 'Acme', 'support');
select tests.hire('rey', 'Acme', 'read_only');
select tests.hire('tea', 'Acme', 'teamer');
select tests.hire('own', 'Acme', 'owner_of_own');
select tests.hire('rea', 'Acme', 'reader');
select tests.hire('gil', 'Acme', 'nothing');
select tests.hire('gus', 'Acme', 'nothing');
select tests.hire('not', 'Acme', 'nothing');
select tests.hire('wid', 'Acme', 'owner_of_own');
select tests.hire('bly', 'Acme', 'blind');
select tests.hire('kit', 'Acme', 'keeper');
select tests.hire('old', 'Acme', 'sales');
-- Two teams that share mia; old was in one of them.
select tests.make_group('Acme', 'North', '{mia,sol,old}');
select tests.make_group('Acme', 'South', '{mia,tea,rea}');
select tests.make_group('Acme', 'Readers', '{gil}', 'contacts.read all');
select tests.make_group('Acme', 'Workers', '{gus}', '', '{owner_of_own}');
select tests.make_group('Acme', 'Wider', '{wid}', 'contacts.read team', '{reader}');
select tests.make_group('Acme', 'Board', '{}', 'accounts.* all', '{admin,nothing}');
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('old');

create table tests.rows (place integer, name text primary key, id uuid not null default gen_random_uuid());
grant select on tests.rows to public;
insert into tests.rows (place, name) select n, name from unnest('{ann,mia,sol,tea,rea,own,gil,gus,wid,old,nobody}'::text[]) with ordinality as t (name, n);
insert into crm.contacts (org_id, id, last_name, owner_id) select tests.org_id('Acme'), id, name, tests.user_id(name) from tests.rows;
insert into crm.contacts (org_id, last_name, owner_id) values (tests.org_id('Borg'), 'theirs', tests.user_id('bob'));

-- A letter for each row: '-' is not seen, '.' is seen and refused, 'y' may be done.
create function tests.reach(statement text) returns text language plpgsql as $$
declare
    one tests.rows;
    said text;
    letters text := '';
begin
    for one in select * from tests.rows order by place loop
        said := tests.outcome(format(statement, one.id));
        letters := letters || case when said = '1 rows' then 'y' when said = '0 rows' then '-' when said ~ '^42501 you may see this row' then '.'
            when said ~ '^42501 your role does not permit' then 'n' else '?' end;
    end loop;
    return letters;
end
$$;
create function tests.seen(person text) returns text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return tests.reach('select from crm.contacts where id = %L');
end
$$;
create function tests.reaches(person text, sees text, updates text, deletes text) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next is(tests.reach('select from crm.contacts where id = %L'), sees, person || ' sees');
    return next is(tests.reach('update crm.contacts set title = ''x'' where id = %L'), updates, person || ' changes');
    return next is(tests.reach('delete from crm.contacts where id = %L'), deletes, person || ' deletes');
end
$$;
--                           ann, mia, sol, tea, rea, own, gil, gus, wid, old, nobody
select tests.reaches('ann', 'yyyyyyyyyyy', 'yyyyyyyyyyy', 'yyyyyyyyyyy');
select tests.reaches('ada', 'yyyyyyyyyyy', 'yyyyyyyyyyy', 'yyyyyyyyyyy');
select tests.reaches('mia', '-yyyy----y-', '-yyyy----y-', '-yyyy----y-');
select tests.reaches('sol', '--y--------', '--y--------', '--y--------');
select tests.reaches('sup', 'yyyyyyyyyyy', '...........', 'nnnnnnnnnnn');
select tests.reaches('rey', 'yyyyyyyyyyy', 'nnnnnnnnnnn', 'nnnnnnnnnnn');
select tests.reaches('tea', '-y-yy------', '-y-yy------', '-.-y.------');
select tests.reaches('own', '-----y-----', '-----y-----', 'nnnnnnnnnnn');
select tests.reaches('rea', 'yyyyyyyyyyy', '.y.yy......', 'nnnnnnnnnnn');
select tests.reaches('gil', 'yyyyyyyyyyy', 'nnnnnnnnnnn', 'nnnnnnnnnnn');
select tests.reaches('gus', '-------y---', '-------y---', 'nnnnnnnnnnn');
select tests.reaches('wid', 'yyyyyyyyyyy', '........y..', 'nnnnnnnnnnn');
select tests.reaches('not', '-----------', 'nnnnnnnnnnn', 'nnnnnnnnnnn');
select tests.reaches('bly', '-----------', '-----------', '-----------');

-- One statement for all: refused as a whole, or passing over what is not seen.
select tests.nobody();
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('sup', 'Acme', 'update crm.contacts set title = ''x''', '^42501 you may see this row', 'a statement that reaches one row too far does nothing'),
    ('tea', 'Acme', 'update crm.contacts set title = ''x''', '^3 rows', 'what is not seen is passed over'),
    ('tea', 'Acme', 'delete from crm.contacts', '^42501 you may see this row', 'but not what is seen'),
    ('bly', 'Acme', 'update crm.contacts set title = ''x''', '^0 rows', 'who sees nothing changes nothing'),
    ('bly', 'Acme', 'delete from crm.contacts', '^0 rows', 'nor deletes'),
    ('bly', 'Acme', 'insert into crm.contacts (last_name) values (''x'')', '^1 rows', 'but adds'),
    -- Whose a new row is, and to whom one is given.
    ('own', 'Acme', 'insert into crm.contacts (last_name) values (''x'')', '^1 rows', 'a new row is one''s own'),
    ('own', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', null)', '^1 rows', 'also where nobody''s was asked for'),
    ('own', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''ann''))', '^42501', 'with scope own none is another''s'),
    ('tea', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''mia''))', '^1 rows', 'with scope team it may be a colleague''s'),
    ('tea', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''sol''))', '^42501', 'but not a colleague''s colleague''s'),
    ('rea', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''mia''))', '^42501', 'each action has its own scope'),
    ('ann', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''sol''))', '^1 rows', 'with scope all it may be anybody''s'),
    ('ann', 'Acme', 'insert into crm.contacts (last_name, owner_id) values (''x'', tests.user_id(''bob''))', '^23503', 'who is a member'),
    ('own', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''ann'')', '^42501', 'with scope own nothing is given away'),
    ('own', 'Acme', 'update crm.contacts set owner_id = null', '^42501', 'nor left to nobody'),
    ('tea', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''mia'') where last_name = ''tea''', '^1 rows', 'within the team it may be'),
    ('tea', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''tea'')', '^3 rows', 'and taken'),
    ('tea', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''sol'') where last_name = ''tea''', '^42501', 'not beyond it'),
    ('tea', 'Acme', 'update crm.contacts set owner_id = null where last_name = ''tea''', '^42501', 'nor to nobody'),
    ('mia', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''tea'') where last_name = ''sol''', '^1 rows', 'who leads two teams gives from one to the other'),
    ('mia', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''mia'') where last_name = ''old''', '^1 rows', 'and takes over from who has left'),
    ('sup', 'Acme', 'update crm.contacts set owner_id = tests.user_id(''sup'') where last_name = ''ann''', '^42501 you may see this row', 'what is only seen is not taken'),
    ('own', 'Acme', 'insert into crm.contacts (id, last_name) select id, ''x'' from tests.rows where name = ''ann'' on conflict (org_id, id) do update set title = ''x''', '^42501',
        'nor reached by an upsert of a row that is not seen'),
    ('sup', 'Acme', 'insert into crm.contacts (id, last_name) select id, ''x'' from tests.rows where name = ''ann'' on conflict (org_id, id) do update set title = ''x''', '^42501',
        'nor of one that is'),
    ('own', 'Acme', 'insert into crm.contacts (id, last_name) select id, ''x'' from tests.rows where name = ''own'' on conflict (org_id, id) do update set title = ''x''', '^1 rows',
        'but one''s own is'),
    -- Rows without owners: whoever has less than all of them has none.
    ('kit', 'Acme', 'select from crm.groups', '^0 rows', 'groups have no owners: scope team reaches none'),
    ('kit', 'Acme', 'insert into crm.groups (name) values (''x'')', '^42501 your role does not permit groups.create', 'nor adds any'),
    ('kit', 'Acme', 'update crm.groups set name = ''x''', '^42501 your role does not permit groups.update', 'nor changes any'),
    ('kit', 'Acme', 'delete from crm.groups', '^42501 your role does not permit groups.delete', 'nor deletes any'),
    ('ann', 'Acme', 'select from crm.groups', '^6 rows', 'scope all reaches all'),
    ('sol', 'Acme', 'select from crm.groups', '^6 rows', 'everybody sees which teams there are'),
    ('sol', 'Acme', 'select from crm.group_members', '^9 rows', 'and who is in them'),
    ('not', 'Acme', 'select from crm.groups', '^0 rows', 'but not with a role that gives nothing'),
    ('not', 'Acme', 'select from crm.users', '^1 rows', 'who then sees only themselves'),
    ('not', 'Acme', 'select from crm.organizations', '^1 rows', 'and the organization they belong to');
select tests.attempted();

-- What is there to be seen of roles, by rank -----------------------------------------------------------------------------------------

create function tests.names(query text) returns text language plpgsql as $$
declare
    found text;
begin
    execute format('select string_agg(distinct name, '','' order by name) from (%s) as t (name)', query) into found;
    return coalesce(found, '');
end
$$;
create function tests.sees(person text, roles text, own text, via_groups text) returns setof text language plpgsql as $$
begin
    perform tests.become(person, 'Acme');
    return next is(tests.names('select name from crm.roles where built_in'), roles, person || ' sees these built-in roles');
    return next is(tests.names('select name from crm.built_in_roles'), roles, person || ' sees what they are');
    return next is(tests.names('select role from crm.built_in_permissions'), roles, person || ' sees what they may do');
    return next is(tests.names('select name from crm.roles where not built_in'), own, person || ' sees these own roles');
    return next is(tests.names('select role from crm.role_permissions'), array_to_string(array_remove(string_to_array(own, ','), 'nothing'), ','), person || ' sees what the own roles may do');
    return next is(tests.names('select role from crm.group_roles'), via_groups, person || ' sees these roles of groups');
end
$$;
select tests.sees('ann', 'admin,manager,owner,read_only,sales,support', 'blind,keeper,nothing,owner_of_own,reader,teamer', 'admin,nothing,owner_of_own,reader');
select tests.sees('ada', 'admin,manager,read_only,sales,support', 'blind,keeper,nothing,owner_of_own,reader,teamer', 'admin,nothing,owner_of_own,reader');
select tests.sees('mia', 'manager,read_only,sales,support', 'blind,keeper,nothing,owner_of_own,reader,teamer', '');
select tests.sees('sol', 'read_only,sales,support', 'blind,nothing,owner_of_own,reader,teamer', '');
select tests.sees('rey', 'read_only', 'nothing,owner_of_own,teamer', '');

-- A rank comes with a group's role as well.
select tests.nobody();
insert into crm.group_members (org_id, group_id, user_id) values (tests.org_id('Acme'), tests.group_id('Board'), tests.user_id('not'));
select tests.sees('not', 'admin,manager,read_only,sales,support', 'blind,keeper,nothing,owner_of_own,reader,teamer', 'admin,nothing,owner_of_own,reader');
select is(tests.seen('not'), 'yyyyyyyyyyy', 'with all that goes with it');
select tests.nobody();
delete from crm.group_members where user_id = tests.user_id('not');
select is(tests.seen('not'), '-----------', 'and without the group is gone');

-- What changes, changes at once ---------------------------------------------------------------------------------------------------------

select tests.nobody();
create function tests.after(change text, person text, wanted text, sentence text) returns text language plpgsql as $$
begin
    perform tests.nobody();
    execute change;
    return is(tests.seen(person), wanted, sentence);
end
$$;
savepoint unchanged;
select tests.after('delete from crm.group_roles where role = ''reader''', 'wid', '--------y--', 'without the group''s role its permission for the team is left');
select tests.after('insert into crm.group_members (org_id, group_id, user_id) select org_id, tests.group_id(''Wider''), user_id from crm.memberships where user_id in (tests.user_id(''ann''), tests.user_id(''old''))',
    'wid', 'y-------yy-', 'which reaches whoever comes into the team, and who has left the organization');
select tests.after('delete from crm.group_permissions where permission = ''contacts.read''', 'wid', '--------y--', 'and without that one''s own role counts');
select tests.after('delete from crm.groups where name = ''South''', 'mia', '-yy------y-', 'a team that is no more shows nothing');
select tests.after('update crm.memberships set role = ''nothing'' where user_id = tests.user_id(''mia'')', 'mia', '-----------', 'nor does one where nothing is permitted');
select tests.after('insert into crm.role_permissions (org_id, role, permission) values (tests.org_id(''Acme''), ''sales'', ''*.read'')', 'sol', 'yyyyyyyyyyy', 'a built-in role is added to');
select tests.after('update crm.role_permissions set scope = ''team'' where role = ''sales''', 'sol', '-yy------y-', 'as far as was said');
select tests.after('insert into crm.role_permissions (org_id, role, permission, scope) values (tests.org_id(''Acme''), ''sales'', ''contacts.read'', ''own'')', 'sol', '-yy------y-',
    'a narrower one takes nothing away');
select tests.after('delete from crm.role_permissions where role = ''sales''', 'sol', '--y--------', 'and without it all is as it was');
rollback to unchanged;
select tests.nobody();
insert into crm.memberships (org_id, user_id, role) values (tests.org_id('Borg'), tests.user_id('sol'), 'sales');
insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Borg'), 'sales', 'contacts.read');
select is(tests.seen('sol'), '--y--------', 'what another organization adds to its roles is its own');

-- Several organizations, another scope in each --------------------------------------------------------------------------------------------
-- wil and kim are in all of them, and in one group in each but the last.

select tests.nobody();
select tests.register('root' || n, 'Org' || n) from generate_series(1, 6) as n;
insert into crm.users (email, full_name) values ('wil@example.com', 'Wil'), ('kim@example.com', 'Kim');
insert into tests.people select lower(full_name), id from crm.users where full_name in ('Wil', 'Kim');
select tests.make_role('Org1', 'here', 10, 'contacts.read own, contacts.update own, contacts.create own, contacts.delete own');
select tests.make_role('Org2', 'here', 10, 'contacts.read team, contacts.update own, contacts.create team');
select tests.make_role('Org3', 'here', 10, 'contacts.read all, contacts.update team, contacts.create all, contacts.delete own');
select tests.make_role('Org4', 'here', 10, 'accounts.* all');
select tests.make_role('Org5', 'here', 10, 'contacts.* all');
select tests.make_role('Org6', 'here', 10, 'contacts.update all');
select tests.join(person, 'Org' || n, 'here') from unnest('{wil,kim}'::text[]) as person, generate_series(1, 6) as n;
select tests.make_group('Org' || n, 'Group' || n, '{wil,kim}') from generate_series(1, 5) as n;
update crm.memberships set status = 'ended', ended_at = now() where org_id = tests.org_id('Org5') and user_id = tests.user_id('wil');
insert into crm.contacts (org_id, last_name, owner_id)
select o.org_id, o.name || ' ' || p.name, p.user_id
from tests.organizations as o cross join tests.people as p
where o.name ~ '^Org' and (p.name in ('wil', 'kim') or p.name = 'root' || substr(o.name, 4));
insert into crm.contacts (org_id, last_name) select org_id, name || ' nobody' from tests.organizations where name ~ '^Org';

create function tests.contacts(statement text) returns text language plpgsql as $$
declare
    found text;
begin
    execute format('with done as (%s) select string_agg(last_name, '', '' order by last_name) from done', statement) into found;
    return found;
exception
    when others then
        return sqlstate || ' ' || sqlerrm;
end
$$;
create function tests.adds(n integer, row_owner text) returns text language sql as $$
    select left(tests.outcome(format('insert into crm.contacts (org_id, last_name, owner_id) values (%L, ''x'', %L)', tests.org_id('Org' || n), tests.user_id(row_owner))), 6)
$$;
select tests.become('wil');
select is(tests.contacts('select last_name from crm.contacts'), 'Org1 wil, Org2 kim, Org2 wil, Org3 kim, Org3 nobody, Org3 root3, Org3 wil',
    'across organizations a colleague of the one is none of the other');
select is(tests.contacts('select last_name from crm.contacts where owner_id = tests.user_id(''kim'')'), 'Org2 kim, Org3 kim', 'also where they are asked for');
savepoint across;
select is(tests.contacts('update crm.contacts set title = ''x'' where last_name ~ ''wil'' returning last_name'), 'Org1 wil, Org2 wil, Org3 wil', 'wil changes his own');
rollback to across;
select is(tests.contacts('update crm.contacts set title = ''x'' where last_name = ''Org3 kim'' returning last_name'), 'Org3 kim', 'a colleague''s where that is permitted for the team');
rollback to across;
select matches(tests.contacts('update crm.contacts set title = ''x'' where last_name = ''Org2 kim'' returning last_name'), '^42501 you may see this row', 'and not where it is for his own');
select matches(tests.contacts('update crm.contacts set title = ''x'' where last_name = ''Org3 root3'' returning last_name'), '^42501 you may see this row', 'nor what is nobody''s in the team');
select matches(tests.contacts('update crm.contacts set title = ''x'' returning last_name'), '^42501 you may see this row', 'nor all at once');
select is(tests.contacts('update crm.contacts set title = ''x'' where org_id in (tests.org_id(''Org4''), tests.org_id(''Org5''), tests.org_id(''Org6'')) returning last_name'), null,
    'nothing where nothing is seen');
select is(tests.outcome('update crm.contacts set title = ''x'' where org_id = tests.org_id(''Org6'')'), '0 rows', 'nor where it is only to be changed');
select is(tests.outcome('delete from crm.contacts where org_id = tests.org_id(''Org1'')'), '1 rows', 'wil deletes his own');
select is(tests.outcome('delete from crm.contacts where org_id = tests.org_id(''Org2'')'), '42501 your role does not permit contacts.delete', 'nothing where nothing is to be deleted');
select matches(tests.outcome('delete from crm.contacts where org_id = tests.org_id(''Org3'')'), '^42501 you may see this row', 'and is refused what he only sees');
select is((select string_agg(tests.adds(n, o), ', ' order by n, o desc) from generate_series(1, 6) as n, unnest('{wil,kim}'::text[]) as o),
    '1 rows, 42501 , 1 rows, 1 rows, 1 rows, 1 rows, 42501 , 42501 , 42501 , 42501 , 42501 , 42501 ', 'and adds for whom he may, organization by organization');
select is(tests.outcome('update crm.contacts set owner_id = tests.user_id(''kim'') where last_name = ''Org3 wil'''), '1 rows', 'gives away where he may');
select matches(tests.outcome('update crm.contacts set owner_id = tests.user_id(''kim'') where last_name = ''Org2 wil'''), '^42501', 'and not where he may not');
select matches(tests.outcome('update crm.contacts set org_id = tests.org_id(''Org3'') where last_name = ''Org1 wil'''), '^42501', 'nothing moves from one to the other');
select is((select array_agg(id order by id) from crm.organizations), (select array_agg(m order by m) from unnest(crm.my_org_ids()) as m), 'he sees the organizations he belongs to');
select is((select count(*) from crm.users), 1::bigint, 'nor who is in them');

select tests.nobody();
select crm.suspend_organization(tests.org_id('Org3'), 'a reason') \g /dev/null
select tests.become('wil');
select is(tests.contacts('select last_name from crm.contacts'), 'Org1 wil, Org2 kim, Org2 wil', 'of a suspended organization nothing is seen');
select is(array_length(crm.permitted_org_ids('contacts.read'), 1), 2, 'nor permitted there');
select is(crm.team_scope_keys('contacts.read'), (select array_agg(tests.org_id('Org2') || '/' || user_id order by user_id) from tests.people where name in ('wil', 'kim')), 'the team is that of one organization');

-- In one of them the others do not count.
select tests.become('wil', 'Org1');
select is(tests.contacts('select last_name from crm.contacts'), 'Org1 wil', 'in one organization only that one''s scope counts');
select is(crm.scope_user_ids('contacts.read'), array[tests.user_id('wil')], 'and that is his own, as the policies are told');


-- Who may change and delete their own but sees nothing, passes over all of it, in one organization as across several.
select tests.nobody();
select tests.make_role('Org6', 'sightless', 10, 'contacts.update own, contacts.delete own');
select tests.hire('zed', 'Org6', 'sightless');
insert into crm.contacts (org_id, last_name, owner_id) values (tests.org_id('Org6'), 'zed', tests.user_id('zed'));
insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'zed', organization, statement, '^0 rows', format('who sees nothing: %s %s', statement, case when organization is null then 'across organizations' else 'in one organization' end)
from unnest(array['Org6', null]) as organization, unnest(array['select from crm.contacts', 'update crm.contacts set title = ''x''', 'delete from crm.contacts']) as statement;
select tests.attempted();

-- However many groups and roles give somebody the same, it is remembered once.
select tests.nobody();
select tests.make_role('Org6', format('many%s', n), 10, 'contacts.read all, accounts.* all') from generate_series(1, 12) as n;
select tests.make_group('Org6', format('Many %s', n), '{zed}', 'contacts.read own', array(select format('many%s', m) from generate_series(1, 12) as m))
from generate_series(1, 8) as n;
select tests.become('zed', 'Org6');
select set_eq(
    $$select permission, scope from crm.my_permissions() where permission ~ '^(contacts|accounts)'$$,
    $$values ('contacts.read', 'all'), ('contacts.update', 'own'), ('contacts.delete', 'own'), ('accounts.read', 'all'), ('accounts.create', 'all'),
        ('accounts.update', 'all'), ('accounts.delete', 'all')$$,
    'the widest scope of many counts'
);
select tests.nobody();
select p.name as org6_owner
from crm.memberships as m
join tests.people as p on p.user_id = m.user_id
where m.org_id = tests.org_id('Org6') and m.role = 'owner' and m.status = 'active' limit 1 \gset
select tests.become(:'org6_owner', 'Org6');
select cmp_ok(
    jsonb_array_length(crm.explain_access(tests.user_id('zed'), 'contacts') #> '{may,read,via}'), '<=', 3, 'and each permission and scope is kept once'
);

select * from finish();
rollback;
