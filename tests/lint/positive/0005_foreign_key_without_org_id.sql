create unique index on crm.accounts (id);
alter table crm.contacts add constraint broken foreign key (account_id) references crm.accounts (id);
