-- crm.enroll on a table of the DBA's own, made after the installation: from there it is one of the CRM's tables.

begin;
\ir actors.psql
select no_plan();

create role tests_dba_of_enroll in role crm_owner;
create role tests_passer_by;
grant usage on schema tests to tests_dba_of_enroll, tests_passer_by;

create function tests.act_as(role text) returns void language plpgsql as $$
begin
    perform tests.nobody();
    perform set_config('role', role, true);
end
$$;

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('viewer', 'Acme', 'read_only');
select tests.join('bob', 'Acme', 'admin');
select tests.hire('seller', 'Acme', 'sales');

-- The table --------------------------------------------------------------------------------------------------------

set local role tests_dba_of_enroll;
create table crm.vehicles (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    plate text not null,
    phone text,
    phone_e164 text,
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint vehicles_pkey primary key (org_id, id),
    constraint vehicles_org_id_plate_key unique (org_id, plate),
    constraint vehicles_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade
);
select is(
    tests.outcome($$select crm.enroll('crm.vehicles', array['plate required line 10', 'phone phone phone_e164', 'external_id line 200'])$$, undo => false),
    '1 rows', 'a DBA without superuser enrolls a table of their own'
);
select is(
    (select array[relrowsecurity, relforcerowsecurity] from pg_class where oid = 'crm.vehicles'::regclass), '{t,t}',
    'row level security is on and forced'
);
select is((select count(*) from pg_policy where polrelid = 'crm.vehicles'::regclass), 8::bigint, 'there is a policy per command and role');
select is(
    (select array_agg(distinct grantee::text order by grantee::text)
     from information_schema.role_table_grants where table_schema = 'crm' and table_name = 'vehicles' and grantee <> 'tests_dba_of_enroll'),
    '{crm_app,crm_backup,crm_multi}', 'the API roles and the backup reach it, and nobody else'
);

-- Its use ----------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
insert into crm.vehicles (plate, phone, created_by, version) values ('  B-AB 1 ', '+49 30 123456', gen_random_uuid(), 9);
select results_eq(
    'select org_id, plate, phone_e164, owner_id, created_by, version from crm.vehicles',
    $$values (tests.org_id('Acme'), 'B-AB 1', '+4930123456', tests.user_id('ann'), tests.user_id('ann'), 1)$$,
    'ann''s vehicle is normalised and stamped'
);
select is(tests.outcome($$update crm.vehicles set plate = 'B-AB 2'$$), '1 rows', 'she may change it');
select is(tests.outcome($$delete from crm.vehicles$$), '1 rows', 'and remove it');
select is(
    tests.outcome($$insert into crm.vehicles (plate) values ('12345678901')$$),
    '22023 plate: too long: 11 characters, at most 10 are allowed', 'the rules are kept, and an error names the column'
);
select is(tests.outcome($$insert into crm.vehicles (plate) values (' ')$$), '22023 plate: must not be empty', 'required is required');
select matches(
    tests.outcome(format('insert into crm.vehicles (org_id, plate) values (%L, ''x'')', tests.org_id('Borg'))), '^42501 ',
    'ann cannot add a vehicle to Borg'
);
select matches(
    tests.outcome(format('update crm.vehicles set org_id = %L', tests.org_id('Borg'))), '^42501 ', 'nor move hers there'
);

select tests.become('bob', 'Borg');
select is((select count(*) from crm.vehicles), 0::bigint, 'bob sees nothing of ann''s vehicles from Borg');
select is(tests.outcome($$update crm.vehicles set plate = 'stolen'$$), '0 rows', 'changes nothing');
select is(tests.outcome($$delete from crm.vehicles$$), '0 rows', 'removes nothing');
select is(tests.outcome($$insert into crm.vehicles (plate) values ('B-AB 1')$$, undo => false), '1 rows', 'and may have the same plate');
select tests.become('bob');
select is((select count(*) from crm.vehicles), 2::bigint, 'across his organizations he sees both');
select is(
    tests.outcome($$insert into crm.vehicles (org_id, plate) values (tests.org_id('Acme'), 'B-AB 3')$$), '1 rows',
    'and may add one, naming the organization'
);
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.vehicles), 1::bigint, 'a viewer sees vehicles');
select is(tests.outcome($$update crm.vehicles set plate = 'x'$$), '42501 your role does not permit vehicles.update', 'and cannot change them');
select tests.become_role('crm_anon');
select matches(tests.outcome('select from crm.vehicles'), '^42501 ', 'the anonymous role sees nothing');
select tests.become_role('crm_app');
select is((select count(*) from crm.vehicles), 0::bigint, 'nor does crm_app without an identity');

-- Again ------------------------------------------------------------------------------------------------------------

select tests.act_as('tests_dba_of_enroll');
select is(
    tests.outcome($$
        create table crm."wheels in %" (
            org_id uuid not null default crm.current_org_id(),
            id uuid not null default crm.uuid_v7(),
            vehicle_id uuid not null,
            custom_fields jsonb not null default '{}',
            owner_id uuid,
            primary key (org_id, id),
            foreign key (org_id, vehicle_id) references crm.vehicles (org_id, id) on delete cascade
        );
        select crm.enroll('crm."wheels in %"', part_of => 'vehicle_id')
    $$), '1 rows', 'a part''s name may be any'
);
select is(tests.outcome($$select crm.enroll('crm.vehicles')$$, undo => false), '1 rows', 'enrolling again is possible');
select is((select count(*) from pg_policy where polrelid = 'crm.vehicles'::regclass), 8::bigint, 'and makes nothing twice');
select is(
    (select array_agg(tgname::text order by tgname) from pg_trigger where tgrelid = 'crm.vehicles'::regclass and not tgisinternal), '{_300_guard,_400_scope,_500_stamp,_700_audit_delete,_700_audit_insert,_700_audit_truncate,_700_audit_update,_800_count_delete,_800_count_insert,_800_count_truncate}',
    'the rules are the new ones: none'
);
select is(
    tests.outcome($$select crm.enroll('crm.vehicles', array['plate line 3', 'plate line 3', null])$$), '1 rows',
    'a rule given twice, or null, does no harm'
);
select is(
    tests.outcome($$alter table crm.vehicles rename to cars; select crm.enroll('crm.cars')$$, undo => false), '1 rows',
    'a renamed table is enrolled under its new name'
);
select is(
    (select count(*) from pg_policy where polrelid = 'crm.cars'::regclass), 8::bigint,
    'and keeps one policy per command and role: two would add their permissions up'
);
select tests.act_as('tests_dba_of_enroll');
alter table crm.cars rename to vehicles;
select crm.enroll('crm.vehicles');

-- Away -------------------------------------------------------------------------------------------------------------

select is(tests.outcome($$select crm.unenroll('crm.vehicles')$$, undo => false), '1 rows', 'the DBA takes it away again');
select is(tests.outcome($$select crm.unenroll('crm.vehicles')$$, undo => false), '1 rows', 'twice, if they like');
select is(
    (select array[relrowsecurity, relforcerowsecurity] from pg_class where oid = 'crm.vehicles'::regclass), '{t,t}',
    'row level security stays on'
);
select is((select count(*) from pg_policy where polrelid = 'crm.vehicles'::regclass), 0::bigint, 'without policies');
select is((select count(*) from pg_trigger where tgrelid = 'crm.vehicles'::regclass and not tgisinternal), 0::bigint, 'or triggers');
select tests.become('ann', 'Acme');
select matches(tests.outcome('select from crm.vehicles'), '^42501 permission denied', 'ann sees nothing of it any more');
select tests.become('ann');
select matches(tests.outcome('select from crm.vehicles'), '^42501 permission denied', 'whatever her role');

-- What is refused --------------------------------------------------------------------------------------------------

select tests.act_as('tests_passer_by');
select matches(tests.outcome($$select crm.enroll('crm.vehicles')$$), '^42501 ', 'a passer-by cannot enroll');
select tests.act_as('crm_app');
select is(tests.outcome($$select crm.enroll('crm.contacts')$$), '42501 permission denied for function enroll', 'an API role cannot enroll');
select is(tests.outcome($$select crm.unenroll('crm.contacts')$$), '42501 permission denied for function unenroll', 'nor take away');
select tests.nobody();
create table public.of_somebody_else (org_id uuid, id uuid, primary key (org_id, id));
create table public.keyless (org_id uuid, id uuid);
create table public.wrong_order (org_id uuid, id uuid, primary key (id, org_id));
create table public.wrong_key (id uuid primary key, org_id uuid);
create table public.wrong_type (org_id uuid, id bigint, primary key (org_id, id));
create table public.wrong_stamp (org_id uuid, id uuid, created_at date, primary key (org_id, id));
create table public.open (org_id uuid, id uuid, primary key (org_id, id));
create table public.oracle (org_id uuid, id uuid, vin text unique, primary key (org_id, id));
create table public.pointer (org_id uuid, id uuid, account_id uuid, primary key (org_id, id));
create table public.parent (org_id uuid, id uuid unique, primary key (org_id, id));
create table public.to_user (org_id uuid, id uuid, user_id uuid references crm.users (id), primary key (org_id, id));
create table public.to_partner (org_id uuid, id uuid, partner uuid references crm.organizations (id), primary key (org_id, id));
create table public.country (code text primary key);
create table public.in_country (org_id uuid, id uuid, country text references public.country (code), primary key (org_id, id));
create table public.pointing (org_id uuid, id uuid, parent_id uuid references public.parent (id), primary key (org_id, id));
create table public.text_table (org_id uuid, id uuid, name text, number integer, short varchar(5), primary key (org_id, id));
create policy everybody on public.open using (true);
create view public.view as select * from public.keyless;
create temp table temporary (org_id uuid, id uuid, primary key (org_id, id));
alter table public.keyless owner to tests_dba_of_enroll;
alter table public.text_table owner to tests_dba_of_enroll;

select tests.act_as('tests_dba_of_enroll');
select matches(tests.outcome($$select crm.enroll('public.of_somebody_else')$$), '^42501 ', 'nobody enrolls a table of somebody else');
select matches(tests.outcome($$select crm.unenroll('public.of_somebody_else')$$), '^42501 ', 'or takes one away');
select is(tests.outcome($$select crm.enroll('public.keyless')$$), '22023 target: the primary key must be (org_id, id)', 'a table without a key is refused');
select tests.nobody();
select is(tests.outcome(format('select crm.enroll(%L)', target)), '22023 target: ' || problem, format('%s is refused', target))
from (values
    ('public.wrong_order', 'the primary key must be (org_id, id)'),
    ('public.wrong_key', 'the primary key must be (org_id, id)'),
    ('public.wrong_type', 'column id must be of type uuid'),
    ('public.wrong_stamp', 'column created_at must be of type timestamp with time zone'),
    ('public.view', 'must be a permanent table outside crm_private, and not crm.memberships'),
    ('pg_temp.temporary', 'must be a permanent table outside crm_private, and not crm.memberships'),
    ('crm_private.sessions', 'must be a permanent table outside crm_private, and not crm.memberships'),
    ('pg_catalog.pg_class', 'must be a permanent table outside crm_private, and not crm.memberships'),
    ('0', 'must be a permanent table outside crm_private, and not crm.memberships')
) as bad (target, problem);
select matches(tests.outcome($$select crm.enroll('crm.nothing')$$), '^42P01 ', 'a table that does not exist is refused');
select matches(tests.outcome(format('select crm.enroll(''public.text_table'', array[%L])', rule)), '^22023 rules: ', format('the rule %L is refused', rule))
from unnest(array['', 'name', 'name line', 'name line x', 'name colour', 'missing line 5', 'number line 5', 'short line 5', 'ctid line 5', 'name phone missing',
    'name line 5; drop table crm.contacts']) as rule;
select is((select count(*) from pg_policy where polrelid = 'public.text_table'::regclass), 0::bigint, 'what is refused leaves nothing behind');

-- What would let one tenant see or detect another's rows in spite of the policies.
select matches(
    tests.outcome($$select crm.enroll('public.open')$$), '^22023 target: ',
    'a table with a policy of its own is refused: the two would add up, and one lets everybody in'
);
select matches(
    tests.outcome($$select crm.enroll('public.oracle')$$), '^22023 target: ',
    'a table with a unique key across organizations is refused: it tells what others have'
);
select matches(
    tests.outcome($$select crm.enroll('public.pointing')$$), '^22023 target: ',
    'a table that points across organizations is refused: it tells what others have'
);
select matches(
    tests.outcome($$select crm.enroll('crm.memberships')$$), '^22023 target: ', 'memberships cannot be opened to those who would make themselves owners'
);
select matches(
    tests.outcome($$select crm.enroll('public.to_user')$$), '^22023 target: ', 'nor one that points to people, whoever''s they are'
);
select matches(
    tests.outcome($$select crm.enroll('public.to_partner')$$), '^22023 target: ', 'nor one that points to other organizations'
);
select is(
    tests.outcome($$select crm.enroll('public.in_country')$$), '1 rows', 'a table that points to what belongs to no organization is enrolled'
);

-- Tags of a table of one's own ------------------------------------------------------------------------------------

create table public.wrong_tags (org_id uuid, id uuid, tags jsonb, primary key (org_id, id));
select is(
    tests.outcome($$select crm.enroll('public.wrong_tags')$$), '22023 target: column tags must be of type text[]', 'tags are names'
);
select tests.act_as('tests_dba_of_enroll');
create table crm.boats (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    name text,
    tags text[] not null default '{}',
    owner_id uuid,
    primary key (org_id, id),
    foreign key (org_id) references crm.organizations (id) on delete cascade
);
select is(tests.outcome($$select crm.enroll('crm.boats')$$, undo => false), '1 rows', 'a table with tags is enrolled');
select is(tests.outcome($$select crm.enroll('crm.boats')$$, undo => false), '1 rows', 'and again');
select is((select array_agg(tgname::text) from pg_trigger where tgrelid = 'crm.boats'::regclass and tgname = '_140_tags'), '{_140_tags}', 'they are taken care of, once');
select tests.become('seller', 'Acme');
insert into crm.contacts (last_name, tags) values ('Captain', '{Sailor}');
insert into crm.boats (name, tags) values ('Ship', '{ sailor,Fast }');
select is((select tags from crm.boats), '{Fast,Sailor}', 'its records share the tags of all others');
select results_eq(
    'select name, entity, count from crm.tag_counts()', $$values ('Fast', 'boats', 1::bigint), ('Sailor', 'boats', 1), ('Sailor', 'contacts', 1)$$, 'are counted'
);
select tests.become('ann', 'Acme');
update crm.tags set name = 'Sea' where name = 'Sailor';
select is((select tags from crm.boats), '{Fast,Sea}', 'renamed');
select is(crm.merge_tags('{fast}', 'sea') ->> 'records', '1', 'and merged');
select is((select tags from crm.boats), '{Sea}', 'like them');
select tests.become('bob', 'Borg');
select is_empty('select 1 from crm.tag_counts()', 'and nobody else''s');
select tests.act_as('tests_dba_of_enroll');
select crm.unenroll('crm.boats');
select is((select count(*) from pg_trigger where tgrelid = 'crm.boats'::regclass and not tgisinternal), 0::bigint, 'what is taken away is taken whole');
select tests.become('ann', 'Acme');
select is(tests.outcome($$delete from crm.tags where name = 'Sea'$$), '1 rows', 'and is in nobody''s way');

select * from finish();
rollback;
