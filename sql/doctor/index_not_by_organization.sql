-- Every query has an organization first. A unique index without it tells one tenant what another has.
with exceptions (index, reason) as (
    values
        ('crm.memberships_user_id_org_id_idx', 'At the start of a request the question is: where may this user act?'),
        ('crm.webhook_deliveries_run_at_id_idx', 'The queue is of all organizations: who delivers asks what is due next.')
)
select
    case when i.indisunique then 'error' else 'warning' end as severity,
    pg_catalog.format('%s', i.indexrelid::pg_catalog.regclass) as object,
    case when i.indisunique then 'unique across organizations: ' else '' end || pg_catalog.pg_get_indexdef(i.indexrelid) as problem,
    'Make an index that begins with org_id, and drop this one.' as fix
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indrelid
join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
where c.relnamespace = pg_catalog.to_regnamespace('crm')
    and i.indkey[0] <> a.attnum
    -- A table without the organization in its primary key has that one finding.
    and not i.indisprimary
    and (i.indisunique or pg_catalog.format('%s', i.indexrelid::pg_catalog.regclass) not in (select index from exceptions))
