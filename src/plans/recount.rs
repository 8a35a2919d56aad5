//! Whether what is kept is what there is, and setting it right: at enrolment, and when the DBA asks.

use std::collections::{BTreeMap, BTreeSet};

use pgrx::PgBuiltInOids;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};
use uuid::Uuid;

use super::usage;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::platform::require_administrator;
use crate::identity::principal::{from_pg, to_pg};

/// A table whose rows are counted: what its triggers say.
struct Source {
    table: pg_sys::Oid,
    /// Quoted and with its schema.
    name: String,
    owner: pg_sys::Oid,
    resource: String,
    /// SQL that says which rows count.
    condition: String,
}

/// All of them, in the order in which they are locked.
fn sources() -> Result<Vec<Source>> {
    db::select(
        "select distinct on (n.nspname, c.relname, t.tgargs) c.oid, format('%I.%I', n.nspname, c.relname), c.relowner, t.tgargs
         from pg_catalog.pg_trigger as t
         join pg_catalog.pg_proc as p on p.oid = t.tgfoid
         join pg_catalog.pg_class as c on c.oid = t.tgrelid
         join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where p.pronamespace = to_regnamespace('crm_private') and p.proname = 'count_usage'
         order by n.nspname, c.relname, t.tgargs",
        &[],
        &[],
        |rows| {
            let mut sources = vec![];
            for row in rows {
                if let (Some(table), Some(name), Some(owner), Some(arguments)) =
                    (row.get(1)?, row.get(2)?, row.get(3)?, row.get::<Vec<u8>>(4)?)
                {
                    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                    let resource = arguments.next().unwrap_or_default().into_owned();
                    let condition = match (arguments.next(), arguments.next()) {
                        (Some(column), Some(value)) if !column.is_empty() => {
                            format!("{} = {}", quote_identifier(&*column), quote_literal(&*value))
                        }
                        _ => "true".into(),
                    };
                    sources.push(Source { table, name, owner, resource, condition });
                }
            }
            Ok(sources)
        },
    )
}

/// What is counted at all.
pub fn resources() -> Result<BTreeSet<String>> {
    Ok(sources()?.into_iter().map(|source| source.resource).collect())
}

/// What the rows of a table are counted as.
pub fn resources_of(table: pg_sys::Oid) -> Result<Vec<String>> {
    Ok(sources()?.into_iter().filter(|source| source.table == table).map(|source| source.resource).collect())
}

/// After a change of who is counted as these. Called with the lock that changing a table's triggers takes.
pub fn restart(resources: &[String]) -> Result<()> {
    let sources = sources()?;
    for resource in resources {
        if sources.iter().any(|source| source.resource == *resource) {
            let differences = differences(&sources, None, Some(resource))?;
            db::as_definer(|| differences.iter().try_for_each(Difference::correct))?;
        } else {
            db::as_definer(|| usage::forget(resource))?;
        }
    }
    Ok(())
}

struct Difference {
    organization: Uuid,
    resource: String,
    kept: i64,
    counted: i64,
}

type DifferenceRow = (pgrx::Uuid, String, i64, i64);

impl Difference {
    fn correct(&self) -> Result<()> {
        let organization = to_pg(self.organization);
        db::execute(
            "delete from crm_private.usage_deltas where org_id = $1 and resource = $2",
            &[organization.into(), self.resource.as_str().into()],
        )?;
        db::execute(
            "insert into crm_private.usage (org_id, resource, current) values ($1, $2, $3)
             on conflict (org_id, resource) do update set current = excluded.current",
            &[organization.into(), self.resource.as_str().into(), self.counted.into()],
        )?;
        Ok(())
    }

    fn into_row(self) -> DifferenceRow {
        (to_pg(self.organization), self.resource, self.kept, self.counted)
    }
}

type Counts = BTreeMap<(Uuid, String), i64>;

/// Where the counters differ from the tables, of one organization or all, of one resource or all. Everything is read with
/// one snapshot, so what others write meanwhile makes no difference.
fn differences(sources: &[Source], organization: Option<Uuid>, resource: Option<&str>) -> Result<Vec<Difference>> {
    // SAFETY: reads the transaction's state.
    let looks_back = unsafe {
        pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as i32
            && pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId
    };
    if looks_back {
        return Err(CrmError::Refused {
            message: "a table cannot be counted by the state of a while ago".into(),
            hint: "Use the isolation level READ COMMITTED.".into(),
        });
    }
    // SAFETY: popped below; where a query fails, the end of the (sub)transaction does that.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let mut counted = Counts::new();
    for source in sources.iter().filter(|source| resource.is_none_or(|resource| source.resource == resource)) {
        for (organization, count) in source.count(organization)? {
            *counted.entry((organization, source.resource.clone())).or_default() += count;
        }
    }
    let kept = db::as_definer(|| kept(organization, resource))?;
    // SAFETY: pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    let mut all: BTreeMap<_, (i64, i64)> = kept.into_iter().map(|(of, count)| (of, (count, 0))).collect();
    for (of, count) in counted {
        all.entry(of).or_default().1 = count;
    }
    let differing = all.into_iter().filter(|(_, (kept, counted))| kept != counted);
    Ok(differing
        .map(|((organization, resource), (kept, counted))| Difference { organization, resource, kept, counted })
        .collect())
}

impl Source {
    /// Only rows of organizations there are: a table need not have the foreign key.
    fn count(&self, organization: Option<Uuid>) -> Result<Vec<(Uuid, i64)>> {
        let query = format!(
            "select org_id, count(*) from {} where ($1 is null or org_id = $1) and {} group by org_id",
            self.name, self.condition
        );
        let all =
            db::read_as_owner(self.owner, || db::select_once(&query, &[organization.map(to_pg).into()], counts_of))?;
        let ids: Vec<_> = all.iter().map(|(organization, _)| to_pg(*organization)).collect();
        let existing = db::as_definer(|| {
            db::select(
                "select id, 0::bigint from crm.organizations where id = any ($1)",
                &[PgBuiltInOids::UUIDARRAYOID],
                &[ids.into()],
                counts_of,
            )
        })?;
        let existing: BTreeSet<_> = existing.into_iter().map(|(organization, _)| organization).collect();
        Ok(all.into_iter().filter(|(organization, _)| existing.contains(organization)).collect())
    }

    fn lock(&self) -> Result<()> {
        db::read_as_owner(self.owner, || db::run(&format!("lock table {} in share row exclusive mode", self.name)))
    }
}

fn counts_of(rows: db::Rows) -> Result<Vec<(Uuid, i64)>> {
    let mut counts = vec![];
    for row in rows {
        if let (Some(organization), Some(count)) = (row.get::<pgrx::Uuid>(1)?, row.get::<i64>(2)?) {
            counts.push((from_pg(organization), count));
        }
    }
    Ok(counts)
}

fn kept(organization: Option<Uuid>, resource: Option<&str>) -> Result<Counts> {
    db::select(
        "select org_id, resource, sum(n)::bigint
         from (
             select org_id, resource, current as n from crm_private.usage
             union all
             select org_id, resource, delta from crm_private.usage_deltas
         ) as counted
         where ($1 is null or org_id = $1) and ($2 is null or resource = $2)
         group by org_id, resource",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[organization.map(to_pg).into(), resource.into()],
        |rows| {
            let mut kept = Counts::new();
            for row in rows {
                if let (Some(organization), Some(resource), Some(count)) =
                    (row.get::<pgrx::Uuid>(1)?, row.get::<String>(2)?, row.get::<i64>(3)?)
                {
                    kept.insert((from_pg(organization), resource), count);
                }
            }
            Ok(kept)
        },
    )
}

type Table = TableIterator<
    'static,
    (name!(organization, pgrx::Uuid), name!(resource, String), name!(kept, i64), name!(counted, i64)),
>;

#[pg_extern(sql = false)]
fn check_usage() -> Result<
    TableIterator<
        'static,
        (name!(organization, pgrx::Uuid), name!(resource, String), name!(kept, i64), name!(counted, i64)),
    >,
    ErrorReport,
> {
    require_administrator()?;
    Ok(as_table(differences(&sources()?, None, None)?))
}

#[pg_extern(sql = false)]
fn recount_usage(
    org_id: Option<pgrx::Uuid>,
) -> Result<
    TableIterator<
        'static,
        (name!(organization, pgrx::Uuid), name!(resource, String), name!(kept, i64), name!(counted, i64)),
    >,
    ErrorReport,
> {
    require_administrator()?;
    let sources = sources()?;
    sources.iter().try_for_each(Source::lock)?;
    let differences = differences(&sources, org_id.map(from_pg), None)?;
    differences.iter().try_for_each(Difference::correct)?;
    Ok(as_table(differences))
}

fn as_table(differences: Vec<Difference>) -> Table {
    TableIterator::new(differences.into_iter().map(Difference::into_row).collect::<Vec<_>>())
}
