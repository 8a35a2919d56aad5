-- Members: who gives them roles, who removes them, how they leave, and how they come back.

begin;
\ir ../actors.psql
\ir helpers.psql
select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('oda', 'Acme', 'owner');
select tests.hire('ada', 'Acme', 'admin');
select tests.hire('ben', 'Acme', 'admin');
select tests.hire('mia', 'Acme', 'manager');
select tests.hire('sol', 'Acme', 'sales');
select tests.hire('rey', 'Acme', 'read_only');
select tests.hire('eve', 'Acme', 'sales');
update crm.memberships set status = 'ended', ended_at = now() where user_id = tests.user_id('eve');
select tests.join('sol', 'Borg', 'read_only');
select tests.make_role('Acme', 'hr', 70, 'memberships.update all, memberships.delete all, accounts.* all, contacts.read team');
select tests.make_role('Acme', 'narrow', 70, 'memberships.update own, memberships.delete team');
select tests.make_role('Acme', 'clerk', 30, 'accounts.read all');
select tests.make_role('Borg', 'theirs', 30, 'accounts.read all');
select tests.hire('hal', 'Acme', 'hr');
select tests.hire('ned', 'Acme', 'narrow');
select tests.hire('cid', 'Acme', 'clerk');
select tests.make_key('Acme', 'all', '{*.*}');

-- What each is told, each undone. A SQLSTATE stands for its refusal.
insert into tests.attempts (who, organization, statement, wanted, sentence)
select who, 'Acme', format('select crm.set_member_role(tests.user_id(%L), %L)', whom, role), wanted, format('%s makes %s %s: %s', who, whom, role, wanted)
from (values
    ('ann', 'sol', 'owner', '^1 rows'), ('ann', 'oda', 'read_only', '^1 rows'), ('ann', 'ann', 'sales', '^1 rows'), ('ann', 'ada', 'clerk', '^1 rows'), ('ann', 'sol', 'sales', '^1 rows'),
    ('ada', 'sol', 'admin', '^1 rows'), ('ada', 'ben', 'sales', '^1 rows'), ('ada', 'ada', 'sales', '^1 rows'), ('ada', 'sol', 'owner', '^42501 .*above'), ('ada', 'ada', 'owner', '^42501 .*above'),
    ('ada', 'ann', 'admin', '^42501 .*above'), ('ada', 'ann', 'owner', '^42501 .*above'), ('ada', 'cid', 'hr', '^1 rows'),
    ('hal', 'cid', 'clerk', '^1 rows'), ('hal', 'sol', 'clerk', '^1 rows'), ('hal', 'cid', 'hr', '^1 rows'), ('hal', 'cid', 'sales', '^42501 nobody can grant'),
    ('hal', 'ada', 'clerk', '^42501 .*above'), ('hal', 'hal', 'admin', '^42501 .*above'),
    ('ned', 'cid', 'clerk', '^42501 your role does not permit'), ('mia', 'sol', 'clerk', '^42501 your role does not permit'), ('sol', 'sol', 'sales', '^42501 your role does not permit'),
    ('rey', 'rey', 'read_only', '^42501 your role does not permit'), ('key all', 'sol', 'clerk', '^42501 only for users'),
    ('ann', 'eve', 'sales', '^22023'), ('ann', 'bob', 'sales', '^22023'), ('ann', 'nobody', 'sales', '^22023'), ('ann', 'sol', 'theirs', '^22023'), ('ann', 'sol', 'none', '^22023'),
    ('ann', 'sol', '', '^22023'), ('ann', 'sol', null, '^22023'), ('ann', 'sol', 'Owner', '^22023'), ('ann', 'sol', ' owner', '^22023')
) as given (who, whom, role, wanted);
insert into tests.attempts (who, organization, statement, wanted, sentence)
select who, 'Acme', format('select crm.remove_member(tests.user_id(%L))', whom), wanted, format('%s removes %s: %s', who, whom, wanted)
from (values
    ('ann', 'oda', '^1 rows'), ('ann', 'ada', '^1 rows'), ('ann', 'sol', '^1 rows'), ('ann', 'ann', '^1 rows'), ('ada', 'ben', '^1 rows'), ('ada', 'hal', '^1 rows'), ('ada', 'ann', '^42501 .*above'),
    ('hal', 'sol', '^1 rows'), ('hal', 'ada', '^42501 .*above'), ('ned', 'cid', '^42501 your role'), ('mia', 'sol', '^42501 your role'), ('sol', 'rey', '^42501 your role'),
    ('sol', 'sol', '^42501 your role'), ('key all', 'sol', '^42501 only for users'), ('ann', 'eve', '^22023'), ('ann', 'bob', '^22023'), ('ann', 'nobody', '^22023')
) as given (who, whom, wanted);
insert into tests.attempts (who, organization, statement, wanted, sentence) values
    ('sol', 'Acme', 'select crm.leave_organization()', '^1 rows', 'a seller leaves'),
    ('rey', 'Acme', 'select crm.leave_organization()', '^1 rows', 'so does who may do nothing else'),
    ('ann', 'Acme', 'select crm.leave_organization()', '^1 rows', 'and an owner, who is not the last'),
    ('bob', 'Borg', 'select crm.leave_organization()', '^23503', 'but not the last one'),
    ('sol', null, 'select crm.leave_organization()', '^22023 organization: none is active', 'across organizations it is not known which one is left'),
    ('key all', 'Acme', 'select crm.leave_organization()', '^42501 only for users', 'a key does not leave'),
    ('sol', null, 'select crm.remove_member(tests.user_id(''rey''))', '^42501 permission denied', 'nor is anybody removed there'),
    ('bob', 'Borg', 'select crm.set_member_role(tests.user_id(''bob''), ''admin'')', '^23503', 'the last owner does not step down'),
    ('bob', 'Borg', 'select crm.set_member_role(tests.user_id(''bob''), ''owner'')', '^1 rows', 'but may stay what they are'),
    ('bob', 'Borg', 'select crm.remove_member(tests.user_id(''bob''))', '^23503', 'nor removes themselves'),
    ('bob', 'Borg', 'select crm.set_member_role(tests.user_id(''sol''), ''owner''), crm.leave_organization()', '^1 rows', 'unless there is another one first'),
    ('bob', 'Borg', 'select crm.set_member_role(tests.user_id(''rey''), ''sales'')', '^22023', 'who is not here is no member, whatever they are elsewhere'),
    ('ann', 'Acme', 'update crm.memberships set role = ''sales''', '^42501 permission denied', 'memberships are changed by the functions alone'),
    ('ann', 'Acme', 'delete from crm.memberships', '^42501 permission denied', 'and not deleted'),
    ('ann', 'Acme', 'insert into crm.memberships (org_id, user_id, role) values (tests.org_id(''Acme''), tests.user_id(''bob''), ''sales'')', '^42501 permission denied', 'nor added');
select no_plan();
select tests.attempted();

-- What ends with a membership, and what stays.
insert into crm.contacts (org_id, last_name, owner_id) values (tests.org_id('Acme'), 'Sol''s', tests.user_id('sol'));
select tests.make_group('Acme', 'Team', '{mia,sol}');
select tests.become('ada', 'Acme');
select is(crm.remove_member(tests.user_id('sol')), jsonb_build_object('user_id', tests.user_id('sol'), 'status', 'ended'), 'ada removes sol');
select matches(tests.outcome(format('select crm.remove_member(%L)', tests.user_id('sol'))), '^22023', 'which cannot be done twice');
select is((select status || ' ' || role from crm.memberships where user_id = tests.user_id('sol')), 'ended sales', 'the membership stays, ended');
select is((select owner_id from crm.contacts), tests.user_id('sol'), 'what sol owned stays his');
select tests.become('mia', 'Acme');
select is((select last_name from crm.contacts), 'Sol''s', 'and his team goes on seeing it');
select tests.nobody();
select throws_ok($$select tests.become('sol', 'Acme')$$, 'PT403', null, 'sol comes in no more');
select tests.become('bob', 'Borg');
select is((select count(*) from crm.memberships where user_id = tests.user_id('sol') and status = 'active'), 1::bigint, 'he is still a member of the other organization');

-- An invitation brings him back, without the groups he was in.
select tests.become('ada', 'Acme');
select crm.invite_user('sol@example.com', 'clerk') ->> 'id' as invitation \gset
select tests.nobody();
select secret as invited from crm_private.messages where kind = 'invitation' order by created_at desc limit 1 \gset
select tests.become('sol', 'Borg');
select matches(tests.outcome(format('select crm.accept_invitation(%L)', :'invited'), false), '^1 rows', 'sol accepts the invitation');
select tests.nobody();
select is((select role || ' ' || status from crm.memberships where user_id = tests.user_id('sol') and org_id = tests.org_id('Acme')), 'clerk active', 'and is a member again');
select is((select count(*) from crm.group_members where user_id = tests.user_id('sol')), 0::bigint, 'without the groups of before');

-- Nor does it matter what somebody may elsewhere, who comes for the first time, as long as the plan has a seat.
update crm.organizations set plan = 'enterprise' where id = tests.org_id('Acme');
select tests.hire('new', 'Borg', 'read_only');
select tests.become('ada', 'Acme');
select crm.invite_user('new@example.com', 'clerk') ->> 'id' as invitation \gset
select tests.nobody();
select secret as invited from crm_private.messages where kind = 'invitation' and recipient = 'new@example.com' \gset
select tests.become('new', 'Borg');
select is(tests.outcome(format('select crm.accept_invitation(%L)', :'invited')), '1 rows', 'who may only read elsewhere accepts an invitation there');
select tests.become('new');
select is(tests.outcome(format('select crm.accept_invitation(%L)', :'invited')), '1 rows', 'and across organizations');

select * from finish();
rollback;
