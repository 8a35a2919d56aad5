insert into crm.daily_metrics (
    org_id, day, new_accounts, new_contacts, new_leads, new_deals, won_deals, lost_deals, won_amount, activities, completed_tasks,
    new_tickets, solved_tickets, invoiced_amount, paid_amount
)
select $1, day,
    (select count(*) from crm.accounts where org_id = $1 and created_at >= day and created_at < day + 1),
    (select count(*) from crm.contacts where org_id = $1 and created_at >= day and created_at < day + 1),
    (select count(*) from crm.leads where org_id = $1 and created_at >= day and created_at < day + 1),
    (select count(*) from crm.deals where org_id = $1 and created_at >= day and created_at < day + 1),
    (select count(*) from crm.deals where org_id = $1 and status = 'won' and closed_at >= day and closed_at < day + 1),
    (select count(*) from crm.deals where org_id = $1 and status = 'lost' and closed_at >= day and closed_at < day + 1),
    (select coalesce(sum(amount), 0) from crm.deals where org_id = $1 and status = 'won' and closed_at >= day and closed_at < day + 1 and currency = 'USD'),
    (select count(*) from crm.activities where org_id = $1 and occurred_at >= day and occurred_at < day + 1),
    (select count(*) from crm.tasks where org_id = $1 and completed_at >= day and completed_at < day + 1),
    (select count(*) from crm.tickets where org_id = $1 and created_at >= day and created_at < day + 1),
    (select count(*) from crm.tickets where org_id = $1 and resolved_at >= day and resolved_at < day + 1),
    (select coalesce(sum(total), 0) from crm.invoices where org_id = $1 and issue_date = day and status <> 'draft' and currency = 'USD'),
    (select coalesce(sum(amount), 0) from crm.payments where org_id = $1 and paid_on = day and currency = 'USD')
from generate_series(0, 89) as ago
cross join lateral (select current_date - ago as day) as days
