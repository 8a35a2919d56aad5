grant delete on crm.memberships to crm_app;
