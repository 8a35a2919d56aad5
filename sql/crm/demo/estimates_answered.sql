update crm.estimates as e
set status = (array['accepted', 'declined'])[substring(e.external_id from '\d+$')::int % 3]
where e.org_id = $1 and e.status = 'sent' and substring(e.external_id from '\d+$')::int % 3 > 0
