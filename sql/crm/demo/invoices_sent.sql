-- The newest stay drafts.
update crm.invoices as i
set status = 'sent'
where i.org_id = $1 and i.issue_date < current_date - 5
