-- A person is erased from records and from history: all of them, and nobody else.

\set world erase
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{shared,ada,bea,cyd,dan,moved,moved_gone,loose,gone,file,reused}'::text[]) as name;
select tests.org_id('Acme') as acme \gset
insert into tests.ids select 'membership', id from crm.memberships where org_id = :'acme' and user_id = tests.user_id('sue');

-- Entries that still tell something of a record.
create function tests.told(entity text, record text) returns bigint language sql as $$
    select count(*) from crm.audit_log as l
    where l.org_id = tests.org_id('Acme') and l.entity = told.entity and l.record_id = tests.id(record)
        and (l.before is not null or l.after is not null) and l.action not in ('erase', 'prune')
$$;
create function tests.in_trash(entity text, record text) returns boolean language sql as $$
    select exists (
        select from crm.deleted_records as d
        where d.org_id = tests.org_id('Acme') and d.entity = in_trash.entity and d.record_id = tests.id(record)
    )
$$;
create function tests.verified() returns text language sql as $$
    select valid || ' ' || problems::text from crm.verify_audit(tests.org_id('Acme'))
$$;
create function tests.erase(person text, entity text, record text, more text default '') returns text language sql as $$
    select tests.said(person, format('select crm.erase_person(%L, %L%s)', entity, tests.id(record), more))
$$;

-- An id is its table's alone ------------------------------------------------------------------------------------------------

select tests.change('shared made', 'ann', $$
    insert into crm.contacts (id, last_name) values (tests.id('shared'), 'Contact');
    insert into crm.deals (id, name) values (tests.id('shared'), 'Deal');
    insert into crm.tickets (id, subject) values (tests.id('shared'), 'Ticket');
    insert into crm.accounts (id, name) values (tests.id('membership'), 'Account')
$$);
select tests.change('shared deleted', 'ann', $$delete from crm.contacts where id = tests.id('shared')$$);
select tests.change('shared deleted too', 'ann', $$
    delete from crm.deals where id = tests.id('shared'); delete from crm.tickets where id = tests.id('shared')
$$);
select tests.change('membership changed', 'ann', $$select crm.set_member_role(tests.user_id('sue'), 'sales')$$);
select matches(tests.said('ann', format('select crm.restore_record(''deals'', %L)', tests.id('shared'))), '"restored"', 'a deal is brought back');
select ok(tests.in_trash('contacts', 'shared') and tests.in_trash('tickets', 'shared'), 'a contact and a ticket with its id stay in the trash');
select matches(tests.said('ann', format('select crm.undo(%L)', tests.transaction('shared deleted too'))), '"reversed": 1', 'the ticket''s deletion is taken back');
select ok(tests.in_trash('contacts', 'shared'), 'and the contact stays there');
select tests.change('deal deleted again', 'ann', $$delete from crm.deals where id = tests.id('shared')$$);
create table tests.before as select tests.told('deals', 'shared') as deals, tests.told('tickets', 'shared') as tickets, tests.told('memberships', 'membership') as memberships;
select ok(deals > 2 and tickets > 2 and memberships > 1, 'history tells of all of them') from tests.before;

select tests.erase('ann', 'contacts', 'shared') as erased \gset
select is(:'erased'::jsonb -> 'history', '{"contacts": 1}', 'a contact is erased from history');
select is(tests.told('contacts', 'shared'), 0::bigint, 'nothing is left of it');
select is(row(tests.told('deals', 'shared'), tests.told('tickets', 'shared'))::text, row(deals, tickets)::text, 'all of what had its id in other tables is')
from tests.before;
select ok(not tests.in_trash('contacts', 'shared') and tests.in_trash('deals', 'shared'), 'also in the trash');
select matches(tests.said('ann', format('select crm.restore_record(''deals'', %L)', tests.id('shared'))), '"restored"', 'it comes back');
select matches(tests.erase('ann', 'accounts', 'membership'), '"accounts": 1', 'an account is erased that was given a membership''s id');
select is(tests.told('accounts', 'membership'), 0::bigint, 'nothing is left of it');
select is(tests.told('memberships', 'membership'), memberships, 'who changed the membership still stands there') from tests.before;
select is(tests.verified(), 'true {}', 'history is valid');

-- The person's, and no longer the person's ------------------------------------------------------------------------------------

create function tests.message(record text, contact text) returns void language sql as $$
    insert into crm.messages (id, channel, direction, contact_id, from_address, body, status)
    values (tests.id(record), 'email', 'inbound', tests.id(contact), 'x@example.com', record, 'received')
$$;
select tests.change('messages', 'ann', $$
    insert into crm.contacts (id, last_name) values (tests.id('ada'), 'Ada'), (tests.id('bea'), 'Bea');
    select tests.message('moved', 'ada'), tests.message('moved_gone', 'ada'), tests.message('loose', 'ada'), tests.message('gone', 'ada');
    insert into crm.attachments (id, file_name, content_type, size_bytes, storage_key, message_id)
    values (tests.id('file'), 'ada.txt', 'text/plain', 1, 'ada', tests.id('gone'))
$$);
select tests.change('messages of somebody else', 'ann', $$
    update crm.messages set contact_id = tests.id('bea') where id in (tests.id('moved'), tests.id('moved_gone'));
    update crm.messages set contact_id = null where id = tests.id('loose')
$$);
select tests.change('messages gone', 'ann', $$delete from crm.messages where id in (tests.id('moved_gone'), tests.id('gone'))$$);
create table tests.messages as select record, tests.told('messages', record) as told from unnest('{moved,moved_gone,loose}'::text[]) as record;
select tests.erase('ann', 'contacts', 'ada', ', dry_run => true') as tried \gset
select tests.erase('ann', 'contacts', 'ada') as erased \gset
select is(:'erased'::jsonb - 'transactions', :'tried'::jsonb - 'transactions', 'a dry run tells what will be');
select is(:'erased'::jsonb -> 'history', '{"contacts": 1, "messages": 1, "attachments": 1}', 'a message that is gone is the person''s, with what it was made of');
select is(row(tests.told('contacts', 'ada'), tests.told('messages', 'gone'), tests.told('attachments', 'file'))::text, '(0,0,0)', 'nothing is left of that');
select ok(not tests.in_trash('messages', 'gone'), 'nor in the trash');
select is(tests.told('messages', record), told, record || ': what is somebody else''s by now, or nobody''s, keeps its history') from tests.messages;
select ok(tests.in_trash('messages', 'moved_gone'), 'and comes back from the trash');
select is((select count(*) from crm.messages where id in (tests.id('moved'), tests.id('loose'))), 2::bigint, 'what is there stays');
select is(tests.verified(), 'true {}', 'history is valid');

-- The note: which records, and not what they held.
select is(
    (select after::jsonb -> 'records' from crm.audit_log where action = 'erase' and record_id = tests.id('ada')),
    jsonb_build_object('contacts', array[tests.id('ada')], 'messages', array[tests.id('gone')], 'attachments', array[tests.id('file')]),
    'history says which records were erased'
);

-- A lead that became a contact, and what points to both.
insert into tests.ids select name || '_contact', gen_random_uuid() from unnest('{cyd,dan}'::text[]) as name;
create function tests.convert(name text) returns void language sql as $$
    insert into crm.leads (id, last_name) values (tests.id(name), name);
    insert into crm.contacts (id, last_name) values (tests.id(name || '_contact'), name);
    update crm.leads set status = 'converted', converted_contact_id = tests.id(name || '_contact') where id = tests.id(name)
$$;
select tests.change('cyd', 'ann', 'select tests.convert(''cyd'')');
select tests.change('both', 'ann', $$
    insert into crm.messages (channel, direction, contact_id, lead_id, from_address, body, status)
    values ('email', 'inbound', tests.id('cyd_contact'), tests.id('cyd'), 'x@example.com', 'Cyd', 'received')
$$);
select tests.erase('ann', 'contacts', 'cyd_contact') as erased \gset
select is((:'erased'::jsonb -> 'erased') @> '{"contacts": 1, "leads": 1, "messages": 1}', true, 'a lead goes with the contact, and a message to both');
select is(tests.told('leads', 'cyd') + tests.told('contacts', 'cyd_contact'), 0::bigint, 'nothing is left of them');
select is(tests.verified(), 'true {}', 'history is valid');
-- The same, of a lead that is gone already.
select tests.change('dan', 'ann', 'select tests.convert(''dan'')');
select tests.change('lead of dan gone', 'ann', $$delete from crm.leads where id = tests.id('dan')$$);
select tests.erase('ann', 'leads', 'dan', ', dry_run => true') as tried \gset
select tests.erase('ann', 'contacts', 'dan_contact') as erased \gset
select is(:'erased'::jsonb -> 'history', :'tried'::jsonb -> 'history', 'a lead that is gone is the same person');
select is(tests.told('leads', 'dan') + tests.told('contacts', 'dan_contact'), 0::bigint, 'nothing is left of it');
select is(tests.verified(), 'true {}', 'history is valid');

-- What goes along without pointing to the person.
create function tests.follow() returns trigger language plpgsql security definer as $$
begin
    delete from crm.tasks where org_id = old.org_id and title = 'Follows ' || old.last_name;
    return null;
end
$$;
create trigger follow after delete on crm.contacts for each row execute function tests.follow();
insert into tests.ids select name, gen_random_uuid() from unnest('{led,follower}'::text[]) as name;
select tests.change('follower', 'ann', $$
    insert into crm.contacts (id, last_name) values (tests.id('led'), 'Led');
    insert into crm.tasks (id, title) values (tests.id('follower'), 'Follows Led')
$$);
select is(tests.erase('ann', 'contacts', 'led')::jsonb -> 'erased', '{"contacts": 1, "tasks": 1}', 'what a trigger deletes goes along');
select is(tests.told('tasks', 'follower'), 0::bigint, 'and nothing is left of it');
select is(tests.verified(), 'true {}', 'history is valid');
drop trigger follow on crm.contacts;

-- What is erased does not come back, not even empty.
insert into tests.ids select name, gen_random_uuid() from unnest('{fay,fay_message,fay_task}'::text[]) as name;
create view tests.of_fay as select entity, record from (values ('contacts', 'fay'), ('messages', 'fay_message'), ('tasks', 'fay_task')) as of_fay (entity, record);
create function tests.there() returns bigint language sql as $$
    select (select count(*) from crm.contacts where id = tests.id('fay'))
        + (select count(*) from crm.messages where id = tests.id('fay_message'))
        + (select count(*) from crm.tasks where id = tests.id('fay_task'))
$$;
select tests.change('fay', 'ann', $$
    insert into crm.contacts (id, last_name) values (tests.id('fay'), 'Fay');
    select tests.message('fay_message', 'fay');
    insert into crm.tasks (id, title, contact_id) values (tests.id('fay_task'), 'Call Fay', tests.id('fay'))
$$);
select is(tests.there(), 3::bigint, 'a contact, a message and a task are there');
select tests.change('fay erased', 'ann', $$select crm.erase_person('contacts', tests.id('fay'), '{messages,tasks}')$$);
select is(
    tests.said('ann', format('select crm.restore_record(%L, %L)', entity, tests.id(record))),
    '22023 id: what the record was is erased from history', entity || ': what was erased cannot be restored'
) from tests.of_fay;
select tests.said('ann', format('select crm.undo(%L)', tests.transaction('fay erased'))) as undone \gset
select is(
    (:'undone'::jsonb) - 'entries' @> '{"reversed": 0, "partly": 0, "kept": 0, "failed": 3}', true, 'nor is the erasure undone'
);
select is(
    (select array_agg(distinct entry ->> 'reason') from jsonb_array_elements(:'undone'::jsonb -> 'entries') as entry),
    '{"what it was is erased from history"}', 'and undo tells why'
);
select is(tests.there(), 0::bigint, 'nothing of it appears');
select is(tests.verified(), 'true {}', 'history is valid');

-- By whom ---------------------------------------------------------------------------------------------------------------------

begin;
select tests.become('ann', 'Acme');
insert into crm.roles (name, title, rank) values ('eraser', 'Eraser', 30);
insert into crm.role_permissions (role, permission) values ('eraser', 'audit.erase'), ('eraser', 'contacts.read'), ('eraser', 'contacts.create');
select tests.nobody();
select tests.hire('eve', 'Acme', 'eraser');
select tests.token('eve', 'Acme');
commit;
create function tests.permit(permission text, scope text) returns void language sql as $$
    select tests.change(permission || scope, 'ann', format(
        'insert into crm.role_permissions (role, permission, scope) values (''eraser'', %L, %L)
         on conflict (org_id, role, permission) do update set scope = excluded.scope', permission, scope
    ))
$$;
create function tests.refusal(permission text) returns text language sql as $$
    select format('42501 %s is not permitted to you for all records, and history has deleted ones that may have been anybody''s', permission)
$$;
select tests.change('reused', 'ann', $$
    insert into crm.contacts (id, last_name) values (tests.id('reused'), 'Ann''s'), (tests.id('dan_contact'), 'Again');
    insert into crm.contact_emails (contact_id, email) values (tests.id('reused'), 'anns@example.com')
$$);
select tests.change('reused gone', 'ann', $$delete from crm.contacts where id in (tests.id('reused'), tests.id('dan_contact'))$$);
select tests.told('contacts', 'reused') as told \gset
select is(tests.erase('eve', 'contacts', 'reused'), tests.refusal('contacts.delete'), 'who may erase, but not delete contacts, erases none that is gone');
select is(tests.erase('eve', 'contacts', 'reused', ', dry_run => true'), tests.refusal('contacts.delete'), 'and is told so before');
select tests.permit('contacts.delete', 'own');
select is(tests.erase('eve', 'contacts', 'reused'), tests.refusal('contacts.delete'), 'nor who may delete their own');
select tests.change('eves', 'eve', $$insert into crm.contacts (id, last_name) values (tests.id('reused'), 'Eve''s'), (tests.id('shared'), 'Eve''s')$$);
select is(tests.erase('eve', 'contacts', 'reused'), tests.refusal('contacts.delete'), 'not by the way of a record of their own with its id');
select is(tests.told('contacts', 'reused'), :told + 1::bigint, 'all of it is still there');
insert into tests.ids values ('own', gen_random_uuid());
select tests.change('own', 'eve', $$insert into crm.contacts (id, last_name) values (tests.id('own'), 'Eve''s')$$);
select matches(tests.erase('eve', 'contacts', 'own'), '"history": \{"contacts": 1\}', 'who may delete their own erases their own');
select matches(tests.erase('eve', 'contacts', 'bea'), '^42501 ', 'and nobody else''s');
select matches(tests.erase('eve', 'contacts', 'bea', ', also => ''{}'''), '^42501 ', 'in no way');
select tests.permit('contacts.delete', 'all');
select matches(tests.erase('eve', 'contacts', 'reused'), '"history": \{"contacts": 1, "contact_emails": 1\}', 'who may delete all erases what is gone');
select is(tests.erase('eve', 'contacts', 'bea'), '42501 your role does not permit messages.delete', 'what is there, who may delete it');
select tests.change('moved gone', 'ann', $$delete from crm.messages where id = tests.id('moved')$$);
select is(tests.erase('eve', 'contacts', 'bea'), tests.refusal('messages.delete'), 'and what is gone, who may delete all of its kind');
select ok((select count(*) from crm.contacts where id = tests.id('bea')) = 1 and tests.told('contacts', 'bea') > 0, 'then nothing is erased');
select is(tests.verified(), 'true {}', 'history is valid');

-- What is no person's -----------------------------------------------------------------------------------------------------------

create view tests.administration as
select entity, id from (
    select 'organizations' as entity, id from crm.organizations where id = tests.org_id('Acme')
    union all (select 'memberships', id from crm.memberships where org_id = tests.org_id('Acme') limit 1)
    union all select name, gen_random_uuid() from unnest('{users,invitations,crm_private.invitations,api_keys,crm_private.api_keys,plan_overrides,audit_log,audit_transactions,deleted_records}'::text[]) as name
    union all (select 'roles', id from crm.roles where org_id = tests.org_id('Acme') limit 1)
    union all (select 'role_permissions', id from crm.role_permissions where org_id = tests.org_id('Acme') limit 1)
    union all select name, gen_random_uuid() from unnest('{groups,group_members,group_permissions,group_roles}'::text[]) as name
) as administration;
select is(
    tests.said('ann', format('select crm.erase_person(%L, %L)', entity, id)), '22023 entity: must be the name of a table of records',
    'who may do what is nobody''s record: ' || entity
) from tests.administration;
select is(
    tests.said('ann', format('select crm.erase_person(''contacts'', %L, %L)', tests.id('bea'), array[entity])), '22023 also: there are no ' || entity,
    'and goes with nobody: ' || entity
) from tests.administration;

-- What another system said of a person goes with them --------------------------------------------------------------------------

select tests.said('ann', $$select crm.ingest_event('lead.captured', '{"last_name": "Captured", "email": "captured@example.com"}', 'captured') ->> 'record_id'$$) as captured \gset
select tests.said('ann', $$select crm.ingest_event('lead.captured', '{"last_name": "Other"}', 'other') ->> 'record_id'$$) \g /dev/null
insert into tests.ids values ('captured', :'captured');
select matches(tests.erase('ann', 'leads', 'captured'), '"leads": 1', 'a lead that was captured is erased');
select is((select array_agg(event_key) from crm.integration_events), '{other}', 'with the event that it came from, and no other');
select is(tests.told('leads', 'captured'), 0::bigint, 'nothing is left of it');
select is_empty(
    $$select 1 from crm.audit_log where entity = 'integration_events' and coalesce(before, after)::text ~ '"event_key":"captured"'$$, 'nor of the event''s id'
);
select is(tests.verified(), 'true {}', 'history is valid');

-- What became no record names nobody but in what was sent.
insert into tests.ids values ('reached', gen_random_uuid()), ('reached_email', gen_random_uuid());
select tests.change('reached', 'ann', $$
    insert into crm.contacts (id, last_name, email, phone) values (tests.id('reached'), 'Reached', 'old.address@example.com', '+1 650 253 0000');
    update crm.contacts set email = 'reached@example.com' where id = tests.id('reached');
    insert into crm.contact_emails (id, contact_id, email) values (tests.id('reached_email'), tests.id('reached'), 'further@example.com')
$$);
select tests.said('ann', format('select crm.ingest_event(''form.sent'', %L, %L)', payload, name))
from (values
    ('email', '{"who": {"mail": "Reached@Example.com"}}'), ('text', '{"text": "Hello,\nreached@example.com. Call me"}'), ('earlier', '{"a": [["old.address@example.com"]]}'),
    ('further', '{"a": "<further@example.com>"}'), ('phone', '{"a": "call (650) 253-0000 or +1 (650) 253-0000"}'), ('number', '{"a": 16502530000}'), ('00', '{"a": "001 650 2530000"}'),
    ('longer', '{"a": "un-reached@example.com", "b": "reached@example.com.au", "c": "reached@example.community", "d": "xreached@example.com"}'),
    ('digits', '{"a": "+1 650 253 00001", "b": 916502530000}'), ('reached@example.com', '{"a": "nobody"}')
) as event (name, payload) \g /dev/null
select is((select count(*) from crm.integration_events where event_name = 'form.sent' and status = 'ignored'), 10::bigint, 'ten events became no record');
select matches(tests.erase('ann', 'contacts', 'reached'), '"erased": .*"integration_events": 8', 'a contact is erased');
select is(
    (select array_agg(event_key order by event_key collate "C") from crm.integration_events where event_name = 'form.sent'), '{digits,longer}',
    'with the events that name an address or a number they have or had, and no other'
);
select is((select count(*) from crm.integration_events where event_key = 'other'), 1::bigint, 'and not what became another''s record');
select is(tests.verified(), 'true {}', 'history is valid');

\ir leave_world.psql
