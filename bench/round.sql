begin;
select pg_temp.round(:'kind', 'owner', 'org') \g /dev/null
commit;
begin;
set local role crm_app;
select crm.authenticate(current_setting('bench.token')) \g /dev/null
select pg_temp.round(:'kind', 'crm_app', '') \g /dev/null
commit;
call pg_temp.requests('owner', 1000);
call pg_temp.requests('crm_app', 1000);
