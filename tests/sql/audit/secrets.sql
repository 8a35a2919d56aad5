-- What is secret history does not tell, by no way, and does not take for nothing where it brings something back.

\set world secrets
\ir world.psql

create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text,
    vin text,
    version integer not null default 1,
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade
);
alter table crm.vehicles owner to crm_owner;
select crm.enroll('crm.vehicles', array['plate line 10', 'vin line 20', 'vin secret']);
insert into tests.ids select name, gen_random_uuid() from unnest('{car,other}'::text[]) as name;

select tests.change('made', 'ann', $$insert into crm.vehicles (id, plate, vin) values (tests.id('car'), 'A', 'hidden 1')$$);
select tests.change('both', 'ann', $$update crm.vehicles set plate = 'B', vin = 'hidden 2' where id = tests.id('car')$$);
select tests.change('secret', 'ann', $$update crm.vehicles set vin = 'hidden 3' where id = tests.id('car')$$);
create table tests.times (at timestamptz);
insert into tests.times values (clock_timestamp());

create function tests.vehicle(name text default 'car') returns text language sql as $$
    select concat_ws(' ', plate, vin) from crm.vehicles where id = tests.id(name)
$$;

-- Told -------------------------------------------------------------------------------------------------------------------------------

select is(tests.said('ann', $$select vin from crm.vehicles where id = tests.id('car')$$), 'hidden 3', 'who may read the table reads it there');
select is(
    tests.said('ann', $$select crm.record_at('vehicles', tests.id('car'), now())::jsonb - '{org_id,id,version}'::text[]$$), '{"plate": "B"}',
    'what a record is now is told without'
);
select is(tests.said('ann', $$select count(*) from crm.record_history('vehicles', tests.id('car')) as h where h::text ~ 'hidden'$$), '0', 'nor has its history');
select is(tests.said('ann', $$select count(*) from crm.audit_log as l where l::text ~ 'hidden'$$), '0', 'nor the log');

-- Brought back ---------------------------------------------------------------------------------------------------------------------

select is(
    (tests.said('ann', $$select crm.restore_record('vehicles', tests.id('car'), 1)$$)::jsonb ->> 'restored') is not null, true,
    'a record is set to an older version'
);
select is(tests.vehicle(), 'A hidden 3', 'but for what history does not know: that stays');
select is(
    tests.said('ann', $$select crm.undo(tests.transaction('secret'))$$)::jsonb #- '{transactions}' #- '{entries,0,entry_id}' #- '{entries,0,id}',
    '{"kept": 1, "failed": 0, "partly": 0, "entries": [{"action": "update", "entity": "vehicles", "reason": "it is secret: history does not know what it was", "columns": ["vin"], "outcome": "kept"}], "reversed": 0}',
    'its change cannot be taken back, and is said to be'
);
select is(tests.vehicle(), 'A hidden 3', 'nothing is');
select tests.change('again', 'ann', $$update crm.vehicles set plate = 'C', vin = 'hidden 4' where id = tests.id('car')$$);
select is(tests.said('ann', $$select crm.undo(tests.transaction('again'))$$)::jsonb ->> 'partly', '1', 'what changed with it can');
select is(tests.vehicle(), 'A hidden 4', 'without it');
select tests.change('deleted', 'ann', $$delete from crm.vehicles where id = tests.id('car')$$);
select is(tests.said('ann', $$select crm.restore_record('vehicles', tests.id('car')) -> 'restored' -> 0 ->> 'entity'$$), 'vehicles', 'what was deleted comes back');
select is(tests.vehicle(), 'A', 'without');

-- Renamed --------------------------------------------------------------------------------------------------------------------------

alter table crm.vehicles rename column vin to chassis;
select is(
    tests.said('ann', $$insert into crm.vehicles (plate, chassis) values ('D', 'hidden') returning id$$),
    '55000 the secret column vin of this table is gone, or has another name: nothing was saved',
    'under another name it would be told: nothing is saved'
);
select is(tests.said('ann', $$update crm.vehicles set chassis = 'hidden' returning id$$), '55000 the secret column vin of this table is gone, or has another name: nothing was saved', 'nor changed');
select crm.unenroll('crm.vehicles');
select crm.enroll('crm.vehicles', array['plate line 10', 'chassis line 20', 'chassis secret']);
select tests.change('renamed', 'ann', $$update crm.vehicles set chassis = 'hidden 5'$$);
select is((select chassis from crm.vehicles where id = tests.id('car')), 'hidden 5', 'enrolled anew it is saved');
select is((select count(*) from crm.audit_log as l where l::text ~ 'hidden'), 0::bigint, 'and told no more than before');

\ir leave_world.psql
