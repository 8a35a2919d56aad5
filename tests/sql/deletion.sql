-- What docs/deletion.md says of deletion is what the foreign keys do, and nothing else is in their way.

begin;
\ir actors.psql
select no_plan();

\set document `cat docs/deletion.md`
create table tests.told as
select trim(cells[2], ' `') as target, effect.kind, named[1] as name
from string_to_table(:'document', E'\n') as line
cross join lateral string_to_array(line, '|') as cells
cross join lateral (values ('c', cells[3]), ('n', cells[4]), ('a', cells[5])) as effect (kind, cell)
cross join lateral regexp_matches(effect.cell, '`([a-z_.]+)`', 'g') as named
where line ~ '^\| `';
create table tests.keys as
select k.confrelid::regclass as target, k.conrelid::regclass as source, k.confdeltype::text as kind,
    (
        select string_agg(format('s.%I = t.%I', here.attname, there.attname), ' and ')
        from unnest(k.conkey, k.confkey) as pair (here, there)
        join pg_attribute as here on here.attrelid = k.conrelid and here.attnum = pair.here
        join pg_attribute as there on there.attrelid = k.confrelid and there.attnum = pair.there
    ) as points,
    split_part(k.conrelid::regclass::text, '.', 2) || case when k.confdeltype = 'n' then (
        select '.' || string_agg(a.attname, ', ' order by a.attnum) from pg_attribute as a
        where a.attrelid = k.conrelid and a.attnum = any (k.confdelsetcols)
    ) else '' end as name
from pg_constraint as k
where k.contype = 'f' and k.connamespace = 'crm'::regnamespace and cardinality(k.conkey) > 1;
grant select on tests.keys to public;

select cmp_ok((select count(*) from tests.told), '>=', 100::bigint, 'the document''s table is read');
select set_eq(
    'select target, kind, name from tests.told',
    $$select distinct split_part(target::text, '.', 2), kind, name from tests.keys$$,
    'it says what the foreign keys do'
);

-- Every row of the demonstration, one after the other ----------------------------------------------------------------

create table tests.demo as select crm.load_demo() as answer;
insert into tests.organizations select 'Demo', (answer ->> 'organization')::uuid from tests.demo;
insert into tests.people select 'olivia', id from crm.users where email = 'owner@demo.example';

-- What becomes of a row that its owner deletes; then everything is as before.
create function tests.deletion(target regclass, id uuid) returns text language plpgsql as $$
declare
    kept boolean := false;
    is_kept boolean;
    key record;
    said text := tests.outcome(format('delete from %s where id = %L', target, id));
begin
    for key in select k.source, k.points from tests.keys as k where k.target = deletion.target and k.kind = 'a' loop
        execute format('select exists (select from %s as t join %s as s on %s where t.id = %L)', target, key.source, key.points, id) into is_kept;
        kept := kept or is_kept;
    end loop;
    return case
        when kept and said like '23503 %' then 'kept'
        when kept then 'should have been kept: ' || said
        else said
    end;
end
$$;
create table tests.rows (target regclass, id uuid);
create function tests.collect() returns void language plpgsql as $$
declare
    wanted regclass;
begin
    for wanted in
        select distinct k.target from tests.keys as k
        where k.target not in ('crm.memberships'::regclass, 'crm.roles', 'crm.groups')
    loop
        execute format('insert into tests.rows select %L, id from %s where org_id = %L order by id limit 30', wanted, wanted, tests.org_id('Demo'));
    end loop;
end
$$;
select tests.collect();
grant select on tests.rows to public;

select tests.become('olivia', 'Demo');
create temporary table outcomes as select r.target, r.id, tests.deletion(r.target, r.id) as outcome from tests.rows as r;
select is_empty(
    $$select o.target, o.outcome from outcomes as o
      where o.outcome not in ('1 rows', 'kept')
          and not (o.target = 'crm.invoices'::regclass and exists (select from crm.invoices as i where i.id = o.id and i.number is not null))$$,
    'each row of the demonstration can be deleted, or is kept by what points to it'
);
select is_empty(
    $$select o.target from outcomes as o join crm.invoices as i using (id) where i.number is not null and o.outcome = '1 rows'$$,
    'an invoice with a number stays'
);
select set_has(
    'select distinct target, outcome from outcomes',
    $$values ('crm.accounts'::regclass, 'kept'), ('crm.accounts', '1 rows'), ('crm.contacts', '1 rows'), ('crm.deals', '1 rows'), ('crm.pipelines', 'kept'),
        ('crm.leads', '1 rows'), ('crm.invoices', '1 rows')$$,
    'both happen'
);

-- What is left ------------------------------------------------------------------------------------------------------

create temporary table gone as
select c.account_id, c.id as contact_id, d.id as deal_id
from crm.contacts as c
join crm.deals as d on d.contact_id = c.id
where not exists (select from crm.invoices as i where i.account_id = c.account_id) and c.account_id is not null
limit 1;
create temporary table before as
select (select count(*) from crm.deals) as deals, (select count(*) from crm.activities) as activities, (select count(*) from crm.contacts) as contacts;
select is(tests.outcome('delete from crm.deals where id in (select deal_id from gone)', undo => false), '1 rows', 'a deal is deleted');
select is_empty('select id from crm.deal_stage_changes where deal_id in (select deal_id from gone)', 'its history goes with it');
select is_empty('select id from crm.activities where deal_id in (select deal_id from gone)', 'and nothing points to it');
select is(tests.outcome('delete from crm.contacts where id in (select contact_id from gone)', undo => false), '1 rows', 'a contact is deleted');
select is_empty(
    $$select id from crm.contact_emails where contact_id in (select contact_id from gone)
      union all select id from crm.deal_contacts where contact_id in (select contact_id from gone)
      union all select id from crm.deals where contact_id in (select contact_id from gone)$$,
    'its addresses go, and deals have no such contact any more'
);
select is(tests.outcome('delete from crm.accounts where id in (select account_id from gone)', undo => false), '1 rows', 'an account is deleted');
select is_empty('select id from crm.contacts where account_id in (select account_id from gone)', 'its contacts have none');
select results_eq(
    'select (select count(*) from crm.deals), (select count(*) from crm.activities), (select count(*) from crm.contacts)',
    'select deals - 1, activities, contacts - 1 from before', 'nothing else is gone'
);

-- The organization --------------------------------------------------------------------------------------------------

select tests.nobody();
select is(
    crm.delete_organization(tests.org_id('Demo')) ->> 'done', 'true', 'an organization is deleted with everything, also with what nobody may delete'
);
create function tests.left_over() returns setof text language plpgsql as $$
declare
    of_tenants regclass;
    is_left boolean;
begin
    for of_tenants in
        select a.attrelid::regclass from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        where a.attname = 'org_id' and c.relkind = 'r' and c.relnamespace in ('crm'::regnamespace, 'crm_private'::regnamespace)
    loop
        execute format('select exists (select from %s where org_id = %L)', of_tenants, tests.org_id('Demo')) into is_left;
        if is_left then
            return next of_tenants;
        end if;
    end loop;
end
$$;
select is_empty('select tests.left_over()', 'no table has a row of it');

select finish();
rollback;
