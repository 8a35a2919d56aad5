with made as (
    insert into crm.estimates (
        org_id, title, account_id, contact_id, currency, issue_date, valid_until, notes, terms, owner_id, external_id, created_at
    )
    select $1, 'Offer for ' || a.name, a.id, c.id, a.currency, issued, issued + 30, 'With thanks for your inquiry.', 'Payable within 30 days.',
        a.owner_id, 'demo-estimate-' || nth, issued
    from generate_series(1, 12 * $2) as nth
    cross join lateral (select current_date - (nth * 7 % 80)::int as issued) as planned
    join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 5 % (60 * $2) + 1)
    join crm.accounts as a on a.org_id = $1 and a.id = c.account_id
    returning org_id, id, external_id
)
insert into crm.estimate_items (org_id, estimate_id, position, description, quantity, unit, unit_price, discount_percent, tax_rate)
select made.org_id, made.id, line, (array['Licence, one year', 'Set-up', 'Training', 'Support, one year'])[line],
    (array[10, 1, 2, 1])[line], (array['seats', null, 'days', null])[line], (array[120, 1500, 900, 2400])[line],
    case when line = 1 then 10 else 0 end, (array[19, 19, 19, 7])[line]
from made
cross join generate_series(1, 4) as line
where line <= 2 + length(made.external_id) % 3
