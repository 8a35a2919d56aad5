-- A message of the kind notification. Those that wait are few: they expire.
alter table crm_private.messages
    add column user_id uuid,
    add column notification_id uuid,
    drop constraint messages_kind_check,
    add constraint messages_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade,
    add constraint messages_kind_check
        check (kind in ('password_reset', 'email_verification', 'invitation', 'password_changed', 'notification')),
    add constraint messages_notification_check check (
        case when kind = 'notification' then num_nonnulls(org_id, user_id, notification_id) = 3 else num_nonnulls(user_id, notification_id) = 0 end
    );

create index messages_org_id_user_id_created_at_idx on crm_private.messages (org_id, user_id, created_at);

comment on column crm_private.messages.org_id is
    'The organization that invites or notifies, with which the message goes; null for what is between a person and the platform.';
comment on column crm_private.messages.user_id is 'Whom a notification is for. Where it goes and what it says is looked up when it is handed out.';
