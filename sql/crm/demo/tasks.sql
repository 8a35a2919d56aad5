insert into crm.tasks (
    org_id, title, description, type, status, priority, due_at, remind_at, assignee_id, completed_at, account_id, contact_id, tags, external_id, created_at
)
select $1, (array['Call back', 'Send the offer', 'Prepare the demonstration', 'Check the contract', 'Write to the lawyer', 'Plan the visit'])[nth % 6 + 1]
        || ': ' || c.first_name || ' ' || c.last_name,
    case when nth % 3 = 0 then '<p>Before the <b>board meeting</b>, please.</p>' end,
    (array['call', 'email', 'todo', 'follow_up'])[nth % 4 + 1], (array['open', 'open', 'in_progress', 'waiting', 'completed', 'completed'])[nth % 6 + 1],
    (array['low', 'normal', 'normal', 'high', 'urgent'])[nth % 5 + 1], due, due - interval '1 hour', m.user_id,
    case when nth % 6 in (4, 5) then least(due, now()) end, c.account_id, c.id,
    case when nth % 9 = 0 then '{upsell}'::text[] else '{}' end, 'demo-task-' || nth, due - interval '12 days'
from generate_series(1, 40 * $2) as nth
cross join lateral (select date_trunc('hour', now()) + make_interval(hours => (nth * 29 % 480 - 200)::int) as due) as planned
join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 11 % (60 * $2) + 1)
join crm.memberships as m on m.org_id = $1 and m.role = (array['sales', 'sales', 'manager', 'support'])[nth % 4 + 1]
