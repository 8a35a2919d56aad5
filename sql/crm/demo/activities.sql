-- What happened over the last ninety days.
insert into crm.activities (
    org_id, type, subject, body, direction, outcome, occurred_at, duration_minutes, account_id, contact_id, deal_id, owner_id, external_id, created_at
)
select $1, kind, subject, '<p>' || subject || ' with ' || c.first_name || ' ' || c.last_name || '.</p>',
    case when kind in ('call', 'email') then (array['inbound', 'outbound'])[nth % 2 + 1] end,
    case kind when 'call' then (array['reached', 'left a message', 'no answer'])[nth % 3 + 1] when 'meeting' then 'held' end,
    happened, case kind when 'call' then 5 + nth % 25 when 'meeting' then 30 + nth % 4 * 15 end,
    c.account_id, c.id, d.id, c.owner_id, 'demo-activity-' || nth, happened
from generate_series(1, 150 * $2) as nth
cross join lateral (
    select (array['call', 'email', 'meeting', 'note', 'email'])[nth % 5 + 1] as kind,
        now() - make_interval(mins => (nth * 1451 % 129000)::int) as happened
) as made
cross join lateral (
    select (array[
        'Talked about the offer', 'Sent the price list', 'Met for a demonstration', 'Wants to wait for the budget',
        'Asked for references', 'Agreed on the next step', 'Complained about a delivery', 'Thanked for the quick help'
    ])[nth % 8 + 1] as subject
) as about
join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 7 % (60 * $2) + 1)
left join crm.deals as d on d.org_id = $1 and d.external_id = 'demo-deal-' || (nth * 3 % (80 * $2) + 1)
