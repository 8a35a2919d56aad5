//! What customers are offered, what they owe and what they paid: estimates and invoices with their lines, and payments.
//! docs/entities/billing.md says what follows from what.
//!
//! Policies are asked after these triggers, and for every row it would take too long to look as the caller. So documents are looked
//! up and written as the tables' owner, but only where the caller has the permission at all; and what they do not see is spoken
//! of as if there were no such thing.

mod documents;
mod lines;
mod payments;

use std::sync::LazyLock;

use pgrx::PgBuiltInOids;
use pgrx::prelude::*;
use uuid::Uuid;

use crate::error::{CrmError, Result};
use crate::identity::principal::{Principal, from_pg};
use crate::records::custom::object::Object;
use crate::records::row::Row;

/// Of a document or payment: (org_id, id).
const KEY: [PgBuiltInOids; 2] = [PgBuiltInOids::UUIDOID, PgBuiltInOids::UUIDOID];

/// Amounts are numeric(19, 4).
const TOO_LARGE: &str = "is too large: amounts have at most 15 digits before the decimal point";

static ESTIMATE: LazyLock<Kind> = LazyLock::new(|| {
    Kind::new(
        "estimate",
        "an estimate",
        &["account_id", "currency", "title", "issue_date", "valid_until", "notes", "terms"],
        "Set its status to draft first; what was accepted stays as it is.",
    )
});

static INVOICE: LazyLock<Kind> = LazyLock::new(|| {
    Kind::new(
        "invoice",
        "an invoice",
        &[
            "account_id",
            "currency",
            "title",
            "issue_date",
            "purchase_order",
            "billing_name",
            "billing_street",
            "billing_city",
            "billing_state",
            "billing_postal_code",
            "billing_country",
            "notes",
            "terms",
        ],
        "It stays as it was sent: void it and make a new one.",
    )
});

/// Estimates and invoices are the same with other tables.
struct Kind {
    name: &'static str,
    /// With its article.
    one: &'static str,
    /// Columns that stay as they were when the document left draft.
    frozen: &'static [&'static str],
    /// What to do instead of changing them.
    instead: &'static str,
    /// The column of a line that names its document.
    key: String,
    create: String,
    read: String,
    update: String,
    look: &'static str,
    lock: &'static str,
    has_items: &'static str,
    write_sums: &'static str,
    read_sums: &'static str,
}

impl Kind {
    fn new(name: &'static str, one: &'static str, frozen: &'static [&'static str], instead: &'static str) -> Self {
        Self {
            name,
            one,
            frozen,
            instead,
            key: format!("{name}_id"),
            create: format!("{name}s.create"),
            read: format!("{name}s.read"),
            update: format!("{name}s.update"),
            // Made once: their plans live as long as the backend.
            look: format!("select owner_id from crm.{name}s where org_id = $1 and id = $2").leak(),
            lock: format!(
                "select status, currency, owner_id from crm.{name}s where org_id = $1 and id = $2 for no key update"
            )
            .leak(),
            has_items: format!("select exists (select from crm.{name}_items where org_id = $1 and {name}_id = $2)")
                .leak(),
            write_sums: lines::write_sums(name).leak(),
            read_sums: lines::read_sums(name).leak(),
        }
    }

    /// As the trigger's argument names it.
    fn of(trigger: &PgTrigger) -> Result<&'static Self> {
        match trigger.extra_args().unwrap_or_default().first().map(String::as_str) {
            Some("estimate") => Ok(&ESTIMATE),
            Some("invoice") => Ok(&INVOICE),
            _ => Err(CrmError::internal("the trigger does not name its kind of document")),
        }
    }
}

/// Why this document, as history has it, comes back with all of these parts or not at all: they are the lines that it was sent
/// with. `None` for any other record, and for other parts.
pub fn needs_all(part: &str, record: &str, image: &Object) -> Option<String> {
    let kind = [&*ESTIMATE, &*INVOICE].into_iter().find(|kind| record == format!("{}s", kind.name))?;
    let status = image.get("status")?.trim_matches('"');
    (part == format!("{}_items", kind.name) && status != "draft")
        .then(|| format!("{} that is {status} comes back with all of its lines or not at all", kind.one))
}

/// The organization a row is of, or will be.
fn organization_of(row: &Row) -> Result<Option<Uuid>> {
    let named = row.get::<pgrx::Uuid>("org_id")?.map(from_pg);
    Ok(named.or_else(|| Principal::current().and_then(|principal| principal.org_id())))
}
