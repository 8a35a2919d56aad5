insert into crm.projects (
    org_id, name, description, status, starts_on, ends_on, budget, currency, account_id, owner_id, external_id, created_at
)
select $1, (array['Roll-out', 'Migration', 'Training', 'Pilot'])[nth % 4 + 1] || ' for ' || a.name, '<p>As agreed in the contract.</p>',
    (array['planned', 'active', 'active', 'on_hold', 'completed'])[nth % 5 + 1], starts, starts + 60, 5000 + nth * 3100 % 45000, a.currency,
    a.id, a.owner_id, 'demo-project-' || nth, starts - 20
from generate_series(1, 8 * $2) as nth
cross join lateral (select current_date - (nth * 17 % 120)::int as starts) as planned
join crm.accounts as a on a.org_id = $1 and a.external_id = (
    select external_id from crm.accounts where org_id = $1 and type = 'customer' order by external_id offset nth % (10 * $2) limit 1
)
