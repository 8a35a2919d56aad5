//! Makes the partitions of `crm.audit_log`: one for each month, `…_before` and `…_later` for the rest of all time.

use std::time::{Duration, Instant};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::db::{self, savepoint};
use crate::error::Result;

/// Months that are made ahead.
const AHEAD: i32 = 3;

/// The end of a partition's name is the last month that it holds.
const LAST_MONTH: &str = "[0-9]{4}_[0-9]{2}$";

/// What is older, and what is later than all months.
const BEFORE: &str = "audit_log_before";
const LATER: &str = "audit_log_later";

struct Month {
    /// `2026_11`
    name: String,
    /// Its first moment, and the next month's.
    from: String,
    to: String,
}

/// What was done to them.
#[derive(Default)]
pub struct Changes {
    pub made: i32,
    pub dropped: i32,
    /// Somebody was in the way: nothing was done, and the next call tries again.
    pub postponed: bool,
}

#[pg_extern(sql = false)]
fn make_audit_partitions() -> Result<i32, ErrorReport> {
    Ok(db::as_owner_of(c"crm", c"audit_log", || make_missing(&Locks { until: None }))?)
}

/// Makes those of the months to come, and drops those that are over and empty. The last that a transaction does: its locks, for
/// which it waits but shortly, keep everybody waiting.
pub fn keep_up() -> Result<Changes> {
    let changed = savepoint::unless_locked(|| {
        db::confined(|| {
            let locks = Locks { until: Some(Instant::now() + WAIT) };
            db::as_owner_of(c"crm", c"audit_log", || {
                Ok(Changes { made: make_missing(&locks)?, dropped: drop_empty(&locks)?, postponed: false })
            })
        })
    })?;
    Ok(changed.unwrap_or_else(|| {
        notice!("the audit log is in use: its partitions are made and dropped by the next crm.maintain_audit()");
        Changes { postponed: true, ..Changes::default() }
    }))
}

/// Who reads the log holds this up, and everybody else behind it: so long for all locks together. Shorter than `deadlock_timeout`, so
/// that where two wait for each other, it is not the other one that fails.
const WAIT: Duration = Duration::from_millis(500);

/// The locks that partitions are made and dropped under.
struct Locks {
    until: Option<Instant>,
}

impl Locks {
    /// Against other maintenance, and before anything is done: as who changes an organization does, first the organizations, then
    /// their history. A foreign key is checked meanwhile.
    fn all(&self) -> Result<()> {
        self.take("crm.organizations in share row exclusive mode")?;
        self.take("only crm.audit_log in access exclusive mode")
    }

    /// Rows of transactions that are not over would be overlooked.
    fn partition(&self, partition: &str) -> Result<()> {
        self.take(&format!("crm_private.{partition} in access exclusive mode"))
    }

    fn take(&self, lock: &str) -> Result<()> {
        if let Some(until) = self.until {
            // 0 would be for ever.
            let left = until.saturating_duration_since(Instant::now()).as_millis().max(1);
            db::run(&format!("set local lock_timeout = '{left}ms'"))?;
        }
        db::run(&format!("lock table {lock}"))
    }
}

fn make_missing(locks: &Locks) -> Result<i32> {
    if months_after(last_month()?.as_deref())?.is_empty() {
        return Ok(0);
    }
    locks.all()?;
    let last = last_month()?;
    make(locks, last.as_deref(), &months_after(last.as_deref())?)
}

/// What is later than all months makes room for them. If it has rows by now, it stays as the partition of the time since, to the
/// end of this month; if it has rows of a time to come, because the clock was wrong, it stays what it is until then.
fn make(locks: &Locks, last: Option<&str>, months: &[Month]) -> Result<i32> {
    let (Some(first), Some(until)) = (months.first(), months.last()) else { return Ok(0) };
    let mut made = months;
    if last.is_none() {
        db::run(&partition(BEFORE, "minvalue", &quoted(&first.from)))?;
    } else {
        locks.partition(LATER)?;
        let (begun, to_come) = months.split_at(months.len().saturating_sub(AHEAD as usize));
        if let Some(next) = to_come.first()
            && has_rows_since(LATER, &next.from)?
        {
            return Ok(0);
        }
        if has_rows(LATER)? {
            keep_later(begun)?;
            made = to_come;
        } else {
            // Not detached before: that would give it a foreign key of its own, and dropping that locks readers of organizations out.
            db::run(&format!("drop table crm_private.{LATER}"))?;
        }
    }
    for month in made {
        db::run(&partition(&format!("audit_log_{}", month.name), &quoted(&month.from), &quoted(&month.to)))?;
    }
    db::run(&partition(LATER, &quoted(&until.to), "maxvalue"))?;
    Ok(made.len() as i32)
}

/// Drops the oldest months that have no entries any more; gives how many. What lies before the rest of them is one partition.
fn drop_empty(locks: &Locks) -> Result<i32> {
    let mut dropped = 0;
    while let Some((name, to)) = oldest_ended()?
        && are_empty_for_good(locks, [&format!("audit_log_{name}"), BEFORE])?
    {
        db::run(&format!(
            "drop table crm_private.audit_log_{name}, crm_private.{BEFORE}; {}",
            partition(BEFORE, "minvalue", &quoted(&to))
        ))?;
        dropped += 1;
    }
    Ok(dropped)
}

/// A transaction writes to the month that it began in, however late it ends.
fn are_empty_for_good(locks: &Locks, partitions: [&str; 2]) -> Result<bool> {
    let are_empty = || Ok(!has_rows(partitions[0])? && !has_rows(partitions[1])?);
    if !are_empty()? {
        return Ok(false);
    }
    locks.all()?;
    for partition in partitions {
        locks.partition(partition)?;
    }
    are_empty()
}

/// The first month that is over, if it is a single one, and when it was.
fn oldest_ended() -> Result<Option<(String, String)>> {
    let found = db::at_latest(|| {
        db::select(
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
    )
    })?;
    Ok(found.0.zip(found.1))
}

fn quoted(moment: &str) -> String {
    format!("'{moment}'")
}

/// The last month with a partition; none before there are partitions.
fn last_month() -> Result<Option<String>> {
    db::at_latest(|| {
        db::select(
            "select max(substring(c.relname from $1))
         from pg_catalog.pg_inherits as i
         join pg_catalog.pg_class as c on c.oid = i.inhrelid
         where i.inhparent = 'crm.audit_log'::pg_catalog.regclass",
            &[pgrx::PgBuiltInOids::TEXTOID],
            &[LAST_MONTH.into()],
            |rows| rows.first().get_one::<String>(),
        )
    })
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
    has_rows_since(partition, "-infinity")
}

fn has_rows_since(partition: &str, moment: &str) -> Result<bool> {
    let query = format!("select exists (select from crm_private.{partition} where created_at >= '{moment}')");
    db::at_latest(|| db::select_once(&query, &[], |rows| Ok(rows.first().get_one::<bool>()?.unwrap_or(true))))
}

/// For the months that have begun.
fn keep_later(months: &[Month]) -> Result<()> {
    let (Some(first), Some(last)) = (months.first(), months.last()) else { return Ok(()) };
    let name = if months.len() == 1 { first.name.clone() } else { format!("{}_{}", first.name, last.name) };
    db::run(&format!(
        "alter table crm.audit_log detach partition crm_private.{LATER};
         alter table crm_private.{LATER} rename constraint {LATER}_pkey to audit_log_{name}_pkey;
         alter table crm_private.{LATER} rename to audit_log_{name};
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
