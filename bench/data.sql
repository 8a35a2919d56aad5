-- Organizations of very uneven size, their rows interleaved in time as in life; the first has about a fifth of all.
\set ON_ERROR_STOP 1
select count(crm.register('user' || i || '@bench.example', 'correct horse battery', 'Bench ' || i)) from generate_series(1, 100) as i;
update crm.organizations set plan = 'enterprise';

insert into crm.contacts (org_id, first_name, last_name, email, external_id, created_at)
select o.id, 'First' || g.n, 'Last' || g.n, 'p' || g.n || '@bench.example', g.n::text, now() - make_interval(secs => :contacts - g.n)
from generate_series(1, :contacts) as g (n)
join (select id, row_number() over (order by id) as rank from crm.organizations) as o
    on o.rank = 1 + floor(100 * power((hashint4(g.n)::bigint + 2147483648) / 4294967296.0, 3))::int;

vacuum analyze crm.contacts;
