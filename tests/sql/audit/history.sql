-- What was changed in a record, and by whom: for whoever may read it.

\set world history
\ir world.psql

insert into tests.ids select name, gen_random_uuid() from unnest('{a,deleted,foreign,moved}'::text[]) as name;
select tests.change('made', 'sam', $$insert into crm.contacts (id, last_name) values (tests.id('a'), 'A'), (tests.id('deleted'), 'Deleted'), (tests.id('moved'), 'Moved')$$);
select tests.change('changed', 'ann', $$update crm.contacts set title = 'Head', email = 'a@example.com' where id = tests.id('a')$$);
select tests.change('gone', 'sam', $$delete from crm.contacts where id = tests.id('deleted')$$);
select tests.change('moved', 'ann', $$update crm.contacts set owner_id = tests.user_id('ann') where id = tests.id('moved')$$);
select tests.change('foreign', 'bob', $$insert into crm.contacts (id, last_name) values (tests.id('foreign'), 'Foreign')$$, 'Borg');
-- An auditor reads history and nothing else.
insert into crm.roles (org_id, name) values (tests.org_id('Acme'), 'auditor');
insert into crm.role_permissions (org_id, role, permission, scope) values (tests.org_id('Acme'), 'auditor', 'audit.read', 'all');
select tests.hire('alf', 'Acme', 'auditor');
select tests.token('alf', 'Acme');

-- The history in words, newest first.
create function tests.history(person text, record text, organization text default 'Acme', arguments text default '') returns text language sql as $$
    select tests.said(person, format(
        'select string_agg(concat_ws('' '', action, version, (select name from tests.people where user_id = actor_id), changed), '', '')
         from crm.record_history(''contacts'', %L %s)', tests.id(record), arguments
    ), organization)
$$;

select is(tests.history('sam', 'a'), 'update 2 ann {title,email}, insert 1 sam', 'sam sees what became of his contact');
select is(tests.history(person, 'a'), tests.history('sam', 'a'), person || ' sees the same')
from unnest('{ann,sue,viewer,alf,max}'::text[]) as person;
select is(tests.history('max', 'a', null), tests.history('sam', 'a'), 'so does max, who looks across his organizations');
select is(tests.history(person, 'a'), '22023 id: there is no such record', person || ', who may not read the contact, sees nothing') from unnest('{sid,mia}'::text[]) as person;
select is(tests.history('sam', 'moved'), '22023 id: there is no such record', 'nor does sam, whose it was, since it is ann''s');
select is(tests.history('sam', 'deleted'), 'delete 1 sam, insert 1 sam', 'what is deleted has its history for whoever could read it');
select is(tests.history('viewer', 'deleted'), 'delete 1 sam, insert 1 sam', 'the viewer, too');
select is(tests.history('sid', 'deleted'), '22023 id: there is no such record', 'but not sid');
select is(tests.history(person, 'foreign'), '22023 id: there is no such record', person || ' is not told of another organization''s') from unnest('{ann,alf,sam}'::text[]) as person;
select is(tests.history('bob', 'a', 'Borg'), '22023 id: there is no such record', 'nor bob of Acme''s');
select is(tests.history('max', 'foreign', null), 'insert 1 bob', 'max is in both');
select is(tests.said('ann', $$select crm.record_history('contacts', gen_random_uuid())$$), '22023 id: there is no such record', 'one that never was');
select is(tests.said('ann', format('select crm.record_history(''accounts'', %L)', tests.id('a'))), '22023 id: there is no such record', 'one of another kind');
select is(tests.said('ann', format('select crm.record_history(''nothing'', %L)', tests.id('a'))), '22023 entity: there is no such entity', 'there is no such kind');
select is(tests.said('ann', 'select crm.record_history(null, null)'), '22023 entity: is missing', 'something is named');

select is(tests.history('sam', 'a', 'Acme', ', "limit" => 1'), 'update 2 ann {title,email}', 'the newest');
select is(tests.history('sam', 'a', 'Acme', format(', before => %L', (select id from crm.audit_log where record_id = tests.id('a') and action = 'update'))), 'insert 1 sam', 'and the page after it');
select is(tests.history('sam', 'a', 'Acme', format(', "limit" => %s', bad)), '22023 limit: must be between 1 and 1000', 'not ' || bad) from unnest('{0,-1,1001}'::int[]) as bad;
select is(
    tests.said('sam', format($$select jsonb_build_array(before, after, transaction_id = %L) from crm.record_history('contacts', %L) limit 1$$, tests.transaction('changed'), tests.id('a')))::jsonb
        #- '{0,updated_at}' #- '{0,updated_by}' #- '{1,updated_at}' #- '{1,updated_by}',
    '[{"version": 1}, {"title": "Head", "email": "a@example.com", "version": 2}, true]', 'what the columns held before and after'
);

-- An id that is used again is another record: whoever makes it does not learn what the first one was.
insert into tests.ids select name, gen_random_uuid() from unnest('{reused,line}'::text[]) as name;
select tests.change('first', 'ann', $$insert into crm.contacts (id, last_name) values (tests.id('reused'), 'Secret')$$);
select pg_sleep(0.01);
select clock_timestamp() as first_life \gset
select tests.change('first changed', 'ann', $$update crm.contacts set title = 'Spy' where id = tests.id('reused')$$);
select tests.change('first gone', 'ann', $$delete from crm.contacts where id = tests.id('reused')$$);
select is(tests.history('sam', 'reused'), '22023 id: there is no such record', 'what is ann''s is deleted unseen');
select tests.change('second', 'sam', $$insert into crm.contacts (id, last_name) values (tests.id('reused'), 'Second')$$);
select is(tests.history('sam', 'reused'), 'insert 1 sam', 'sam, who uses its id again, sees what is his');
select is(tests.history('sam', 'reused', 'Acme', format(', before => %L', (select id from crm.audit_log where transaction_id = tests.transaction('second')))), null, 'and nothing on the page before');
select is(tests.said('sam', format('select crm.record_at(''contacts'', %L, %L)', tests.id('reused'), :'first_life')), null, 'at that time there was nothing');
select is(
    tests.said('sam', format('select crm.restore_record(''contacts'', %L, %s)', tests.id('reused'), version)), wanted, 'no version of the first one: ' || version
) from (values (1, '{"skipped": [], "relinked": 0, "restored": []}'), (2, '22023 version: history does not have this version of the record')) as v (version, wanted);
select tests.change('second changed', 'sam', $$update crm.contacts set title = 'Two' where id = tests.id('reused'); update crm.contacts set title = 'Three' where id = tests.id('reused')$$);
select is(tests.said('sam', format($$select crm.restore_record('contacts', %L, 2)::jsonb -> 'restored' -> 0 ->> 'entity'$$, tests.id('reused'))), 'contacts', 'his own versions he has');
select is((select (last_name, title) from crm.contacts where id = tests.id('reused')), ('Second'::text, 'Two'::text), 'as they were');
select is(tests.said('sam', format('select crm.undo(%L)', tests.transaction(name))), '22023 transaction_id: there is no such transaction', 'nor does undo tell of it: ' || name)
from unnest('{first,"first changed","first gone"}'::text[]) as name;
select is(tests.history(person, 'reused'), 'update 4 sam {title}, update 3 sam {title}, update 2 sam {title}, insert 1 sam, delete 2 ann, update 2 ann {title}, insert 1 ann', person || ', who reads all contacts or all history, sees both')
from unnest('{ann,viewer,alf}'::text[]) as person;
select tests.change('second gone', 'sam', $$delete from crm.contacts where id = tests.id('reused')$$);
select is(tests.history('sam', 'reused'), 'delete 4 sam, update 4 sam {title}, update 3 sam {title}, update 2 sam {title}, insert 1 sam', 'and deleted he sees his own still');
select tests.said('sam', format('select crm.restore_record(''contacts'', %L)', tests.id('reused')));
select tests.change('handed over', 'ann', $$update crm.contacts set owner_id = tests.user_id('sid') where id = tests.id('reused')$$);
select is(tests.history('sid', 'reused'), 'update 6 ann {owner_id}, insert 5 sam, delete 4 sam, update 4 sam {title}, update 3 sam {title}, update 2 sam {title}, insert 1 sam', 'what comes back is the same record: whoever gets it gets its history');

-- Also what is only part of a record.
select tests.change('with address', 'ann', $$
    with c as (insert into crm.contacts (last_name) values ('Address') returning id)
    insert into crm.contact_emails (id, contact_id, email) select tests.id('line'), id, 'secret@example.com' from c
$$);
select tests.change('without address', 'ann', $$delete from crm.contact_emails where id = tests.id('line')$$);
select tests.change('own address', 'sam', $$insert into crm.contact_emails (id, contact_id, email) values (tests.id('line'), tests.id('a'), 'own@example.com')$$);
select is(tests.said('sam', format($$select string_agg(h.after ->> 'email', ',') from crm.record_history('contact_emails', %L) as h$$, tests.id('line'))), 'own@example.com', 'a part''s id, too');

-- And when it is used in between: what comes back does not go on where another record's part ended.
insert into tests.ids select name, gen_random_uuid() from unnest('{whole,part}'::text[]) as name;
select tests.change('whole', 'sam', $$
    insert into crm.contacts (id, last_name) values (tests.id('whole'), 'Whole');
    insert into crm.contact_emails (id, contact_id, email) values (tests.id('part'), tests.id('whole'), 'part@example.com')
$$);
select tests.change('whole gone', 'sam', $$delete from crm.contacts where id = tests.id('whole')$$);
select tests.change('part used', 'ann', $$
    with c as (insert into crm.contacts (last_name) values ('Between') returning id)
    insert into crm.contact_emails (id, contact_id, email) select tests.id('part'), id, 'between@example.com' from c
$$);
select tests.change('part gone', 'ann', $$delete from crm.contact_emails where id = tests.id('part')$$);
select is(
    tests.said('sam', format($$select r #>> '{restored,0,entity}' || '; ' || (r #>> '{skipped,0,entity}') || ': ' || (r #>> '{skipped,0,reason}') from crm.restore_record('contacts', %L) as f (j), to_jsonb(f.j) as r$$, tests.id('whole'))),
    'contacts; contact_emails: it changed since', 'a part whose id was another one''s since does not come along'
);
select is(
    tests.said('sam', format($$select string_agg(coalesce(h.after, h.before) ->> 'email', ',') from crm.record_history('contact_emails', %L) as h$$, tests.id('part'))),
    '22023 id: there is no such record', 'and sam does not see what was ann''s'
);

-- And where rows went without a word.
insert into tests.ids values ('unseen', gen_random_uuid());
select tests.change('unseen', 'ann', $$insert into crm.contacts (id, last_name) values (tests.id('unseen'), 'Secret')$$);
set session_replication_role = replica;
delete from crm.contacts where id = tests.id('unseen');
reset session_replication_role;
select tests.change('own unseen', 'sam', $$insert into crm.contacts (id, last_name) values (tests.id('unseen'), 'Own')$$);
select is(tests.history('sam', 'unseen'), 'insert 1 sam', 'what went without a word is not the next record''s past');

-- The note of an erasure names other records, too: it is for those who read all history.
insert into tests.ids values ('forgotten', gen_random_uuid());
select tests.change('forgotten', 'ann', $$insert into crm.contacts (id, last_name) values (tests.id('forgotten'), 'Forgotten')$$);
select tests.said('ann', format('select crm.erase_person(''contacts'', %L)', tests.id('forgotten')));
select is((select string_agg(action, ' ' order by id) from crm.audit_log where record_id = tests.id('forgotten')), 'insert delete erase', 'an erasure is noted');
select is(tests.history(person, 'forgotten'), 'delete ann, insert ann', person || ' is told that the record was there, and not of the erasure')
from unnest('{ann,viewer,alf}'::text[]) as person;

-- What administers an organization is no record.
select is(tests.said('ann', format('select %s(%L, %L%s)', call, name, tests.org_id('Acme'), rest)), '22023 entity: there is no such entity', call || ' of ' || name)
from (values ('crm.record_history', ''), ('crm.record_at', ', now()'), ('crm.restore_record', ', 1')) as c (call, rest),
    unnest('{organizations,memberships,invitations,api_keys,crm_private.api_keys,crm_private.invitations,crm_private.plan_overrides,plan_overrides,audit_log}'::text[]) as name;

select tests.nobody();
begin;
select tests.become_role('crm_app');
select throws_ok($$select crm.record_history('contacts', gen_random_uuid())$$, '42501', 'nobody is logged in', 'who has no identity has no history');
select throws_ok($$select crm.record_at('contacts', gen_random_uuid(), now())$$, '42501', 'nobody is logged in', 'nor a past');
select throws_ok($$select crm.restore_record('contacts', gen_random_uuid())$$, '42501', 'nobody is logged in', 'and restores nothing');
select throws_ok($$select crm.undo(gen_random_uuid())$$, '42501', 'nobody is logged in', 'and undoes nothing');
select tests.nobody();
create function tests.refused(role text, call text) returns text language plpgsql as $$
begin
    perform tests.become_role(role);
    return throws_ok(call, '42501', null, role || ' may not call ' || call);
end
$$;
select tests.refused(role, call)
from unnest('{crm_anon,crm_worker,crm_service}'::text[]) as role,
    unnest(array['select crm.record_history(''contacts'', null)', 'select crm.record_at(''contacts'', null, null)', 'select crm.restore_record(''contacts'', null)', 'select crm.undo()']) as call;
select tests.nobody();
commit;

-- The transaction's own name.
begin;
select tests.become('sam', 'Acme');
select crm.transaction_id() as id \gset
insert into crm.contacts (last_name) values ('Named');
select is(crm.transaction_id(), :'id'::uuid, 'a transaction has one name');
select tests.nobody();
select is((select transaction_id from crm.audit_log where after ->> 'last_name' = 'Named'), :'id'::uuid, 'and its entries have it');
commit;
\ir leave_world.psql
