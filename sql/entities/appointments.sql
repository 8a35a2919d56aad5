-- appointments: what is in the calendar. appointment_attendees: who is invited, and what they answered. Seen and changed
-- within the organization, by role and owner; the attendees as their appointment.
-- Invariants: an appointment ends after it starts; an attendee is a contact, a member or an e-mail address, each once.

create table crm.appointments (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    title text not null,
    description text,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    all_day boolean not null default false,
    time_zone text,
    location text,
    meeting_url text,
    status text not null default 'confirmed',
    remind_at timestamptz,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    ticket_id uuid,
    project_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint appointments_pkey primary key (org_id, id),
    constraint appointments_org_id_external_id_key unique (org_id, external_id),
    constraint appointments_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint appointments_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete set null (account_id),
    constraint appointments_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete set null (contact_id),
    constraint appointments_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete set null (lead_id),
    constraint appointments_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete set null (deal_id),
    constraint appointments_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete set null (ticket_id),
    constraint appointments_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete set null (project_id),
    constraint appointments_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint appointments_starts_at_check check (isfinite(starts_at)),
    constraint appointments_ends_at_check check (isfinite(ends_at)),
    constraint appointments_ends_after_start_check check (ends_at > starts_at),
    constraint appointments_status_check check (status in ('tentative', 'confirmed', 'completed', 'cancelled', 'no_show')),
    constraint appointments_remind_at_check check (isfinite(remind_at))
);

create index appointments_org_id_created_at_id_idx on crm.appointments (org_id, created_at, id);
create index appointments_org_id_updated_at_id_idx on crm.appointments (org_id, updated_at, id);
create index appointments_org_id_owner_id_created_at_id_idx on crm.appointments (org_id, owner_id, created_at, id);
create index appointments_org_id_starts_at_id_idx on crm.appointments (org_id, starts_at, id);
create index appointments_org_id_owner_id_starts_at_idx on crm.appointments (org_id, owner_id, starts_at);
create index appointments_org_id_remind_at_idx on crm.appointments (org_id, remind_at) where remind_at is not null;
create index appointments_org_id_account_id_idx on crm.appointments (org_id, account_id) where account_id is not null;
create index appointments_org_id_contact_id_idx on crm.appointments (org_id, contact_id) where contact_id is not null;
create index appointments_org_id_lead_id_idx on crm.appointments (org_id, lead_id) where lead_id is not null;
create index appointments_org_id_deal_id_idx on crm.appointments (org_id, deal_id) where deal_id is not null;
create index appointments_org_id_ticket_id_idx on crm.appointments (org_id, ticket_id) where ticket_id is not null;
create index appointments_org_id_project_id_idx on crm.appointments (org_id, project_id) where project_id is not null;

create table crm.appointment_attendees (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    appointment_id uuid not null,
    contact_id uuid,
    user_id uuid,
    email text,
    name text,
    attendance text not null default 'required',
    answer text not null default 'needs_action',
    answered_at timestamptz,
    owner_id uuid,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint appointment_attendees_pkey primary key (org_id, id),
    constraint appointment_attendees_org_id_appointment_id_email_key unique (org_id, appointment_id, email),
    constraint appointment_attendees_org_id_contact_id_appointment_id_key unique (org_id, contact_id, appointment_id),
    constraint appointment_attendees_org_id_user_id_appointment_id_key unique (org_id, user_id, appointment_id),
    constraint appointment_attendees_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint appointment_attendees_org_id_appointment_id_fkey foreign key (org_id, appointment_id)
        references crm.appointments (org_id, id) on delete cascade,
    constraint appointment_attendees_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint appointment_attendees_org_id_user_id_fkey foreign key (org_id, user_id)
        references crm.memberships (org_id, user_id) on delete cascade,
    constraint appointment_attendees_is_somebody_check check (num_nonnulls(contact_id, user_id, email) >= 1),
    constraint appointment_attendees_attendance_check check (attendance in ('organizer', 'required', 'optional')),
    constraint appointment_attendees_answer_check check (answer in ('needs_action', 'accepted', 'declined', 'tentative'))
);

create index appointment_attendees_org_id_owner_id_created_at_id_idx on crm.appointment_attendees (org_id, owner_id, created_at, id);

select crm.enroll('crm.appointments', array[
    'title required line 300', 'description html 100000', 'time_zone time_zone', 'location line 500', 'meeting_url url',
    'external_id line 200',
    'status steps *:tentative,confirmed,completed tentative:confirmed,cancelled confirmed:tentative,completed,cancelled,no_show'
        || ' completed:confirmed,no_show cancelled:tentative,confirmed no_show:confirmed,completed'
]);
select crm.enroll('crm.appointment_attendees', array[
    'email email', 'name line 200', 'answered_at since answer accepted,declined,tentative'
], part_of => 'appointment_id');

comment on table crm.appointments is 'Appointments: what is in the calendar.';
comment on column crm.appointments.title is 'Of at most 300 characters.';
comment on column crm.appointments.description is 'Rich text (HTML, sanitised).';
comment on column crm.appointments.starts_at is 'When it begins; of one that takes all day, the beginning of the first day.';
comment on column crm.appointments.ends_at is 'When it ends, after starts_at; of one that takes all day, the beginning of the day after the last.';
comment on column crm.appointments.all_day is 'Whether it takes whole days, of the time zone it is in.';
comment on column crm.appointments.time_zone is 'The time zone it was made in, a name of the IANA database like Europe/Berlin.';
comment on column crm.appointments.location is 'Where it takes place.';
comment on column crm.appointments.meeting_url is 'Where to join over the network.';
comment on column crm.appointments.status is 'tentative, confirmed, completed, cancelled or no_show. From tentative: confirmed, cancelled; from confirmed: any other; from completed: confirmed, no_show; from cancelled: tentative, confirmed; from no_show: confirmed, completed. Any other step is refused (23514, HTTP 422).';
comment on column crm.appointments.remind_at is 'When the owner wants to be reminded.';
comment on column crm.appointments.account_id is 'About an account of the same organization.';
comment on column crm.appointments.contact_id is 'About a contact of the same organization.';
comment on column crm.appointments.lead_id is 'About a lead of the same organization.';
comment on column crm.appointments.deal_id is 'About a deal of the same organization.';
comment on column crm.appointments.ticket_id is 'About a ticket of the same organization.';
comment on column crm.appointments.project_id is 'About a project of the same organization.';
comment on table crm.appointment_attendees is 'Who is invited to an appointment, and what they answered: contacts, members or anybody with an e-mail address.';
comment on column crm.appointment_attendees.appointment_id is 'The appointment, of the same organization.';
comment on column crm.appointment_attendees.contact_id is 'A contact of the same organization.';
comment on column crm.appointment_attendees.user_id is 'A member of the organization.';
comment on column crm.appointment_attendees.email is 'Stored trimmed and in lower case, once per appointment.';
comment on column crm.appointment_attendees.name is 'For people who are neither contact nor member.';
comment on column crm.appointment_attendees.attendance is 'organizer, required or optional.';
comment on column crm.appointment_attendees.answer is 'needs_action, accepted, declined or tentative.';
comment on column crm.appointment_attendees.answered_at is 'Since when there is an answer; kept by the database.';
