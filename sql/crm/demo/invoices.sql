with made as (
    insert into crm.invoices (
        org_id, title, account_id, contact_id, currency, issue_date, due_date, terms, owner_id, external_id, created_at
    )
    select $1, 'Delivery of ' || to_char(issued, 'FMMonth YYYY'), a.id, c.id, a.currency, issued, issued + 30, 'Payable within 30 days.',
        a.owner_id, 'demo-invoice-' || nth, issued
    from generate_series(1, 20 * $2) as nth
    cross join lateral (select current_date - (nth * 9 % 85)::int as issued) as planned
    join crm.contacts as c on c.org_id = $1 and c.external_id = 'demo-contact-' || (nth * 6 % (60 * $2) + 1)
    join crm.accounts as a on a.org_id = $1 and a.id = c.account_id
    returning org_id, id, external_id
)
insert into crm.invoice_items (org_id, invoice_id, position, description, quantity, unit, unit_price, discount_percent, tax_rate)
select made.org_id, made.id, line, (array['Licence, one year', 'Training', 'Travel expenses'])[line],
    (array[12, 1.5, 340])[line], (array['seats', 'days', 'km'])[line], (array[120, 900, 0.42])[line], (array[5, 0, 0])[line], (array[19, 19, 7])[line]
from made
cross join generate_series(1, 3) as line
