-- What a trigger looks up before the policies have refused a row, must neither tell a stranger anything nor make anybody wait.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('alice', 'Acme');
select tests.register('eve', 'Evil');
select tests.hire('sally', 'Acme', 'sales');
select tests.become('alice', 'Acme');
insert into crm.contacts (id, last_name, email) values ('018f0000-0000-7000-8000-000000000001', 'Victim', 'victim@acme.example');
insert into crm.contact_emails (contact_id, email) values ('018f0000-0000-7000-8000-000000000001', 'further@acme.example');
insert into crm.deals (id, name) values ('018f0000-0000-7000-8000-000000000002', 'Deal');
create temporary table acme as
select crm.current_org_id() as org_id, p.id as pipeline_id, s.id as stage_id, won.id as won_id
from crm.pipelines as p
join lateral (select id from crm.pipeline_stages where pipeline_id = p.id and kind = 'open' limit 1) as s on true
join lateral (select id from crm.pipeline_stages where pipeline_id = p.id and kind = 'won' limit 1) as won on true;
grant select on acme to public;

select tests.become('eve', 'Evil');
insert into crm.contacts (id, last_name, email) values ('018f0000-0000-7000-8000-00000000000e', 'Mine', 'mine@evil.example');
insert into crm.contact_emails (id, contact_id, email) values ('018f0000-0000-7000-8000-00000000000f', '018f0000-0000-7000-8000-00000000000e', 'also@evil.example');
insert into crm.deals (id, name) values ('018f0000-0000-7000-8000-00000000000d', 'Mine');

-- Each pair is of something that Acme has, and of something that it has not.
select is(
    tests.outcome(replace(statement, '$org', quote_literal(org_id))), tests.outcome(replace(otherwise, '$org', quote_literal(gen_random_uuid()))),
    'eve is told the same: ' || statement
)
from acme
cross join lateral (values
    ('insert into crm.contact_emails (org_id, contact_id, email) values ($org, gen_random_uuid(), ''victim@acme.example'')', null),
    ('update crm.contact_emails set org_id = $org, email = ''victim@acme.example'' where id = ''018f0000-0000-7000-8000-00000000000f''', null),
    ('update crm.contacts set org_id = $org, email = ''further@acme.example'' where id = ''018f0000-0000-7000-8000-00000000000e''', null),
    ('update crm.contacts set org_id = $org, id = ''018f0000-0000-7000-8000-000000000001'', email = ''further@acme.example'' where id = ''018f0000-0000-7000-8000-00000000000e''', null),
    ('insert into crm.contact_phones (org_id, contact_id, phone) values ($org, ''018f0000-0000-7000-8000-000000000001'', ''+4930123456'')', null),
    ('insert into crm.deals (org_id, name) values ($org, ''x'')', null),
    (format('insert into crm.deals (org_id, name, stage_id) values ($org, ''x'', %L)', stage_id), 'insert into crm.deals (org_id, name, stage_id) values ($org, ''x'', gen_random_uuid())'),
    (format('insert into crm.deals (org_id, name, stage_id, status) values ($org, ''x'', %L, ''lost'')', won_id), 'insert into crm.deals (org_id, name, stage_id, status) values ($org, ''x'', gen_random_uuid(), ''lost'')'),
    (format('insert into crm.deals (org_id, name, pipeline_id) values ($org, ''x'', %L)', pipeline_id), 'insert into crm.deals (org_id, name, pipeline_id) values ($org, ''x'', gen_random_uuid())'),
    (format('update crm.deals set org_id = $org, stage_id = %L where id = ''018f0000-0000-7000-8000-00000000000d''', stage_id), 'update crm.deals set org_id = $org, stage_id = gen_random_uuid() where id = ''018f0000-0000-7000-8000-00000000000d''')
) as pairs (given, other)
cross join lateral (select given as statement, coalesce(other, given) as otherwise) as both_of_them;
select is(
    tests.outcome(format('insert into crm.contact_emails (org_id, contact_id, email) values (%L, gen_random_uuid(), %L)', org_id, email)),
    '42501 new row violates row-level security policy for table "contact_emails"', 'whether Acme knows ' || email || ' or not'
)
from acme cross join unnest('{victim@acme.example,nobody@acme.example}'::text[]) as email;

select finish();
rollback;
