grant select on crm.accounts to crm_anon;
