insert into crm.leads (
    org_id, first_name, last_name, company, title, email, phone, source, status, rating, score, estimated_value, currency, campaign,
    utm_source, utm_medium, lost_reason, converted_at, converted_account_id, converted_contact_id, tags, owner_id, external_id, created_at
)
select $1, made.first_name, made.last_name, company, 'Manager', lower(made.first_name || '.' || made.last_name) || nth || '@' || lower(split_part(company, ' ', 1)) || '.example',
    case when nth % 3 > 0 then '+1 650 253 ' || to_char(5000 + nth % 5000, 'FM0000') end,
    (array['web', 'referral', 'event', 'partner', 'cold call'])[nth % 5 + 1],
    made.state,
    (array['hot', 'warm', 'cold'])[nth % 3 + 1], 10 + nth * 37 % 90, 500 + nth * 7919 % 40000, 'USD',
    (array['Spring fair', 'Newsletter', null])[nth % 3 + 1], (array['google', 'linkedin', null])[nth % 3 + 1], (array['cpc', 'social', null])[nth % 3 + 1],
    case made.state when 'lost' then 'no budget' end, case when made.state = 'converted' then began + interval '9 days' end,
    case when made.state = 'converted' then c.account_id end, case when made.state = 'converted' then c.id end,
    case when nth % 6 = 0 then '{trade fair}'::text[] else '{}' end, m.user_id, 'demo-lead-' || nth, began
from generate_series(1, 25 * $2) as nth
cross join lateral (
    select (array['new', 'new', 'working', 'working', 'qualified', 'converted', 'recycled', 'lost'])[nth % 8 + 1] as state,
        now() - make_interval(hours => (nth * 83 % 2100 + 240)::int) as began,
        (array['Emma', 'Noah', 'Mila', 'Leo', 'Zoe', 'Hugo', 'Iris', 'Karl', 'Mona', 'Theo'])[nth % 10 + 1] as first_name,
        (array['Stone', 'Marsh', 'Field', 'Brook', 'Hill', 'Woods', 'Lake'])[nth % 7 + 1] as last_name,
        (array['Acorn Works', 'Birch Media', 'Cedar Foods', 'Dune Tours', 'Ember Audio', 'Fjord Boats', 'Gale Wind', 'Heath Clinics'])[nth % 8 + 1] as company
) as made
join crm.memberships as m on m.org_id = $1 and m.role = case nth % 4 when 0 then 'manager' else 'sales' end
join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || nth
