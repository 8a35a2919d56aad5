-- Deleting an organization: all that is its own goes, in any table of any schema and in batches, and nothing of anybody else's.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.join('bob', 'Acme', 'sales');
select tests.join('ann', 'Borg', 'sales');
create function tests.try(call text) returns text language sql volatile as $$
    select tests.outcome('select ' || call)
$$;

-- What a DBA may have: tables in a schema of their own, of an owner of their own, that point to the CRM in every way -------------

create role tests_dba_of_removal;
create schema elsewhere authorization tests_dba_of_removal;
grant usage on schema crm, tests to tests_dba_of_removal;
grant references, select on crm.organizations, crm.contacts to tests_dba_of_removal;
create table tests.fired (who text, context text);
grant insert on tests.fired to tests_dba_of_removal;

set local role tests_dba_of_removal;
create table elsewhere.notes (
    org_id uuid not null references crm.organizations (id),
    id integer not null,
    body text,
    primary key (org_id, id)
);
-- Points to Acme through a note alone, and does not let it go by itself.
create table elsewhere.lines (
    org_id uuid not null,
    note_id integer,
    foreign key (org_id, note_id) references elsewhere.notes (org_id, id)
);
create table elsewhere.visits (org_id uuid references crm.organizations (id) on delete set null, page text);
create table elsewhere.scores (
    org_id uuid not null, contact_id uuid, score integer,
    foreign key (org_id, contact_id) references crm.contacts (org_id, id) on delete set null (contact_id)
);
create table elsewhere.parts (org_id uuid not null references crm.organizations (id) on delete cascade, part integer) partition by list (part);
create table elsewhere.parts_1 partition of elsewhere.parts for values in (1);
create table elsewhere.parts_2 partition of elsewhere.parts for values in (2);
create table elsewhere."Odd ""name" ("Org id" uuid references crm.organizations (id) on delete cascade, other uuid);
alter table elsewhere.notes enable row level security, force row level security;
create function elsewhere.tell() returns trigger language plpgsql as $$
begin
    insert into tests.fired values (current_user, current_setting('is_superuser'));
    return old;
end
$$;
create trigger tell after delete on elsewhere.notes for each statement execute function elsewhere.tell();
set local role none;

create function tests.fill(organization text, contacts integer) returns void language plpgsql as $$
declare
    org constant uuid := tests.org_id(organization);
begin
    insert into crm.accounts (org_id, name, owner_id)
    select org, 'Account ' || n, case organization when 'Acme' then tests.user_id('ann') else tests.user_id('bob') end from generate_series(1, 20) as n;
    insert into crm.contacts (org_id, last_name, account_id, owner_id)
    select org, 'Contact ' || n, a.id, a.owner_id
    from generate_series(1, contacts) as n
    join (select id, owner_id, row_number() over (order by id) as place from crm.accounts where org_id = org) as a on a.place = n % 20 + 1;
    insert into elsewhere.notes select org, n, 'x' from generate_series(1, 30) as n;
    insert into elsewhere.lines select org, n from generate_series(1, 30) as n;
    insert into elsewhere.visits select org, organization from generate_series(1, 15);
    insert into elsewhere.scores select org, id, 1 from crm.contacts where org_id = org limit 5;
    insert into elsewhere.parts select org, 1 + n % 2 from generate_series(1, 10) as n;
    insert into elsewhere."Odd ""name" values (org, null), (null, org);
end
$$;
alter table elsewhere.notes no force row level security;
select tests.fill('Borg', 100), tests.fill('Acme', 24800);
alter table elsewhere.notes force row level security;
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{*.*}') is not null as key, crm.invite_user('new@example.com', 'sales') is not null as invited \gset
select tests.become('bob', 'Borg');
select crm.create_api_key('Key', '{*.*}') is not null as key, crm.invite_user('new@example.com', 'sales') is not null as invited \gset
select tests.nobody();
select tests.analyze();

-- Every row that names somebody's organization, and where it lies: what is rewritten moves.
create function tests.all_of(organization text) returns text language plpgsql as $$
declare
    one regclass;
    content text;
    everything text := '';
begin
    for one in
        select oid from pg_class
        where relkind = 'r' and relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace, 'elsewhere'::regnamespace)
        order by oid
    loop
        execute format('select string_agg(t::text || t.xmin || t.ctid, chr(10) order by t::text) from %s as t where t::text like $1', one)
        into content using '%' || tests.org_id(organization) || '%';
        everything := everything || coalesce(one || ': ' || content || chr(10), '');
    end loop;
    return everything;
end
$$;
create table tests.before as select tests.all_of('Borg') as borg, (select string_agg(u::text || u.xmin || u.ctid, '|' order by id) from crm.users as u) as people;
select cmp_ok((select length(borg) from tests.before), '>', 10000, 'Borg has rows in many tables');

-- Refused -------------------------------------------------------------------------------------------------------------------------

select tests.become_role('crm_service');
select is(tests.try('crm.delete_organization(tests.org_id(''Acme''), ' || batch || ')'), '22023 batch: must be between 1 and 1000000', 'a batch of ' || batch || ' is none')
from unnest('{0,-1,1000001}'::text[]) as batch;
select tests.nobody();
select is((select status from crm.organizations where id = tests.org_id('Acme')), 'active', 'what is refused stops nothing');

set local role tests_dba_of_removal;
create table elsewhere.kept (org_id uuid not null references crm.organizations (id) on delete restrict);
set local role none;
insert into elsewhere.kept values (tests.org_id('Acme'));
select tests.become_role('crm_service');
select is(
    tests.try('crm.delete_organization(tests.org_id(''Acme''))'), '23503 table elsewhere.kept keeps rows of this organization',
    'a table that says on delete restrict is obeyed, before anything is deleted'
);
select tests.nobody();
drop table elsewhere.kept;

set local role tests_dba_of_removal;
create function elsewhere.keep() returns trigger language plpgsql as $$begin return null; end$$;
create trigger keep before delete on elsewhere.notes for each row execute function elsewhere.keep();
set local role none;
alter table elsewhere.lines disable trigger all;
select tests.become_role('crm_service');
select is(
    tests.try('crm.delete_organization(tests.org_id(''Acme''), 100000)'), '23503 rows of table elsewhere.notes stay although they were deleted',
    'rows that a trigger keeps are not left behind without their organization'
);
select tests.nobody();
alter table elsewhere.lines enable trigger all;
drop trigger keep on elsewhere.notes;

-- A trigger of the owner's that waits for the end would run as whoever calls: here a superuser.
set local role tests_dba_of_removal;
create constraint trigger late after delete on elsewhere.notes deferrable initially deferred for each row execute function elsewhere.tell();
set local role none;
select is(
    tests.try('crm.delete_organization(tests.org_id(''Acme''), 100000)'), '42501 cannot fire deferred trigger within security-restricted operation',
    'what the tables'' owner attached to them does not outlive the call of a superuser'
);
drop trigger late on elsewhere.notes;
truncate tests.fired;

-- In batches ------------------------------------------------------------------------------------------------------------------------

create table tests.calls (n integer, answer jsonb);
grant select, insert on tests.calls to public;
select tests.become_role('crm_service');
insert into tests.calls select 1, crm.delete_organization(tests.org_id('Acme'), 1000);
select is((select answer from tests.calls), '{"deleted": 0, "rows": 1000, "done": false}', 'the first call deletes a batch');
select tests.nobody();
select is(
    (select row(status, status_reason, status_changed_at = now())::text from crm.organizations where id = tests.org_id('Acme')),
    '(cancelled,"being deleted",t)', 'and stops the organization'
);
select tests.become_role('crm_app');
select matches(
    tests.outcome(format('select crm.authenticate(%L)', tests.token('ann', 'Acme'))), '^PT403 this organization was cancelled / Since .* Reason: being deleted$',
    'so that nothing works in it any more'
);
select tests.nobody();
create function tests.rest() returns integer language plpgsql as $$
declare
    calls integer := 1;
    answer jsonb;
begin
    loop
        calls := calls + 1;
        answer := crm.delete_organization(tests.org_id('Acme'), 1000);
        insert into tests.calls values (calls, answer);
        exit when (answer ->> 'done')::boolean or calls > 100;
    end loop;
    return calls;
end
$$;
select tests.become_role('crm_service');
select cmp_ok(tests.rest(), '=', 50, 'about 25,000 rows and their history go in 50 calls');
select tests.nobody();
select is((select max((answer ->> 'rows')::integer) from tests.calls), 1000, 'none of which removes more than a batch');
-- With what was counted of them, and is counted while they go.
select ok((select sum((answer ->> 'rows')::integer) between 49800 and 50000 from tests.calls), 'all together');
select is((select answer ->> 'deleted' from tests.calls where n = 50), '1', 'the last one removes the organization');
select is((select count(*) from crm.organizations where id = tests.org_id('Acme')), 0::bigint, 'which is gone');
select is(
    tests.all_of('Acme'),
    (select string_agg(one::regclass || ': ' || content || chr(10), '' order by one)
     from (
         select 'elsewhere."Odd ""name"'::regclass::oid, (select o::text || o.xmin || o.ctid from elsewhere."Odd ""name" as o where other = tests.org_id('Acme'))
         union all
         select 'elsewhere.scores'::regclass::oid, (select string_agg(s::text || s.xmin || s.ctid, chr(10) order by s::text) from elsewhere.scores as s where org_id = tests.org_id('Acme'))
     ) as kept (one, content)),
    'of it nothing is left but what no foreign key says is its own'
);
select is((select count(*) from elsewhere.scores where org_id = tests.org_id('Acme') and contact_id is null), 5::bigint, 'there a link is gone, as its key says');
select is((select count(*) from elsewhere.visits where org_id is null), 15::bigint, 'as elsewhere');
select is((select count(*) from elsewhere.parts), 10::bigint, 'partitions are emptied of it');
select is(tests.all_of('Borg'), (select borg from tests.before), 'not a bit of Borg''s has changed, or moved');
select is((select string_agg(u::text || u.xmin || u.ctid, '|' order by id) from crm.users as u), (select people from tests.before), 'and nobody is gone');
select set_eq('select who, context from tests.fired', $$values ('tests_dba_of_removal', 'off')$$, 'the owner''s trigger ran as that owner');
select is(
    (select count(*) from crm_private.sessions where user_id = tests.user_id('ann') and org_id is null and ended_at is null), 1::bigint,
    'ann''s session is there, and in no organization'
);
select is(
    (select count(*) from crm_private.messages where kind = 'invitation'), 1::bigint,
    'of the invitations that wait to be sent, Borg''s is left'
);
select is((select count(*) from crm_private.one_time_tokens where purpose = 'invitation'), 1::bigint, 'and its token');

-- A small one at once, from a user's login
select tests.register('sam', 'Sams');
select crm.grant_platform_role(tests.user_id('sam'), 'super_admin');
select tests.become('sam', 'Sams');
select matches(crm.delete_organization(tests.org_id('Borg'))::text, '"done": true.*"deleted": 1', 'a small one goes in one call');
select is(crm.delete_organization(tests.org_id('Borg')), '{"deleted": 0, "rows": 0, "done": true}', 'once');
select is(tests.try('crm.delete_organization(null)'), '22023 org_id: is missing', 'one says which');

select * from finish();
rollback;
