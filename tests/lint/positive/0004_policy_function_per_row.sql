alter policy contacts_select_app on crm.contacts
    using (org_id = (select crm.permitted_org_id('contacts.read')) and owner_id = crm.current_user_id());
