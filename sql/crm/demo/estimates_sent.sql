update crm.estimates as e
set status = 'sent'
where e.org_id = $1 and substring(e.external_id from '\d+$')::int % 4 > 0
