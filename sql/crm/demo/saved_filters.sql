insert into crm.saved_filters (org_id, entity, name, visibility, query, sort, is_pinned, owner_id)
select $1, entity, name, 'organization', query, sort, true, m.user_id
from (values
    ('accounts', 'Customers at risk', 'type=eq.customer&tags=cs.{"at risk"}', 'name.asc'),
    ('deals', 'Closing this month', 'status=eq.open', 'expected_close_date.asc'),
    ('tickets', 'Urgent and open', 'status=in.(new,open)&priority=eq.urgent', 'created_at.asc'),
    ('invoices', 'Not paid yet', 'status=in.(sent,partially_paid,overdue)', 'due_date.asc')
) as filters (entity, name, query, sort)
join crm.memberships as m on m.org_id = $1 and m.role = 'manager'
