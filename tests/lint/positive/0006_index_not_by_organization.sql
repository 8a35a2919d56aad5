create index on crm.contacts (birthday);
