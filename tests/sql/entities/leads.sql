-- Leads: names, the ways of their status, what the database keeps, and who sees and changes them.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('vera', 'Acme', 'read_only');
insert into crm.leads (org_id, company, owner_id) values (tests.org_id('Borg'), 'Borg''s', tests.user_id('bob'));

select tests.become('ann', 'Acme');
select is(
    tests.outcome($$insert into crm.leads (last_name, company, email, phone, country, currency, estimated_value, score, rating, utm_source)
        values ('Lee', 'Lee Ltd', ' Lee@Example.com ', '+1 650 253 0000', 'us', 'usd', 1000, 70, 'hot', 'news')$$, false),
    '1 rows', 'ann adds a lead'
);
select results_eq(
    'select email, phone_normalized, country, currency, status, converted_at, owner_id from crm.leads',
    $$values ('lee@example.com', '+16502530000', 'US', 'USD', 'new', null::timestamptz, tests.user_id('ann'))$$, 'which is stored in one form, and new'
);
select is(tests.outcome($$insert into crm.leads (company) values ('Ltd')$$), '1 rows', 'a company is enough');
select is(tests.outcome($$insert into crm.leads (last_name, email) values ('Lee', 'lee@example.com')$$), '1 rows', 'so is a name; several leads may have one address');
select matches(tests.outcome($$insert into crm.leads (first_name, company) values ('Lee', '  ')$$), '^23514 .*leads_last_name_or_company_check', 'one of them is needed');
select matches(tests.outcome(format('insert into crm.leads (company, %s) values (''x'', %L)', name, value)), wanted, format('%s cannot be %s', name, to_json(value)))
from (values
    ('score', '101', '^23514 .*leads_score_check'), ('score', '-1', '^23514 .*leads_score_check'), ('rating', 'lukewarm', '^23514 .*leads_rating_check'),
    ('estimated_value', '-1', '^23514 .*leads_estimated_value_check'), ('estimated_value', 'NaN', '^23514 .*leads_estimated_value_check'),
    ('email', 'x', '^22023 email: '), ('website', 'javascript:x', '^22023 website: '), ('country', 'XX', '^22023 country: '), ('currency', 'ABC', '^22023 currency: '),
    ('status', 'unknown', '^23514 status: a new one cannot be unknown'), ('status', E'a\r\nb', '^23514 status: a new one cannot be what was sent')
) as bad (name, value, wanted);

-- The ways of a status: as docs/entities/sales.md has them ----------------------------------------------------------------------

select tests.nobody();
create table tests.ways (state text, allowed text[]);
insert into tests.ways values
    (null, '{new,working,qualified,recycled,lost}'),
    ('new', '{working,qualified,converted,recycled,lost}'),
    ('working', '{qualified,converted,recycled,lost}'),
    ('qualified', '{working,converted,recycled,lost}'),
    ('recycled', '{working,qualified,lost}'),
    ('lost', '{recycled,working}'),
    ('converted', '{}');
insert into crm.leads (org_id, company, status, owner_id) select tests.org_id('Acme'), 'Was ' || state, state, tests.user_id('ann') from tests.ways where state is not null;
grant select on tests.ways to public;
select isnt(converted_at, null, 'the DBA may load leads in any state, also converted ones') from crm.leads where status = 'converted';
select tests.become('ann', 'Acme');
select is(
    tests.outcome(case
        when w.state is null then format('insert into crm.leads (company, status) values (''x'', %L)', t.state)
        else format('update crm.leads set status = %L where company = %L', t.state, 'Was ' || w.state) end),
    case
        when t.state = any (w.allowed) or t.state = w.state then '1 rows'
        when w.state is null then format('23514 status: a new one cannot be %s / {"column":"status","from":null,"to":"%1$s","allowed":%2$s}', t.state, to_json(w.allowed))
        else format('23514 status: there is no step from %1$s to %2$s / {"column":"status","from":"%1$s","to":"%2$s","allowed":%3$s}', w.state, t.state, to_json(w.allowed))
    end,
    format('a lead from %s to %s', coalesce(w.state, 'nothing'), t.state)
)
from tests.ways as w cross join tests.ways as t
where t.state is not null;

-- What the database keeps
update crm.leads set converted_at = '2000-01-01' where company = 'Was new';
select is(converted_at, null, 'ann cannot say that a lead was converted long ago') from crm.leads where company = 'Was new';
update crm.leads set status = 'converted', converted_at = '2000-01-01' where company = 'Was new';
select is(converted_at, now(), 'a lead is converted when its status says so') from crm.leads where company = 'Was new';

-- Who ----------------------------------------------------------------------------------------------------------------------------

select tests.become('sam', 'Acme');
select is((select count(*) from crm.leads), 0::bigint, 'sam, in sales, does not see leads of ann''s');
select is(tests.outcome($$insert into crm.leads (company) values ('Sam''s')$$, false), '1 rows', 'sam adds one of his own');
select is(tests.outcome($$update crm.leads set rating = 'hot'$$), '1 rows', 'and changes that one only');
select tests.become('vera', 'Acme');
select is((select count(*) from crm.leads), 8::bigint, 'vera, who only reads, sees all');
select is(tests.outcome($$insert into crm.leads (company) values ('x')$$), '42501 your role does not permit leads.create', 'vera adds none');
select is(tests.outcome('delete from crm.leads'), '42501 your role does not permit leads.delete', 'and deletes none');
select tests.become('bob', 'Borg');
select is((select array_agg(company) from crm.leads), array['Borg''s'], 'bob sees the leads of Borg alone');
select is(tests.outcome($$update crm.leads set company = 'x' where company like 'Was%'$$), '0 rows', 'and changes none of Acme');

select * from finish();
rollback;
