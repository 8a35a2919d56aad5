-- Every query has an organization first. A unique index without it tells one tenant what another has.
with exceptions (index, reason) as (
    values ('crm.memberships_user_id_org_id_idx', 'At the start of a request the question is: where may this user act?')
)
select
    'index_not_by_organization' as name,
    'ERROR' as level,
    i.indexrelid::regclass::text as object,
    pg_get_indexdef(i.indexrelid) as detail,
    'Put org_id first, or write down the exception with its reason in this lint.' as remediation
from pg_index as i
join pg_class as c on c.oid = i.indrelid
join pg_attribute as a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
where c.relnamespace = 'crm'::regnamespace
    and i.indkey[0] <> a.attnum
    and (i.indisunique or i.indexrelid::regclass::text not in (select index from exceptions));
