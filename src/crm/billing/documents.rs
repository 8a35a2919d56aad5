//! Estimates and invoices: what they get when they begin and when they leave draft, and what stays from then on.

use pgrx::datum::Date;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, AnyNumeric, PgBuiltInOids};

use super::lines::{begin_sums, sum_anew};
use super::{KEY, Kind, organization_of};
use crate::access::permissions;
use crate::crm::numbers;
use crate::db::{self, restoring::is_restoring};
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::guard::by_foreign_key;
use crate::records::row::{self, Images, Row};
use crate::schema::is_restore;

const ACCOUNT: &str = "account_id";

const ADDRESS: [&str; 5] =
    ["billing_street", "billing_city", "billing_state", "billing_postal_code", "billing_country"];

#[pg_trigger(sql = false)]
fn check_document<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger))
}

fn checked(trigger: &PgTrigger) -> Result<Option<Row>> {
    let kind = Kind::of(trigger)?;
    let images = Images::of(trigger)?;
    // A dump brings documents as they are.
    if is_restore() {
        return Ok(images.unchanged());
    }
    let Images { old, new } = images;
    let internal = by_foreign_key(trigger);
    let Some(mut new) = new else {
        if let (Some(old), false) = (&old, internal) {
            check_deletion(old)?;
        }
        return Ok(old);
    };
    match &old {
        _ if internal => {}
        None => {
            if is_restoring(trigger) && is_draft(&new)? {
                begin_sums(&mut new)?;
            }
            begin(kind, &mut new)?;
        }
        Some(old) => {
            let returning = is_restoring(trigger);
            if returning {
                check_return(kind, &new, old)?;
            }
            change(kind, &mut new, old, returning)?;
        }
    }
    set_balance(&mut new)?;
    Ok(Some(new))
}

/// A number that was given stays taken.
fn check_deletion(invoice: &Row) -> Result<()> {
    match invoice.get::<String>("number")? {
        Some(number) => Err(CrmError::InUse {
            message: format!("invoice {number} has a number and cannot be deleted"),
            hint: "Only drafts can be. Void it: set its status to void.".into(),
        }),
        None => Ok(()),
    }
}

fn set_balance(document: &mut Row) -> Result<()> {
    match (document.get::<AnyNumeric>("total")?, document.get::<AnyNumeric>("amount_paid")?) {
        (Some(total), Some(paid)) => document.set("balance_due", Some(total - paid)),
        _ => Ok(()),
    }
}

fn is_draft(document: &Row) -> Result<bool> {
    Ok(document.get::<String>("status")?.as_deref() == Some("draft"))
}

fn begin(kind: &Kind, new: &mut Row) -> Result<()> {
    let organization = organization_of(new)?;
    let (Some(organization), true) = (organization, permissions::had_in(organization, &kind.create)?) else {
        return Ok(());
    };
    let (currency, today) = defaults(to_pg(organization))?;
    if new.get::<String>("currency")?.is_none() {
        new.set("currency", currency)?;
    }
    // Only those who need no identity begin elsewhere.
    let is_draft = is_draft(new)?;
    if !is_draft && new.get::<Date>("issue_date")?.is_none() {
        new.set("issue_date", today)?;
    }
    if new.get::<String>("number")?.is_none() && (kind.name == "estimate" || !is_draft) {
        new.set("number", Some(numbers::next(organization, kind.name)?.1))?;
    }
    Ok(())
}

/// The organization's currency and what day it is there.
fn defaults(organization: pgrx::Uuid) -> Result<(Option<String>, Option<Date>)> {
    db::as_owner_of(c"crm", c"organizations", || {
        db::select(
            "select currency, (now() at time zone time_zone)::date from crm.organizations where id = $1",
            &[PgBuiltInOids::UUIDOID],
            &[organization.into()],
            |rows| rows.first().get_two(),
        )
    })
}

fn change(kind: &Kind, new: &mut Row, old: &Row, returning: bool) -> Result<()> {
    match (is_draft(old)?, is_draft(new)?) {
        (true, true) => check_currency(kind, new, old),
        (true, false) => {
            check_currency(kind, new, old)?;
            issue(kind, new)
        }
        (false, true) => Ok(()),
        (false, false) => {
            check_frozen(kind, new, old, returning)?;
            check_payments(new, old)
        }
    }
}

/// An invoice's states are passed once: its number stays given, and what was paid say its payments. Only that it is overdue
/// may be taken back. Of an estimate only what a customer accepted stays.
fn check_return(kind: &Kind, new: &Row, old: &Row) -> Result<()> {
    let [from, to] = [old.get::<String>("status")?, new.get::<String>("status")?].map(Option::unwrap_or_default);
    let is_late = |state: &str| ["sent", "partially_paid", "overdue"].contains(&state);
    let is_invoice = kind.name == "invoice";
    let may_turn = match is_invoice {
        true => is_late(&from) && is_late(&to) && (from == "overdue" || to == "overdue"),
        false => from != "accepted",
    };
    if from == to || may_turn {
        return Ok(());
    }
    let hint = match is_invoice {
        true => "What was sent stays sent: void it. What was paid, its payments say.",
        false => "What was accepted stays so: make another estimate.",
    };
    Err(CrmError::Frozen {
        column: "status".into(),
        message: format!("{} that is {from} does not become {to} again", kind.one),
        state: from,
        hint: hint.into(),
    })
}

fn check_currency(kind: &Kind, new: &Row, old: &Row) -> Result<()> {
    if new.differs("currency", old) && has_items(kind, old)? {
        return Err(CrmError::Frozen {
            column: "currency".into(),
            state: "draft".into(),
            message: format!("the currency of {} with lines cannot be changed", kind.one),
            hint: format!("Its prices would be other ones. Delete its {}_items first.", kind.name),
        });
    }
    Ok(())
}

/// The document is locked, and lines are written only under that lock.
fn has_items(kind: &Kind, document: &Row) -> Result<bool> {
    let key = [document.get::<pgrx::Uuid>("org_id")?.into(), document.get::<pgrx::Uuid>("id")?.into()];
    db::as_owner_of(c"crm", c"invoices", || {
        db::write_prepared(kind.has_items, &KEY, &key, |rows| Ok(rows.first().get_one::<bool>()? == Some(true)))
    })
}

/// The document leaves draft.
fn issue(kind: &Kind, new: &mut Row) -> Result<()> {
    let refused = |column: &str, problem: &str, hint: String| CrmError::Frozen {
        column: column.into(),
        state: "draft".into(),
        message: format!("{} {problem} cannot leave draft", kind.one),
        hint,
    };
    if !has_items(kind, new)? {
        return Err(refused("status", "without lines", format!("Add {}_items first.", kind.name)));
    }
    // Whatever the lines were written by: from here on nobody changes them, nor their sums.
    sum_anew(kind, new)?;
    let total = new.get::<AnyNumeric>("total")?.unwrap_or_default();
    if total < AnyNumeric::from(0) {
        return Err(refused("total", "with a negative total", "Change its lines first.".into()));
    }
    let Some(organization) = new.get::<pgrx::Uuid>("org_id")? else { return Ok(()) };
    if new.get::<Date>("issue_date")?.is_none() {
        new.set("issue_date", defaults(organization)?.1)?;
    }
    if kind.name != "invoice" {
        return Ok(());
    }
    fill_in_recipient(new, organization)?;
    if new.get::<pgrx::Uuid>("account_id")?.is_none() && new.get::<String>("billing_name")?.is_none() {
        return Err(refused("billing_name", "to nobody", "Set account_id or billing_name first.".into()));
    }
    if new.get::<String>("number")?.is_none() {
        new.set("number", Some(numbers::next(from_pg(organization), kind.name)?.1))?;
    }
    // There is nothing left to pay.
    if total == AnyNumeric::from(0) {
        new.set("status", Some("paid".to_owned()))?;
        new.set("paid_at", Some(pgrx::datum::datetime_support::now()))?;
    }
    Ok(())
}

/// The account's name and address as they are now, as far as the caller sees the account.
fn fill_in_recipient(invoice: &mut Row, organization: pgrx::Uuid) -> Result<()> {
    let Some(account) = invoice.get::<pgrx::Uuid>("account_id")? else { return Ok(()) };
    let found = db::select(
        "select name, billing_street, billing_city, billing_state, billing_postal_code, billing_country
         from crm.accounts where org_id = $1 and id = $2",
        &KEY,
        &[organization.into(), account.into()],
        |rows| (1..=6).map(|column| rows.get::<String>(column)).collect::<Result<Vec<_>>>(),
    )?;
    let mut found = found.into_iter();
    let name = found.next().flatten();
    if invoice.get::<String>("billing_name")?.is_none() {
        invoice.set("billing_name", name)?;
    }
    for column in ADDRESS {
        if invoice.get::<String>(column)?.is_some() {
            return Ok(());
        }
    }
    ADDRESS.iter().zip(found).try_for_each(|(column, value)| invoice.set(column, value))
}

/// An account that is brought back is the document's again.
fn check_frozen(kind: &Kind, new: &Row, old: &Row, returning: bool) -> Result<()> {
    let is_linked_again = returning && old.get::<pgrx::Uuid>(ACCOUNT)?.is_none();
    let is_frozen = |column: &&&str| new.differs(column, old) && !(is_linked_again && **column == ACCOUNT);
    let Some(column) = kind.frozen.iter().find(is_frozen) else { return Ok(()) };
    let state = old.get::<String>("status")?.unwrap_or_default();
    Err(CrmError::Frozen {
        column: (*column).into(),
        message: format!("{column} of {} that is {state} cannot be changed", kind.one),
        state,
        hint: kind.instead.into(),
    })
}

/// What an invoice's payments have to say to a step that a client takes.
fn check_payments(new: &mut Row, old: &Row) -> Result<()> {
    let [from, to] = [old.get::<String>("status")?, new.get::<String>("status")?];
    let paid = old.get::<AnyNumeric>("amount_paid")?.is_some_and(|paid| paid != AnyNumeric::from(0));
    match (from, to.as_deref()) {
        (Some(from), Some("void")) if paid && from != "void" => Err(CrmError::Frozen {
            column: "status".into(),
            state: from,
            message: "an invoice that was paid in part cannot be voided".into(),
            hint: "Delete its payments, or pay them back with negative ones, first.".into(),
        }),
        // No longer overdue: its date was moved.
        (Some(from), Some("sent")) if paid && from == "overdue" => new.set("status", Some("partially_paid".to_owned())),
        _ => Ok(()),
    }
}
