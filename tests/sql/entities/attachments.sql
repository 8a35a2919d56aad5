-- Attachments: what kind of files, and of what.

begin;
\ir ../actors.psql
select no_plan();

select tests.register('ann', 'Acme');
select tests.register('bob', 'Borg');
select tests.hire('sam', 'Acme', 'sales');
select tests.hire('sue', 'Acme', 'sales');
select tests.hire('viewer', 'Acme', 'read_only');

select tests.become('sam', 'Acme');
insert into crm.contacts (id, last_name) values ('018f0000-0000-7000-8000-0000000000c1', 'Contact');
insert into crm.tasks (id, title) values ('018f0000-0000-7000-8000-0000000000d1', 'Task');

create function pg_temp.attach(column_name text, value text) returns text language plpgsql as $$
declare
    content constant jsonb := jsonb_build_object(
        'file_name', 'offer.pdf', 'content_type', 'application/pdf', 'size_bytes', 1000, 'storage_key', 'key', 'contact_id', '018f0000-0000-7000-8000-0000000000c1'
    ) || jsonb_build_object(attach.column_name, attach.value);
begin
    return tests.outcome(format(
        'insert into crm.attachments (%1$s) select %1$s from jsonb_populate_record(null::crm.attachments, %2$L)',
        (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(content) as key), content
    ));
end
$$;

select is(pg_temp.attach(name, value), '1 rows', format('sam attaches a file with %s %s', name, left(value, 40)))
from (values
    ('file_name', 'Angebot ü.pdf'), ('file_name', '..a'), ('size_bytes', '1'), ('size_bytes', '104857600'), ('content_type', 'IMAGE/PNG'), ('content_type', 'text/plain'),
    ('content_type', 'application/postscript'), ('content_type', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'), ('content_type', 'message/rfc822'),
    ('checksum_sha256', repeat('0a', 32)), ('storage_url', 'https://files.example/1')
) as good (name, value);
select is(
    pg_temp.attach(name, value), format('23514 new row for relation "attachments" violates check constraint "attachments_%s_check"', name),
    format('no file has %s %s', name, left(value, 40))
)
from (values
    ('file_name', '../etc/passwd'), ('file_name', 'a\b'), ('file_name', '..'), ('file_name', '.'), ('size_bytes', '0'), ('size_bytes', '-1'), ('size_bytes', '104857601'),
    ('checksum_sha256', 'x'), ('checksum_sha256', repeat('0A', 32))
) as bad (name, value);
select is(
    pg_temp.attach('content_type', type), '23514 new row for relation "attachments" violates check constraint "attachments_content_type_check"', 'no file is ' || type
)
from unnest('{text/html,TEXT/HTML,application/xhtml+xml,image/svg+xml,text/xml,application/xml,application/javascript,text/javascript,application/x-javascript,text/ecmascript,text/vbscript,application/x-msdownload,application/vnd.microsoft.portable-executable,application/x-msdos-program,application/x-sh,application/x-httpd-php,application/java-archive,application/x-shockwave-flash,application/hta,multipart/related,application/mathml+xml}'::text[]) as type;
select is(pg_temp.attach(name, value), '22023 ' || problem, format('no file has %s %s', name, to_json(left(value, 40))))
from (values
    ('content_type', 'pdf', 'content_type: not a type of file like image/png'), ('content_type', 'text/html; charset=utf-8', 'content_type: not a type of file like image/png'),
    ('file_name', E'a\nb', 'file_name: line breaks and control characters are not allowed'), ('file_name', ' ', 'file_name: must not be empty'),
    ('storage_url', 'javascript:alert(1)', 'storage_url: not a web address like https://example.com')
) as bad (name, value, problem);

-- Of one record --------------------------------------------------------------------------------------------------------------

select is(
    pg_temp.attach(name, value), '23514 new row for relation "attachments" violates check constraint "attachments_one_record_check"', 'a file belongs to one record: ' || name
)
from (values ('task_id', '018f0000-0000-7000-8000-0000000000d1'), ('contact_id', null)) as bad (name, value);
insert into crm.attachments (file_name, size_bytes, storage_key, contact_id) values ('of a contact', 1, 'k', '018f0000-0000-7000-8000-0000000000c1');
insert into crm.attachments (file_name, size_bytes, storage_key, task_id) values ('of a task', 1, 'k', '018f0000-0000-7000-8000-0000000000d1');

-- Others ---------------------------------------------------------------------------------------------------------------------

select tests.become('sue', 'Acme');
select is_empty('select id from crm.attachments', 'sue, who sees her own, sees none');
select tests.become('viewer', 'Acme');
select is((select count(*) from crm.attachments), 2::bigint, 'a viewer sees all');
select is(tests.outcome($$update crm.attachments set file_name = 'x'$$), '42501 your role does not permit attachments.update', 'and renames none');
select tests.become('bob', 'Borg');
select is_empty('select id from crm.attachments', 'bob of Borg sees none');
select is(tests.outcome('delete from crm.attachments'), '0 rows', 'and deletes none');
select matches(pg_temp.attach('description', 'x'), '^23503 ', 'nor attaches any to what is Acme''s');

-- Deletion -------------------------------------------------------------------------------------------------------------------

select tests.become('ann', 'Acme');
delete from crm.contacts;
select results_eq('select file_name from crm.attachments', $$values ('of a task')$$, 'a file goes with its record');
delete from crm.tasks;
select is_empty('select file_name from crm.attachments', 'whatever that is');

select * from finish();
rollback;
