-- What a CRM with the data of dump_restore.bash answers: a restored one the same as the original. Variables: token, key.

select 'usage counted wrong: ' || count(*) from crm.check_usage();
select 'enrollment incomplete: ' || count(*) from crm.check_enrollment();
select 'history is valid: ' || bool_and(valid) || ', chained: ' || sum(transactions - waiting) || ', entries: ' || sum(entries) from crm.verify_audit();
select 'the doctor: ' || concat_ws(', ', severity, name, object) from crm.doctor() where name not in ('role_member', 'login_role', 'deployment', 'wrong_owner') order by 1;
select 'triggers disabled: ' || count(*) from pg_trigger where tgenabled not in ('O', 'A');
select 'constraints not validated: ' || count(*) from pg_constraint where not convalidated;
select 'indexes not valid: ' || count(*) from pg_index where not indisvalid;

select 'the owner logs in with a password: ' || (crm.login('owner@demo.example', 'demo password') #>> '{organization,slug}');
select 'keys published: ' || jsonb_array_length(crm.jwks() -> 'keys');

select 'webhooks: ' || string_agg(concat_ws(' ', name, url, events, header_names, enabled), ', ') from crm.webhooks;
select 'events on their way: ' || count(*) || ', secrets: ' || (select count(*) from crm_private.webhook_secrets) from crm.webhook_deliveries;

begin;
set local role crm_app;
select crm.authenticate_api_key(:'key') \gset
select 'contacts an API key reads: ' || count(*) from crm.contacts;
rollback;

begin;
set local role crm_app;
select 'an old token is: ' || (crm.authenticate(:'token') ->> 'role');
select 'contacts seen: ' || count(*) || ', of shoe size ' || min(shoe_size) from crm.contacts;
select 'events of contacts told: ' || json_array_length(crm.changes_since(types => '{contact.*}') -> 'events');
select 'a webhook gets another secret: ' || (crm.rotate_webhook_secret(id) ->> 'secret' like 'whsec\_%') from crm.webhooks;
insert into crm.contacts (last_name, phone, tags) values ('Later', '030 654321', '{vip}')
returning 'a contact added: ' || concat_ws(', ', last_name, phone_normalized, tags, shoe_size, version, created_by = crm.current_user_id());
insert into crm.vehicles (plate) values ('B-CD 2') returning 'a vehicle added: ' || plate;
insert into crm.tickets (subject) values ('Later') returning 'the next ticket: ' || number;
insert into crm.invoices (external_id, account_id, issue_date) select 'next', id, '2026-01-02' from crm.accounts where external_id = 'demo-contoso';
insert into crm.invoice_items (invoice_id, description, quantity, unit_price) select id, 'Licence', 2, 50 from crm.invoices where external_id = 'next';
update crm.invoices set status = 'sent' where external_id = 'next' returning 'the next invoice: ' || number;
commit;

select 'noted by the DBA''s trigger: ' || count(*) || ', numbered to ' || max(number) from public.notes;
select 'history is valid, after writing: ' || bool_and(valid) || ', entries: ' || sum(entries) from crm.verify_audit();
select 'usage counted wrong, after writing: ' || count(*) from crm.check_usage();
