create function crm.broken() returns int language sql set search_path = pg_catalog, pg_temp return 1;
