alter function crm.authenticate(text) set search_path = crm, pg_temp;
