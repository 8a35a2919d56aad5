-- Deals: pipeline, stage, status and probability fit each other whatever is written; the history of stages; who sees and changes
-- them; the view opportunities; what deletion does.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('vera', 'Acme', 'read_only');
update crm.organizations set currency = 'EUR' where id = tests.org_id('Acme');
insert into crm.deals (org_id, name, owner_id) values (tests.org_id('Borg'), 'Borg''s', tests.user_id('bob'));

select tests.become('ann', 'Acme');
insert into crm.pipelines (name) values ('Partners');
insert into crm.pipeline_stages (pipeline_id, name, kind, position, probability)
select p.id, s.name, s.kind, s.position, s.probability
from crm.pipelines as p, (values ('Talk', 'open', 1, 30), ('Signed', 'won', 2, 100), ('Off', 'lost', 3, 0)) as s (name, kind, position, probability)
where p.name = 'Partners';
insert into crm.pipelines (name) values ('Empty');

create function pg_temp.stage(wanted text) returns uuid language sql as $$ select id from crm.pipeline_stages where name = wanted $$;
create function pg_temp.pipeline(wanted text) returns uuid language sql as $$ select id from crm.pipelines where name = wanted $$;
-- Where a deal is, in words.
create function pg_temp.place(deal text) returns text language sql as $$
    select concat_ws(' ', p.name || '/' || s.name, d.status, d.probability) from crm.deals as d
    join crm.pipelines as p on p.id = d.pipeline_id join crm.pipeline_stages as s on s.id = d.stage_id
    where d.name = deal
$$;

-- A new deal -------------------------------------------------------------------------------------------------------------

insert into crm.deals (name, amount) values ('Plain', 1000.5);
select is(pg_temp.place('Plain'), 'Sales/Qualification open 10', 'a deal that names nothing begins in the first stage of the default pipeline');
select results_eq(
    'select currency, weighted_amount, closed_at, stage_changed_at, owner_id from crm.deals', $$values ('EUR', 100.05, null::timestamptz, now(), tests.user_id('ann'))$$,
    'in the organization''s currency; its amount is weighted'
);
insert into crm.deals (name, stage_id, currency) values ('Stage', pg_temp.stage('Talk'), 'usd');
select is(pg_temp.place('Stage'), 'Partners/Talk open 30', 'the stage tells the pipeline');
insert into crm.deals (name, pipeline_id, probability) values ('Pipeline', pg_temp.pipeline('Partners'), 35);
select is(pg_temp.place('Pipeline'), 'Partners/Talk open 35', 'the pipeline tells the stage; a probability that is named counts');
insert into crm.deals (name, status) values ('Status', 'won');
select is(pg_temp.place('Status'), 'Sales/Won won 100', 'so does the status');
insert into crm.deals (name, stage_id) values ('Lost', pg_temp.stage('Lost'));
select is(pg_temp.place('Lost'), 'Sales/Lost lost 0', 'and the stage the status');
select is(tests.outcome(format('insert into crm.deals (name, %s) values (''x'', %L)', name, value)), wanted, sentence)
from (values
    ('stage_id', gen_random_uuid()::text, '22023 stage_id: there is no such stage', 'a stage has to exist'),
    ('pipeline_id', gen_random_uuid()::text, '22023 pipeline_id: there is no such pipeline with a stage for deals that are open', 'so has a pipeline'),
    ('pipeline_id', pg_temp.pipeline('Empty')::text, '22023 pipeline_id: there is no such pipeline with a stage for deals that are open', 'with a stage'),
    ('status', 'gone', '23514 status: a new one cannot be gone / {"column":"status","from":null,"to":"gone","allowed":["open","won","lost"]}', 'a status is one of three')
) as bad (name, value, wanted, sentence);
select matches(tests.outcome(format('insert into crm.deals (name, %s) values (''x'', %L)', name, value)), wanted, format('%s cannot be %s', name, value))
from (values ('amount', '-1', '^23514 .*deals_amount_check'), ('amount', 'NaN', '^23514 .*deals_amount_check'), ('probability', '101', '^23514 .*deals_probability_check'),
    ('currency', 'XYZ', '^22023 currency: '), ('position', 'NaN', '^23514 .*deals_position_check')) as bad (name, value, wanted);
select is(
    tests.outcome(format('insert into crm.deals (name, pipeline_id, stage_id) values (''x'', %L, %L)', pg_temp.pipeline('Sales'), pg_temp.stage('Talk'))),
    '22023 stage_id: this stage is of another pipeline', 'a stage of another pipeline than the one named is refused'
);
select is(
    tests.outcome(format('insert into crm.deals (name, status, stage_id) values (''x'', ''won'', %L)', pg_temp.stage('Talk'))),
    '22023 status: the stage is one for deals that are open', 'and a status that is not the stage''s'
);
select is(tests.outcome($$insert into crm.deals (name, weighted_amount) values ('x', 5)$$) ~ '^428C9', true, 'the weighted amount cannot be written');

-- A deal that moves -------------------------------------------------------------------------------------------------------

create function pg_temp.move(what text, value text, further text default '') returns text language sql as $$
    select coalesce(nullif(tests.outcome(format('update crm.deals set %I = %L%s where name = ''Plain''', what, value, further), false), '1 rows'), pg_temp.place('Plain'))
$$;
select is(pg_temp.move('stage_id', pg_temp.stage('Proposal')::text), 'Sales/Proposal open 50', 'a deal moved to a stage has its probability');
select is(pg_temp.move('probability', '60'), 'Sales/Proposal open 60', 'which may be said otherwise');
select is(pg_temp.move('next_step', 'call'), 'Sales/Proposal open 60', 'and stays');
select is(pg_temp.move('probability', null), 'Sales/Proposal open 50', 'taken back, it is the stage''s');
select is(pg_temp.move('stage_id', pg_temp.stage('Negotiation')::text, ', probability = 80'), 'Sales/Negotiation open 80', 'one that is said with the move counts');
select is(pg_temp.move('status', 'won'), 'Sales/Won won 100', 'a deal that is won moves to the stage for that');
select results_eq($$select closed_at, weighted_amount from crm.deals where name = 'Plain'$$, 'values (now(), 1000.5)', 'is closed, and counts whole');
select is(pg_temp.move('probability', '5'), 'Sales/Won won 100', 'what is won stays certain');
select is(
    pg_temp.move('status', 'lost'), '23514 status: there is no step from won to lost / {"column":"status","from":"won","to":"lost","allowed":["open"]}',
    'from won to lost there is no step'
);
select is(
    pg_temp.move('stage_id', pg_temp.stage('Lost')::text), '23514 status: there is no step from won to lost / {"column":"status","from":"won","to":"lost","allowed":["open"]}',
    'nor by way of the stage'
);
select is(pg_temp.move('status', 'open'), 'Sales/Negotiation open 75', 'reopened, it is back in the stage it came from');
select is((select closed_at from crm.deals where name = 'Plain'), null, 'and not closed any more');
select is(pg_temp.move('stage_id', pg_temp.stage('Lost')::text), 'Sales/Lost lost 0', 'a deal moved to a stage for lost ones is lost');
select is(pg_temp.move('pipeline_id', pg_temp.pipeline('Partners')::text), 'Partners/Off lost 0', 'in another pipeline, too');
select is(pg_temp.move('status', 'open'), 'Partners/Talk open 30', 'reopened where it never was open, it begins anew');
select is(pg_temp.move('stage_id', pg_temp.stage('Signed')::text), 'Partners/Signed won 100', 'it is won by its stage');
select is(pg_temp.move('stage_id', pg_temp.stage('Talk')::text), 'Partners/Talk open 30', 'and open again');
select is(pg_temp.move('pipeline_id', null), 'Partners/Talk open 30', 'a pipeline that is taken away stays');
select is(pg_temp.move('stage_id', null), 'Partners/Talk open 30', 'so does a stage');
select is(pg_temp.move('currency', null), 'Partners/Talk open 30', 'without a currency');
select is((select currency from crm.deals where name = 'Plain'), 'EUR', 'it is the organization''s again');
select is(pg_temp.move('status', 'won', format(', stage_id = %L', pg_temp.stage('Proposal'))), '22023 status: the stage is one for deals that are open', 'a status and a stage that contradict each other are refused');
select is(pg_temp.move('pipeline_id', pg_temp.pipeline('Empty')::text), '22023 pipeline_id: there is no such pipeline with a stage for deals that are open', 'a pipeline without stages takes none');
update crm.deals set closed_at = '2000-01-01', stage_changed_at = '2000-01-01' where name = 'Plain';
select results_eq($$select closed_at, stage_changed_at from crm.deals where name = 'Plain'$$, 'values (null::timestamptz, now())', 'the times are the database''s');
select tests.nobody();
select throws_ok(
    format('update crm.deals set stage_id = (select id from crm.pipeline_stages where org_id = %L limit 1) where name = ''Plain''', tests.org_id('Borg')), '22023',
    'stage_id: there is no such stage', 'not even the DBA puts a deal into another organization''s stage'
);

-- The history -------------------------------------------------------------------------------------------------------------

select results_eq(
    $$select c.from_stage, c.to_stage, c.changed_by, c.owner_id from crm.deal_stage_changes as c join crm.deals as d on d.id = c.deal_id where d.name = 'Plain' order by c.id$$,
    $$select f, t, tests.user_id('ann'), tests.user_id('ann') from (values
        (null, 'Qualification'), ('Qualification', 'Proposal'), ('Proposal', 'Negotiation'), ('Negotiation', 'Won'), ('Won', 'Negotiation'), ('Negotiation', 'Lost'),
        ('Lost', 'Off'), ('Off', 'Talk'), ('Talk', 'Signed'), ('Signed', 'Talk')) as steps (f, t)$$,
    'each stage the deal came to is noted, with who moved it'
);
select tests.nobody();
alter table crm.deals disable trigger user;
update crm.deals set stage_changed_at = now() - interval '2 hours' where name = 'Stage';
alter table crm.deals enable trigger user;
select tests.become('ann', 'Acme');
update crm.deals set stage_id = pg_temp.stage('Signed') where name = 'Stage';
select is((select seconds_before from crm.deal_stage_changes where from_stage = 'Talk' and to_stage = 'Signed' order by id desc limit 1), 7200::bigint, 'and how long it had been in the one before');
select is(
    (select count(*) from crm.deal_stage_changes as c join crm.deals as d on d.id = c.deal_id where d.name in ('Pipeline', 'Status', 'Lost')), 3::bigint, 'a deal that never moved came to one stage'
);
select is(tests.outcome(statement), '42501 permission denied for table deal_stage_changes', 'ann cannot write history: ' || statement)
from unnest(array['delete from crm.deal_stage_changes', 'update crm.deal_stage_changes set to_stage = ''x''',
    'insert into crm.deal_stage_changes (deal_id, to_stage_id, to_stage) select id, stage_id, ''x'' from crm.deals']) as statement;
update crm.deals set stage_id = pg_temp.stage('Needs analysis') where name = 'Pipeline';
update crm.deals set stage_id = pg_temp.stage('Proposal') where name = 'Pipeline';
delete from crm.pipeline_stages where name = 'Needs analysis';
select is(
    (select count(*) from crm.deal_stage_changes where to_stage = 'Needs analysis' or from_stage = 'Needs analysis'), 2::bigint, 'what is noted survives the deletion of the stage'
);

-- Who ---------------------------------------------------------------------------------------------------------------------

insert into crm.contacts (last_name) values ('Lee');
insert into crm.deal_contacts (deal_id, contact_id, role) select d.id, c.id, 'decision maker' from crm.deals as d, crm.contacts as c where d.name = 'Plain';
select tests.become('sam', 'Acme');
select is((select count(*) from crm.deals), 0::bigint, 'sam, in sales, does not see deals of ann''s');
select is((select count(*) from crm.deal_stage_changes) + (select count(*) from crm.deal_contacts), 0::bigint, 'nor their parts');
select is(tests.outcome($$insert into crm.deals (name) values ('Sam''s')$$, false), '1 rows', 'sam adds a deal of his own');
select is((select to_stage from crm.deal_stage_changes), 'Qualification', 'and sees its history');
select is(tests.outcome($$update crm.deals set status = 'won'$$), '1 rows', 'sam wins that one only');
select tests.become('vera', 'Acme');
select is((select count(*) from crm.deals), 6::bigint, 'vera, who only reads, sees all');
select cmp_ok((select count(*) from crm.deal_stage_changes), '>', 10::bigint, 'with their history');
select is(tests.outcome($$update crm.deals set status = 'won'$$), '42501 your role does not permit deals.update', 'and wins none');
select is(tests.outcome($$delete from crm.deal_contacts$$), '42501 your role does not permit deals.update', 'nor changes who has to do with one');
select tests.become('bob', 'Borg');
select is((select array_agg(name) from crm.deals), array['Borg''s'], 'bob sees the deals of Borg alone');
select is((select count(*) from crm.deal_stage_changes), 1::bigint, 'and its history');
select is(tests.outcome($$update crm.deals set name = 'x' where name = 'Plain'$$), '0 rows', 'and changes none of Acme');
select tests.become('ann', 'Acme');
update crm.deals set owner_id = tests.user_id('sam') where name = 'Plain';
select tests.become('sam', 'Acme');
select is((select count(*) from crm.deal_contacts), 1::bigint, 'sam gets a deal, and its parts');
select cmp_ok((select count(*) from crm.deal_stage_changes), '>', 5::bigint, 'the history, too');
-- Who sees no pipelines still adds deals.
select tests.nobody();
insert into crm.roles (org_id, name) values (tests.org_id('Acme'), 'adder');
insert into crm.role_permissions (org_id, role, permission, scope) values (tests.org_id('Acme'), 'adder', 'deals.create', 'own'), (tests.org_id('Acme'), 'adder', 'deals.read', 'own');
select tests.hire('ada', 'Acme', 'adder');
select tests.become('ada', 'Acme');
select is((select count(*) from crm.pipelines), 0::bigint, 'ada sees no pipelines');
select is(tests.outcome($$insert into crm.deals (name) values ('Ada''s')$$), '1 rows', 'and adds a deal all the same');

-- The view opportunities -----------------------------------------------------------------------------------------------------

select tests.nobody();
select set_eq(
    $$select attname from pg_attribute where attrelid = 'crm.opportunities'::regclass and attnum > 0$$,
    $$select attname from pg_attribute where attrelid = 'crm.deals'::regclass and attnum > 0 and not attisdropped$$,
    'opportunities have the columns of deals'
);
select is_empty(
    $$select v.attname from pg_attribute as v join pg_attribute as t on t.attrelid = 'crm.deals'::regclass and t.attname = v.attname
      where v.attrelid = 'crm.opportunities'::regclass and v.attnum > 0
          and col_description(v.attrelid, v.attnum) is distinct from col_description(t.attrelid, t.attnum)$$,
    'and their comments'
);
select tests.become('ann', 'Acme');
select is(tests.outcome($$insert into crm.opportunities (name, amount) values ('By the view', 10)$$, false), '1 rows', 'ann adds an opportunity');
select is(pg_temp.place('By the view'), 'Sales/Qualification open 10', 'it is a deal like any');
select is(tests.outcome($$update crm.opportunities set status = 'lost' where name = 'By the view'$$, false), '1 rows', 'ann loses it');
select is(pg_temp.place('By the view'), 'Sales/Lost lost 0', 'as a deal is lost');
select is(tests.outcome($$delete from crm.opportunities where name = 'By the view'$$, false), '1 rows', 'and deletes it');
select tests.become('bob', 'Borg');
select is((select array_agg(name) from crm.opportunities), array['Borg''s'], 'bob sees those of Borg alone');

-- Deletion ---------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.leads (company, converted_deal_id) select 'Was a lead', id from crm.deals where name = 'Plain';
delete from crm.contacts;
select is((select count(*) from crm.deal_contacts), 0::bigint, 'a contact that goes has to do with no deal');
select is(tests.outcome($$delete from crm.deals where name = 'Plain'$$, false), '1 rows', 'ann deletes a deal');
select is((select converted_deal_id from crm.leads), null, 'the lead it came from stays, without it');
select is((select count(*) from crm.deal_stage_changes where to_stage = 'Off'), 0::bigint, 'its history goes with it');

select * from finish();
rollback;
