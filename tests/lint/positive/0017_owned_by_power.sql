alter table crm.contacts owner to current_user;
