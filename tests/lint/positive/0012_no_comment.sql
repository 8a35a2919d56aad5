comment on table crm.contacts is null;
