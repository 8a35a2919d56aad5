insert into crm.tickets (
    org_id, subject, description, status, priority, channel, type, assignee_id, account_id, contact_id, first_response_at, resolved_at, closed_at, sla_due_at, satisfaction,
    tags, external_id, created_at
)
select $1, (array[
        'Delivery is late', 'Cannot log in', 'Invoice has the wrong address', 'How do I export my data?', 'Part was damaged', 'Please cancel my order'
    ])[nth % 6 + 1],
    '<p>Hello, could you have a look? Thanks, ' || c.first_name || '</p>', made.state, (array['low', 'normal', 'normal', 'high', 'urgent'])[nth % 5 + 1],
    (array['email', 'phone', 'web', 'chat'])[nth % 4 + 1], (array['question', 'incident', 'request'])[nth % 3 + 1], m.user_id, c.account_id, c.id,
    case when made.state <> 'new' then opened + interval '35 minutes' end,
    case when made.state in ('solved', 'closed') then least(opened + interval '6 hours', now()) end,
    case when made.state = 'closed' then least(opened + interval '80 hours', now()) end, opened + interval '8 hours',
    case when made.state = 'closed' then 3 + nth % 3 end, case when nth % 7 = 0 then '{at risk}'::text[] else '{}' end, 'demo-ticket-' || nth, opened
from generate_series(1, 30 * $2) as nth
cross join lateral (
    select (array['new', 'open', 'open', 'pending', 'on_hold', 'solved', 'solved', 'closed'])[nth % 8 + 1] as state,
        now() - make_interval(hours => (nth * 61 % 1500)::int) as opened
) as made
join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 13 % (60 * $2) + 1)
join crm.memberships as m on m.org_id = $1 and m.role = 'support'
