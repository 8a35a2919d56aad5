-- What a trigger checks, counts or announces happens nowhere else: without it wrong rows come in, limits do not hold, and
-- connections remember people who were removed. Those that crm.enroll makes: enrollment.
select
    'error' as severity,
    wanted.relation as object,
    pg_catalog.format('trigger %I is missing', wanted.name) as problem,
    wanted.statement || case when wanted.name ~ '^_900_announce'
        then pg_catalog.format('; alter table %s enable always trigger %I', wanted.relation, wanted.name) else '' end as fix
from pg_catalog.jsonb_to_recordset($1 -> 'triggers') as wanted (relation text, name text, statement text)
where pg_catalog.to_regclass(wanted.relation) is not null
    and not exists (
        select from pg_catalog.pg_trigger as t where t.tgrelid = pg_catalog.to_regclass(wanted.relation) and t.tgname = wanted.name
    )
union all
-- Those that fire for statements are not the partitions' own by themselves.
select
    'error',
    pg_catalog.format('%s', i.inhrelid::pg_catalog.regclass),
    'trigger _300_append_only_truncate is missing',
    pg_catalog.format('create trigger _300_append_only_truncate after truncate on %s for each statement execute function crm_private.append_only()',
        i.inhrelid::pg_catalog.regclass)
from pg_catalog.pg_inherits as i
where i.inhparent = pg_catalog.to_regclass('crm.audit_log')
    and not exists (select from pg_catalog.pg_trigger as t where t.tgrelid = i.inhrelid and t.tgname = '_300_append_only_truncate')
union all
select
    'error',
    pg_catalog.format('%s', t.tgrelid::pg_catalog.regclass),
    pg_catalog.format('trigger %I %s', t.tgname, case when t.tgenabled = 'D' then 'is disabled' when announces.yes
        then 'does not fire where rows arrive by replication' else 'fires only where rows arrive by replication' end),
    pg_catalog.format('alter table %s enable %strigger %I', t.tgrelid::pg_catalog.regclass, case when announces.yes then 'always ' else '' end, t.tgname)
from pg_catalog.pg_trigger as t
join pg_catalog.pg_proc as p on p.oid = t.tgfoid
cross join lateral (values (p.proname = 'announce')) as announces (yes)
where p.pronamespace = pg_catalog.to_regnamespace('crm_private')
    and (t.tgenabled in ('D', 'R') or (announces.yes and t.tgenabled <> 'A'))
    -- Of these, enrollment tells.
    and t.tgname not in (
        '_140_tags', '_150_custom_fields', '_300_guard', '_400_scope', '_500_stamp', '_800_custom_values_insert', '_800_custom_values_update',
        '_800_custom_values_delete', '_800_custom_values_truncate'
    )
