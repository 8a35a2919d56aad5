-- Comments are the API's documentation, column by column: crm.enroll describes those that every table has, an entity's file
-- all others.
select
    'column_without_comment' as name,
    'ERROR' as level,
    format('%s.%I', c.oid::regclass, a.attname) as object,
    'a column without a comment' as detail,
    format('comment on column %s.%I is …', c.oid::regclass, a.attname) as remediation
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'crm'::regnamespace
    and c.relkind in ('r', 'p', 'v', 'm')
    and coalesce(col_description(a.attrelid, a.attnum), '') = '';
