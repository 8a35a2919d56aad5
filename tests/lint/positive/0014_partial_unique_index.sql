create unique index on crm.contacts (org_id, phone_normalized) where status = 'active';
