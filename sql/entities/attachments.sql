-- attachments: files that belong to a record. The files lie elsewhere; these rows say where, what and how large. Seen and
-- changed within the organization, by role and owner. Invariants: a file belongs to one record and goes with it; none is of
-- a kind that a browser would run, which it would do with the rights of whoever opens it.

create table crm.attachments (
    org_id uuid not null default crm.current_org_id(),
    id uuid not null default crm.uuid_v7(),
    file_name text not null,
    content_type text not null default 'application/octet-stream',
    size_bytes bigint not null,
    checksum_sha256 text,
    storage_key text not null,
    storage_url text,
    description text,
    account_id uuid,
    contact_id uuid,
    lead_id uuid,
    deal_id uuid,
    activity_id uuid,
    task_id uuid,
    ticket_id uuid,
    project_id uuid,
    job_id uuid,
    estimate_id uuid,
    invoice_id uuid,
    message_id uuid,
    tags text[] not null default '{}',
    custom_fields jsonb not null default '{}',
    owner_id uuid,
    external_id text,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    updated_by uuid,
    version integer not null default 1,
    constraint attachments_pkey primary key (org_id, id),
    constraint attachments_org_id_external_id_key unique (org_id, external_id),
    constraint attachments_org_id_fkey foreign key (org_id) references crm.organizations (id) on delete cascade,
    constraint attachments_org_id_account_id_fkey foreign key (org_id, account_id)
        references crm.accounts (org_id, id) on delete cascade,
    constraint attachments_org_id_contact_id_fkey foreign key (org_id, contact_id)
        references crm.contacts (org_id, id) on delete cascade,
    constraint attachments_org_id_lead_id_fkey foreign key (org_id, lead_id)
        references crm.leads (org_id, id) on delete cascade,
    constraint attachments_org_id_deal_id_fkey foreign key (org_id, deal_id)
        references crm.deals (org_id, id) on delete cascade,
    constraint attachments_org_id_activity_id_fkey foreign key (org_id, activity_id)
        references crm.activities (org_id, id) on delete cascade,
    constraint attachments_org_id_task_id_fkey foreign key (org_id, task_id)
        references crm.tasks (org_id, id) on delete cascade,
    constraint attachments_org_id_ticket_id_fkey foreign key (org_id, ticket_id)
        references crm.tickets (org_id, id) on delete cascade,
    constraint attachments_org_id_project_id_fkey foreign key (org_id, project_id)
        references crm.projects (org_id, id) on delete cascade,
    constraint attachments_org_id_job_id_fkey foreign key (org_id, job_id)
        references crm.jobs (org_id, id) on delete cascade,
    constraint attachments_org_id_estimate_id_fkey foreign key (org_id, estimate_id)
        references crm.estimates (org_id, id) on delete cascade,
    constraint attachments_org_id_invoice_id_fkey foreign key (org_id, invoice_id)
        references crm.invoices (org_id, id) on delete cascade,
    constraint attachments_org_id_message_id_fkey foreign key (org_id, message_id)
        references crm.messages (org_id, id) on delete cascade,
    constraint attachments_org_id_owner_id_fkey foreign key (org_id, owner_id)
        references crm.memberships (org_id, user_id) on delete set null (owner_id),
    constraint attachments_file_name_check check (file_name !~ '[/\\]' and file_name not in ('.', '..')),
    constraint attachments_content_type_check check (
        content_type !~ '([/+](xml|xsl)$|javascript|ecmascript|jscript|livescript|vbscript|html?$|html|php|mimearchive|cache-manifest|msdownload|msdos|dosexec|portable-executable|shockwave|java-archive|multipart/)'
        and content_type not in ('application/x-executable', 'application/x-mach-binary', 'application/x-sh', 'application/x-csh',
            'application/x-bat', 'application/bat', 'application/hta', 'application/x-ms-shortcut', 'application/wasm', 'text/cmd')
    ),
    constraint attachments_size_bytes_check check (size_bytes between 1 and 104857600),
    constraint attachments_checksum_sha256_check check (checksum_sha256 ~ '^[0-9a-f]{64}$'),
    constraint attachments_one_record_check check (
        num_nonnulls(
            account_id, contact_id, lead_id, deal_id, activity_id, task_id, ticket_id, project_id, job_id, estimate_id, invoice_id, message_id
        ) = 1
    )
);

create index attachments_org_id_created_at_id_idx on crm.attachments (org_id, created_at, id);
create index attachments_org_id_updated_at_id_idx on crm.attachments (org_id, updated_at, id);
create index attachments_org_id_owner_id_created_at_id_idx on crm.attachments (org_id, owner_id, created_at, id);
create index attachments_org_id_account_id_idx on crm.attachments (org_id, account_id) where account_id is not null;
create index attachments_org_id_contact_id_idx on crm.attachments (org_id, contact_id) where contact_id is not null;
create index attachments_org_id_lead_id_idx on crm.attachments (org_id, lead_id) where lead_id is not null;
create index attachments_org_id_deal_id_idx on crm.attachments (org_id, deal_id) where deal_id is not null;
create index attachments_org_id_activity_id_idx on crm.attachments (org_id, activity_id) where activity_id is not null;
create index attachments_org_id_task_id_idx on crm.attachments (org_id, task_id) where task_id is not null;
create index attachments_org_id_ticket_id_idx on crm.attachments (org_id, ticket_id) where ticket_id is not null;
create index attachments_org_id_project_id_idx on crm.attachments (org_id, project_id) where project_id is not null;
create index attachments_org_id_job_id_idx on crm.attachments (org_id, job_id) where job_id is not null;
create index attachments_org_id_estimate_id_idx on crm.attachments (org_id, estimate_id) where estimate_id is not null;
create index attachments_org_id_invoice_id_idx on crm.attachments (org_id, invoice_id) where invoice_id is not null;
create index attachments_org_id_message_id_idx on crm.attachments (org_id, message_id) where message_id is not null;

select crm.enroll('crm.attachments', array[
    'file_name required line 255', 'content_type required mime', 'storage_key required line 1000', 'storage_url url', 'description text 2000',
    'external_id line 200'
]);

comment on table crm.attachments is 'Files that belong to a record: what they are and where they lie. The files themselves are elsewhere.';
comment on column crm.attachments.file_name is 'At most 255 characters, without / and \.';
comment on column crm.attachments.content_type is 'The type of the file, like application/pdf. What a browser would run is refused: HTML, XML, SVG, scripts, programs.';
comment on column crm.attachments.size_bytes is 'At most 104857600 (100 MiB).';
comment on column crm.attachments.checksum_sha256 is 'SHA-256 of the file: 64 hexadecimal digits in lower case.';
comment on column crm.attachments.storage_key is 'What the store of the files calls it.';
comment on column crm.attachments.storage_url is 'Where it can be fetched, if it has an address of its own.';
comment on column crm.attachments.description is 'Plain text.';
comment on column crm.attachments.account_id is 'Belongs to an account of the same organization.';
comment on column crm.attachments.contact_id is 'Belongs to a contact of the same organization.';
comment on column crm.attachments.lead_id is 'Belongs to a lead of the same organization.';
comment on column crm.attachments.deal_id is 'Belongs to a deal of the same organization.';
comment on column crm.attachments.activity_id is 'Belongs to an activity of the same organization.';
comment on column crm.attachments.task_id is 'Belongs to a task of the same organization.';
comment on column crm.attachments.ticket_id is 'Belongs to a ticket of the same organization.';
comment on column crm.attachments.project_id is 'Belongs to a project of the same organization.';
comment on column crm.attachments.job_id is 'Belongs to a job of the same organization.';
comment on column crm.attachments.estimate_id is 'Belongs to an estimate of the same organization.';
comment on column crm.attachments.invoice_id is 'Belongs to an invoice of the same organization.';
comment on column crm.attachments.message_id is 'Belongs to a message of the same organization.';
