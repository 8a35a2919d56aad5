//! Document numbers: one series per organization and kind. The series' row is locked until the transaction that took a number
//! ends, so the next one waits: what is rolled back gives its number back, and there is no gap.

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, JsonB, PgBuiltInOids};
use serde_json::json;
use uuid::Uuid;

use crate::access::permissions;
use crate::access::policy::require_to_write;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::answer::{self, given};
use crate::identity::principal::{Principal, to_pg};
use crate::records::guard::by_foreign_key;
use crate::records::row::{self, Images};

const KINDS: [&str; 3] = ["invoice", "estimate", "ticket"];

const FIRST_MAX: i64 = 1_000_000_000_000;

/// The series of a new organization, as far as there are none.
pub const DEFAULT_SERIES: &str = "insert into crm.number_series (org_id, kind, prefix, padding)
    values ($1, 'invoice', 'INV-', 4), ($1, 'estimate', 'EST-', 4), ($1, 'ticket', 'T-', 4)
    on conflict (org_id, kind) do nothing";

/// The next number of a series, alone and as people write it: (7, "INV-0007").
///
/// Where the caller may neither add nor change what is numbered, they are told what the policy is going to say of their row:
/// they would wait for other organizations' transactions, and learn which organizations there are.
pub fn next(organization: Uuid, kind: &str) -> Result<(i64, String)> {
    let had = |action| permissions::had_in(Some(organization), &format!("{kind}s.{action}"));
    if !had("create")? && !had("update")? {
        return Err(CrmError::forbidden(format!("new row violates row-level security policy for table \"{kind}s\"")));
    }
    db::as_owner_of(c"crm", c"number_series", || {
        if let Some(number) = advance(organization, kind)? {
            return Ok(number);
        }
        db::execute(DEFAULT_SERIES, &[to_pg(organization).into()])?;
        advance(organization, kind)?.ok_or_else(|| CrmError::internal("there is no such series of numbers"))
    })
}

fn advance(organization: Uuid, kind: &str) -> Result<Option<(i64, String)>> {
    db::write_prepared(
        "update crm.number_series set last_number = last_number + 1
         where org_id = $1 and kind = $2
         returning last_number, concat(
             prefix, lpad(last_number::text, greatest(padding, length(last_number::text)), '0')
         )",
        &[PgBuiltInOids::UUIDOID, PgBuiltInOids::TEXTOID],
        &[to_pg(organization).into(), kind.into()],
        |rows| {
            if rows.is_empty() {
                return Ok(None);
            }
            let (number, text) = rows.first().get_two::<i64, String>()?;
            Ok(number.zip(text))
        },
    )
}

#[pg_trigger(sql = false)]
fn lock_series<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(lock(trigger).map(|()| None))
}

fn lock(trigger: &PgTrigger) -> Result<()> {
    let active = Principal::current().and_then(|principal| principal.org_id());
    let (Some(organization), false) = (active, by_foreign_key(trigger)) else { return Ok(()) };
    db::as_owner_of(c"crm", c"number_series", || {
        db::write_prepared(
            "select from crm.number_series where org_id = $1 and kind = 'invoice' for no key update",
            &[PgBuiltInOids::UUIDOID],
            &[to_pg(organization).into()],
            |_| Ok(()),
        )
    })
}

#[pg_trigger(sql = false)]
fn guard_series<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(Images::of(trigger).and_then(|images| {
        if !by_foreign_key(trigger) {
            guard(&images)?;
        }
        Ok(images.unchanged())
    }))
}

fn guard(images: &Images) -> Result<()> {
    let Some(old) = &images.old else { return Ok(()) };
    match &images.new {
        Some(new) if new.get::<String>("kind")? != old.get::<String>("kind")? => {
            Err(CrmError::forbidden("kind cannot be changed"))
        }
        None if old.get::<i64>("last_number")? >= old.get::<i64>("first_number")? => Err(CrmError::InUse {
            message: "a series that gave numbers cannot be deleted".into(),
            hint: "Its numbers would be given a second time. Change its prefix instead.".into(),
        }),
        _ => Ok(()),
    }
}

#[pg_extern(sql = false)]
fn set_next_number(kind: Option<&str>, number: Option<i64>) -> Result<JsonB, ErrorReport> {
    answer::needs_post("set_next_number")?;
    let kind = given("kind", kind)?;
    if !KINDS.contains(&kind) {
        return Err(CrmError::invalid("kind", format!("must be one of {}", KINDS.join(", "))).into());
    }
    let number = given("number", number)?;
    if !(1..=FIRST_MAX).contains(&number) {
        return Err(CrmError::invalid("number", format!("must be between 1 and {FIRST_MAX}")).into());
    }
    let (holder, _) = require_to_write("number_series.update")?;
    begin_with(holder.organization(), kind, number)?;
    Ok(JsonB(json!({ "kind": kind, "next_number": number })))
}

fn begin_with(organization: Uuid, kind: &str, number: i64) -> Result<()> {
    let changed = db::as_owner_of(c"crm", c"number_series", || {
        db::execute(DEFAULT_SERIES, &[to_pg(organization).into()])?;
        db::execute(
            "update crm.number_series set first_number = $3, last_number = $3 - 1
             where org_id = $1 and kind = $2 and last_number < first_number returning 1",
            &[to_pg(organization).into(), kind.into(), number.into()],
        )
    })?;
    if changed == 1 {
        return Ok(());
    }
    Err(CrmError::InUse {
        message: "this series gave numbers already".into(),
        hint: "Another beginning would leave numbers out, or give them twice. Change the prefix instead.".into(),
    })
}
