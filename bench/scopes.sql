-- One large organization of 60 people with :contacts contacts, and 40 small ones, their rows interleaved in time. Of the
-- large one's contacts a twentieth belong to user2, ten to user3, the rest to the others; 1 to 10 are a team.
\set ON_ERROR_STOP 1
set client_min_messages = warning;

select count(crm.register('user' || i || '@bench.example', 'correct horse battery', 'Bench ' || i)) from generate_series(1, 41) as i;
update crm.organizations set plan = 'enterprise';
select id as org_id from crm.organizations where slug = 'bench-1' \gset
insert into crm.users (email) select 'member' || i || '@bench.example' from generate_series(2, 60) as i;
insert into crm.memberships (org_id, user_id, role)
select :'org_id', id, case email when 'member4@bench.example' then 'manager' else 'sales' end from crm.users where email like 'member%';
insert into crm.groups (org_id, name) values (:'org_id', 'Team');
insert into crm.group_members (org_id, group_id, user_id)
select :'org_id', (select id from crm.groups), id from crm.users where email ~ '^member([2-9]|1[01])@';
insert into crm.accounts (org_id, name) select :'org_id', 'Account ' || i from generate_series(1, 1000) as i;

create temp table people as
select row_number() over (order by id) as n, id from crm.users where email ~ '^member([4-9]|..)@';
create temp table companies as select row_number() over () as n, id from crm.accounts;

insert into crm.contacts (org_id, account_id, first_name, last_name, email, owner_id, created_at)
select :'org_id', c.id, 'First' || g.n, 'Last' || g.n, 'p' || g.n || '@bench.example',
    case
        when g.n % (:contacts / 10) = 7 then (select id from crm.users where email = 'member3@bench.example')
        when g.n % 20 = 0 then (select id from crm.users where email = 'member2@bench.example')
        else p.id
    end,
    now() - make_interval(secs => :contacts - g.n)
from generate_series(1, :contacts) as g (n)
join people as p on p.n = 1 + (hashint4(g.n)::bigint + 2147483648) % 57
join companies as c on c.n = 1 + (hashint4(g.n + 1)::bigint + 2147483648) % 1000;
insert into crm.contacts (org_id, last_name, email, created_at)
select o.id, 'Last' || g.n, 'p' || g.n || '@bench.example', now() - make_interval(secs => :contacts - g.n)
from generate_series(1, :contacts, 20) as g (n)
join (select id, row_number() over () as n from crm.organizations where slug <> 'bench-1') as o on o.n = 1 + g.n / 20 % 40;

vacuum analyze crm.contacts;
vacuum analyze crm.accounts;
