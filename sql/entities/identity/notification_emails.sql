-- notification_emails: who wants their notifications as e-mail too, organization by organization. Nobody does by themselves,
-- because others decide what one is notified of. Not a column of memberships: colleagues read those, and a change of theirs
-- makes every backend forget the identities it knows.

create table crm_private.notification_emails (
    org_id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    constraint notification_emails_pkey primary key (org_id, user_id),
    constraint notification_emails_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade
);

alter table crm_private.notification_emails enable row level security, force row level security;

create policy notification_emails_all_definer on crm_private.notification_emails for all to crm_definer using (true) with check (true);

grant select, insert, delete on crm_private.notification_emails to crm_definer;
grant select on crm_private.notification_emails to crm_backup;

comment on table crm_private.notification_emails is 'The members who want their notifications as e-mail too: crm.set_notification_email().';
