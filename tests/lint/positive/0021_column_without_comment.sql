comment on column crm.contacts.email is null;
