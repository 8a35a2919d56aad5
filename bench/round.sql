begin;
select pg_temp.round('owner', 'org') \g /dev/null
commit;
begin;
set local role crm_app;
select crm.authenticate(current_setting('bench.token')) \g /dev/null
select pg_temp.round('crm_app', '') \g /dev/null
commit;
call pg_temp.requests('owner', 3000);
call pg_temp.requests('crm_app', 3000);
