//! Payments: an invoice's amounts and status follow from them.

use pgrx::datum::DatumWithOid;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByPostgres, AnyNumeric, PgBuiltInOids};

use super::{KEY, TOO_LARGE, organization_of};
use crate::access::permissions;
use crate::db;
use crate::error::{CrmError, Result};
use crate::identity::principal::{from_pg, to_pg};
use crate::records::guard::by_foreign_key;
use crate::records::row::{self, Row, Rows};
use crate::schema::is_restore;
use crate::text::decimal_places;

#[pg_trigger(sql = false)]
fn check_payment<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(checked(trigger).map(Some))
}

fn checked(trigger: &PgTrigger) -> Result<Row> {
    let Rows { mut new, old } = Rows::of(trigger)?;
    if by_foreign_key(trigger) || is_restore() {
        return Ok(new);
    }
    if old.as_ref().is_none_or(|old| new.differs("invoice_id", old)) {
        let action = if old.is_some() { "payments.update" } else { "payments.create" };
        follow_invoice(&mut new, action)?;
    }
    check_amount(&new)?;
    Ok(new)
}

/// Account and currency are the invoice's, which the caller must see. Where they lack the permission, the policies are going to
/// refuse the payment.
fn follow_invoice(payment: &mut Row, permission: &str) -> Result<()> {
    let organization = organization_of(payment)?;
    if !permissions::had_in(organization, permission)? {
        return Ok(());
    }
    let key = [organization.map(to_pg).into(), payment.get::<pgrx::Uuid>("invoice_id")?.into()];
    let found = db::as_owner_of(c"crm", c"invoices", || {
        db::select(
            "select currency, account_id, owner_id from crm.invoices where org_id = $1 and id = $2",
            &KEY,
            &key,
            |rows| rows.get_three::<String, pgrx::Uuid, pgrx::Uuid>(),
        )
    })?;
    match found {
        (Some(currency), account, owner) if permissions::reach(organization, "invoices.read", owner.map(from_pg))? => {
            payment.set("account_id", account)?;
            payment.set("currency", Some(currency))
        }
        _ => Err(CrmError::invalid("invoice_id", "there is no such invoice")),
    }
}

fn check_amount(payment: &Row) -> Result<()> {
    let (Some(amount), Some(currency)) = (payment.get::<AnyNumeric>("amount")?, payment.get::<String>("currency")?)
    else {
        return Ok(());
    };
    let decimals = i32::from(decimal_places(&currency));
    let fits = db::select(
        "select $1 = round($1, $2)",
        &[PgBuiltInOids::NUMERICOID, PgBuiltInOids::INT4OID],
        &[amount.into(), decimals.into()],
        |rows| rows.get_one::<bool>(),
    )?;
    if fits == Some(true) {
        return Ok(());
    }
    Err(CrmError::invalid("amount", format!("{currency} has {decimals} decimal places")))
}

#[pg_trigger(sql = false)]
fn settle_invoices<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, ErrorReport> {
    row::answer(settle(trigger).map(|()| None))
}

fn settle(trigger: &PgTrigger) -> Result<()> {
    if is_restore() {
        return Ok(());
    }
    db::as_owner_of(c"crm", c"invoices", || {
        let Invoices { organizations, ids, paying } = touched(trigger)?;
        if ids.is_empty() {
            return Ok(());
        }
        let arrays = [PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::UUIDARRAYOID, PgBuiltInOids::BOOLARRAYOID];
        let invoices: [DatumWithOid; 3] = [organizations.into(), ids.into(), paying.into()];
        // All of them in one order, so that two statements wait for each other and not in a circle; what is summed up after
        // that has the payments of those who had the lock before.
        db::write_prepared(
            "select from crm.invoices as i
             where (i.org_id, i.id) in (select org_id, id from unnest($1, $2) as k (org_id, id))
             order by i.org_id, i.id
             for no key update",
            &arrays[..2],
            &invoices[..2],
            |_| Ok(()),
        )?;
        let refused = db::write_prepared(SETTLE, &arrays, &invoices, |rows| {
            if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get_two::<String, String>()?)) }
        })?;
        match refused {
            Some((Some(status), Some(problem))) => Err(refusal(status, &problem)),
            _ => Ok(()),
        }
    })
}

#[derive(Default)]
struct Invoices {
    organizations: Vec<pgrx::Uuid>,
    ids: Vec<pgrx::Uuid>,
    /// Whether payments were added to it, and not only corrected or removed.
    paying: Vec<bool>,
}

/// Whose payments the statement added, removed, or changed in their amount.
fn touched(trigger: &PgTrigger) -> Result<Invoices> {
    let data = trigger.trigger_data();
    let query = match (data.tg_oldtable.is_null(), data.tg_newtable.is_null()) {
        (true, _) => "select distinct org_id, invoice_id, true from added",
        (_, true) => "select distinct org_id, invoice_id, false from removed",
        _ => {
            "select n.org_id, of.id, bool_or(of.id <> o.invoice_id)
             from removed as o
             join added as n on n.org_id = o.org_id and n.id = o.id
             cross join lateral (values (o.invoice_id), (n.invoice_id)) as of (id)
             where (o.invoice_id, o.amount) is distinct from (n.invoice_id, n.amount)
             group by n.org_id, of.id"
        }
    };
    db::select_from_transition(trigger, query, |rows| {
        let mut invoices = Invoices::default();
        for invoice in rows {
            if let (Some(organization), Some(id), Some(paying)) = (invoice.get(1)?, invoice.get(2)?, invoice.get(3)?) {
                invoices.organizations.push(organization);
                invoices.ids.push(id);
                invoices.paying.push(paying);
            }
        }
        Ok(invoices)
    })
}

/// Writes what is paid, unless one of the invoices refuses; then it gives that one's status and why. What was overdue stays so
/// until it is paid in full.
const SETTLE: &str = "
    with paid as (
        select k.org_id, k.id, k.paying, coalesce(sum(p.amount), 0) as amount
        from unnest($1, $2, $3) as k (org_id, id, paying)
        left join crm.payments as p on p.org_id = k.org_id and p.invoice_id = k.id
        group by k.org_id, k.id, k.paying
    ),
    refused as (
        select i.status, case
            when i.status in ('draft', 'void') then i.status
            when abs(p.amount) >= 1e15 then 'too large'
            when p.amount < 0 then 'negative'
            when i.status = 'paid' and p.paying and p.amount > i.amount_paid then 'paid'
        end as problem
        from paid as p
        join crm.invoices as i on i.org_id = p.org_id and i.id = p.id
    ),
    first as (
        select status, problem from refused where problem is not null order by problem limit 1
    ),
    written as (
        update crm.invoices as i
        set amount_paid = p.amount, status = case
            when p.amount >= i.total then 'paid'
            when i.status = 'overdue' then 'overdue'
            when p.amount > 0 then 'partially_paid'
            else 'sent'
        end
        from paid as p
        where i.org_id = p.org_id and i.id = p.id and not exists (select from first)
    )
    select status, problem from first";

fn refusal(status: String, problem: &str) -> CrmError {
    let (column, message, hint) = match problem {
        "draft" => ("invoice_id", "a draft takes no payments", "Send the invoice first: set its status to sent."),
        "void" => ("invoice_id", "the payments of a void invoice stay as they are", "Pay another invoice."),
        "paid" => ("invoice_id", "the invoice is paid already", "What is paid back is a negative amount."),
        "negative" => {
            ("amount", "more would be paid back than was paid", "The sum of an invoice's payments is not negative.")
        }
        _ => return CrmError::invalid("amount", TOO_LARGE),
    };
    CrmError::Frozen { column: column.into(), state: status, message: message.into(), hint: hint.into() }
}
