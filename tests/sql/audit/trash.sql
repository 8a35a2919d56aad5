-- The trash: what can be brought back, for whoever may read such records.

\set world trash
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{contact,deal,ticket,task,anns}'::text[]) as name;
select tests.change('made', 'sam', $$
    insert into crm.contacts (id, first_name, last_name, title) values (tests.id('contact'), 'Bo', 'Lind', 'Head');
    insert into crm.contact_emails (contact_id, email) values (tests.id('contact'), 'bo@example.com');
    insert into crm.deals (id, name) values (tests.id('deal'), 'Deal');
    insert into crm.tickets (id, subject) values (tests.id('ticket'), 'Broken');
    insert into crm.tasks (id, title) values (tests.id('task'), 'Call')
$$);
select tests.change('anns', 'ann', $$insert into crm.contacts (id, last_name) values (tests.id('anns'), 'Ann''s')$$);
insert into crm.groups (org_id, name) values (tests.org_id('Acme'), 'Team');
insert into crm.group_members (org_id, group_id, user_id)
select org_id, id, tests.user_id(person) from crm.groups, unnest('{mia,sam}'::text[]) as person where name = 'Team';
select tests.change('foreign', 'bob', $$insert into crm.contacts (last_name) values ('Foreign')$$, 'Borg');
select tests.change('deleted', 'sam', $$
    delete from crm.contacts where id = tests.id('contact'); delete from crm.deals; delete from crm.tickets; delete from crm.tasks
$$);
select tests.change('anns deleted', 'ann', $$delete from crm.contacts where id = tests.id('anns')$$);
select tests.change('foreign deleted', 'bob', $$delete from crm.contacts$$, 'Borg');

create function tests.trash(person text, organization text default 'Acme') returns text language sql as $$
    select tests.said(person, 'select string_agg(entity || '' '' || title, '', '' order by entity, title) from crm.trash', organization)
$$;
select is(tests.trash('ann'), 'contacts Ann''s, contacts Bo Lind, deals Deal, tasks Call, tickets Broken', 'ann sees all that was deleted, records without their parts');
select is(tests.trash('sam'), 'contacts Bo Lind, deals Deal, tasks Call, tickets Broken', 'sam what was his');
select is(tests.trash('mia'), tests.trash('sam'), 'mia what was her team''s');
select is(tests.trash('sid'), null, 'sid nothing');
select is(tests.trash('viewer'), 'contacts Ann''s, contacts Bo Lind, deals Deal, tasks Call, tickets Broken', 'who may read all sees all');
select is(tests.trash('bob', 'Borg'), 'contacts Foreign', 'bob what was deleted in his organization');
select is(tests.trash('max', null), 'contacts Ann''s, contacts Bo Lind, contacts Foreign, deals Deal, tasks Call, tickets Broken', 'max what was in all of his');
select is(
    tests.said('sam', format('select jsonb_build_array(deleted_by, owner_id, record_id, transaction_id, id) from crm.trash where entity = ''deals''')),
    (select jsonb_build_array(actor_id, tests.user_id('sam'), record_id, transaction_id, id)::text from crm.audit_log where action = 'delete' and entity = 'deals'),
    'it says who deleted what, and in which transaction'
);
-- Of several organizations, each by its own permissions.
select tests.join('sam', 'Borg', 'read_only');
select tests.token('sam');
select is(tests.trash('sam', null), 'contacts Bo Lind, contacts Foreign, deals Deal, tasks Call, tickets Broken', 'sam sees all of Borg''s and his own of Acme''s');
select tests.join('mia', 'Borg', 'sales');
select tests.token('mia');
select is(tests.trash('mia', null), tests.trash('sam'), 'mia her team''s of Acme, and nothing of Borg''s');

-- A key: as far as its scopes.
begin;
select tests.become('ann', 'Acme');
select crm.create_api_key('Key', '{deals.read}') ->> 'key' as key \gset
select tests.nobody();
set local role crm_app;
select crm.authenticate_api_key(:'key') is not null;
select is((select string_agg(title, ', ') from crm.trash), 'Deal', 'a key sees what it may read');
select tests.nobody();
commit;

-- Out of it.
select tests.said('sam', format('select crm.restore_record(''deals'', %L)', tests.id('deal')));
select is(tests.trash('sam'), 'contacts Bo Lind, tasks Call, tickets Broken', 'what is back is not in the trash');
select matches(tests.said('sam', format('select crm.undo(%L)', tests.transaction('deleted'))), '"failed": 0', 'the rest comes back');
select is(tests.trash('sam'), null, 'and is not in it either');

-- By nobody else.
select matches(tests.said('ann', 'delete from crm.deleted_records'), '^42501 ', 'ann empties no trash');
select matches(tests.said('ann', 'insert into crm.deleted_records (org_id) values (null)'), '^42501 ', 'and puts nothing in');
select matches(tests.said('ann', 'delete from crm.trash'), '^42501 ', 'nor through the view');
select throws_ok('delete from crm.deleted_records', '42501', 'history is neither written nor changed by hand', 'not even the DBA');
select throws_ok('update crm.deleted_records set title = ''x''', '42501', 'history is neither written nor changed by hand', 'changes it');
select throws_ok('truncate crm.deleted_records', '42501', 'history is neither written nor changed by hand', 'or empties it');
select is((select count(*) from crm.deleted_records), 2::bigint, 'it is all there');

-- By index.
insert into crm.organizations (name) select 'Many ' || n from generate_series(1, 20) as n;
alter table crm.deleted_records disable trigger _300_append_only;
insert into crm.deleted_records (org_id, id, created_at, entity, resource, record_id, owner_id, title, transaction_id)
select o.id, gen_random_uuid(), now() - n * interval '1 minute', 'contacts', 'contacts', gen_random_uuid(), tests.user_id('sam'), 'x', gen_random_uuid()
from crm.organizations as o, generate_series(1, 500) as n;
alter table crm.deleted_records enable trigger _300_append_only;
analyze crm.deleted_records;
create function tests.plan(person text) returns text language plpgsql as $$
declare
    plan text;
begin
    perform tests.become(person, 'Acme');
    plan := tests.explain('select title from crm.trash order by deleted_at desc, id desc limit 50');
    perform tests.nobody();
    return plan;
end
$$;
select matches(
    tests.plan(person), e'\n  ->  Index Scan Backward using deleted_records_org_id_created_at_id_idx', person || ' pages by index, without sorting'
) from unnest('{ann,mia,sam}'::text[]) as person;
\ir leave_world.psql
