insert into crm.notifications (org_id, user_id, kind, title, body, entity, record_id, read_at, created_at)
select $1, t.assignee_id, 'task_due', 'A task is due', t.title, 'tasks', t.id, case when t.due_at < now() - interval '3 days' then t.due_at end, t.due_at
from crm.tasks as t
where t.org_id = $1 and t.status = 'open' and t.due_at < now()
