create view crm.companies as select * from crm.accounts;
