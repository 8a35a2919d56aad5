-- Nobody grants what they lack, however they go about it. Most attempts are those of mel, who may administer everything in Acme, but
-- has few permissions besides, and of what stands below him in rank.

begin;
\ir ../actors.psql
\ir helpers.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.make_role('Acme', 'steward', 50, 'roles.* all, role_permissions.* all, groups.* all, group_members.* all, group_permissions.* all, '
    'group_roles.* all, memberships.* all, invitations.* all, api_keys.* all, access.* all, users.read all, contacts.read team, contacts.update own, '
    'accounts.read all, accounts.create all, accounts.update all, accounts.delete all');
select tests.make_role('Acme', 'picker', 10, 'accounts.read all');
select tests.make_role('Acme', 'analyst', 30, 'accounts.read all, contacts.delete own');
select tests.make_role('Acme', 'teamer', 20, 'contacts.read team');
select tests.make_role('Acme', 'chief', 70, 'accounts.read all');
select tests.make_role('Acme', 'reader', 30, '*.read all, role_permissions.* all, roles.* all, api_keys.* all, group_members.* all');
select tests.hire('ada', 'Acme', 'admin');
select tests.hire('mel', 'Acme', 'steward');
select tests.hire('pip', 'Acme', 'picker');
select tests.hire('pam', 'Acme', 'picker');
select tests.hire('sol', 'Acme', 'sales');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('rea', 'Acme', 'reader');
select tests.hire('gus', 'Acme', 'picker');
select tests.join('mel', 'Borg', 'read_only');
select tests.make_group('Acme', 'Open', '{mel}');
select tests.make_group('Acme', 'Empty', '{}');
select tests.make_group('Acme', 'Data', '{sol}', 'contacts.read all');
select tests.make_group('Acme', 'Board', '{gus}', '', '{admin}');
select tests.make_group('Acme', 'Analysts', '{}', '', '{analyst}');
select tests.make_group('Acme', 'Managed', '{mia}');
select tests.make_group('Acme', 'Together', '{pip,ann}');
select tests.make_group('Acme', 'Readers', '{}', '*.read team');
select tests.make_group('Borg', 'Theirs', '{}');
select tests.make_key('Acme', 'all', '{*.*}');
select tests.make_key('Acme', 'reads', '{*.read}');
select tests.make_key('Acme', 'groups', '{groups.*,group_members.*,group_permissions.*,group_roles.*,roles.*,role_permissions.*}');
insert into crm.contacts (org_id, last_name, owner_id) values
    (tests.org_id('Acme'), 'Ann''s', tests.user_id('ann')), (tests.org_id('Acme'), 'Mel''s', tests.user_id('mel'));

\set lack '^42501 nobody can grant more than they have: you lack'
\set above '^42501 .*(role is above yours)'

create table tests.before as select md5(string_agg(t.row, '' order by t.row)) as all_rows from (
    select to_jsonb(t)::text as row from crm.roles as t union all select to_jsonb(t)::text from crm.role_permissions as t union all
    select to_jsonb(t)::text from crm.group_permissions as t union all select to_jsonb(t)::text from crm.group_roles as t union all
    select to_jsonb(t)::text from crm.group_members as t union all select to_jsonb(t)::text from crm.memberships as t
) as t;

-- Permissions of roles -------------------------------------------------------------------------------------------------

insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'mel', 'Acme', format($$insert into crm.role_permissions (role, permission, scope) values ('picker', %L, %L)$$, permission, scope), wanted,
    format('a steward gives %s %s: %s', permission, scope, wanted)
from (values
    ('contacts.read', 'own', '^1 rows'), ('contacts.read', 'team', :'lack'), ('contacts.read', 'all', :'lack'),
    ('contacts.update', 'own', '^1 rows'), ('contacts.update', 'team', :'lack'), ('contacts.update', 'all', :'lack'),
    ('contacts.delete', 'own', :'lack'), ('contacts.create', 'own', :'lack'), ('contacts.*', 'own', :'lack'),
    ('accounts.create', 'all', '^1 rows'), ('accounts.*', 'own', :'lack'), ('accounts.*', 'all', :'lack'),
    ('*.read', 'own', :'lack'), ('*.update', 'all', :'lack'), ('*.*', 'own', :'lack'), ('roles.*', 'all', '^1 rows'), ('access.read', 'all', '^1 rows'),
    (' contacts.delete ', 'own', '^(42501|22023)'), ('Contacts.delete', 'own', '^22023'), ('contacts', 'own', '^22023'), ('**.*', 'own', '^22023'),
    ('', 'own', '^(22023|23502)'), (null, 'own', '^(22023|23502)'), ('contacts.fly', 'own', '^22023'), ('nothing.*', 'own', '^22023'),
    ('contacts.read', 'ALL', '^(22023|23514)'), ('contacts.read', '', '^(22023|23514)'), ('contacts.read', null, '^(22023|23502)')
) as given (permission, scope, wanted);

insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.read')$$, :'lack', 'without a scope it is all'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('steward', 'contacts.delete')$$, :'lack', 'nor to the role one has'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('admin', 'accounts.read')$$, :'above', 'nothing to the administrators'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('chief', 'accounts.create')$$, :'above', 'nothing to an own role above'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('owner', 'accounts.read')$$, '^42501', 'nothing to the owners'),
    ('ann', 'Acme', $$insert into crm.role_permissions (role, permission) values ('owner', 'accounts.read')$$, '^42501', 'not even an owner'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('nobody', 'accounts.read')$$, '^(42501|23503)', 'nothing to a role that is not there'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('sales', 'accounts.create')$$, '^1 rows', 'but to a built-in role below'),
    ('mel', 'Acme', $$insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Borg'), 'sales', 'accounts.read')$$, '^42501',
        'nothing in another organization, where one is a member too'),
    ('mel', 'Acme', $$update crm.role_permissions set permission = 'contacts.delete', scope = 'own' where role = 'picker'$$, :'lack', 'update of the permission'),
    ('mel', 'Acme', $$update crm.role_permissions set permission = 'accounts.*' where role = 'picker'$$, :'lack', 'update to a wildcard'),
    ('mel', 'Acme', $$update crm.role_permissions set scope = 'all' where permission = 'contacts.read'$$, :'lack', 'update of the scope'),
    ('mel', 'Acme', $$update crm.role_permissions set scope = 'own' where permission = 'contacts.read' and role = 'teamer'$$, '^1 rows', 'update to a narrower scope'),
    ('mel', 'Acme', $$update crm.role_permissions set role = 'chief' where role = 'picker'$$, :'above', 'update of the role to one above'),
    ('mel', 'Acme', $$update crm.role_permissions set role = 'owner' where role = 'picker'$$, '^42501', 'update of the role to the owners'''),
    ('mel', 'Acme', $$update crm.role_permissions set role = 'steward' where role = 'analyst' and permission = 'contacts.delete'$$, :'lack',
        'taking for oneself what another role has'),
    ('mel', 'Acme', $$update crm.role_permissions set role = 'picker' where role = 'chief'$$, '^0 rows', 'a role above is not seen'),
    ('mel', 'Acme', $$delete from crm.role_permissions where role = 'chief'$$, '^0 rows', 'nor is anything taken from it'),
    ('mel', 'Acme', $$update crm.role_permissions set org_id = tests.org_id('Borg') where role = 'picker'$$, '^42501', 'update of the organization'),
    ('mel', 'Acme', $$update crm.role_permissions set id = crm.uuid_v7() where role = 'picker'$$, '^42501', 'update of the id'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('teamer', 'contacts.read', 'own')
        on conflict (org_id, role, permission) do update set scope = 'all'$$, :'lack', 'upsert that widens'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('teamer', 'contacts.read', 'own')
        on conflict (org_id, role, permission) do update set permission = 'contacts.delete', scope = 'own'$$, :'lack', 'upsert that makes another of it'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('chief', 'accounts.read', 'all')
        on conflict (org_id, role, permission) do update set permission = 'accounts.create'$$, '^42501', 'upsert of a role above'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('teamer', 'contacts.read', 'own')
        on conflict (org_id, role, permission) do update set scope = excluded.scope$$, '^1 rows', 'upsert that narrows'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'accounts.create'), ('picker', 'contacts.delete')$$, :'lack', 'several rows'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) select 'picker', permission, scope from crm.built_in_permissions where role = 'sales'
        and permission like 'contacts.%'$$, :'lack', 'insert … select'),
    ('mel', 'Acme', $$with made as (insert into crm.role_permissions (role, permission) values ('picker', 'contacts.delete') returning 1) select from made$$, :'lack', 'with'),
    ('mel', 'Acme', $$with first as (insert into crm.role_permissions (role, permission, scope) values ('steward', 'contacts.delete', 'own') returning 1)
        insert into crm.role_permissions (role, permission, scope) select 'picker', 'contacts.delete', 'own' from first$$, :'lack', 'with, to oneself first'),
    ('mel', 'Acme', $$merge into crm.role_permissions as t using (values ('picker', 'contacts.delete')) as s (role, permission) on t.role = s.role and t.permission = s.permission
        when not matched then insert (role, permission) values (s.role, s.permission)$$, '^22023 MERGE is not available', 'merge that inserts'),
    ('mel', 'Acme', $$merge into crm.role_permissions as t using (values (1)) as s on t.role = 'teamer' when matched then update set scope = 'all'$$, '^22023 MERGE is not available', 'merge that updates'),
    ('mel', 'Acme', $$do $do$ declare c cursor for select * from crm.role_permissions where role = 'teamer' for update; r record;
        begin open c; fetch c into r; update crm.role_permissions set scope = 'all' where current of c; end $do$ $$, :'lack', 'a cursor'),
    ('mel', 'Acme', $$do $do$ begin insert into crm.role_permissions (role, permission, scope) values ('steward', 'contacts.delete', 'own');
        exception when insufficient_privilege then insert into crm.role_permissions (role, permission, scope) values ('steward', 'contacts.delete', 'own'); end $do$ $$,
        :'lack', 'a second try after a savepoint'),
    ('mel', 'Acme', $$do $do$ begin prepare once (text, text) as insert into crm.role_permissions (role, permission) values ($1, $2);
        execute 'execute once (''picker'', ''contacts.delete'')'; end $do$ $$, :'lack', 'a prepared statement'),
    ('mel', 'Acme', $$copy crm.role_permissions (role, permission) from '/dev/null'$$, '^(42501|0A000)', 'copy from a file'),
    ('mel', 'Acme', 'truncate crm.role_permissions', '^42501 permission denied', 'truncate'),
    ('mel', 'Acme', 'alter table crm.role_permissions disable trigger all', '^42501', 'disabling the trigger'),
    ('mel', 'Acme', 'drop trigger _400_delegation on crm.role_permissions', '^42501', 'dropping the trigger'),
    ('mel', 'Acme', 'set session_replication_role = replica', '^42501', 'having no triggers'),
    ('mel', 'Acme', 'create temp table mine (org_id uuid, role text, foreign key (org_id, role) references crm.roles (org_id, name) on update cascade)', '^(42P16|42501)',
        'no table of one''s own refers to one of ours'),
    ('rea', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.read')$$, '^1 rows', 'a wildcard has what it covers'),
    ('rea', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', '*.read')$$, '^1 rows', 'and itself'),
    ('rea', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.*')$$, :'lack', 'and not what only crosses it'),
    ('rea', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.update')$$, :'lack', 'nor another action'),
    ('sol', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('picker', 'contacts.read', 'own')$$, '^42501 your role does not permit',
        'who administers nothing gives nothing of what they have'),
    ('ada', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', '*.*')$$, '^1 rows', 'an administrator may give everything'),
    ('ada', 'Acme', $$insert into crm.role_permissions (role, permission) values ('owner', '*.*')$$, '^42501', 'but not to owners');

-- Roles ------------------------------------------------------------------------------------------------------------------

insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('mel', 'Acme', $$insert into crm.roles (name) values ('fresh')$$, '^1 rows', 'a steward makes a role'),
    ('mel', 'Acme', $$insert into crm.roles (name) values ('fresh') returning name$$, '^1 rows', 'and is shown it, as by Prefer: return=representation'),
    ('mel', 'Acme', $$insert into crm.roles (name) values ('fresh') on conflict do nothing$$, '^1 rows', 'or by an upsert that ignores what is there'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'accounts.create') returning role$$, '^1 rows', 'as a permission is'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', 50)$$, '^1 rows', 'of the own rank'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', 51)$$, :'above', 'and not above it'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', null)$$, '^(42501|23502)', 'nor without one'),
    ('mel', 'Acme', $$insert into crm.roles (name, built_in) values ('fresh', true)$$, '^42501 the built-in roles', 'nor a built-in one'),
    ('mel', 'Acme', $$insert into crm.roles (org_id, name) values (tests.org_id('Borg'), 'fresh')$$, '^42501', 'nor in another organization'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', 10), ('fresher', 90)$$, :'above', 'nor among others'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('picker', 10) on conflict (org_id, name) do update set rank = 100$$, :'above', 'nor by upsert'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('sales', 10) on conflict (org_id, name) do update set built_in = false$$, '^42501', 'upsert of a built-in role'),
    ('mel', 'Acme', $$insert into crm.roles (name, rank) values ('owner', 10) on conflict (org_id, name) do update set title = 'x'$$, '^42501', 'upsert of a role above'),
    ('mel', 'Acme', $$insert into crm.roles (name) values ('Owner')$$, '^(23514|22023)', 'a name that only looks like another'),
    ('mel', 'Acme', $$insert into crm.roles (name) values (' owner ')$$, '^(23505|42501)', 'a name with blanks'),
    ('mel', 'Acme', $$update crm.roles set rank = 51 where name = 'steward'$$, :'above', 'a raise for oneself'),
    ('mel', 'Acme', $$update crm.roles set rank = 50 where name = 'picker'$$, '^1 rows', 'a raise for others up to one''s own'),
    ('mel', 'Acme', $$update crm.roles set built_in = true where name = 'steward'$$, '^42501 the built-in roles', 'being built-in'),
    ('mel', 'Acme', $$update crm.roles set built_in = false where name = 'sales'$$, '^42501 the built-in roles', 'a built-in role is not made an own one'),
    ('mel', 'Acme', $$update crm.roles set name = 'x' where name = 'sales'$$, '^42501 the built-in roles', 'nor renamed'),
    ('mel', 'Acme', $$update crm.roles set rank = 1 where name = 'sales'$$, '^42501 the built-in roles', 'nor lowered'),
    ('mel', 'Acme', $$delete from crm.roles where name = 'sales'$$, '^42501 the built-in roles', 'nor deleted'),
    ('mel', 'Acme', $$update crm.roles set name = 'admin' where name = 'picker'$$, '^(23505|42501)', 'no second role is called like a built-in one'),
    ('mel', 'Acme', $$update crm.roles set name = 'pickers' where name = 'picker'$$, '^1 rows', 'an own role is renamed'),
    ('mel', 'Acme', $$update crm.roles set title = 'x' where name in ('chief', 'admin', 'owner')$$, '^0 rows', 'roles above are not seen'),
    ('mel', 'Acme', $$delete from crm.roles where name = 'chief'$$, '^0 rows', 'nor deleted'),
    ('mel', 'Acme', $$update crm.roles set title = 'x' where name = 'admin' returning 1$$, '^0 rows', 'an administrator''s role is above'),
    ('mel', 'Acme', $$update crm.roles set title = 'x'$$, '^42501', 'all at once'),
    ('mel', 'Acme', $$delete from crm.roles where name = 'picker'$$, '^23503', 'a role that somebody has stays'),
    ('mel', 'Acme', $$do $do$ begin update crm.roles set name = 'old_steward' where name = 'steward'; insert into crm.roles (name, rank) values ('steward', 60); end $do$ $$,
        '^42501', 'renaming and making anew'),
    ('mel', 'Acme', $$do $do$ begin delete from crm.roles where name = 'teamer'; insert into crm.roles (name, rank) values ('teamer', 20);
        insert into crm.role_permissions (role, permission, scope) values ('teamer', 'contacts.delete', 'own'); end $do$ $$, :'lack', 'deleting and making anew'),
    ('mel', 'Acme', $$do $do$ begin update crm.roles set name = 'x' where name = 'steward'; perform crm.set_member_role(tests.user_id('mel'), 'analyst'); end $do$ $$, '^42501',
        'a renamed role gives as little as before'),
    ('mel', 'Acme', $$merge into crm.roles as r using (values (1)) as s on r.name = 'steward' when matched then update set rank = 99$$, '^22023 MERGE is not available', 'merge'),
    ('ada', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', 81)$$, :'above', 'an administrator makes no role above theirs'),
    ('ada', 'Acme', $$update crm.roles set title = 'x' where name = 'owner'$$, '^0 rows', 'and does not see the owners'' role'),
    ('ann', 'Acme', $$update crm.roles set title = 'x' where name = 'owner'$$, '^42501 the built-in roles', 'whom even owners cannot change');

-- Groups -----------------------------------------------------------------------------------------------------------------

insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'mel', 'Acme', format($$insert into crm.group_permissions (group_id, permission, scope) values (tests.group_id('Empty'), %L, %L)$$, permission, scope), wanted,
    format('a steward gives a group %s %s: %s', permission, scope, wanted)
from (values
    ('contacts.read', 'team', '^1 rows'), ('contacts.read', 'all', :'lack'), ('contacts.delete', 'own', :'lack'), ('accounts.create', 'all', '^1 rows'),
    ('accounts.*', 'all', :'lack'), ('*.*', 'own', :'lack'), ('contacts.fly', 'all', '^22023')
) as given (permission, scope, wanted);

insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('mel', 'Acme', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Theirs'), 'accounts.read')$$, '^(42501|23503)',
        'nothing to a group of another organization'),
    ('mel', 'Acme', $$update crm.group_permissions set group_id = tests.group_id('Open') where permission = 'contacts.read'$$, :'lack', 'taking what another group has'),
    ('mel', 'Acme', $$update crm.group_permissions set permission = '*.*'$$, :'lack', 'update of a group''s permission'),
    ('mel', 'Acme', $$update crm.group_permissions set scope = 'team' where permission = 'contacts.read'$$, '^1 rows', 'a narrower one'),
    ('mel', 'Acme', $$insert into crm.group_permissions (group_id, permission, scope) values (tests.group_id('Data'), 'contacts.read', 'own')
        on conflict (org_id, group_id, permission) do update set permission = 'contacts.update'$$, :'lack', 'upsert of a group''s permission'),
    ('mel', 'Acme', $$merge into crm.group_permissions as p using (values (1)) as s on p.group_id = tests.group_id('Open')
        when not matched then insert (group_id, permission) values (tests.group_id('Open'), 'contacts.read')$$, '^22023 MERGE is not available', 'merge of a group''s permission'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'picker')$$, '^1 rows', 'a group gets a role'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'steward')$$, '^1 rows', 'also one''s own'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'admin')$$, :'above', 'none above'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'owner')$$, '^42501', 'not the owners'''),
    ('ann', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'owner')$$, '^42501', 'not by an owner'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'analyst')$$, :'lack', 'none with what one lacks'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'sales')$$, :'lack', 'also a built-in one'),
    ('mel', 'Acme', $$update crm.group_roles set group_id = tests.group_id('Open') where role = 'analyst'$$, :'lack', 'taking another group''s role'),
    ('mel', 'Acme', $$do $do$ begin insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'picker');
        update crm.group_roles set role = 'analyst' where group_id = tests.group_id('Open'); end $do$ $$, :'lack', 'another role instead'),
    ('mel', 'Acme', $$delete from crm.group_roles where role = 'admin'$$, '^0 rows', 'a group''s role above is not seen'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Board'), 'admin')
        on conflict (org_id, group_id, role) do update set group_id = tests.group_id('Open')$$, '^42501', 'nor moved by upsert'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Empty'), tests.user_id('pip'))$$, '^1 rows', 'letting somebody join what gives nothing'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Empty'), tests.user_id('mel'))$$, :'lack' || ' contacts.read with scope all',
        'not even whom nobody else is there yet, who has permissions for the team'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Data'), tests.user_id('mel'))$$, :'lack', 'joining what gives more'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Data'), tests.user_id('pip'))$$, :'lack', 'letting others join it'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Board'), tests.user_id('mel'))$$, :'above', 'joining what has a role above'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Analysts'), tests.user_id('mel'))$$, :'lack', 'joining what has a role with more'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Readers'), tests.user_id('pip'))$$, :'lack', 'joining what has a wildcard'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id, is_lead) values (tests.group_id('Data'), tests.user_id('mel'), true)$$, :'lack', 'leading it'),
    ('mel', 'Acme', $$update crm.group_members set group_id = tests.group_id('Data') where user_id = tests.user_id('mel')$$, :'lack', 'moving there'),
    ('mel', 'Acme', $$update crm.group_members set user_id = tests.user_id('mel') where group_id = tests.group_id('Data')$$, :'lack', 'taking somebody''s place there'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Data'), tests.user_id('sol'))
        on conflict (org_id, group_id, user_id) do update set user_id = tests.user_id('mel')$$, '^42501', 'taking it by upsert'),
    ('mel', 'Acme', $$merge into crm.group_members as m using (values (1)) as s on m.group_id = tests.group_id('Data') and m.user_id = tests.user_id('sol')
        when matched then update set user_id = tests.user_id('mel')$$, '^22023 MERGE is not available', 'taking it by merge'),
    ('mel', 'Acme', $$update crm.group_members set is_lead = true where group_id = tests.group_id('Data')$$, '^1 rows', 'who leads may be said of any group'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Open'), tests.user_id('ann'))$$, :'lack' || ' contacts.read with scope all',
        'pulling the owner into a team of one''s own'),
    ('mel', 'Acme', $$update crm.group_members set user_id = tests.user_id('ann') where user_id = tests.user_id('pip')$$, '^(23505|1 rows)', 'exchanging people without permissions'),
    ('mel', 'Acme', $$do $do$ begin insert into crm.group_members (group_id, user_id) values (tests.group_id('Empty'), tests.user_id('ann'));
        insert into crm.group_members (group_id, user_id) values (tests.group_id('Empty'), tests.user_id('mel')); end $do$ $$, :'lack' || ' contacts.read with scope all',
        'joining the owner'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) select tests.group_id('Empty'), tests.user_id(person) from unnest('{ann,mel}'::text[]) as person$$,
        :'lack' || ' contacts.read with scope all', 'both in one statement'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Managed'), tests.user_id('ann'))$$, :'lack', 'pulling the owner into a manager''s team'),
    ('mel', 'Acme', $$do $do$ begin delete from crm.group_members where user_id = tests.user_id('mel');
        insert into crm.group_members (group_id, user_id) values (tests.group_id('Together'), tests.user_id('mel')); end $do$ $$, :'lack', 'leaving one''s team before'),
    ('mel', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Empty'), tests.user_id('bob'))$$, '^(23503|42501)', 'nobody from elsewhere joins'),
    ('mel', 'Acme', $$insert into crm.group_members (org_id, group_id, user_id) values (tests.org_id('Borg'), tests.group_id('Theirs'), tests.user_id('mel'))$$, '^42501',
        'nor oneself elsewhere'),
    ('mia', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Managed'), tests.user_id('ann'))$$, '^42501 your role does not permit',
        'a manager decides about no team'),
    ('ada', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Managed'), tests.user_id('ann'))$$, '^1 rows', 'an administrator does'),
    ('ada', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Board'), tests.user_id('mel'))$$, '^1 rows', 'and lets others be administrators'),
    -- Nobody takes a role of a higher rank, in whatever way it was given.
    ('mel', 'Acme', $$delete from crm.group_members where group_id = tests.group_id('Board')$$, :'above', 'taking a role above by putting somebody out of the group'),
    ('mel', 'Acme', $$update crm.group_members set group_id = tests.group_id('Empty') where group_id = tests.group_id('Board')$$, :'above', 'or into another'),
    ('mel', 'Acme', $$delete from crm.groups where id = tests.group_id('Board')$$, :'above', 'or by deleting the group'),
    ('mel', 'Acme', $$select crm.remove_member(tests.user_id('gus'))$$, :'above', 'removing a member who has a role above through a group'),
    ('mel', 'Acme', $$select crm.set_member_role(tests.user_id('gus'), 'teamer')$$, :'above', 'giving them another role'),
    -- A permission for the team is worth as much as the team.
    ('mel', 'Acme', $$insert into crm.group_permissions (group_id, permission, scope) values (tests.group_id('Together'), 'contacts.read', 'team')$$, :'lack',
        'scope team to a group that the owner is in, where one''s own does not reach'),
    ('mel', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Together'), 'teamer')$$, :'lack', 'the same by a group''s role'),
    ('mel', 'Acme', $$insert into crm.role_permissions (role, permission, scope) values ('picker', 'contacts.read', 'team')$$, :'lack', 'by the role of somebody in it'),
    ('mel', 'Acme', $$select crm.set_member_role(tests.user_id('pip'), 'teamer')$$, :'lack', 'by another role for somebody in it');

-- Members, invitations and keys -----------------------------------------------------------------------------------------

insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'mel', 'Acme', format('select crm.set_member_role(tests.user_id(%L), %L)', person, role), wanted, format('a steward makes %s %s: %s', person, role, wanted)
from (values
    ('pam', 'steward', '^1 rows'), ('pam', 'picker', '^1 rows'), ('pam', 'analyst', :'lack'), ('pam', 'sales', :'lack'), ('pam', 'read_only', :'lack'), ('pam', 'chief', :'above'),
    ('pam', 'admin', :'above'), ('pam', 'owner', :'above'), ('pam', 'nobody', '^22023'), ('pam', null, '^22023'), ('mel', 'admin', :'above'), ('mel', 'owner', :'above'),
    ('mel', 'analyst', :'lack'), ('mel', 'picker', '^1 rows'), ('ann', 'picker', :'above'), ('ada', 'picker', :'above'), ('mia', 'picker', :'above'), ('bob', 'picker', '^22023')
) as given (person, role, wanted);

insert into tests.attempts (who, organization, statement, wanted, sentence)
select 'mel', 'Acme', format('select crm.invite_user(%L, %L)', 'new@example.com', role), wanted, format('a steward invites a %s: %s', role, wanted)
from (values ('picker', '^1 rows'), ('steward', '^1 rows'), ('analyst', :'lack'), ('read_only', :'lack'), ('chief', :'above'), ('admin', :'above'), ('owner', :'above'), ('nobody', '^22023')
) as given (role, wanted);

insert into tests.attempts (who, organization, statement, wanted, sentence)
select who, 'Acme', format('select crm.create_api_key(%L, %L)', 'mine', scopes), wanted, format('%s makes a key with %s: %s', who, scopes, wanted)
from (values
    ('mel', '{accounts.read}', '^1 rows'), ('mel', '{accounts.read,accounts.create,accounts.update,accounts.delete}', '^1 rows'), ('mel', '{accounts.*}', :'lack'),
    ('mel', '{contacts.read}', :'lack'), ('mel', '{contacts.update}', :'lack'), ('mel', '{accounts.read,contacts.delete}', :'lack'), ('mel', '{*.*}', :'lack'),
    ('mel', '{*.read}', :'lack'), ('mel', '{roles.*}', '^1 rows'), ('mel', '{roles.read,roles.read}', '^1 rows'), ('mel', '{invoices.read}', :'lack'),
    ('rea', '{*.read}', '^1 rows'), ('rea', '{invoices.read}', '^1 rows'), ('rea', '{contacts.*}', :'lack'), ('ada', '{*.*}', '^1 rows'), ('sol', '{contacts.read}', '^42501')
) as given (who, scopes, wanted);

insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('mel', null, $$insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Acme'), 'picker', 'accounts.read')$$, '^42501 permission denied',
        'across organizations nothing is given to roles'),
    ('mel', null, 'select from crm.roles', '^42501 permission denied', 'nor are they read'),
    ('mel', null, $$update crm.group_members set is_lead = true$$, '^42501 permission denied', 'nor are groups changed'),
    ('mel', null, 'delete from crm.groups', '^42501 permission denied', 'nor deleted'),
    ('mel', null, 'select from crm.group_permissions', '^42501 permission denied', 'nor their permissions read'),
    ('mel', null, $$insert into crm.group_roles (org_id, group_id, role) values (tests.org_id('Acme'), tests.group_id('Open'), 'picker')$$, '^42501 permission denied', 'nor roles given to them'),
    ('mel', null, $$select crm.set_member_role(tests.user_id('pam'), 'steward')$$, '^42501 permission denied', 'nor to members'),
    ('mel', null, $$select crm.create_api_key('mine', '{accounts.read}')$$, '^42501', 'nor keys made'),
    ('mel', null, $$select crm.invite_user('new@example.com', 'picker')$$, '^42501', 'nor anybody invited'),
    ('mel', null, $$do $do$ begin perform set_config('role', 'crm_app', true); insert into crm.role_permissions (org_id, role, permission)
        values (tests.org_id('Acme'), 'picker', 'accounts.create'); end $do$ $$, '^42501', 'nor by becoming crm_app on the way'),
    ('key all', 'Acme', $$insert into crm.roles (name, rank) values ('fresh', 1)$$, :'above', 'an API key has no rank: it makes no role'),
    ('key all', 'Acme', $$insert into crm.role_permissions (role, permission) values ('picker', 'accounts.create')$$, :'above', 'nor gives one anything'),
    ('key all', 'Acme', $$update crm.role_permissions set scope = 'own'$$, '^0 rows', 'nor sees what one has'),
    ('key all', 'Acme', $$delete from crm.roles$$, '^0 rows', 'nor which there are'),
    ('key all', 'Acme', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'picker')$$, :'above', 'nor gives one to a group'),
    ('key all', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Board'), tests.user_id('mel'))$$, :'above', 'nor a member to a group that has one'),
    ('key all', 'Acme', $$select crm.set_member_role(tests.user_id('mel'), 'picker')$$, '^42501 only for users', 'nor to a member'),
    ('key all', 'Acme', $$select crm.create_api_key('mine', '{accounts.read}')$$, '^42501 only for users', 'nor makes further keys'),
    ('key all', 'Acme', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Open'), '*.*')$$, '^1 rows', 'but it gives what it has'),
    ('key groups', 'Acme', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Open'), 'contacts.read')$$, :'lack', 'and no more'),
    ('key groups', 'Acme', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Open'), 'groups.*')$$, '^1 rows', 'wildcards as they are'),
    ('key groups', 'Acme', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Open'), tests.user_id('ann'))$$, :'lack', 'nor shows the owner''s rows to a team'),
    ('key reads', 'Acme', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Open'), 'contacts.read')$$, '^42501 your key does not permit',
        'a key that reads gives nothing');

select tests.attempted();

-- What the attempts left --------------------------------------------------------------------------------------------------

select is(md5(string_agg(t.row, '' order by t.row)), (select all_rows from tests.before), 'roles, groups and memberships are as they were') from (
    select to_jsonb(t)::text as row from crm.roles as t union all select to_jsonb(t)::text from crm.role_permissions as t union all
    select to_jsonb(t)::text from crm.group_permissions as t union all select to_jsonb(t)::text from crm.group_roles as t union all
    select to_jsonb(t)::text from crm.group_members as t union all select to_jsonb(t)::text from crm.memberships as t
) as t;

-- With a table and a function of one's own ---------------------------------------------------------------------------------
-- A foreign key's action between two temporary tables runs a trigger function of the caller's, in the middle of what the
-- database does to keep references whole. That function is the caller's all the same.

select tests.become('mel', 'Acme');
create temporary table parents (id integer primary key);
create temporary table children (id integer references parents on delete cascade);
create function pg_temp.run() returns trigger language plpgsql as $$
declare
    touched bigint;
begin
    execute current_setting('tests.statement');
    get diagnostics touched = row_count;
    perform set_config('tests.touched', touched::text, true);
    return old;
end
$$;
create trigger run before delete on pg_temp.children for each row execute function pg_temp.run();
grant all on pg_temp.parents, pg_temp.children to public;
select tests.nobody();

-- Like tests.outcome.
create function tests.by_own_key(statement text) returns text language plpgsql as $$
declare
    said text;
begin
    begin
        perform set_config('tests.statement', statement, true);
        insert into pg_temp.parents values (1);
        insert into pg_temp.children values (1);
        delete from pg_temp.parents;
        said := current_setting('tests.touched') || ' rows';
        raise exception using errcode = 'UNDO1';
    exception
        when sqlstate 'UNDO1' then
            null;
        when others then
            said := sqlstate || ' ' || sqlerrm;
    end;
    return said;
end
$$;

create table tests.by_keys (who text, statement text, wanted text, sentence text);
grant select on tests.by_keys to public;
insert into tests.by_keys values
    ('mel', $$insert into crm.role_permissions (role, permission) values ('steward', '*.*')$$, '^42501', 'give their role everything'),
    ('mel', $$update crm.role_permissions set permission = '*.*', scope = 'all' where role = 'steward' and permission = 'access.*'$$, '^42501', 'change a permission'),
    ('mel', $$insert into crm.role_permissions (role, permission) values ('picker', 'no.such')$$, '^22023', 'give what there is not'),
    ('mel', $$update crm.roles set rank = 100 where name = 'steward'$$, '^42501', 'raise themselves'),
    ('mel', $$update crm.roles set rank = 1 where name = 'sales'$$, '^42501', 'change a built-in role'),
    ('mel', $$insert into crm.group_permissions (group_id, permission) values (tests.group_id('Open'), '*.*')$$, '^42501', 'give their group everything'),
    ('mel', $$insert into crm.group_roles (group_id, role) values (tests.group_id('Open'), 'admin')$$, '^42501', 'make their group administrators'),
    ('mel', $$insert into crm.group_members (group_id, user_id) values (tests.group_id('Board'), tests.user_id('mel'))$$, '^42501', 'join the administrators'),
    ('ada', $$update crm.roles set rank = 100 where name = 'admin'$$, '^42501', 'raise all administrators'),
    ('sol', $$insert into crm.role_permissions (role, permission) values ('sales', '*.*')$$, '^42501', 'administer without the permission'),
    ('sup', $$update crm.contacts set owner_id = crm.current_user_id(), title = 'x'$$, '^42501', 'take over what they only see'),
    ('rob', $$delete from crm.contacts$$, '^42501', 'delete what they only see'),
    ('rea', $$delete from crm.contacts$$, '^(42501|0 rows)', 'delete without the permission');
select tests.hire('sup', 'Acme', 'support');
select tests.make_role('Acme', 'robber', 10, 'contacts.read all, contacts.delete own');
select tests.hire('rob', 'Acme', 'robber');
create function tests.by_keys() returns setof text language plpgsql as $$
declare
    one tests.by_keys;
begin
    for one in select * from tests.by_keys loop
        perform tests.become(one.who, 'Acme');
        return next matches(tests.outcome(one.statement), one.wanted, format('%s cannot %s', one.who, one.sentence));
        return next matches(tests.by_own_key(one.statement), one.wanted, format('%s cannot %s in the course of a foreign key''s action', one.who, one.sentence));
    end loop;
end
$$;
select tests.by_keys();

-- A definer function of theirs runs as the API role, with their identity.
select tests.become('mel', 'Acme');
create function pg_temp.grant_all() returns void language sql security definer as $$
    insert into crm.role_permissions (role, permission) values ('steward', '*.*')
$$;
select matches(tests.outcome('select pg_temp.grant_all()'), '^42501 nobody can grant', 'a SECURITY DEFINER function of one''s own grants no more');

-- One plan, several people --------------------------------------------------------------------------------------------------

select tests.nobody();
set local plan_cache_mode = force_generic_plan;
prepare granting (text, text) as insert into crm.role_permissions (role, permission, scope) values ($1, $2, 'own');
prepare seeing as select count(*)::text from crm.roles;
create function tests.alternate() returns setof text language plpgsql as $$
declare
    seen text;
begin
    for i in 1..3 loop
        perform tests.become('ann', 'Acme');
        return next matches(tests.outcome('execute granting (''picker'', ''contacts.delete'')'), '^\d+ rows', 'with one plan the owner gives contacts.delete');
        execute 'execute seeing' into seen;
        return next is(seen, '13', 'and sees all roles');
        perform tests.become('mel', 'Acme');
        return next matches(tests.outcome('execute granting (''picker'', ''contacts.delete'')'), '^42501 nobody can grant', 'the steward does not');
        execute 'execute seeing' into seen;
        return next is(seen, '9', 'and sees those up to theirs');
        perform tests.become('sol', 'Acme');
        return next matches(tests.outcome('execute granting (''picker'', ''contacts.delete'')'), '^42501 your role', 'a seller gives nothing');
        perform tests.become('bob', 'Borg');
        execute 'execute seeing' into seen;
        return next is(seen, '6', 'bob sees the roles of his organization');
        return next matches(tests.outcome('execute granting (''picker'', ''contacts.delete'')'), '^(42501|23503)', 'and gives nothing to those of another');
        perform tests.become_role('crm_app');
        return next matches(tests.outcome('execute granting (''picker'', ''contacts.delete'')'), '^42501 no identity', 'nobody gives nothing');
        execute 'execute seeing' into seen;
        return next is(seen, '0', 'and sees none');
    end loop;
end
$$;
select tests.alternate();
deallocate granting;
deallocate seeing;

-- What was taken away is taken away within the transaction, and what was rolled back was not given ---------------------------

select tests.become('ann', 'Acme');
savepoint given;
select is(tests.outcome($$insert into crm.role_permissions (role, permission) values ('steward', 'contacts.delete')$$, false), '1 rows', 'the owner gives the stewards contacts.delete');
select tests.become('mel', 'Acme');
select is(tests.outcome($$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.delete')$$), '1 rows', 'who can now give it further');
rollback to given;
select tests.become('mel', 'Acme');
select matches(tests.outcome($$insert into crm.role_permissions (role, permission) values ('picker', 'contacts.delete')$$), :'lack', 'and not once that was rolled back');

select tests.become('mel', 'Acme');
savepoint whole;
select is(tests.outcome($$select crm.set_member_role(tests.user_id('mel'), 'picker')$$, false), '1 rows', 'a steward steps down');
select matches(tests.outcome($$select crm.set_member_role(tests.user_id('mel'), 'steward')$$), '^42501', 'and cannot step up again');
select matches(tests.outcome($$insert into crm.role_permissions (role, permission) values ('picker', 'accounts.create')$$), '^42501 your role', 'nor give anything any more');
rollback to whole;

-- Two who work together: nobody gets at the owner's rows by changing roles while they are in one group.
select tests.become('mel', 'Acme');
select is(tests.outcome($$select crm.set_member_role(tests.user_id('pam'), 'steward'), crm.set_member_role(tests.user_id('mel'), 'picker')$$, false), '1 rows', 'mel makes way for pam');
select tests.become('pam', 'Acme');
select matches(tests.outcome($$do $do$ begin insert into crm.group_members (group_id, user_id) values (tests.group_id('Open'), tests.user_id('ann'));
    perform crm.set_member_role(tests.user_id('mel'), 'steward'); end $do$ $$, false), '^42501', 'pam cannot make a steward again of who is in one group with the owner');
select tests.become('mel', 'Acme');
select is_empty('select last_name from crm.contacts', 'mel and pam together show mel nothing of the owner''s');

select * from finish();
rollback;
