-- Notifications by e-mail.

create function crm_private.mail_notifications()
    returns trigger
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'mail_notifications_wrapper';

revoke all on function crm_private.mail_notifications() from public;
grant execute on function crm_private.mail_notifications() to crm_owner;

comment on function crm_private.mail_notifications() is
    'Trigger _850_mail of notifications: a message for each new one whose person wants it as e-mail, at most 20 per person, organization and hour.';

create function crm.set_notification_email(enabled boolean)
    returns jsonb
    language c
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
    parallel unsafe
    as 'MODULE_PATHNAME', 'set_notification_email_wrapper';

revoke all on function crm.set_notification_email(boolean) from public;
grant execute on function crm.set_notification_email(boolean) to crm_app, crm_multi;

comment on function crm.set_notification_email(boolean) is
$$Whether one gets one's own notifications of the active organization as e-mail, too; at first nobody does. They go to a verified address only, and at most 20 in an hour.
Returns {notification_email}. Errors: 22023 without an active organization or a value; 42501 for an API key, and while somebody else acts as the user.$$;
