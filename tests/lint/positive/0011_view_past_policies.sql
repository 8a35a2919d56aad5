create view crm.firms as select * from crm.accounts;
