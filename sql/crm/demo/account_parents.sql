-- Some companies belong to others.
update crm.accounts as a
set parent_id = p.id
from (values ('tailspin', 'wingtip'), ('trey', 'contoso'), ('graphic', 'woodgrove')) as d (key, parent_key)
cross join generate_series(1, $2) as copy
cross join lateral (select coalesce('-' || nullif(copy, 1), '') as suffix) as named
join crm.accounts as p on p.org_id = $1 and p.external_id = 'demo-' || d.parent_key || suffix
where a.org_id = $1 and a.external_id = 'demo-' || d.key || suffix
