-- What a DBA adds to a CRM of theirs, in every way that an update has to leave alone. Run by the DBA, in a database that a released
-- version made and in one that the present version made: it says the same in both.

alter table crm.contacts
    add column shoe_size integer default 42,
    add constraint contacts_shoe_size_check check (shoe_size > 0);
comment on column crm.contacts.shoe_size is 'European.';
create index contacts_org_id_shoe_size_idx on crm.contacts (org_id, shoe_size);
alter table crm.contacts alter column shoe_size set statistics 50;

create policy contacts_select_dba on crm.contacts for select to dba using (shoe_size < 100);
comment on policy contacts_select_dba on crm.contacts is 'The DBA''s own.';

create function crm.trace() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$ begin return new; end $$;
create trigger z_trace before insert on crm.contacts for each row execute function crm.trace();

-- Enrolled in every way there is: a record with rules, tags and custom fields, its parts, one that clients only read, and one
-- outside of crm that has no owners.
create table crm.vehicles (
    org_id uuid not null default crm.current_org_id() references crm.organizations (id) on delete cascade,
    id uuid not null default crm.uuid_v7(),
    plate text not null,
    status text not null default 'new',
    sold_at timestamptz,
    owner_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    version integer not null default 1,
    primary key (org_id, id),
    unique (org_id, plate)
);
comment on table crm.vehicles is 'The DBA''s own: it''s "theirs".';
select crm.enroll(
    'crm.vehicles',
    array['plate required line 20', 'status steps *:new new:sold sold:', 'sold_at since status sold'],
    array['manager read,create,update all', 'sales read own']
);
grant select on crm.vehicles to crm_service;

create table crm.vehicle_services (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    vehicle_id uuid not null,
    owner_id uuid,
    summary text,
    primary key (org_id, id),
    foreign key (org_id, vehicle_id) references crm.vehicles (org_id, id) on delete cascade
);
create index vehicle_services_org_id_vehicle_id_idx on crm.vehicle_services (org_id, vehicle_id);
select crm.enroll('crm.vehicle_services', array['summary text 500'], part_of => 'vehicle_id');

create schema fleet;
grant usage on schema fleet to crm_app, crm_multi, crm_backup;
create table fleet.fuel_prices (
    org_id uuid not null references crm.organizations (id) on delete cascade,
    id uuid not null default crm.uuid_v7(),
    price numeric(6, 3) not null,
    primary key (org_id, id)
);
select crm.enroll('fleet.fuel_prices', read_only => true);
create table fleet.depots (
    org_id uuid not null references crm.organizations (id) on delete cascade,
    id uuid not null default crm.uuid_v7(),
    name text,
    primary key (org_id, id)
);
select crm.enroll('fleet.depots', array['name line 50']);
