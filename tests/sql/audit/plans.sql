-- History of whatever size is read through indexes: a page of it costs as much as the page.

begin;
\ir ../actors.psql
set local client_min_messages = error;
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.org_id('Acme') as acme, tests.user_id('ann') as ann \gset

-- Two organizations of 20,000 entries each, over three months.
set local session_replication_role = replica;
insert into crm.audit_log (org_id, id, created_at, action, entity, record_id, after, actor_id, database_role, login_role, transaction_id)
select tests.org_id(o.name), crm.uuid_v7(), now() - make_interval(mins => n * 6), case when n % 1000 = 0 then 'delete' when n % 3 = 0 then 'insert' else 'update' end,
    (array['contacts', 'accounts', 'deals', 'tasks'])[1 + n % 4], md5((n % 500)::text)::uuid, '{"name": "x"}',
    case when n % 200 = 0 then :'ann'::uuid else md5((n % 17)::text)::uuid end, 'crm_app', 'crm_authenticator', crm.uuid_v7()
from tests.organizations as o, generate_series(1, 20000) as n;
insert into crm.audit_transactions (org_id, id, created_at, entries, request_id, salt, content_hash, position, hash)
select org_id, transaction_id, created_at, 1, 'request-' || row_number() over (), '\x00', '\x00', row_number() over (partition by org_id order by created_at), '\x00'
from crm.audit_log
where after::text = '{"name": "x"}';
set local session_replication_role = origin;
select tests.analyze();

create table tests.pages as
select * from (values
    ('the newest 50', 'select * from crm.audit_log order by created_at desc, id desc limit 50'),
    ('the newest 50 of an entity', 'select * from crm.audit_log where entity = ''deals'' order by created_at desc, id desc limit 50'),
    ('the history of a record', 'select * from crm.audit_log where record_id = md5(''7'')::uuid order by id desc limit 50'),
    ('of a record with its entity', 'select * from crm.audit_log where entity = ''contacts'' and record_id = md5(''8'')::uuid order by id desc limit 50'),
    ('what somebody did last', 'select * from crm.audit_log where actor_id = md5(''3'')::uuid order by created_at desc, id desc limit 50'),
    ('what was deleted last', 'select * from crm.audit_log where action = ''delete'' order by created_at desc, id desc limit 50'),
    ('an hour', 'select * from crm.audit_log where created_at >= now() - interval ''3 hours'' and created_at < now() - interval ''2 hours'' order by created_at desc, id desc limit 50'),
    ('an entry', 'select * from crm.audit_log where id = (select id from crm.audit_log order by created_at desc, id desc limit 1)'),
    ('the newest transactions', 'select * from crm.audit_transactions order by created_at desc, id desc limit 50'),
    ('the end of the chain', 'select * from crm.audit_transactions where position is not null order by position desc limit 50'),
    ('a request', 'select * from crm.audit_transactions where request_id = ''request-17''')
) as pages (name, query);
grant select on tests.pages to public;

select tests.become('ann', 'Acme');
create temp table plans as select name, tests.explain(query, 'analyze, costs off, timing off, summary off') as plan from tests.pages;
select tests.nobody();
select is_empty(format('select %L from plans where name = %L and plan ~ ''Seq Scan''', name, name), name || ' reads no table whole') from plans;
select is_empty(format('select plan from plans where name = %L and plan !~ ''org_id = ''', name), name || ' begins with the organization') from plans;
-- How many rows were looked at: the greatest number of any node.
select cmp_ok(
    (select max(found[1]::integer) from plans as p, regexp_matches(p.plan, 'rows=(\d+) loops', 'g') as found where p.name = plans.name), '<=', 260,
    name || ' looks at few rows'
)
from plans;
select is_empty('select name, plan from plans where plan ~ ''Rows Removed by Filter: \d{3}''', 'and passes over none');

select finish();
rollback;
