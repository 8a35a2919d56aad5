drop index crm.contacts_org_id_account_id_idx;
