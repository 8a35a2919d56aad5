-- The team whose manager sees what its salespeople own.
with made as (
    insert into crm.groups (org_id, name, description)
    values ($1, 'Sales team', 'Its manager sees what its salespeople own.')
    returning org_id, id
)
insert into crm.group_members (org_id, group_id, user_id, is_lead)
select made.org_id, made.id, m.user_id, m.role = 'manager'
from made
join crm.memberships as m on m.org_id = made.org_id and m.role in ('manager', 'sales')
