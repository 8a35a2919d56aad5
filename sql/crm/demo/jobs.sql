insert into crm.jobs (
    org_id, title, type, status, priority, scheduled_start, scheduled_end, assignee_id, street, city, postal_code, country, price, currency,
    project_id, account_id, external_id, created_at
)
select $1, (array['Installation', 'Inspection', 'Repair'])[nth % 3 + 1] || ' at ' || a.name, (array['installation', 'inspection', 'repair'])[nth % 3 + 1],
    case when starts < now() then 'completed' else 'scheduled' end, (array['normal', 'high'])[nth % 2 + 1], starts, starts + interval '3 hours', m.user_id,
    a.billing_street, a.billing_city, a.billing_postal_code, a.billing_country, 150 + nth % 10 * 45, a.currency, p.id, a.id, 'demo-job-' || nth,
    starts - interval '10 days'
from generate_series(1, 10 * $2) as nth
cross join lateral (
    select date_trunc('day', now()) + make_interval(days => (nth * 7 % 40 - 20)::int, hours => (8 + nth % 6)::int) as starts
) as planned
join crm.projects as p on p.org_id = $1 and p.external_id = 'demo-project-' || (nth % (8 * $2) + 1)
join crm.accounts as a on a.org_id = $1 and a.id = p.account_id
join crm.memberships as m on m.org_id = $1 and m.role = 'support'
