-- What is asked at commit, when a statement's snapshot is gone, is answered, also where the backend has to look anew whether the
-- triggers it relies on are in place.

\set world commit
\ir sessions.psql

begin;
select tests.register('ann', 'Acme');
select tests.token('ann', 'Acme');
commit;
select tests.connect('a');
create procedure tests.attempt(isolation text) language plpgsql as $$
begin
    perform tests.begin_as('a', format('crm.authenticate(%L)', tests.token('ann', 'Acme')), isolation);
    insert into tests.results (had, wanted, sentence) values (tests.say('a', 'delete from crm.contacts where last_name = ''nobody'''), 'DELETE 0', 'ann deletes what is not there');
end
$$;
call tests.attempt('read committed');
-- What she may do has to be asked again, and whether that may be remembered.
insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Acme'), 'sales', 'contacts.read');
analyze crm.users, crm.memberships, crm.role_permissions;
insert into tests.results (had, wanted, sentence) values (tests.say('a', 'commit'), 'COMMIT', 'and it is committed');
call tests.attempt('repeatable read');
insert into crm.role_permissions (org_id, role, permission) values (tests.org_id('Acme'), 'support', 'contacts.read');
analyze crm.users, crm.memberships, crm.role_permissions;
insert into tests.results (had, wanted, sentence) values (tests.say('a', 'commit'), 'COMMIT', 'in repeatable read, too');

\ir leave_sessions.psql
