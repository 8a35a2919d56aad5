-- An address that one transaction makes a contact's primary one and another a further one of somebody else: one is refused.

\set world addresses
\ir ../access/sessions.psql

begin;
select tests.register('ann', 'Acme');
insert into crm.contacts (org_id, id, last_name, owner_id)
values (tests.org_id('Acme'), '018f0000-0000-7000-8000-000000000001', 'Lee', tests.user_id('ann'));
create procedure tests.race(isolation text, first text, second text, wanted text) language plpgsql as $$
declare
    as_ann constant text := format('crm.authenticate(%L)', tests.token('ann', 'Acme'));
    said text;
begin
    perform tests.begin_as('a', as_ann, isolation), tests.begin_as('b', as_ann, isolation);
    perform tests.say('a', 'select count(*) from crm.contacts'), tests.say('b', 'select count(*) from crm.contacts');
    insert into tests.results (had, wanted, sentence) values (tests.say('a', first), 'INSERT 0 1', isolation || ': a takes the address');
    perform public.dblink_send_query('b', second);
    perform pg_sleep(0.2);
    perform tests.say('a', 'commit');
    begin
        select t.said into said from public.dblink_get_result('b') as t (said text);
    exception
        when others then said := sqlstate || ' ' || sqlerrm;
    end;
    perform * from public.dblink_get_result('b', false) as t (said text);
    insert into tests.results (had, wanted, sentence) values (said, wanted, isolation || ': b, who wants it too, is refused');
    perform tests.say('b', 'rollback');
    delete from crm.contact_emails;
    delete from crm.contacts where last_name <> 'Lee';
end
$$;
commit;
select tests.connect('a'), tests.connect('b');
\set primary 'insert into crm.contacts (last_name, email) values (''Kim'', ''x@example.com'')'
\set further 'insert into crm.contact_emails (contact_id, email) values (''018f0000-0000-7000-8000-000000000001'', ''x@example.com'')'
\set taken '23505 email: x@example.com is an address of a contact already'
call tests.race('read committed', :'primary', :'further', :'taken');
call tests.race('read committed', :'further', :'primary', :'taken');
call tests.race('repeatable read', :'primary', :'further', :'taken');
call tests.race('repeatable read', :'further', :'primary', :'taken');

\ir ../access/leave_sessions.psql
