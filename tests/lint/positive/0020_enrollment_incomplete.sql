drop trigger _400_scope on crm.contacts;
