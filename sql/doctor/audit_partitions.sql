-- Without a partition for the present nothing can be written, for nothing is without history; without one for the next month, what is
-- written then shares one with all that comes later.
with partitions as (
    select c.relname::text as name
    from pg_catalog.pg_inherits as i
    join pg_catalog.pg_class as c on c.oid = i.inhrelid
    where i.inhparent = pg_catalog.to_regclass('crm.audit_log')
),
months as (
    select months.ahead, pg_catalog.to_char(pg_catalog.date_trunc('month', pg_catalog.now() at time zone 'UTC') + pg_catalog.make_interval(months => months.ahead), 'YYYY_MM') as name
    from pg_catalog.generate_series(0, 1) as months (ahead)
)
select 'error' as severity, 'crm.audit_log' as object,
    pg_catalog.format('partition crm_private.%s is missing: entries of some times find no place, and their statements fail', wanted.name) as problem,
    'select crm.maintain_audit()' as fix
from (values ('audit_log_before'), ('audit_log_later')) as wanted (name)
where wanted.name not in (select name from partitions)
union all
select 'warning', 'crm.audit_log',
    pg_catalog.format('there is no partition for %s: call crm.maintain_audit() every hour', pg_catalog.replace(months.name, '_', '-')),
    'select crm.maintain_audit()'
from months
where not exists (
    select from partitions as p
    where p.name ~ '^audit_log_[0-9]{4}_[0-9]{2}' and pg_catalog."right"(p.name, 7) >= months.name and pg_catalog.substr(p.name, 11, 7) <= months.name
)
