-- Work of one day in the demo's organization, with its owner's token (variable token). Prints an API key.

begin;
set local role crm_app;
select crm.authenticate(:'token') \gset
select crm.create_webhook('Dump', 'https://example.com/hook', '{contact.*}', headers => '{"X-Token": "of the receiver"}') \gset
insert into crm.contacts (last_name, phone, tags, description)
values ('National', '030 123456', '{vip,Key account}', e'two\nlines; \\ \t "quoted" ''and'' ünïcödé 😀');
update crm.contacts set title = 'changed' where external_id like 'demo-contact-1%';
delete from crm.contacts where external_id = 'demo-contact-15';
insert into crm.vehicles (plate, contact_id) select 'B-AB 1', id from crm.contacts where last_name = 'National';
insert into crm.tickets (subject) values ('Does not start');
select crm.create_api_key('dump', '{contacts.read}') ->> 'key';
commit;
