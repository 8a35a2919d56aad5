create table crm.broken (id uuid primary key, org_id uuid not null);
