//! Makes the partitions of `crm.audit_log`: one for each month, `…_before` and `…_later` for the rest of all time.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db;
use crate::error::Result;

/// Months that are made ahead.
const AHEAD: i32 = 3;

/// The end of a partition's name is the last month that it holds.
const LAST_MONTH: &str = "[0-9]{4}_[0-9]{2}$";

struct Month {
    /// `2026_11`
    name: String,
    /// Its first moment, and the next month's.
    from: String,
    to: String,
}

#[pg_extern(sql = false)]
fn make_audit_partitions() -> Result<i32, ErrorReport> {
    Ok(make_missing()?)
}

pub fn make_missing() -> Result<i32> {
    db::as_owner_of(c"crm", c"audit_log", make)
}

/// What is later than all months is taken out for the moment: months are put before it. Who writes does not wait for that. If it
/// has rows by now, it stays as the partition of the time since, to the end of this month.
fn make() -> Result<i32> {
    let last = last_month()?;
    let months = months_after(last.as_deref())?;
    let (Some(first), Some(until)) = (months.first(), months.last()) else { return Ok(0) };
    wait_shortly()?;
    let mut made = months.as_slice();
    match &last {
        None => db::run(&partition("audit_log_before", "minvalue", &quoted(&first.from)))?,
        Some(_) => {
            db::run("alter table crm.audit_log detach partition crm_private.audit_log_later")?;
            if has_rows("audit_log_later")? {
                let ended = months.len() - AHEAD as usize;
                keep_later(&months[..ended])?;
                made = &months[ended..];
            } else {
                db::run("drop table crm_private.audit_log_later")?;
            }
        }
    }
    for month in made {
        db::run(&partition(&format!("audit_log_{}", month.name), &quoted(&month.from), &quoted(&month.to)))?;
    }
    db::run(&partition("audit_log_later", &quoted(&until.to), "maxvalue"))?;
    Ok(made.len() as i32)
}

/// Who reads the log holds this up, and everybody else behind it: rather try again at the next call.
fn wait_shortly() -> Result<()> {
    db::run("set local lock_timeout = '3s'")
}

/// Drops the oldest months that have no entries any more; gives how many. What lies before the rest of them is one partition.
pub fn drop_empty() -> Result<i32> {
    db::as_owner_of(c"crm", c"audit_log", || {
        let mut dropped = 0;
        while let Some((name, to)) = oldest_ended()?
            && !has_rows(&format!("audit_log_{name}"))?
            && !has_rows("audit_log_before")?
        {
            wait_shortly()?;
            db::run(&format!(
                "drop table crm_private.audit_log_{name}, crm_private.audit_log_before; {}",
                partition("audit_log_before", "minvalue", &quoted(&to))
            ))?;
            dropped += 1;
        }
        Ok(dropped)
    })
}

/// The first month that is over, if it is a single one, and when it was.
fn oldest_ended() -> Result<Option<(String, String)>> {
    let found = db::select(
        "select name, to_char(ended, 'YYYY-MM-DD 00:00:00+00')
         from (
             select min(substring(c.relname from '^audit_log_([0-9]{4}_[0-9]{2})$')) as name
             from pg_catalog.pg_inherits as i
             join pg_catalog.pg_class as c on c.oid = i.inhrelid
             where i.inhparent = 'crm.audit_log'::pg_catalog.regclass
         ) as first
         cross join lateral (select to_date(name, 'YYYY_MM') + interval '1 month' as ended) as month
         where ended < now() at time zone 'UTC' and not exists (
             select
             from pg_catalog.pg_inherits as i
             join pg_catalog.pg_class as c on c.oid = i.inhrelid
             where i.inhparent = 'crm.audit_log'::pg_catalog.regclass and c.relname ~ '^audit_log_[0-9]{4}_' and c.relname < 'audit_log_' || name
         )",
        &[],
        &[],
        |rows| rows.first().get_two::<String, String>(),
    )?;
    Ok(found.0.zip(found.1))
}

fn quoted(moment: &str) -> String {
    format!("'{moment}'")
}

/// The last month with a partition; none before there are partitions.
fn last_month() -> Result<Option<String>> {
    db::select(
        "select max(substring(c.relname from $1))
         from pg_catalog.pg_inherits as i
         join pg_catalog.pg_class as c on c.oid = i.inhrelid
         where i.inhparent = 'crm.audit_log'::pg_catalog.regclass",
        &[pgrx::PgBuiltInOids::TEXTOID],
        &[LAST_MONTH.into()],
        |rows| rows.first().get_one::<String>(),
    )
}

/// From the one after the last, or from this one on, as far ahead as they are made.
fn months_after(last: Option<&str>) -> Result<Vec<Month>> {
    db::select(
        "select to_char(m.month, 'YYYY_MM'), to_char(m.month, 'YYYY-MM-DD 00:00:00+00'),
             to_char(m.month + interval '1 month', 'YYYY-MM-DD 00:00:00+00')
         from (select date_trunc('month', now() at time zone 'UTC') as month) as this
         cross join lateral generate_series(
             coalesce(to_date($1, 'YYYY_MM') + interval '1 month', this.month), this.month + make_interval(months => $2), '1 month'
         ) as m (month)
         order by m.month",
        &[pgrx::PgBuiltInOids::TEXTOID, pgrx::PgBuiltInOids::INT4OID],
        &[last.into(), AHEAD.into()],
        |rows| {
            let mut months = vec![];
            for row in rows {
                if let (Some(name), Some(from), Some(to)) = (row.get(1)?, row.get(2)?, row.get(3)?) {
                    months.push(Month { name, from, to });
                }
            }
            Ok(months)
        },
    )
}

fn has_rows(partition: &str) -> Result<bool> {
    db::write(&format!("select exists (select from crm_private.{partition})"), &[], |rows| {
        Ok(rows.first().get_one::<bool>()?.unwrap_or(true))
    })
}

/// For the months that have begun.
fn keep_later(months: &[Month]) -> Result<()> {
    let (Some(first), Some(last)) = (months.first(), months.last()) else { return Ok(()) };
    let name = if months.len() == 1 { first.name.clone() } else { format!("{}_{}", first.name, last.name) };
    db::run(&format!(
        "alter table crm_private.audit_log_later rename constraint audit_log_later_pkey to audit_log_{name}_pkey;
         alter table crm_private.audit_log_later rename to audit_log_{name};
         alter table crm.audit_log attach partition crm_private.audit_log_{name} for values from ('{}') to ('{}')",
        first.from, last.to
    ))
}

fn partition(name: &str, from: &str, to: &str) -> String {
    format!(
        "create table crm_private.{name} partition of crm.audit_log for values from ({from}) to ({to});
         alter table crm_private.{name} add constraint {name}_pkey primary key (org_id, id);
         alter table crm_private.{name} enable row level security, force row level security;
         revoke all on table crm_private.{name} from public;
         grant select on table crm_private.{name} to crm_backup;
         create trigger _300_append_only_truncate after truncate on crm_private.{name}
             for each statement execute function crm_private.append_only();
         comment on table crm_private.{name} is 'A partition of crm.audit_log.'"
    )
}
