-- What a DBA adds to the CRM: run as that DBA, who is no superuser.

alter table crm.contacts add column shoe_size integer default 42, add constraint contacts_shoe_size_check check (shoe_size > 0);
create index contacts_org_id_shoe_size_idx on crm.contacts (org_id, shoe_size) include (last_name) where shoe_size > 40;
create statistics crm.contacts_sizes on org_id, shoe_size from crm.contacts;
comment on column crm.contacts.shoe_size is 'European.';
create policy contacts_no_giants on crm.contacts as restrictive to crm_app, crm_multi using (shoe_size < 60);
comment on policy contacts_no_giants on crm.contacts is 'The DBA''s own.';

-- Outside of the CRM's schemas crm_backup has to be given what it is to dump.
create sequence public.note_numbers start 100 increment 5;
create table public.notes (
    number bigint primary key default nextval('public.note_numbers'),
    id bigint generated always as identity,
    org_id uuid references crm.organizations (id),
    note text not null
);
grant select on public.notes to crm_backup;
grant select on public.note_numbers, public.notes_id_seq to crm_backup;
create function public.note() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into public.notes (org_id, note) values (new.org_id, tg_op || ' ' || new.last_name);
    return null;
end
$$;
create trigger _950_note after insert or update on crm.contacts for each row execute function public.note();
create trigger _951_note_off after insert on crm.contacts for each row execute function public.note();
alter table crm.contacts disable trigger _951_note_off;

create type crm.fuel as enum ('petrol', 'current');
create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text,
    fuel crm.fuel not null default 'current',
    contact_id uuid,
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade,
    foreign key (org_id, contact_id) references crm.contacts (org_id, id) on delete set null (contact_id)
);
comment on table crm.vehicles is 'The DBA''s own.';
select crm.enroll('crm.vehicles', array['plate line 10']);
grant select on crm.vehicles to crm_service;
create view crm.plates with (security_invoker) as select org_id, plate from crm.vehicles where plate is not null;
grant select on crm.plates to crm_app, crm_backup;
create materialized view public.sizes as select 42 as size;
grant select on public.sizes to crm_backup;
