-- For whom wants it, as e-mail too.
create trigger _850_mail after insert on crm.notifications
    referencing new table as added
    for each statement execute function crm_private.mail_notifications();
