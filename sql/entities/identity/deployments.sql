-- deployments: where this data does its work. The rows come along in every dump and every copy, and say there of another
-- database that it is the one; so a copy hands out nothing that would reach people a second time. Seen by the DBA.

create table crm_private.deployments (
    number integer not null,
    system_identifier bigint,
    database_oid oid,
    table_oid oid,
    bound_at timestamptz not null default clock_timestamp(),
    bound_by text not null,
    constraint deployments_pkey primary key (number),
    constraint deployments_whole_or_none_check check (num_nulls(system_identifier, database_oid, table_oid) in (0, 3))
);

comment on table crm_private.deployments is
    'The databases that this data worked in; the newest row counts. Where it names another database, or none, nothing is handed out for delivery.';
comment on column crm_private.deployments.number is 'Counts up.';
comment on column crm_private.deployments.system_identifier is 'The cluster''s, as pg_control_system() says it; null: released by crm.unbind_deployment.';
comment on column crm_private.deployments.database_oid is 'The database''s, in that cluster; null: released.';
comment on column crm_private.deployments.table_oid is 'This table''s: a restore makes another one, also where the original was; null: released.';
comment on column crm_private.deployments.bound_at is 'When it was bound, or released.';
comment on column crm_private.deployments.bound_by is 'The login role that did it.';

alter table crm_private.deployments enable row level security, force row level security;

create policy deployments_all_definer on crm_private.deployments for all to crm_definer using (true) with check (true);
create policy deployments_select_owner on crm_private.deployments for select to crm_owner using (true);

-- UPDATE is for the lock that lets one binding follow another.
grant select, insert, update on crm_private.deployments to crm_definer;
grant select on crm_private.deployments to crm_backup;
