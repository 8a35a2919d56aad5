//! Tickets: each has a number of its organization.

use pgrx::AllocatedByPostgres;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::numbers;
use crate::access::permissions::everywhere;
use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg};
use crate::records::row::{self, Row, Rows};

#[pg_trigger(sql = false)]
fn number_ticket<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(Rows::of(trigger).and_then(|rows| numbered(rows.new)).map(Some))
}

/// Only whoever brings old tickets gives them numbers: of the others the rule of the column has taken what they gave.
fn numbered(mut ticket: Row) -> Result<Row> {
    if ticket.get::<i64>("number")?.is_none() {
        let organization = ticket.get::<pgrx::Uuid>("org_id")?.map(from_pg);
        let organization = organization.ok_or_else(|| CrmError::internal("a ticket without an organization"))?;
        if may_be_added(organization)? {
            let (number, _) = numbers::next(organization, "ticket")?;
            ticket.set("number", Some(number))?;
        }
    }
    Ok(ticket)
}

/// The policy is asked after this, and would come too late: a stranger could keep an organization's series locked, or learn
/// that there is one. Without a number the row gets as far as the policy, and no further.
fn may_be_added(organization: uuid::Uuid) -> Result<bool> {
    let Some(principal) = Principal::current() else { return Ok(true) };
    Ok(everywhere(&principal)?.iter().any(|(holder, permissions)| {
        holder.organization() == organization && permissions.scope("tickets.create").is_some()
    }))
}
