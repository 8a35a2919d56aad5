create table crm.broken (org_id uuid, id uuid, primary key (org_id, id));
alter table crm.broken enable row level security;
