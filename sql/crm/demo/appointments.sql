with made as (
    insert into crm.appointments (
        org_id, title, description, starts_at, ends_at, time_zone, location, meeting_url, status, account_id, contact_id, owner_id, external_id, created_at
    )
    select $1, (array['Demonstration', 'Contract talk', 'Quarterly review', 'Workshop', 'First meeting'])[nth % 5 + 1] || ' with ' || c.last_name,
        case when nth % 2 = 0 then '<p>Bring the figures of last quarter.</p>' end, starts, starts + make_interval(mins => (30 + nth % 4 * 30)::int),
        'Europe/Berlin', case when nth % 2 = 0 then 'Conference room ' || nth % 3 + 1 end, case when nth % 2 = 1 then 'https://meet.demo.example/' || nth end,
        case when starts < now() then (array['completed', 'completed', 'no_show', 'cancelled'])[nth % 4 + 1]
            else (array['confirmed', 'tentative'])[nth % 2 + 1] end,
        c.account_id, c.id, c.owner_id, 'demo-appointment-' || nth, now() - interval '100 days'
    from generate_series(1, 24 * $2) as nth
    cross join lateral (
        select date_trunc('day', now()) + make_interval(days => (nth * 5 % 60 - 40)::int, hours => (8 + nth % 9)::int) as starts
    ) as planned
    join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 5 % (60 * $2) + 1)
    returning org_id, id, contact_id, owner_id, status
)
insert into crm.appointment_attendees (org_id, appointment_id, contact_id, user_id, answer)
select made.org_id, made.id, attendee.contact_id, attendee.user_id,
    case when made.status = 'tentative' then 'needs_action' when made.status = 'cancelled' then 'declined' else 'accepted' end
from made
cross join lateral (values (made.contact_id, null::uuid), (null, made.owner_id)) as attendee (contact_id, user_id)
