alter extension crm_ext add table crm.contacts;
