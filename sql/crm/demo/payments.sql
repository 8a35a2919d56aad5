-- A third is paid, a third in part, and the rest not yet.
insert into crm.payments (org_id, invoice_id, amount, method, paid_on, reference, external_id)
select $1, i.id, case substring(i.external_id from '\d+$')::int % 3 when 0 then i.total else round(i.total / 2, 2) end,
    (array['bank_transfer', 'card'])[substring(i.external_id from '\d+$')::int % 2 + 1], least(i.issue_date + 12, current_date), i.number,
    'demo-payment-' || substring(i.external_id from '\d+$')
from crm.invoices as i
where i.org_id = $1 and i.status = 'sent' and substring(i.external_id from '\d+$')::int % 3 < 2
